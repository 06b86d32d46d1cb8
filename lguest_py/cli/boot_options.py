# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of ``lguest-py boot``: from the words of the command line, and from a machine file.

Read next: lguest_py/hardware/text.py, the forms of hardware; lguest_py/launcher/machine_file.py.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from lguest_py.errors import UsageError
from lguest_py.launcher.values import CHOICES, rate, seconds, size

if TYPE_CHECKING:
    from lguest_py.launcher.machine_options import MachineOptions

USAGE = "lguest-py boot [options] [IMAGE | MACHINE.toml] [kernel arguments …]"
EPILOG = """\
IMAGE is a bzImage or an ELF (vmlinux) of a 32-bit Linux, or the name of one that was fetched
(lguest-py fetch), which has its own initrd; a system has its own root disk, too.  Without IMAGE the bundled tiny
Guest boots.  A Linux that was built with CONFIG_LGUEST_GUEST calls its Host; any other, from 2.6.32 on, runs
unmodified by trap and emulate ("native").
Everything after IMAGE is the kernel's command line, a parameter a word; one with white space in it (run="ls -l") gets
the double quotes that the kernel wants.  A native kernel gets the parameters that it needs and that were not given
before them; they are printed.

MACHINE.toml is a file with these options as keys: image = "bzImage", memory = "64M", disk = ["root.img,readonly"].
Its paths are relative to its folder.  An option on the command line replaces the file's; hardware is added to it.

A comma in a file's name is given twice (--disk a,,b.img).  Hardware may be given several times, in the Guest's order.
A share is mounted in the Guest by its tag: mount -t 9p -o trans=virtio host /mnt

keys, when the input is a terminal:
  Ctrl-A x       end the Guest and leave
  Ctrl-A Ctrl-A  send Ctrl-A
  Ctrl-A ?       show these keys
Other input is passed on as the Guest reads it; at its end the Guest gets one Ctrl-D, and runs on.

With --guest-status a Guest that powered off gives the exit status itself: by the last line
"lguest-py: exit status N" (0 to 255) on its console.  Without such a line the exit status is 3.

exit status:
  0      the Guest powered off (or restarted, with --on-reboot exit)
  1      an error of lguest-py itself or of its engine
  2      wrong use, or an image that cannot be used
  3      the Guest was killed, panicked, halted for good, ended in a triple fault, or restarted again and again before
         it did anything; the reason is printed
  4      the time limit
  5      no engine works here
  128+n  signal n; 130 also for Ctrl-A x, 141 when the reader of the output is gone
"""
HARDWARE = "disks, networks, shares, consoles"


class MakeParser(Protocol):
    """The class lguest_py.cli.parser.Parser, which a verb is given so that tools can replace it (parsers.py)."""

    def __call__(self, prog: str, usage: str, description: str, epilog: str) -> argparse.ArgumentParser:
        """A parser whose errors are UsageError."""


class _Hardware(argparse.Action):
    """Collects hardware in the order in which it was given: (option's name, text)."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        word = self.option_strings[-1].removeprefix("--")
        namespace.hardware = [*(namespace.hardware or ()), (word, values)]


def _add_run_options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Those of how a Guest runs, which restore has, too."""
    add = parser.add_argument
    return [
        add("--engine", choices=CHOICES["engine"], help="what runs the machine (auto)"),
        add("--timeout", metavar="SECONDS", type=seconds, help="end the Guest after this time"),
        add("--name", metavar="NAME", help="what lguest-py ps and the like call it (the number of its process)"),
        add("--detach", action="store_true", help="in the background; print its name (its console: lguest-py attach)"),
        add(
            "--gdb",
            metavar="[PORT|HOST:PORT|unix:PATH][,nowait]",
            nargs="?",
            const="",
            help="wait for gdb before the first instruction (docs/gdb.md); with a value as --gdb=1234",
        ),
        add("--report", metavar="FILE", help="write how and why it ended to FILE, as JSON (docs/reports.md)"),
        add("--core", metavar="FILE", help="write the Guest's memory and registers at its end to FILE, for gdb"),
        add("--trace", metavar="FILE", help="record its world switches to FILE, for lguest-py trace --read FILE"),
        add("--trace-rate", metavar="N", type=rate, help="and where it is, N times a second, for a flame graph"),
        add("--json", action="store_true", help="console on stderr; on stdout one JSON object on the end"),
        add("--console-filter", action="store_true", help="show the Guest's control characters, send none"),
        add("--quiet", action="store_true", help="no messages but errors"),
        add("-v", "--verbose", action="store_true", help="print times and counts at the end"),
    ]


