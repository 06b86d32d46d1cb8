# SPDX-License-Identifier: GPL-2.0-or-later
"""Threads for the work on a disk that has to wait, so that the Launcher does not.

Read next: lguest_py/devices/block.py, their user.
"""

from __future__ import annotations

import errno
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

THREADS = 4
T = TypeVar("T")


@dataclass(slots=True)
class _Job(Generic[T]):
    token: T | None
    work: Callable[[], None] | None


class Workers(Generic[T]):
    """``submit`` work with a token; when ``fileno`` is readable, ``finished`` has tokens of work that was done.

    Only ``_run`` is on the threads; everything else belongs to the thread that made the object.
    """

    def __init__(self, name: str, threads: int = THREADS) -> None:
        self._name = name
        self._most = threads
        self._jobs: queue.SimpleQueue[_Job[T]] = queue.SimpleQueue()
        self._done: deque[tuple[_Job[T], BaseException | None]] = deque()
        self._threads: list[threading.Thread] = []
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.pending = 0  # submitted and not yet in ``finished``

    def fileno(self) -> int:
        """Readable when something was finished."""
        return self._event

    def submit(self, token: T, work: Callable[[], None]) -> None:
        """Let a thread do ``work``."""
        self.pending += 1
        if self.pending > len(self._threads) < self._most:
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put(_Job(token, work))

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            work, job.work = job.work, None
            if work is None:
                return
            failure: BaseException | None = None
            try:
                work()
            except OSError as error:  # not it itself: its frames hold views of the Guest's memory
                failure = OSError(error.errno or errno.EIO, error.strerror or str(error))
            except BaseException as error:
                failure = error
            del work  # so does this, and the machine's memory cannot be unmapped while there are any
            self._done.append((job, failure))
            os.eventfd_write(self._event, 1)

    def finished(self) -> list[tuple[T, BaseException | None]]:
        """The tokens of what was finished since the last call, each with the error that ended its work."""
        if not self.pending:
            return []
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            return []
        result = []
        while self._done:
            job, failure = self._done.popleft()
            token, job.token = job.token, None
            assert token is not None
            self.pending -= 1
            result.append((token, failure))
        return result

    def drain(self) -> list[tuple[T, BaseException | None]]:
        """Like ``finished``, after all that was submitted is done.

        Then there are no threads until the next ``submit``, so that the next boot can start its engine safely.
        """
        result: list[tuple[T, BaseException | None]] = []
        if self.pending:
            os.set_blocking(self._event, True)
            while self.pending:
                result += self.finished()
            os.set_blocking(self._event, False)
        for _ in self._threads:
            self._jobs.put(_Job(None, None))
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        return result

    def close(self) -> None:
        """Release what is left, after ``drain``."""
        if self._event >= 0:
            os.close(self._event)
            self._event = -1
