# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages of 9P2000.L: their numbers, and how their fields lie in bytes.

A message is size (u32), type (u8), tag (u16), then its fields, all little-endian; a string is its length (u16) and its
bytes.  A reply has the number of its request plus one.
Sources: intro(5) of Plan 9, and diod's protocol.md for the messages of the .L dialect.  Read next: server.py.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

HEADER = struct.Struct("<IBH")  # size, type, tag
STRING = struct.Struct("<H")
QID = struct.Struct("<BIQ")  # type, version, path
IO_HEADER = 11  # bytes before the data of Rread and Rreaddir: the header and the count
WRITE_HEADER = 23  # bytes before the data of Twrite: the header, fid, offset, count
NO_FID = 0xFFFFFFFF
QID_DIRECTORY, QID_SYMLINK, QID_FILE = 0x80, 0x02, 0x00
WALK_NAMES = 16  # the most in one message


class T(IntEnum):
    """Requests."""

    STATFS = 8
    LOPEN = 12
    LCREATE = 14
    SYMLINK = 16
    MKNOD = 18
    RENAME = 20
    READLINK = 22
    GETATTR = 24
    SETATTR = 26
    XATTRWALK = 30
    XATTRCREATE = 32
    READDIR = 40
    FSYNC = 50
    LOCK = 52
    GETLOCK = 54
    LINK = 70
    MKDIR = 72
    RENAMEAT = 74
    UNLINKAT = 76
    VERSION = 100
    AUTH = 102
    ATTACH = 104
    FLUSH = 108
    WALK = 110
    READ = 116
    WRITE = 118
    CLUNK = 120
    REMOVE = 122


RLERROR = 7

# The fields of each request, in struct's letters; s is a string, and N a count (u16) and as many strings.
# Of a write the data is no field: it stays where the Guest has it.
FIELDS = {
    T.STATFS: "I",  # fid
    T.LOPEN: "II",  # fid, flags
    T.LCREATE: "IsIII",  # fid of the directory, name, flags, mode, gid
    T.SYMLINK: "IssI",  # fid, name, target, gid
    T.MKNOD: "IsIIII",  # fid, name, mode, major, minor, gid
    T.RENAME: "IIs",  # fid, fid of the new directory, new name
    T.READLINK: "I",
    T.GETATTR: "IQ",  # fid, mask
    T.SETATTR: "IIIIIQQQQQ",  # fid, valid, mode, uid, gid, size, atime (s, ns), mtime (s, ns)
    T.XATTRWALK: "IIs",  # fid, new fid, name
    T.XATTRCREATE: "IsQI",  # fid, name, size, flags
    T.READDIR: "IQI",  # fid, offset, count
    T.FSYNC: "II",  # fid, data only
    T.LOCK: "IBIQQIs",  # fid, type, flags, start, length, process, client
    T.GETLOCK: "IBQQIs",  # fid, type, start, length, process, client
    T.LINK: "IIs",  # fid of the directory, fid, name
    T.MKDIR: "IsII",  # fid, name, mode, gid
    T.RENAMEAT: "IsIs",  # fid, name, new fid, new name
    T.UNLINKAT: "IsI",  # fid, name, flags
    T.VERSION: "Is",  # msize, version
    T.AUTH: "IssI",  # auth fid, user, tree, uid
    T.ATTACH: "IIssI",  # fid, auth fid, user, tree, uid
    T.FLUSH: "H",  # tag
    T.WALK: "IIN",  # fid, new fid, names
    T.READ: "IQI",  # fid, offset, count
    T.WRITE: "IQI",  # fid, offset, count
    T.CLUNK: "I",
    T.REMOVE: "I",
}


def refused(number: int) -> OSError:
    """The error that the Guest gets as ``number``."""
    return OSError(number, "")


class Fields:
    """How the fields of one request lie: runs of numbers, and strings between them."""

    def __init__(self, letters: str) -> None:
        self._steps: list[struct.Struct | str] = []
        for run in letters.replace("s", " s ").replace("N", " N ").split():
            self._steps.append(run if run in "sN" else struct.Struct("<" + run))
        first = self._steps[0]
        self._only = first if isinstance(first, struct.Struct) and len(self._steps) == 1 else None
        self._size = HEADER.size + self._only.size if self._only else 0

    def read(self, message: bytes) -> Sequence[Any]:
        """The fields of ``message``; raises EPROTO when they do not end where it ends."""
        if self._only:
            if len(message) != self._size:
                raise refused(errno.EPROTO)
            return self._only.unpack_from(message, HEADER.size)
        found: list[Any] = []
        at = HEADER.size
        try:
            for step in self._steps:
                if isinstance(step, struct.Struct):
                    found += step.unpack_from(message, at)
                    at += step.size
                elif step == "s":
                    at = _string(message, at, found)
                else:
                    (count,) = STRING.unpack_from(message, at)
                    at += STRING.size
                    if count > WALK_NAMES:
                        raise refused(errno.EPROTO)
                    names: list[bytes] = []
                    for _ in range(count):
                        at = _string(message, at, names)
                    found.append(names)
        except struct.error:
            raise refused(errno.EPROTO) from None
        if at != len(message):
            raise refused(errno.EPROTO)
        return found


def _string(message: bytes, at: int, found: list[Any]) -> int:
    """Append the string at ``at`` to ``found``; returns where it ends."""
    length: int = STRING.unpack_from(message, at)[0]
    start, end = at + STRING.size, at + STRING.size + length
    if end > len(message):
        raise refused(errno.EPROTO)
    found.append(message[start:end])
    return end


REQUESTS = {int(kind): Fields(letters) for kind, letters in FIELDS.items()}


def string(text: bytes) -> bytes:
    """A string as it stands in a message."""
    return STRING.pack(len(text)) + text


def rlerror(tag: int, number: int) -> bytes:
    """The whole reply that says error ``number``."""
    return struct.pack("<IBHI", 11, RLERROR, tag, number)


def skip(pieces: Sequence[memoryview], count: int) -> list[memoryview]:
    """What is left of ``pieces`` after ``count`` bytes."""
    for number, piece in enumerate(pieces):
        if count < len(piece):
            return [piece[count:], *pieces[number + 1 :]] if count else list(pieces[number:])
        count -= len(piece)
    return []


def first(pieces: Sequence[memoryview], count: int) -> list[memoryview]:
    """The first ``count`` bytes of ``pieces``, or all."""
    kept = list(pieces)
    beyond = sum(map(len, kept)) - count
    while beyond > 0:
        last = kept.pop()
        beyond -= len(last)
        if beyond < 0:
            kept.append(last[:-beyond])
    return kept


def spread(data: bytes, pieces: Sequence[memoryview]) -> None:
    """Copy ``data`` into ``pieces``, which have room for it."""
    if len(data) <= len(pieces[0]):
        pieces[0][: len(data)] = data
        return
    at = 0
    for piece in pieces:
        part = data[at : at + len(piece)]
        piece[: len(part)] = part
        at += len(part)


def gather(pieces: Sequence[memoryview], count: int) -> bytes:
    """The first ``count`` bytes of ``pieces``, or all, as they are now."""
    if pieces and len(pieces[0]) >= count:
        return bytes(pieces[0][:count])
    return b"".join(first(pieces, count))