def _add_rights(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Those of what the process may do."""
    group = parser.add_argument_group("what this process may do; the first two are for root")
    return [
        group.add_argument("-u", "--username", metavar="USER", help="become USER when everything is open"),
        group.add_argument("-c", "--chroot", metavar="DIR", help="leave all files but those below DIR then"),
        group.add_argument("--no-sandbox", action="store_true", help="no walls around this process and its helpers"),
    ]


def _add_options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """All options of the verb, in groups."""
    add = parser.add_argument
    actions = [
        add("-i", "--initrd", metavar="FILE", help="an initial RAM disk"),
        add("--root", metavar="FILE", help="a fetched system's root disk that is kept (made if it is not there)"),
        add("--memory", metavar="SIZE", type=size, help="the Guest's RAM, 4M to 2048M (64M; a fetched system 256M)"),
        add("--switcher", choices=CHOICES["switcher"], help="how worlds are switched (lean)"),
        add("--on-reboot", choices=CHOICES["on-reboot"], help="when the Guest reboots (restart)"),
        add("--guest-status", action="store_true", help="exit with the status that the Guest prints on its console"),
        *_add_run_options(parser),
    ]
    group = parser.add_argument_group(HARDWARE)

    def hardware(*names: str, metavar: str, help: str, **more: Any) -> argparse.Action:
        return group.add_argument(*names, action=_Hardware, dest="hardware", metavar=metavar, help=help, **more)

    actions += [
        hardware(
            "--disk",
            metavar="FILE[,readonly][,overlay][,format=raw|qcow2|…][,serial=TEXT]",
            help="a disk; overlay: what the Guest writes is thrown away at the end",
        ),
        hardware("-b", "--block", metavar="FILE", help="a disk, as the original's option: FILE as it stands"),
        hardware(
            "--net",
            metavar="user|tap:NAME|bridge:NAME[,mac=MAC]",
            help="a network card; user: through this machine's own network, without root",
        ),
        hardware(
            "-t",
            "--tunnet",
            metavar="IP[:MAC]|bridge:NAME[:MAC]",
            help="a network card, as the original's option: a new tap, with the address IP here or in a bridge",
        ),
        hardware(
            "--publish",
            metavar="[ADDRESS:]HOST:GUEST[/udp]",
            help="a port of this machine that leads to one of the Guest, by --net user",
        ),
        hardware("--share", metavar="DIR[,tag=NAME][,readonly]", help="a folder, to mount by 9P (tag host, host1, …)"),
        hardware(
            "-r", "--rng", metavar="FILE", nargs="?", const="", help="random bytes, this machine's or those of =FILE"
        ),
        hardware("--console", metavar="SOCKET", help="one more console (hvc1, …) at the Unix socket SOCKET"),
        hardware(
            "--vsock",
            metavar="SOCKET[,cid=N]",
            help="connections between programs: CONNECT PORT at SOCKET, the Guest's to port N at SOCKET_N (CID 3)",
        ),
        group.add_argument("--bus", choices=CHOICES["bus"], help="how the Guest finds its devices (auto)"),
    ]
    actions += _add_rights(parser)
    return actions


def _takes_next(word: str, with_value: set[str]) -> bool:
    """Whether the word after this option is its value."""
    if word.startswith("--") or len(word) <= 2:
        return word in with_value
    for place, letter in enumerate(word[1:], 2):  # -vb FILE
        if f"-{letter}" in with_value:
            return place == len(word)
    return False


def parse(make_parser: MakeParser, words: Sequence[str]) -> argparse.Namespace:
    """The options, ``image`` (or None), ``kernel_arguments``, and ``names`` of all options.  Raises UsageError.

    argparse would look for options after IMAGE too, so it gets only the words before it.
    """
    arguments = list(words)
    parser = make_parser("lguest-py boot", USAGE, "Boot a Guest with its console on this terminal.", EPILOG)
    actions = _add_options(parser)
    with_value = {name for action in actions if action.nargs is None for name in action.option_strings}
    index = 0
    while index < len(arguments) and arguments[index].startswith("-") and arguments[index] != "--":
        index += 2 if _takes_next(arguments[index], with_value) else 1
    options = parser.parse_args(arguments[:index])
    rest = arguments[index + (arguments[index : index + 1] == ["--"]) :]
    options.image, options.saved = rest[0] if rest else None, None
    options.kernel_arguments = rest[1:]
    if options.image == "":
        parser.error("IMAGE is empty")
    options.names = [name for action in actions for name in action.option_strings]
    return options


def parse_restore(make_parser: MakeParser, words: Sequence[str], description: str, epilog: str) -> argparse.Namespace:
    """The options of ``lguest-py restore``: those of them that boot has, too, and ``saved``, the file."""
    parser = make_parser("lguest-py restore", "lguest-py restore [options] FILE", description, epilog)
    _add_run_options(parser)
    _add_rights(parser)
    parser.add_argument("saved", metavar="FILE", help="what lguest-py save wrote")
    options = parser.parse_args(["--gdb=" if word == "--gdb" else word for word in words])  # FILE is not its value
    options.image, options.kernel_arguments, options.names = None, [], []
    return options


def _check_image(options: argparse.Namespace) -> None:
    """Raise UsageError for an image that was meant as an option's value."""
    image, words = options.image or "", options.kernel_arguments
    size_first = re.fullmatch(r"([0-9]+)([KMG]?)", image, re.ASCII | re.IGNORECASE)
    if size_first and words and not os.path.exists(image):  # as lguest took it
        memory = f"{size_first[1]}{size_first[2] or 'M'}"
        raise UsageError(f"{image} is no image: memory is an option here, lguest-py boot --memory {memory} {words[0]}")
    if image.startswith("/dev/") and ("rng", "") in (options.hardware or ()):
        raise UsageError(f"{image} is no image: the source of --rng is joined to it, --rng={image}")


def machine_options(options: argparse.Namespace) -> MachineOptions:
    """The machine that they describe, with what its machine file says.  Raises UsageError or ImageError."""
    from lguest_py.hardware.text import parse as parse_hardware
    from lguest_py.launcher.machine_file import with_file
    from lguest_py.launcher.machine_options import MachineOptions

    run = "engine", "timeout", "username", "chroot", "report", "core", "trace", "trace_rate"
    if options.saved:
        return MachineOptions(**{name: getattr(options, name) for name in run})
    _check_image(options)
    names = *run, "initrd", "memory", "switcher", "on_reboot", "bus", "root"
    return with_file(
        MachineOptions(
            options.image,
            command_line=options.kernel_arguments,
            guest_status=options.guest_status or None,
            devices=tuple(parse_hardware(word, text) for word, text in options.hardware or ()),
            **{name: getattr(options, name) for name in names},
        )
    )


def misplaced(words: Sequence[str] | str, names: Iterable[str]) -> list[str]:
    """Those of the kernel's ``words`` that are options of lguest-py.  Words after "--" are for the kernel's init."""
    given = words.split() if isinstance(words, str) else list(words)
    before_init = given[: given.index("--")] if "--" in given else given
    return [word for word in before_init if word.partition("=")[0] in names]


def misplaced_warning(words: Sequence[str]) -> str:
    """One line on options of lguest-py after IMAGE, where the kernel gets them."""
    named = " and ".join(words)
    return f"{named} after IMAGE goes to the kernel: to give it to lguest-py, put it before IMAGE"
