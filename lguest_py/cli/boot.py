# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py boot``: boot a Guest with its console on the standard streams; the exit status says how it ended.

Read next: lguest_py/launcher/launcher.py, which runs it; signals.py, how it ends.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from lguest_py.errors import LguestError, StoppedError, UsageError
from lguest_py.launcher.values import seconds, size

if TYPE_CHECKING:
    from lguest_py.launcher.result import Result

NO_GUEST_STATUS = "the Guest ended without reporting its status: no line 'lguest-py: exit status N' on its console"
USAGE = "lguest-py boot [options] [IMAGE] [kernel arguments …]"
EPILOG = """\
IMAGE is a bzImage or an ELF (vmlinux) of a 32-bit Linux without PAE, or the name of one that was fetched
(lguest-py fetch), which has its own initrd.  Without IMAGE the bundled tiny Guest boots.  A Linux that was built with
CONFIG_LGUEST_GUEST calls its Host; any other, from 5.12 on, runs unmodified by trap and emulate ("native").
Everything after IMAGE is the kernel's command line, a parameter a word; one with white space in it (run="ls -l") gets
the double quotes that the kernel wants.  A native kernel gets the parameters that it needs and that were not given
before them; they are printed.

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
IN_BACKGROUND = "in the background of its terminal, so keys do not reach the Guest: use fg, or timeout --foreground"


class MakeParser(Protocol):
    """The class lguest_py.cli.parser.Parser, which a verb is given so that tools can replace it (parsers.py)."""

    def __call__(self, prog: str, usage: str, description: str, epilog: str) -> argparse.ArgumentParser:
        """A parser whose errors are UsageError."""


def parse(make_parser: MakeParser, arguments: Sequence[str]) -> argparse.Namespace:
    """The options, ``image`` (or None) and ``kernel_arguments``.  Raises UsageError.

    argparse would look for options after IMAGE too, so it gets only the words before it.
    """
    parser = make_parser("lguest-py boot", USAGE, "Boot a Guest with its console on this terminal.", EPILOG)
    add = parser.add_argument
    actions = [
        add("--initrd", metavar="FILE", help="an initial RAM disk"),
        add("--memory", metavar="SIZE", type=size, default=size("64M"), help="the Guest's RAM, 4M to 2048M (64M)"),
        add("--engine", choices=("auto", "kvm", "tcg"), default="auto", help="what runs the machine (auto)"),
        add("--switcher", choices=("classic", "lean"), default="lean", help="how worlds are switched (lean)"),
        add("--timeout", metavar="SECONDS", type=seconds, help="end the Guest after this time"),
        add("--on-reboot", choices=("restart", "exit"), default="restart", help="when the Guest reboots (restart)"),
        add("--guest-status", action="store_true", help="exit with the status that the Guest prints on its console"),
        add("--json", action="store_true", help="console on stderr; on stdout one JSON object on the end"),
        add("--quiet", action="store_true", help="no messages but errors"),
        add("-v", "--verbose", action="store_true", help="print times and counts at the end"),
    ]
    with_value = {name for action in actions if action.nargs is None for name in action.option_strings}
    index = 0
    while index < len(arguments) and arguments[index].startswith("-") and arguments[index] != "--":
        index += 2 if arguments[index] in with_value else 1
    options = parser.parse_args(arguments[:index])
    rest = list(arguments[index + (arguments[index : index + 1] == ["--"]) :])
    options.image = rest[0] if rest else None
    options.kernel_arguments = rest[1:]
    options.misplaced = misplaced(rest[1:], {name for action in actions for name in action.option_strings})
    if options.image == "":
        parser.error("IMAGE is empty")
    return options


def misplaced(words: Sequence[str], names: Iterable[str]) -> list[str]:
    """Those of the kernel's ``words`` that are options of lguest-py.  Words after "--" are for the kernel's init."""
    before_init = list(words)[: list(words).index("--")] if "--" in words else words
    return [word for word in before_init if word.partition("=")[0] in names]


def misplaced_warning(words: Sequence[str]) -> str:
    """One line on options of lguest-py after IMAGE, where the kernel gets them."""
    named = " and ".join(words)
    return f"{named} after IMAGE goes to the kernel: to give it to lguest-py, put it before IMAGE"


def _say(text: str) -> None:
    """Print one line on stderr, which may be a terminal in raw mode."""
    from lguest_py.console.terminal import line_end

    sys.stderr.write(f"lguest-py: {text}{line_end(2)}")
    sys.stderr.flush()


def _say_nothing(text: str) -> None:
    pass


def boot(options: argparse.Namespace, say: Callable[[str], None]) -> Result:
    """Boot with these options, and return how it ended.  ``say`` prints a line for the user.  Raises LguestError."""
    from lguest_py.cli.signals import SignalPipe, ending_signals
    from lguest_py.cli.waking import continued_after
    from lguest_py.console.streams import Input, Output, Source
    from lguest_py.console.terminal import Terminal
    from lguest_py.images.initrd_format import initrd_note
    from lguest_py.images.native import personality_line
    from lguest_py.launcher.launcher import Launcher, prepare

    if options.misplaced:
        say(misplaced_warning(options.misplaced))
    with ending_signals():
        settings, choice = prepare(
            options.image,
            options.engine,
            memory=options.memory,
            command_line=options.kernel_arguments,
            initrd=options.initrd,
            restart=options.on_reboot == "restart",
            timeout=options.timeout,
            obey_guest=options.guest_status,
            switcher=options.switcher,
        )
        image = settings.image
        notes = image.note, initrd_note(settings.initrd, image.version) if settings.initrd else ""
    announcement = "\n".join(filter(None, (personality_line(image, settings.command_line), *notes)))
    if options.engine == "auto" or options.verbose:
        announcement = f"engine {choice.name}: {choice.why}\n{announcement}"
    output = Output(2 if options.json else 1)
    with ExitStack() as stack:
        stack.enter_context(continued_after(options.timeout))
        source: Source = Input(0)
        if os.isatty(0):
            source = terminal = Terminal(0, show=2, newlines=image.version is None)
            signals = stack.enter_context(SignalPipe(terminal.suspend, terminal.resume))
            stack.enter_context(terminal)
            announcement += f"\n{IN_BACKGROUND}" if terminal.waiting else ""
        else:
            signals = stack.enter_context(SignalPipe())
        result = Launcher(settings, choice.make, source, output, signals, say, announcement).run()
    line_open = output.last != b"\n"
    if line_open and (os.isatty(2) or (options.json and result.outcome.status)):
        sys.stderr.write("\n")
    return result


def _print_end(options: argparse.Namespace, result: Result) -> None:
    """Print why the run ended, what to do, the report and the statistics, as far as the options want them."""
    from lguest_py.launcher import report
    from lguest_py.launcher.result import End

    ordinary = result.outcome.status == 0 or result.outcome.end in (End.LEFT, End.SIGNAL, End.OUTPUT_CLOSED)
    say = sys.stderr.write  # no carriage returns: the terminal is restored
    if not ordinary or options.verbose:
        say(f"lguest-py: {report.headline(result)}\n")
    if not ordinary and result.advice:
        say(f"lguest-py: {result.advice}\n")
    if ordinary and result.obey_guest and result.guest_status is None and not result.outcome.status:
        say(f"lguest-py: {NO_GUEST_STATUS}\n")
    if not options.quiet and (result.outcome.end in report.DEATHS or (options.verbose and result.outcome.status)):
        say(report.death(result))
    if options.verbose:
        say(report.statistics(result))


def _write_json(data: dict[str, Any]) -> None:
    import json

    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    try:
        options = parse(make_parser, arguments)
    except UsageError as error:
        if "--json" in arguments:
            _write_json({"end": "error", "reason": str(error), "status": error.status})
        raise

    from lguest_py.cli.signals import never_stopped
    from lguest_py.files.descriptors import descriptor_errors

    with never_stopped():
        try:
            with descriptor_errors():
                result = boot(options, _say_nothing if options.quiet else _say)
        except LguestError as error:
            if options.json:
                end = error.end if isinstance(error, StoppedError) else "error"
                _write_json({"end": end, "reason": str(error), "status": error.status})
            raise
        _print_end(options, result)
        if options.json:
            _write_json(result.as_dict())
        return result.status
