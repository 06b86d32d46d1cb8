# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots a Guest in a machine whose CPU is watched, and returns the record.  Raises LguestError when there is none.

Read next: recorder.py; lguest_py/engines/stepping.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from lguest_py.console.expect import Console, Keyboard, Wake
from lguest_py.console.stopping import StopSignals
from lguest_py.engines.base import Engine
from lguest_py.engines.stepping import MachineGoneError, Stepper
from lguest_py.errors import EngineError, LguestError, UsageError
from lguest_py.launcher.launcher import Launcher, Settings
from lguest_py.launcher.report import headline
from lguest_py.launcher.result import Result
from lguest_py.watch.causes import Cause
from lguest_py.watch.record import Record
from lguest_py.watch.recorder import Recorder, Wanted

LOOK: Final = 0.2  # seconds
NATIVE: Final = "an unmodified kernel makes no hypercalls: give --on fault, irq, syscall or the name of an exception"


class CauseError(LguestError):
    """The Guest did nothing of the kind."""

    status = 3


class TooLateError(LguestError):
    """It did not within the time limit."""

    status = 4


@dataclass
class _Found:
    record: Record | None = None
    late: bool = False
    error: BaseException | None = None


class _Watcher:
    """What is done in the machine's own thread; a Guest that restarts is another machine."""

    def __init__(self, wanted: Wanted, deadline: float, stop: StopSignals, began: Callable[[], None]) -> None:
        self.found = _Found()
        self._wanted, self._deadline, self._stop, self._began = wanted, deadline, stop, began

    def make(self, memory_bytes: int) -> Engine:
        """An engine that it watches."""

        def work(stepper: Stepper) -> None:
            self._work(stepper, engine.memory)

        engine: Engine
        if self._wanted.engine == "kvm":
            from lguest_py.engines.stepped_kvm import SteppedKvm

            engine = SteppedKvm(memory_bytes, work)
        else:
            from lguest_py.engines.stepped_tcg import SteppedTcg

            engine = SteppedTcg(memory_bytes, work)
        return engine

    def _work(self, stepper: Stepper, memory: memoryview) -> None:
        found = self.found
        try:
            found.record = Recorder(stepper, memory, self._wanted, self._deadline).record(self._began)
            found.late = found.record is None
        except MachineGoneError:
            return
        except OSError as error:  # of the stub, or of KVM
            name = self._wanted.engine
            found.error = EngineError(f"the engine {name} failed while it was watched ({error}): try again")
        except BaseException as error:  # raised again in the thread that waits
            found.error = error
        self._stop.stop()


def record(
    settings: Settings,
    engine: str,
    cause: Cause,
    *,
    ring: int | None = None,
    skip: int = 0,
    seconds: float,
    image: str,
    began: Callable[[], None] = lambda: None,
) -> Record:
    """Boot, wait for the cause, record it, and end the machine.  ``image``: what it is called."""
    if settings.image.personality == "native" and cause.is_call:
        raise UsageError(f"{image}: {NATIVE}")
    keyboard, stop, quiet = Keyboard(), StopSignals("it was recorded"), Wake()
    console = Console(keyboard, quiet.fileno())
    wanted = Wanted(cause, ring, skip, settings.switcher, engine, image)
    watcher = _Watcher(wanted, time.monotonic() + seconds, stop, began)
    outcome: list[Result | BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            launcher = Launcher(replace(settings, restart=False), watcher.make, keyboard, console, stop)
            outcome.append(launcher.run())
        except BaseException as error:
            outcome.append(error)
        ended.set()

    thread = threading.Thread(target=run, name="lguest-py Launcher", daemon=True)
    thread.start()
    try:
        # Not join(): a signal's exception in it makes Python take the thread for one that has ended.  And a signal
        # right before a wait without a limit would be seen only at its end.
        while not ended.wait(LOOK):
            pass
    finally:
        stop.stop()
        ended.wait()
        thread.join()
        for each in (keyboard, stop, quiet):
            each.close()
    which = cause.name + (f" from ring {ring}" if ring is not None else "") + (f" (after {skip})" if skip else "")
    return _result(watcher.found, outcome[0], which, image, seconds)


def _result(found: _Found, outcome: Result | BaseException, which: str, image: str, seconds: float) -> Record:
    if found.error:
        raise found.error
    if found.record:
        return found.record
    if isinstance(outcome, BaseException):
        raise outcome
    advice = "give --on another cause, or a Guest that does more"
    if found.late:
        raise TooLateError(f"{image}: no {which} came in {seconds:g} seconds: {advice}, or a longer --timeout")
    raise CauseError(f"{image}: no {which} came before the Guest ended ({headline(outcome)}): {advice}")
