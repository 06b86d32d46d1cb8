# SPDX-License-Identifier: GPL-2.0-or-later
"""Ranges of a file or block device given back to the Host, or zeroed, without writing them.

Python has no fallocate(2) with flags, so the C library's is called.  Read next: raw.py, which uses it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from functools import cache
from typing import Any

KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 0x01, 0x02, 0x10  # Linux: include/uapi/linux/falloc.h
BLKDISCARD = 0x1277  # Linux: include/uapi/linux/fs.h; takes start and length in bytes
UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, errno.EINVAL, errno.ENODEV)
_ZEROES = bytes(1 << 20)


@cache
def _fallocate() -> Any:
    library = ctypes.CDLL(None, use_errno=True)
    function = getattr(library, "fallocate64", None) or library.fallocate
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return function


def _change(descriptor: int, mode: int, offset: int, length: int) -> bool:
    """Call fallocate; False when this file system cannot do that."""
    while _fallocate()(descriptor, mode | KEEP_SIZE, offset, length):
        number = ctypes.get_errno()
        if number in UNSUPPORTED:
            return False
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True


def punch(descriptor: int, offset: int, length: int) -> bool:
    """Give the room of these bytes back, so that they read as zeroes; False when that cannot be done."""
    return _change(descriptor, PUNCH_HOLE, offset, length)


def discard_blocks(descriptor: int, offset: int, length: int) -> None:
    """Tell a block device that these bytes are not needed; one that has no use for this ignores it."""
    try:
        fcntl.ioctl(descriptor, BLKDISCARD, struct.pack("<QQ", offset, length))
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def zero(descriptor: int, offset: int, length: int, unmap: bool) -> None:
    """Make these bytes zero, in the cheapest way that there is."""
    if unmap and punch(descriptor, offset, length):
        return
    if _change(descriptor, ZERO_RANGE, offset, length):
        return
    while length:
        done = os.pwrite(descriptor, memoryview(_ZEROES)[: min(length, len(_ZEROES))], offset)
        offset, length = offset + done, length - done
