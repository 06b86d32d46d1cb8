# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py boot``: boot a Guest with its console on the standard streams; the exit status says how it ended.

Chapter: The Launcher. The Launcher is the process that a user starts. It reads the Guest's kernel, lays out the
memory of a machine, puts the Host kernel at its bottom, and has an engine run it: KVM, or QEMU with an emulated
processor. From then on it waits. What the Guest does is handled by the Host kernel, inside the machine; the Launcher
is woken for devices, for the user's keys, and for the end.

Read next: lguest_py/launcher/launcher.py, which runs it; boot_options.py; signals.py, how it ends.
Next in the book: lguest_py/launcher/launcher.py.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from lguest_py import cli
from lguest_py.cli.boot_options import MakeParser, machine_options, misplaced, misplaced_warning, parse
from lguest_py.errors import LguestError, StoppedError, UsageError

if TYPE_CHECKING:
    from lguest_py.cli.detach import Detached
    from lguest_py.engines.base import Engine
    from lguest_py.launcher.result import Result

NO_GUEST_STATUS = "the Guest ended without reporting its status: no line 'lguest-py: exit status N' on its console"
IN_BACKGROUND = "in the background of its terminal, so keys do not reach the Guest: use fg, or timeout --foreground"


def _say(text: str) -> None:
    """Print one line on stderr, which may be a terminal in raw mode."""
    from lguest_py.console.terminal import line_end

    sys.stderr.write(f"lguest-py: {text}{line_end(2)}")
    sys.stderr.flush()


def _say_nothing(text: str) -> None:
    pass


def boot(
    options: argparse.Namespace, print_line: Callable[[str], None], detached: Detached | None = None
) -> tuple[Result, list[str]]:
    """Boot with these options; returns how it ended, and lines on files that could not be written.

    ``print_line`` prints a line for the user.  ``detached``: this process is in the background.  Raises LguestError.
    """
    from lguest_py.cli.boot_control import MESSAGES, open_control
    from lguest_py.cli.signals import SignalPipe, ending_signals
    from lguest_py.cli.waking import continued_after
    from lguest_py.console.streams import Drain, Input, Output, Source
    from lguest_py.console.terminal import Terminal
    from lguest_py.files.unix_sockets import connected
    from lguest_py.images.initrd_format import initrd_note
    from lguest_py.images.native import personality_line
    from lguest_py.launcher.launcher import Launcher, prepare, prepare_saved
    from lguest_py.launcher.report import headline
    from lguest_py.launcher.report_files import open_report_files
    from lguest_py.launcher.tracing import Tracing

    messages: deque[str] = deque(maxlen=MESSAGES)

    def say(text: str) -> None:
        messages.append(text)
        print_line(text)

    machine = machine_options(options)
    if machine.trace_rate is not None and machine.trace is None:
        raise UsageError("--trace-rate is for a trace: give --trace FILE, too")
    if wrong_place := misplaced(machine.command_line, options.names):
        say(misplaced_warning(wrong_place))
    if options.no_sandbox:
        from lguest_py.sandbox import child

        child.disable()
    confinement = None
    walls = cli.own_process and sys.platform == "linux" and not options.no_sandbox
    if walls or machine.username is not None or machine.chroot is not None:
        from lguest_py.cli.confinement import Confinement

        told = say if options.verbose else None
        confinement = Confinement(machine.username, machine.chroot, walls=walls, say=told)
    with ending_signals():
        if options.saved:
            settings, choice = prepare_saved(options.saved, machine.engine or "auto", machine.timeout)
        else:
            settings, choice = prepare(**machine.for_prepare())
        image = settings.image
        notes = *settings.notes, image.note, initrd_note(settings.initrd, image.version) if settings.initrd else ""
    described = "" if options.saved else personality_line(image, settings.command_line, choice.name)
    announcement = "\n".join(filter(None, (described, *notes)))
    if machine.engine in (None, "auto") or options.verbose:
        announcement = f"engine {choice.name}: {choice.why}\n{announcement}"
    console = None
    if detached:
        from lguest_py.control.detached import DetachedConsole

        console = DetachedConsole()
    output = Output(console.output if console else 2 if options.json else 1)
    drain: Drain = output
    if options.console_filter:
        from lguest_py.console.filter import FilteredOutput

        drain = FilteredOutput(output)
    with ExitStack() as stack:
        files = stack.enter_context(open_report_files(machine, settings, options.image, json=options.json))
        why_not = print_line if options.verbose else None
        about = settings, choice, stack, messages, why_not, detached, console
        control = open_control(options.name, *about, options.gdb)
        announcement = "\n".join(filter(None, (announcement, control.note if control else "")))
        make: Callable[..., Engine] = choice.make
        confine, connect = (lambda: None), connected
        if confinement:
            sockets = [control.path, *control.sockets] if control else []
            make = confinement.engine(choice, settings, stack, files.made, sockets)
            confine, connect = confinement.confine, confinement.connect
        if control and control.listens >= 0 and choice.name == "tcg":
            make = partial(make, gdb=control.listens)
        stack.enter_context(continued_after(settings.timeout))
        source: Source = console.source if console else Input(0)
        if not console and os.isatty(0):
            source = terminal = Terminal(0, show=2, newlines=image.version is None)
            signals = stack.enter_context(SignalPipe(terminal.suspend, terminal.resume, terminal.resized))
            stack.enter_context(terminal)
            announcement += f"\n{IN_BACKGROUND}" if terminal.waiting else ""
        else:
            signals = stack.enter_context(SignalPipe())
        autopsy = files.autopsy if files.wanted else None
        tracing = Tracing({"engine": choice.name, "name": options.name or str(os.getpid())})
        files.trace_to(tracing, machine.trace_rate or 0, say)
        how = confine, connect, autopsy, control, tracing
        result = Launcher(settings, make, source, drain, signals, say, announcement, *how).run()
        if control:
            control.ended(result.status)
        files.trace_ended()
        files.write(result)
        if console:
            console.end(f"lguest-py: {headline(result)}")
    line_open = output.last != b"\n"
    if line_open and (os.isatty(2) or (options.json and result.outcome.status)):
        sys.stderr.write("\n")
    return result, files.errors


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

    return run_with(options)


def run_with(options: argparse.Namespace) -> int:
    """Run a Guest with these options, and return the exit status.  Raises LguestError."""
    from lguest_py.cli.signals import never_stopped
    from lguest_py.files.descriptors import descriptor_errors

    detached = None
    if options.detach:
        from lguest_py.cli.detach import detach

        if options.json:
            raise UsageError(
                "--json prints how the Guest ended, and --detach does not wait for that: give --report FILE"
            )
        begun = detach()
        if isinstance(begun, int):
            return begun
        detached = begun
    with never_stopped():
        try:
            with descriptor_errors():
                result, unwritten = boot(options, _say_nothing if options.quiet else _say, detached)
        except LguestError as error:
            if options.json:
                end = error.end if isinstance(error, StoppedError) else "error"
                _write_json({"end": end, "reason": str(error), "status": error.status})
            raise
        _print_end(options, result)
        for line in unwritten:
            sys.stderr.write(f"lguest-py: {line}\n")
        if options.json:
            _write_json(result.as_dict())
        return result.status or bool(unwritten)
