# SPDX-License-Identifier: GPL-2.0-or-later
"""The time limit of a stopped process: a timer of the kernel continues it when the time has passed.

Only SIGCONT continues a process, and only a POSIX timer can send that signal.  Source: timer_create(2).
Read next: signals.py.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import signal
import sys
import time
from collections.abc import Iterator

LONGEST = 1e9  # seconds, which fit a 32-bit time_t


class _Event(ctypes.Structure):
    """struct sigevent, SIGEV_SIGNAL."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_byte * 64),
    )


class _Times(ctypes.Structure):
    """struct itimerspec: the interval of the timer, and its first expiry."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("every", "every_ns", "seconds", "ns"))


@contextlib.contextmanager
def continued_after(seconds: float | None) -> Iterator[None]:
    """Within the context, SIGCONT comes after ``seconds``, and continues a stopped process.  None: no timer."""
    library = ctypes.CDLL(None) if seconds and sys.platform == "linux" else None
    timer = ctypes.c_void_p()
    event = _Event(signo=signal.SIGCONT)
    if not (library and seconds and hasattr(library, "timer_create")) or library.timer_create(
        time.CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)
    ):
        yield
        return
    try:
        part, whole = math.modf(min(seconds, LONGEST))
        times = _Times(seconds=int(whole), ns=int(part * 1e9) or int(not whole))
        library.timer_settime(timer, 0, ctypes.byref(times), None)
        yield
    finally:
        library.timer_delete(timer)
