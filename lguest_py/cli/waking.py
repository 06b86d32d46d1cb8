# SPDX-License-Identifier: GPL-2.0-or-later
"""A time limit for a process that may be stopped then: the kernel continues it when the time is over.

Of all that the system has to wait for time, only a POSIX timer can send the signal that does that, SIGCONT.
Source: timer_create(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import signal
import sys
from collections.abc import Iterator


class _Event(ctypes.Structure):
    """struct sigevent, SIGEV_SIGNAL."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_byte * 64),
    )


class _Times(ctypes.Structure):
    """struct itimerspec: an interval, and when it first is over."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("every", "every_ns", "seconds", "ns"))


@contextlib.contextmanager
def continued_after(seconds: float | None) -> Iterator[None]:
    """Within it, this process goes on after ``seconds``, should it be stopped then.  None: it is not."""
    library = ctypes.CDLL(None) if seconds and sys.platform == "linux" else None
    timer = ctypes.c_void_p()
    event = _Event(signo=signal.SIGCONT)
    if not (library and seconds and hasattr(library, "timer_create")) or library.timer_create(
        1, ctypes.byref(event), ctypes.byref(timer)  # by CLOCK_MONOTONIC
    ):
        yield
        return
    try:
        part, whole = math.modf(min(seconds, 1e9))
        times = _Times(seconds=int(whole), ns=int(part * 1e9) or int(not whole))
        library.timer_settime(timer, 0, ctypes.byref(times), None)
        yield
    finally:
        library.timer_delete(timer)
