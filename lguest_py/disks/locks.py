# SPDX-License-Identifier: GPL-2.0-or-later
"""The lock of a disk's file, so that no two writers, and no writer and a reader, use one file.

It is the one that QEMU and its tools take (the bytes are in QEMU's block/file-posix.c), so each of both sees the other.
There is a byte for each thing that a user of the file does, and one for each thing that it forbids to others; a user
holds shared locks on its bytes, and looks whether anybody holds one that is against them.  The locks belong to the open
file: they end with the process, however that ends, and no file is left behind.
Read next: opening.py.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

READ, WRITE, RESIZE = 0, 1, 3  # what a user does
DOES, FORBIDS = 100, 200  # the bytes, plus one of those
_FLOCK = struct.Struct("@hhqqi4x")  # struct flock of 64-bit offsets: type, whence, start, length, process
_GET, _SET = getattr(fcntl, "F_OFD_GETLK", 36), getattr(fcntl, "F_OFD_SETLK", 37)  # Linux: fcntl.h


def _call(descriptor: int, command: int, kind: int, start: int) -> int:
    answer = fcntl.fcntl(descriptor, command, _FLOCK.pack(kind, os.SEEK_SET, start, 1, 0))
    assert isinstance(answer, bytes)
    return int(_FLOCK.unpack(answer)[0])


def lock(descriptor: int, writes: bool) -> bool:
    """Lock the open file for a writer or a reader; False when somebody uses it so that this cannot be.

    Raises OSError when this file system has no locks.
    """
    does = (READ, WRITE, RESIZE) if writes else (READ,)
    forbids = (WRITE, RESIZE)
    for byte in (*(DOES + each for each in does), *(FORBIDS + each for each in forbids)):
        try:
            _call(descriptor, _SET, fcntl.F_RDLCK, byte)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            return False
    checks = (*(FORBIDS + each for each in does), *(DOES + each for each in forbids))
    return all(_call(descriptor, _GET, fcntl.F_WRLCK, byte) == fcntl.F_UNLCK for byte in checks)
