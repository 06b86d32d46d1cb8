# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py watch``: one world switch, instruction by instruction.

Read next: lguest_py/watch/machine.py, which records it; lguest_py/watch/terminal.py and page.py, which show it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lguest_py.cli.boot_options import MakeParser, misplaced, misplaced_warning
from lguest_py.errors import UsageError
from lguest_py.launcher.values import seconds, size

if TYPE_CHECKING:
    from lguest_py.watch.record import Record

USAGE = "lguest-py watch [options] [IMAGE | MACHINE.toml] [kernel arguments …]"
EPILOG = """\
The Guest boots, without a console here, and runs until the cause comes (--on).  From the instruction that caused it on
each instruction of the Switcher is recorded, to the Host kernel and back to the Guest; the Host kernel's C code between
is one step.  Where no world switch takes place, what does take place is recorded.

causes: hypercall (any), fault (a page fault), irq (an interrupt of the machine while the Guest runs), syscall (of a
program); the name of a hypercall (SET_PTE) or of an exception (general-protection), timer, doorbell.
"--on help" lists all.

On a terminal: arrow keys go forward and back, w shows or hides the why, ? all keys, q leaves.  Elsewhere, and with
--text, it is printed.

exit status:
  0      it was recorded
  1      an error of lguest-py itself or of its engine
  2      wrong use, or an image that cannot be used
  3      the Guest ended before the cause came
  4      the time limit passed before the cause came
  5      no engine works here
  128+n  signal n
"""
SECONDS = 60.0
MOST_SKIPPED = 1_000_000
SWITCHERS = ("classic", "lean")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 8 and int(text) <= MOST_SKIPPED):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of causes: give 0 to {MOST_SKIPPED}")
    return int(text)


def _parse(make_parser: MakeParser, arguments: Sequence[str]) -> argparse.Namespace:
    parser = make_parser("lguest-py watch", USAGE, "Show one world switch, instruction by instruction.", EPILOG)
    add = parser.add_argument
    add("--on", metavar="NAME", default="hypercall", help="what causes it (hypercall); help: list all")
    add("--ring", type=int, choices=(1, 3), help="only from this ring: 1 the Guest's kernel, 3 its programs (any)")
    add("--skip", metavar="N", type=_number, default=0, help="let N of them go by first (0)")
    add("--switcher", choices=SWITCHERS, help="which Switcher (lean)")
    add("--beside", action="store_true", help="both Switchers, next to each other")
    add("--html", metavar="FILE", help="write a page that needs nothing else")
    add("--json", metavar="FILE", help="write all that was recorded, as JSON")
    add("--text", action="store_true", help="print it, on a terminal too")
    add("--engine", choices=("auto", "kvm", "tcg"), help="what runs the machine (auto)")
    add("--memory", metavar="SIZE", type=size, help="the Guest's RAM (as lguest-py boot)")
    add("-i", "--initrd", metavar="FILE", help="an initial RAM disk")
    add("--timeout", metavar="SECONDS", type=seconds, help=f"wait for the cause for so long ({SECONDS:g})")
    add("image", metavar="IMAGE", nargs="?", help="as lguest-py boot; without one the tiny Guest")
    add("kernel_arguments", metavar="…", nargs=argparse.REMAINDER, help="the kernel's command line")
    options = parser.parse_args(arguments)
    options.names = [name for action in parser._actions for name in action.option_strings]
    if options.image == "":
        parser.error("IMAGE is empty")
    if options.beside and options.switcher:
        parser.error("--beside shows both Switchers: leave --switcher out")
    return options


def _record(options: argparse.Namespace) -> list[Record]:
    from lguest_py.console.progress import Progress
    from lguest_py.files.descriptors import descriptor_errors
    from lguest_py.files.inputs import printable
    from lguest_py.launcher.launcher import prepare
    from lguest_py.launcher.machine_file import with_file
    from lguest_py.launcher.machine_options import MachineOptions
    from lguest_py.watch.causes import find
    from lguest_py.watch.machine import record

    cause = find(options.on)
    if wrong_place := misplaced(options.kernel_arguments, options.names):
        print(f"lguest-py: {misplaced_warning(wrong_place)}", file=sys.stderr)
    found = []
    for switcher in SWITCHERS if options.beside else [options.switcher]:
        with descriptor_errors(), Progress("watching") as progress:
            given = MachineOptions(
                options.image, options.initrd, options.memory, options.kernel_arguments, options.engine, switcher
            )
            machine = with_file(given)
            if machine.username or machine.chroot:
                raise UsageError(f"{machine.image}: username and chroot are for lguest-py boot: leave them out here")
            settings, choice = prepare(**machine.for_prepare())
            name = printable(options.image) if options.image else "the tiny Guest"
            progress.say(f"{name}, Switcher {settings.switcher}, until {cause.name}")
            limit = options.timeout or SECONDS
            how = {"ring": options.ring, "skip": options.skip, "seconds": limit, "image": name}
            found.append(record(settings, choice.name, cause, **how))
    return found


def _list() -> None:
    from lguest_py.watch.causes import names

    for name in names():
        print(name)


def _write(path: str, text: str) -> None:
    from lguest_py.files.outputs import writing

    with writing(path, "choose another place") as file:
        file.write(text.encode())


def _check_writable(path: str | None) -> None:
    if path and path != "-" and (os.path.isdir(path) or not os.path.isdir(os.path.dirname(path) or ".")):
        raise UsageError(f"{path} cannot be written: give a file in a directory that exists")


def _read_at_terminal(records: Sequence[Record]) -> int:
    """Let a person read; the exit status."""
    from lguest_py.cli.signals import SignalPipe
    from lguest_py.watch.terminal import Terminal, read

    terminal = Terminal()
    with SignalPipe(terminal.suspend, terminal.resume) as signals, terminal:
        number = read(records, terminal, signals, sys.stdout.encoding)
    return 128 + number if number else 0


def _has_screen() -> bool:
    """Whether this is a terminal that can be used as a screen."""
    if not (os.isatty(0) and os.isatty(1)) or os.environ.get("TERM", "dumb") in ("", "dumb"):
        return False
    try:
        import rich  # noqa: F401
    except ImportError:
        print("lguest-py: without the Python package rich it is printed: pip install rich", file=sys.stderr)
        return False
    return True


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    options = _parse(make_parser, arguments)
    if options.on == "help":
        _list()
        return 0
    for path in (options.html, options.json):
        _check_writable(path)
    records = _record(options)
    if options.html:
        from lguest_py.watch.page import page

        _write(options.html, page(records))
    if options.json:
        import json

        _write(options.json, json.dumps([record.as_dict() for record in records]) + "\n")
    if (options.html or options.json) and not options.text:
        return 0
    if not options.text and _has_screen():
        return _read_at_terminal(records)
    from lguest_py.watch.text import plain, plain_beside

    sys.stdout.write(plain_beside(*records) if len(records) == 2 else plain(records[0]))
    sys.stdout.flush()
    return 0
