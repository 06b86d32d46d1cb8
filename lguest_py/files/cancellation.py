# SPDX-License-Identifier: GPL-2.0-or-later
"""Cancellation points: where the loading of a file can be ended by a time limit or a signal.

Long work on a user's file calls ``point`` after each STEP bytes.  The caller of that work sets with ``checked_by`` what
a point checks; without it a point does nothing.

Read next: lguest_py/launcher/launcher.py, which sets it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from lguest_py.errors import StoppedError

STEP = 4 << 20  # bytes from one point to the next
_check: ContextVar[Callable[[], None]] = ContextVar("check", default=lambda: None)


def point() -> None:
    """Run the check, which raises to end the work."""
    _check.get()()


@contextmanager
def checked_by(check: Callable[[], None]) -> Iterator[None]:
    """Within it, in this thread, each ``point`` calls ``check``, which raises to end the work."""
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


@contextmanager
def time_limit(seconds: float | None, what: str) -> Iterator[None]:
    """Within it, in this thread, each ``point`` raises StoppedError once so many seconds have passed; None: never."""
    if seconds is None:
        yield
        return
    deadline = time.monotonic() + seconds

    def check() -> None:
        if time.monotonic() >= deadline:
            raise StoppedError(f"{seconds:g} seconds passed before {what}: give more (--timeout)", 4, "time limit")

    with checked_by(check):
        yield
