# SPDX-License-Identifier: GPL-2.0-or-later
"""Wait for descriptors that change little from one wait to the next.

A poll object is kept, because making one costs more than a wait that finds something.  Poll works for regular files
too, which epoll refuses.
"""

from __future__ import annotations

import math
import select
from collections.abc import Collection

READABLE, WRITABLE = select.POLLIN, select.POLLOUT
LONGEST = 60.0  # seconds of one wait, which a caller repeats anyway


class Poller:
    """Waits for the descriptors that were ``set``.  A closed one counts as ready."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._events: dict[int, int] = {}

    def set(self, fd: int, events: int) -> None:
        """Wait for these events of ``fd`` from now on; 0: for none.  A negative ``fd`` is ignored."""
        if fd < 0 or self._events.get(fd, 0) == events:
            return
        if events:
            self._poll.register(fd, events)
            self._events[fd] = events
        else:
            self._poll.unregister(fd)
            del self._events[fd]

    def wait(self, seconds: float) -> Collection[int]:
        """The descriptors for which something happened, waiting up to so many seconds for one, a signal or nothing."""
        if seconds <= 0:
            return [fd for fd, _ in self._poll.poll(0)]
        return [fd for fd, _ in self._poll.poll(math.ceil(min(seconds, LONGEST) * 1000))]

    def anything(self) -> bool:
        """Whether something happened to one of them by now."""
        return bool(self._poll.poll(0))
