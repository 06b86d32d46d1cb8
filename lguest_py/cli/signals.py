# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals as something the Launcher waits for, so that an end by signal is an end like any other.

Within the context: INT, TERM, HUP and QUIT end the run in order (a second one leaves at once, unwinding); TSTP gives
the terminal back before it stops us, and CONT takes it again.  A signal that was ignored when we came stays ignored.
A stopped process takes none of these until it is continued, so the terminal never stops us: see ``never_stopped``.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, TracebackType
from typing import Any

_ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
)


def _in_main_thread() -> bool:
    import sys  # without threading, which the help of a verb does not need

    threading = sys.modules.get("threading")
    return threading is None or threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def _handled(numbers: Sequence[int], handler: Any, instead_of: Sequence[Any]) -> Iterator[None]:
    """Within it these signals have this handler, where they have one of ``instead_of`` now."""
    old: dict[int, Any] = {}
    if _in_main_thread():  # no other may
        old = {number: now for number in numbers if (now := signal.getsignal(number)) in instead_of}
    for number in old:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in old.items():
            signal.signal(number, before)


def _unwind(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def unwinding() -> contextlib.AbstractContextManager[None]:
    """Within it, SIGTERM and SIGHUP end this process by an exception: what it made for a while is removed."""
    return _handled((signal.SIGTERM, signal.SIGHUP), _unwind, (signal.SIG_DFL,))


def never_stopped() -> contextlib.AbstractContextManager[None]:
    """Within it, using the terminal from the background stops nobody: a read fails there, and a write is done."""
    return _handled((signal.SIGTTIN, signal.SIGTTOU), signal.SIG_IGN, (signal.SIG_DFL,))


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
            # As any program stops: in an orphaned process group, where nobody could continue us, the kernel does not.
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, self._handle)
            self._resume()
        return self._ended_by
