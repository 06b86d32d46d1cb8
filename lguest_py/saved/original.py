# SPDX-License-Identifier: GPL-2.0-or-later
"""The memory of a saved Guest, once for all machines of this process that go on from it: each maps it copy on write.

It is a memfd that nobody can change (F_SEAL_WRITE) or cut off (F_SEAL_SHRINK), so that what happens to the file does
not matter any more.  It goes with the last machine that was made from it.  Source: memfd_create(2), fcntl(2).

Read next: lguest_py/engines/kvm.py, which maps it.  On tcg QEMU and the Launcher share a machine's memory, so there
each has its own.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from collections.abc import Callable
from typing import Final

NAME: Final = "lguest-py saved"  # as /proc/PID/smaps shows it
SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Original:
    """``fd`` is the memfd; ``take`` makes one, and ``release`` is to be called once for each ``take``."""

    _lock: Final = threading.Lock()
    _known: Final[dict[object, Original]] = {}

    def __init__(self, key: object, size: int, load: Callable[[memoryview], None]) -> None:
        self._key, self._users = key, 0
        self.fd = os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.fd, size)
            with mmap.mmap(self.fd, size) as filled, memoryview(filled) as view:
                load(view)
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, SEALS)
        except BaseException:
            os.close(self.fd)
            raise

    @classmethod
    def take(cls, key: object, size: int, load: Callable[[memoryview], None]) -> Original:
        """The one with this key and size, or a new one of so many bytes that ``load`` fills.

        Raises OSError for lack of memory, and whatever ``load`` raises.
        """
        with cls._lock:
            found = cls._known.get((key, size)) or cls((key, size), size, load)
            cls._known[key, size] = found
            found._users += 1
            return found

    def release(self) -> None:
        """It is not needed any more."""
        with self._lock:
            self._users -= 1
            if not self._users:
                del self._known[self._key]
                os.close(self.fd)


def revert(memory: memoryview) -> None:
    """A machine's memory that is mapped from one is as in the original again."""
    assert isinstance(memory.obj, mmap.mmap)
    memory.obj.madvise(mmap.MADV_DONTNEED)
