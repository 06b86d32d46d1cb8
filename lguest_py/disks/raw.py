# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk whose bytes are those of a file or of a block device.

It is never mapped into memory, so a file that becomes shorter meanwhile is an error of a read and no SIGBUS.
The Host's page cache is the disk's write-back cache.  Read next: overlay.py.
"""

from __future__ import annotations

import errno
import os
import time

from lguest_py.disks import holes
from lguest_py.disks.backend import SECTOR, Buffers, Facts, length, skip

SLOW = 0.004  # seconds; a write that takes longer had to wait for the disk
VECTORS = 1024  # buffers in one call (Linux: UIO_MAXIOV)
_RWF_NOWAIT = getattr(os, "RWF_NOWAIT", 0)
_RWF_DSYNC = getattr(os, "RWF_DSYNC", 0)


def in_memory(device: int) -> bool:
    """Whether the file system with this st_dev keeps its files in memory only."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return False
    mounts = (line.split(" ") for line in lines)
    return any(words[2] == number and words[words.index("-") + 1] in ("tmpfs", "ramfs") for words in mounts)


class Raw:
    """The file or block device that ``descriptor`` is; it is closed with the disk (Backend says what methods do).

    ``size`` are the bytes that the file has.  A Guest sees whole sectors: what is missing from the last one is zeroes.
    """

    def __init__(self, descriptor: int, size: int, readonly: bool, device: bool = False, block: int = SECTOR) -> None:
        self._descriptor = descriptor
        self._bytes = size
        self._device = device
        whole = -(-size // SECTOR) * SECTOR if not device else size // SECTOR * SECTOR
        self.facts = Facts(whole, readonly, block, max(4096, block))
        self._in_memory = not device and in_memory(os.fstat(descriptor).st_dev)
        self._nowait = bool(_RWF_NOWAIT)
        self._quick = True
        self._dirty = False
        self._lost = 0  # errno of a flush that failed

    def read_now(self, offset: int, buffers: Buffers) -> bool:
        """See Backend."""
        if self._in_memory:
            self.read(offset, buffers)
            return True
        if not self._nowait or len(buffers) > VECTORS:
            return False
        try:
            return os.preadv(self._descriptor, buffers, offset, _RWF_NOWAIT) == length(buffers)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
            self._nowait = False  # this file system or kernel always waits
            return False

    def read(self, offset: int, buffers: Buffers) -> None:
        """See Backend."""
        while buffers:
            count = os.preadv(self._descriptor, buffers[:VECTORS], offset)
            if not count:
                self._read_past_end(offset, buffers)
                return
            offset += count
            buffers = skip(buffers, count)

    def _read_past_end(self, offset: int, buffers: Buffers) -> None:
        if self._device or offset < self._bytes:
            raise OSError(errno.EIO, "it became shorter than it was at the start")
        for buffer in buffers:  # the rest of the last sector
            buffer[:] = bytes(len(buffer))

    def writes_quickly(self) -> bool:
        """See Backend: the Host lets a writer wait when too much is unwritten, or when it needs the rest of a page."""
        return self._quick

    def write(self, offset: int, buffers: Buffers, through: bool) -> None:
        """See Backend."""
        started = time.monotonic()
        flags = _RWF_DSYNC if through else 0
        while buffers:
            count = os.pwritev(self._descriptor, buffers[:VECTORS], offset, flags)
            if not count:
                raise OSError(errno.EIO, "it takes no more bytes")
            offset += count
            buffers = skip(buffers, count) if count < length(buffers) else ()
        if not through:
            self._dirty = True
            self._quick = time.monotonic() - started < SLOW
        elif not _RWF_DSYNC:
            self.flush()

    def needs_flush(self) -> bool:
        """See Backend."""
        return self._dirty or bool(self._lost)

    def flush(self) -> None:
        """See Backend.

        After one failure each fails: the kernel may have dropped what it could not write, and would succeed next time.
        """
        if self._lost:
            raise OSError(self._lost, os.strerror(self._lost))
        if self.facts.readonly:
            return
        self._dirty = False
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._dirty = True
            self._lost = error.errno or errno.EIO
            raise

    def discard(self, offset: int, length: int) -> None:
        """See Backend."""
        self._dirty = True
        if self._device:
            holes.discard_blocks(self._descriptor, offset, length)
        else:
            holes.punch(self._descriptor, offset, length)

    def zero(self, offset: int, length: int, unmap: bool) -> None:
        """See Backend."""
        holes.zero(self._descriptor, offset, length, unmap)
        self._dirty = True

    def close(self) -> None:
        """See Backend."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        try:
            if self._dirty and not self.facts.readonly:
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def abandon(self) -> None:
        """Release the descriptor; nobody will read what was written."""
        self._dirty = False
        self.close()
