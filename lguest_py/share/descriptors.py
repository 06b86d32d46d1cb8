# SPDX-License-Identifier: GPL-2.0-or-later
"""How many descriptors the shares of one process may hold, so that no Guest takes those of the other devices.

A Guest that keeps names cached (cache=loose) holds a descriptor for each, so the soft limit is raised to the hard one,
up to what serves a large tree.  Read next: tree.py.
"""

from __future__ import annotations

import errno
import resource
from threading import Lock

from lguest_py.share.wire import refused

WANTED = 1 << 17
RESERVE = 512  # for everything else in the Launcher


class Budget:
    """Counts descriptors; ``limit`` is shared by all who use the same object."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._lock = Lock()  # of a share that was reset, another thread may close files

    def take(self, count: int = 1) -> None:
        """Count ``count`` more; raises ENFILE when that is too many."""
        with self._lock:
            if self.used + count > self.limit:
                raise refused(errno.ENFILE)
            self.used += count

    def check(self) -> None:
        """Raise ENFILE when no more may be taken."""
        if self.used >= self.limit:
            raise refused(errno.ENFILE)

    def give(self, count: int = 1) -> None:
        """``count`` were closed."""
        with self._lock:
            self.used -= count


def raise_limit() -> int:
    """Raise the soft limit of descriptors as far as it is useful and allowed; returns the limit for shares."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinite = resource.RLIM_INFINITY
    soft, hard = (WANTED if value == infinite else value for value in (soft, hard))
    wanted = min(hard, WANTED)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        soft = wanted
    return soft - RESERVE if soft >= 2 * RESERVE else soft // 2


_shared: list[Budget] = []


def budget() -> Budget:
    """The one of this process."""
    if not _shared:
        _shared.append(Budget(raise_limit()))
    return _shared[0]
