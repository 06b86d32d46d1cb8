# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals to the command line: which end the process, and when.

- Any verb: SIGTERM and SIGHUP raise SystemExit, so that temporary files are removed (``unwinding``).
- ``boot`` while it reads an image: SIGINT, SIGTERM, SIGHUP and SIGQUIT raise StoppedError (``ending_signals``).
- ``boot`` while the machine runs: the Launcher polls a pipe for them (``SignalPipe``).  A second one raises SystemExit.
  SIGTSTP restores the terminal before it stops the process, and SIGCONT makes it raw again.  After SIGWINCH the Guest
  learns the terminal's size.
- A stopped process handles no signal, so the terminal must not stop ``boot`` (``never_stopped``).

A signal that is ignored at the start stays ignored.
Read next: waking.py, the time limit of a stopped process; lguest_py/console/terminal.py, the terminal's modes.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, TracebackType
from typing import Any

from lguest_py.errors import StoppedError

ENDING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
)


def _in_main_thread() -> bool:
    import sys  # without threading, which the help of a verb does not need

    threading = sys.modules.get("threading")
    return threading is None or threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def _handled(numbers: Sequence[int], handler: Any, instead_of: Sequence[Any]) -> Iterator[None]:
    """Install ``handler`` for the signals whose handler is one of ``instead_of``, until the context ends."""
    old: dict[int, Any] = {}
    if _in_main_thread():  # signal.signal raises ValueError in any other
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
    """Within the context, SIGTERM and SIGHUP raise SystemExit, so that temporary files are removed."""
    return _handled((signal.SIGTERM, signal.SIGHUP), _unwind, (signal.SIG_DFL,))


def never_stopped() -> contextlib.AbstractContextManager[None]:
    """Within the context, use of the terminal from the background does not stop us: a read fails, a write succeeds."""
    return _handled((signal.SIGTTIN, signal.SIGTTOU), signal.SIG_IGN, (signal.SIG_DFL,))


class _EndingSignal(BaseException):  # no handler of Exception may swallow it
    def __init__(self, number: int) -> None:
        self.number = number


def _raise_ending(number: int, frame: FrameType | None) -> None:
    raise _EndingSignal(number)


@contextlib.contextmanager
def ending_signals() -> Iterator[None]:
    """Within the context, a signal that ends the run raises StoppedError.  For the main thread only."""
    old = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    changed = [number for number, handler in old.items() if handler not in (signal.SIG_IGN, None)]
    try:
        for number in changed:
            signal.signal(number, _raise_ending)
        yield
    except _EndingSignal as ended:
        name = signal.Signals(ended.number).name
        raise StoppedError(f"{name} ended the run before the Guest was loaded", 128 + ended.number, "signal") from None
    finally:
        for number in changed:
            signal.signal(number, old[number])


class SignalPipe:
    """The Launcher's Signals (lguest_py/launcher/launcher.py), through a pipe.  For the main thread only.

    ``suspend`` is called before the process stops, ``resume`` when it continues, ``resized`` when the terminal has
    another size; the Launcher is woken then.
    """

    def __init__(
        self,
        suspend: Callable[[], None] = lambda: None,
        resume: Callable[[], None] = lambda: None,
        resized: Callable[[], None] = lambda: None,
    ) -> None:
        self._suspend = suspend
        self._resume = resume
        self._resized = resized
        self._ended_by = 0
        self._stopping = False
        self._old: dict[int, Any] = {}

    def __enter__(self) -> SignalPipe:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._old_wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (*ENDING_SIGNALS, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH):
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
        elif number == signal.SIGWINCH:
            self._resized()
        elif self._ended_by:
            raise SystemExit(128 + number)
        else:
            self._ended_by = number

    def fileno(self) -> int:
        """See lguest_py.launcher.launcher.Signals."""
        return self._read

    def take(self) -> int:
        """See lguest_py.launcher.launcher.Signals.  Stops the process here after a SIGTSTP."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 64):
                pass
        if self._stopping and not self._ended_by:
            self._stopping = False
            self._suspend()
            # By the default handler: in an orphaned process group nobody could continue us, and there it does not stop.
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, self._handle)
            self._resume()
        return self._ended_by
