# SPDX-License-Identifier: GPL-2.0-or-later
"""The Launcher: boots a Guest, polls everything that can happen, and returns how the run ended.

Its users are the command line (lguest_py/cli/boot.py) and a Python program (lguest_py/machine.py).
Read next: lguest_py/launcher/vm.py, one boot of the Guest.
Next in the book: lguest_py/images/__init__.py.
"""

from __future__ import annotations

import errno
import math
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from lguest_py.console.streams import LIMIT, Drain, Source, Tail
from lguest_py.console.terminal import QuitRequested
from lguest_py.devices.console import Console
from lguest_py.devices.device import Device, Progress
from lguest_py.devices.errors import GuestError
from lguest_py.engines.base import Engine, MachineEnd
from lguest_py.errors import ImageError, LguestError
from lguest_py.files.cancellation import checked_by, time_limit
from lguest_py.files.inputs import printable
from lguest_py.files.poller import READABLE, Poller
from lguest_py.files.unix_sockets import Connect, connected
from lguest_py.hardware.kinds import Hardware, Publish
from lguest_py.hardware.together import complete, with_ports
from lguest_py.images import Image
from lguest_py.launcher.device_list import open_devices
from lguest_py.launcher.result import (
    SIGINT,
    SIGPIPE,
    End,
    Outcome,
    Result,
    boot_times,
    machine_outcome,
    reported_status,
    root_advice,
)
from lguest_py.launcher.tracing import Tracing
from lguest_py.launcher.vm import Vm
from lguest_py.launcher.vm_memory import Plan, Switcher, built, bus_of
from lguest_py.shared_memory.mailbox import Snapshot
from lguest_py.shared_memory.trace_blocks import WAIT

if TYPE_CHECKING:
    from lguest_py.engines import Choice
    from lguest_py.launcher.restoring import Saved
    from lguest_py.postmortem.memory import Remains
    from lguest_py.postmortem.postmortem import Postmortem

BusName = Literal["auto", "page", "pci"]
INBOX_LIMIT = 0x10000  # bytes typed ahead by a person
EARLY_RESTARTS = 5  # early restarts in a row that end the run
SPIN = 300e-6  # seconds for which the Launcher looks for another request before it sleeps
BOTH_TABLES = "the Guest turned on paging with PAE and, started again for that, without, or the other way round"
GRACE = 2.0  # seconds for the last output when the run ends before the Guest


class Signals(Protocol):
    """Signals that the Launcher can poll."""

    def fileno(self) -> int:
        """A descriptor that is readable when a signal came."""

    def take(self) -> int:
        """The number of a signal that ends the run, or 0; makes ``fileno`` unreadable.  May raise QuitRequested."""


class Control(Protocol):
    """Other programs that look at the Guest while it runs."""

    def prepare(self, vm: Vm) -> None:
        """A boot's machine is ready to start."""

    def begin(self, poller: Poller) -> None:
        """A boot begins, which waits by this poller."""

    def service(self, ready: Collection[int], vm: Vm) -> Outcome | None:
        """Something happened to these descriptors; how the run is to end, if they want it to."""


@dataclass(frozen=True)
class Settings:
    """What to boot and how.  ``memory`` in bytes, ``timeout`` in seconds for the whole run."""

    image: Image
    memory: int = 64 << 20
    command_line: str = ""
    initrd: str | None = None
    restart: bool = True  # boot again when the Guest restarts; else that ends the run
    timeout: float | None = None
    obey_guest: bool = False  # the status that the Guest reports is the Result's
    switcher: Switcher = "lean"
    elapsed: float = 0.0  # seconds of ``timeout`` that have passed
    devices: tuple[Hardware, ...] = ()
    bus: BusName = "auto"
    notes: tuple[str, ...] = ()  # lines for the user
    saved: Saved | None = None  # go on with it, instead of a boot; it cannot restart


