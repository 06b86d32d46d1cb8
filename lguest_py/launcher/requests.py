# SPDX-License-Identifier: GPL-2.0-or-later
"""Work that another thread wants done by the Launcher's, which alone may touch the machine.

Read next: lguest_py/machine.py.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from typing import Generic, TypeVar, cast

from lguest_py.console.expect import Wake
from lguest_py.devices.errors import GuestError
from lguest_py.errors import LguestError
from lguest_py.files.poller import READABLE, Poller
from lguest_py.launcher.result import Outcome
from lguest_py.launcher.vm import Vm

T = TypeVar("T")


class _Job(Generic[T]):
    """A piece of work, and what came of it."""

    def __init__(self, work: Callable[[Vm], T]) -> None:
        self._work = work
        self._done = threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None

    def do(self, vm: Vm) -> None:
        """Do it.  A Guest that breaks a rule meanwhile ends by that, and so does the work."""
        try:
            self._result = self._work(vm)
        except GuestError:
            self.fail("the Guest was killed")
            raise
        except BaseException as error:
            self._error = error
        self._done.set()

    def fail(self, why: str) -> None:
        """It will not be done."""
        self._error = LguestError(why)
        self._done.set()

    def result(self) -> T:
        """Wait for it."""
        self._done.wait()
        if self._error:
            raise self._error
        return cast(T, self._result)


class Requests(Wake):
    """A queue of it: the Launcher's Control (lguest_py/launcher/launcher.py)."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs: deque[_Job[object]] = deque()
        self._lock = threading.Lock()
        self._over = ""

    def ask(self, work: Callable[[Vm], T]) -> T:
        """What ``work`` returns or raises, done by the Launcher while the Guest runs; after that, LguestError."""
        job = _Job(work)
        with self._lock:
            if self._over:
                raise LguestError(self._over)
            self._jobs.append(cast("_Job[object]", job))
        self.set()
        return job.result()

    def prepare(self, vm: Vm) -> None:
        """See Control."""

    def begin(self, poller: Poller) -> None:
        """See Control."""
        poller.set(self.fileno(), READABLE)

    def service(self, ready: Collection[int], vm: Vm) -> Outcome | None:
        """See Control.  Raises GuestError when the Guest broke a rule meanwhile."""
        if self.fileno() in ready:
            self.clear()
            while self._jobs:
                self._jobs.popleft().do(vm)
        return None

    def end(self, why: str) -> None:
        """The run is over: nothing more is done."""
        with self._lock:
            self._over = why
            while self._jobs:
                self._jobs.popleft().fail(why)
