# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals as something the Launcher waits for, so that an end by signal is an end like any other.

Within the context: INT, TERM, HUP and QUIT end the run in order (a second one leaves at once, unwinding); TSTP gives
the terminal back before it stops us, and CONT takes it again.  A signal that was ignored when we came stays ignored.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
)


class SignalPipe:
    """``suspend`` is called before the process stops, ``resume`` when it goes on.  For the main thread only."""

    def __init__(
        self, suspend: Callable[[], None] = lambda: None, resume: Callable[[], None] = lambda: None
    ) -> None:
        self._suspend = suspend
        self._resume = resume
        self._ended_by = 0
        self._stopping = False
        self._old: dict[int, Any] = {}

    def __enter__(self) -> SignalPipe:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._old_wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (*_ENDING, signal.SIGTSTP, signal.SIGCONT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, old in self._old.items():
            signal.signal(number, old)
        signal.set_wakeup_fd(self._old_wakeup)
        os.close(self._read)
        os.close(self._write)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTSTP:
            self._stopping = True
        elif number == signal.SIGCONT:
            self._resume()
        elif self._ended_by:
            raise SystemExit(128 + number)
        else:
            self._ended_by = number

    def fileno(self) -> int:
        """See lguest_py.launcher.launcher.Signals."""
        return self._read

    def take(self) -> int:
        """See lguest_py.launcher.launcher.Signals.  Stops the process here when SIGTSTP came."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 64):
                pass
        if self._stopping and not self._ended_by:
            self._stopping = False
            self._suspend()
            os.kill(os.getpid(), signal.SIGSTOP)
            self._resume()
        return self._ended_by