class _StoppedError(Exception):
    """Something ended the run while the Guest was being loaded."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


def prepare(
    image: str | None,
    engine: str = "auto",
    *,
    memory: int | None = None,
    command_line: str | Sequence[str] = "",
    initrd: str | None = None,
    restart: bool = True,
    timeout: float | None = None,
    obey_guest: bool = False,
    switcher: Switcher = "lean",
    devices: Iterable[Hardware | Publish] = (),
    bus: BusName = "auto",
    root: str | None = None,
) -> tuple[Settings, Choice]:
    """Read the kernel (None: the tiny Guest; else a file, or a name of lguest-py fetch) and choose the engine.

    ``memory`` None: as much as the image is known to want.  ``root``: a file for a fetched system's root disk, made if
    it is not there.

    ``command_line`` is a line as the kernel reads it, or words, which are quoted so that each arrives whole.
    ``timeout``, in seconds, runs from here.  Raises LguestError; StoppedError when it has passed.
    """
    from lguest_py import engines, images
    from lguest_py.images.command_line import join, split
    from lguest_py.kernels import installed, stock
    from lguest_py.launcher.values import DEFAULT_MEMORY

    started = time.monotonic()
    Plan(memory or DEFAULT_MEMORY)  # raises UsageError before the long work
    given = with_ports(devices)
    complete(given)
    if not isinstance(command_line, str):
        command_line = join(command_line)
    found = stock.resolve(image) if image else None
    extra = installed.system(found, split(command_line), given, root)
    hardware = complete([*extra.disks, *given, *extra.others])
    command_line = " ".join(filter(None, (*extra.words, command_line)))
    if memory is None:
        memory = stock.STOCK[found.name].memory if found else DEFAULT_MEMORY
    if image is None:
        image = str(built("guest.elf"))
    elif found:
        image, initrd = str(found.kernel), initrd or str(found.initrd)
    with time_limit(timeout, f"{printable(image)} was read"):
        kernel = images.open_image(image)
    choice = engines.choose(engine)
    elapsed = time.monotonic() - started
    how = memory, command_line, initrd, restart, timeout, obey_guest, switcher, elapsed, hardware, bus, extra.notes
    return Settings(kernel, *how), choice


def prepare_saved(path: str, engine: str = "auto", timeout: float | None = None) -> tuple[Settings, Choice]:
    """Open the file of a saved Guest and choose the engine.  Raises LguestError.  Close ``saved.reader`` at the end."""
    from lguest_py import engines
    from lguest_py.launcher.restoring import open_saved

    saved, values = open_saved(path)
    try:
        return Settings(**values, restart=False, timeout=timeout, saved=saved), engines.choose(engine)
    except BaseException:
        saved.reader.close()
        raise


class Launcher:
    """Runs one Guest.  ``make`` gives an engine with so many bytes of memory (lguest_py.engines.choose).

    ``confine`` is called once, when all files are open and the Guest was not started.  ``connect`` works after it too.
    """

    def __init__(
        self,
        settings: Settings,
        make: Callable[[int], Engine],
        source: Source,
        output: Drain,
        signals: Signals | None = None,
        say: Callable[[str], None] = lambda text: None,
        announcement: str = "",
        confine: Callable[[], None] = lambda: None,
        connect: Connect = connected,
        autopsy: Callable[[Remains], None] | None = None,
        control: Control | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """``autopsy`` is called at the end of the run's last boot, while the machine's memory is there.

        ``control`` is asked for what other programs want.  ``tracing``: who reads the trace from the start.
        """
        self._settings = settings
        self._plan = Plan(settings.memory, bus_of(settings.image, settings.bus))
        self._make = make
        self._source = source
        self._output = output
        self._signals = signals
        self._say = say
        self._announcement = announcement
        self._confine = confine
        self._connect = connect
        self._inbox = bytearray()
        self._tail = Tail(output)
        self._devices: Sequence[Device] = ()
        self._console_device = Console(self._inbox, self._tail, lambda: source.size)
        self._autopsy = autopsy
        self._control = control
        self._tracing = tracing or Tracing()
        image = settings.image
        self._tracing.facts |= {
            "image": os.path.abspath(image.path),
            "version": image.version,
            "personality": image.personality,
            "command_line": settings.command_line,
        }
        self._restarts = 0
        self._early = 0  # restarts in a row before the Guest did anything
        self._changed = False  # the boot before found that the Guest's page tables are of the other form
        self._pae = settings.image.pae
        self._deadline = float("inf")

    def run(self) -> Result:
        """Boot, and again after each restart, until the run ends.  Raises LguestError if the Guest is not the cause."""
        started = time.monotonic()
        if self._settings.timeout is not None:
            self._deadline = started + self._settings.timeout - self._settings.elapsed
        with ExitStack() as stack:
            self._devices = open_devices(self._settings.devices, self._say, stack, self._connect)
            if self._settings.saved:
                self._settings.saved.fill_disks(self._devices)
            return self._boots(started)

    def _boots(self, started: float) -> Result:
        """Boot until the run ends.  A Guest that turns on page tables of the other form gets a machine for these."""
        while True:
            try:
                result = self._boot(started)
            except BaseException:
                self._output.finish(GRACE)
                raise
            if result.outcome.end is End.OTHER_TABLES:
                if self._changed:
                    return replace(result, outcome=Outcome(End.KILLED, BOTH_TABLES))
                self._pae, self._changed = not self._pae, True
                continue
            self._changed = False
            if result.outcome.end is not End.RESTARTED or not self._settings.restart:
                return result
            self._early = self._early + 1 if self._did_nothing(result.snapshot) else 0
            if self._early == EARLY_RESTARTS:
                return replace(result, outcome=Outcome(End.RESTART_LOOP, self._loop(result.outcome.reason)))
            self._restarts += 1
            self._say(": ".join(filter(None, (f"the Guest restarts ({self._restarts})", result.outcome.reason))))

    def _did_nothing(self, snapshot: Snapshot) -> bool:
        """Whether the last boot's Guest neither printed anything nor ran a program."""
        return not self._tail.text and 3 not in snapshot.rings

    def _is_last(self, outcome: Outcome, snapshot: Snapshot) -> bool:
        """Whether no boot follows the one that ended so."""
        if outcome.end is End.OTHER_TABLES:
            return self._changed
        if outcome.end is not End.RESTARTED or not self._settings.restart:
            return True
        return self._did_nothing(snapshot) and self._early + 1 == EARLY_RESTARTS

    def _examine(self, vm: Vm, outcome: Outcome, snapshot: Snapshot) -> Postmortem | None:
        """What the memory of a machine that was stopped tells of its end, if anybody may want to know."""
        ordinary = outcome.end in (End.POWERED_OFF, End.RESTARTED) and (not outcome.status and not self._early)
        if not self._is_last(outcome, snapshot) or (ordinary and not self._autopsy):
            return None
        from lguest_py.launcher.examine import examine

        remains = vm.remains(snapshot)
        found = examine(remains, snapshot, self._settings.image)
        if self._autopsy:
            self._autopsy(remains)
        return found

    def _loop(self, reason: str) -> str:
        how = f", the last {reason}" if reason else ""
        return f"{EARLY_RESTARTS} times in a row before it printed anything or ran a program{how}"

    def _boot(self, started: float) -> Result:
        """One boot to its end: a machine is made, runs, is looked at once more, and is gone."""
        settings, tail = self._settings, self._tail
        tail.text = b""
        guest = settings.image, settings.command_line, settings.initrd
        devices = self._console_device, self._devices, self._say
        form = settings.switcher, self._pae, self._tracing
        vm = Vm(self._make, self._plan, *guest, self._inbox, tail, *devices, *form)
        try:
            try:
                with checked_by(self._check_loading):
                    self._start(vm)
                self._confine = lambda: None
                for line in self._announcement.splitlines():
                    self._say(line)
                self._announcement = ""
                cause = self._until_end(vm)
            except _StoppedError as stopped:
                cause = stopped.outcome
            except GuestError as error:
                cause = Outcome(End.KILLED, str(error))
            except QuitRequested as left:
                cause = Outcome(End.LEFT, str(left) or "Ctrl-A x was typed", SIGINT)
            snapshot = vm.stop()
            outcome = cause if isinstance(cause, Outcome) else machine_outcome(cause, snapshot)
            times = boot_times(vm.made, vm.running, vm.ended or time.monotonic(), started, snapshot)
            debug_text = vm.engine.debug_text()
            postmortem = self._examine(vm, outcome, snapshot)
            if outcome.end is End.OTHER_TABLES:
                self._inbox[:0] = vm.take_back()
        finally:
            vm.close()
        outcome = self._flush(outcome)
        status = reported_status(tail.text) if not outcome.status else None
        advice = root_advice(outcome.reason, bool(settings.initrd)) if outcome.end is End.PANICKED else ""
        told = status, settings.obey_guest, advice, self._pae, tail.text, postmortem
        return Result(outcome, vm.engine.name, times, snapshot, self._restarts, debug_text, *told)

    def _start(self, vm: Vm) -> None:
        def loaded() -> None:
            if self._control:
                self._control.prepare(vm)
            self._confine()

        if saved := self._settings.saved:
            try:
                vm.restore(saved.load, saved.facts["state"], saved.facts["tsc"], saved.tsc_khz, loaded)
            except (KeyError, TypeError, ValueError, IndexError):  # with right checksums
                raise ImageError(f"{printable(saved.path)} is damaged: save the Guest again") from None
        else:
            vm.start(loaded)

    def _until_end(self, vm: Vm) -> Outcome | MachineEnd:
        """Wait for the next event, do what it asks for, and again; returns what ended the run.

        An event is the doorbell or the end of the machine, input, room for output, a signal, another program's request,
        or a deadline.  When the machine has ended, its devices still write out what they have.
        """
        source, output, inbox, poller = self._source, self._output, self._inbox, vm.poller
        engine_fd, output_fd = vm.engine.fileno(), output.fileno()
        signals_fd = self._signals.fileno() if self._signals else -1
        progress, cause = Progress.MORE, None
        end_sent = bool(inbox) and source.fileno() < 0  # a boot before put it into the inbox
        for fd in (engine_fd, output_fd, signals_fd):
            poller.set(fd, READABLE)
        source_fd, spun = -1, False
        if self._control:
            self._control.begin(poller)
        while True:
            source_deadline = source.prepare_wait()
            if (fd := source.fileno()) != source_fd:
                poller.set(source_fd, 0)
                source_fd = fd
            # The deadline first: it is the time to ask again if the Guest wants no input yet, and it may by then.
            until = self._deadline if cause else min(self._deadline, vm.deadline, source_deadline)
            read_ahead = source.interactive and len(inbox) < INBOX_LIMIT
            wanted = cause is None and vm.wants_input
            poller.set(source_fd, READABLE if wanted or (cause is None and read_ahead) else 0)
            if progress is Progress.BLOCKED:
                output.notify_when(LIMIT // 2)
            if progress is Progress.IDLE and cause is None and not spun and vm.may_spin:
                found = vm.spin(SPIN, until)
                if found is None:
                    spun = True
                    continue  # what stands above may have changed meanwhile
                progress, seconds = found, 0.0
            else:
                spun = False
                must_go_on = progress is Progress.MORE or vm.stirs(progress, wanted or cause is not None)
                seconds = 0.0 if must_go_on else until - time.monotonic()
            begun = time.monotonic_ns() if vm.tracing.on else 0
            ready = poller.wait(seconds)
            if begun:
                vm.tracing.event(WAIT, begun)
            if output_fd in ready:
                output.clear()
            if stopped := self._stopped(self._deadline, signals_fd in ready):
                return stopped
            if self._control and (ready or vm.stopped) and (wish := self._control.service(ready, vm)):
                return wish
            if source_fd in ready:
                inbox += source.read()
            if source.fileno() < 0 and not end_sent:
                inbox += source.end_of_input()
                end_sent = True
            if cause is None:
                cause = (vm.poll() if engine_fd in ready else None) or vm.panicked()
                if cause:
                    poller.set(engine_fd, 0)
            progress = vm.service(ready)
            if cause and progress is Progress.IDLE:
                return vm.panicked() or cause

    def _stopped(self, until: float, signalled: bool = True) -> Outcome | None:
        """What ended the run, if it was not the Guest.  Raises LguestError when the output cannot be written.

        ``signalled``: a signal may have come.
        """
        if number := self._signals.take() if self._signals and signalled else 0:
            return Outcome(End.SIGNAL, signal.Signals(number).name, number)
        error = self._output.error
        if error and error.errno == errno.EPIPE:
            return Outcome(End.OUTPUT_CLOSED, "nobody reads the console's output any more", SIGPIPE)
        if error:
            raise LguestError(f"the console's output cannot be written ({error.strerror}): give it another place")
        if time.monotonic() >= until:
            return Outcome(End.TIME_LIMIT, f"{self._settings.timeout:g} seconds have passed")
        return None

    def _check_loading(self) -> None:
        if stopped := self._stopped(self._deadline):
            raise _StoppedError(stopped)

    def _flush(self, outcome: Outcome) -> Outcome:
        """Wait until the output is written: up to the time limit after the Guest's own end, else for GRACE seconds."""
        hurried = outcome.end in (End.SIGNAL, End.TIME_LIMIT, End.LEFT, End.OUTPUT_CLOSED)
        until = time.monotonic() + GRACE if hurried else self._deadline
        poller, fd = Poller(), self._output.fileno()
        for each in (fd, self._signals.fileno() if self._signals else -1):
            poller.set(each, READABLE)
        while not self._output.empty:
            self._output.notify_when(0)
            if fd in poller.wait(until - time.monotonic()):
                self._output.clear()
            if stopped := self._stopped(until):
                self._output.finish(0)
                return outcome if hurried else stopped
        if not hurried and self._output.error:  # what failed is dropped, so that it may be empty at once
            return self._stopped(math.inf) or outcome
        return outcome
