# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of 9P2000.L in Python: asks a share's server directly, or through a device's virtqueue.

    client = Client(send)  # send(request, room for the reply) -> reply
    client.attach(0)
    client.walk(0, 1, b"etc", b"passwd")
    client.lopen(1, os.O_RDONLY)

An Rlerror is raised as OSError.
"""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ring_lab import Rig

from lguest_py.share.descriptors import Budget
from lguest_py.share.server import VERSION, Server
from lguest_py.share.tree import Tree
from lguest_py.share.wire import FIELDS, HEADER, NO_FID, QID, RLERROR, T, string

MSIZE = 0x10000
Send = Callable[[bytes, int], bytes]


def encode(letters: str, values: Sequence[Any]) -> bytes:
    """Fields in the form of wire.FIELDS."""
    parts = []
    for letter, value in zip(letters, values, strict=True):
        if letter == "s":
            parts.append(string(value))
        elif letter == "N":
            parts.append(struct.pack("<H", len(value)) + b"".join(map(string, value)))
        else:
            parts.append(struct.pack("<" + letter, value))
    return b"".join(parts)


def number(call: Callable[[], object]) -> int:
    """The error number of the OSError that ``call`` raises."""
    with pytest.raises(OSError) as caught:  # noqa: PT011
        call()
    assert caught.value.errno
    return caught.value.errno


def message(kind: int, tag: int, body: bytes) -> bytes:
    """A whole message."""
    return HEADER.pack(HEADER.size + len(body), kind, tag) + body


@dataclass(frozen=True)
class Attributes:
    """The reply to Tgetattr, as far as anybody looks at it."""

    qid: tuple[int, int, int]
    mode: int
    uid: int
    gid: int
    nlink: int
    rdev: int
    size: int
    blksize: int
    blocks: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int


class Client:
    """See the module."""

    def __init__(self, send: Send, msize: int = MSIZE) -> None:
        self._send = send
        self._tags = itertools.cycle(range(1, 0xFFFF))
        self.msize = msize
        self.version(msize)

    def ask(self, kind: int, body: bytes, room: int = 0) -> bytes:
        """One request; returns what the reply has after its header."""
        tag = next(self._tags)
        reply = self._send(message(kind, tag, body), room or min(self.msize, 8192))
        size, answered, its_tag = HEADER.unpack_from(reply)
        assert (size, its_tag) == (len(reply), tag)
        rest = reply[HEADER.size :]
        if answered == RLERROR:
            (number,) = struct.unpack("<I", rest)
            raise OSError(number, os.strerror(number))
        assert answered == kind + 1
        return rest

    def call(self, kind: T, *values: Any) -> bytes:
        """As ask, with the fields of the request."""
        return self.ask(kind, encode(FIELDS[kind], values))

    def version(self, msize: int, version: bytes = VERSION) -> bytes:
        rest = self.call(T.VERSION, msize, version)
        return rest[6:]

    def attach(self, fid: int = 0, tree: bytes = b"", uid: int = 0) -> bytes:
        return self.call(T.ATTACH, fid, NO_FID, b"nobody", tree, uid)

    def walk(self, fid: int, new: int, *names: bytes) -> list[tuple[int, int, int]]:
        rest = self.call(T.WALK, fid, new, list(names))
        (count,) = struct.unpack_from("<H", rest)
        return [QID.unpack_from(rest, 2 + 13 * n) for n in range(count)]

    def at(self, new: int, *names: bytes, root: int = 0) -> int:
        """Walk all of ``names``, or raise."""
        found = self.walk(root, new, *names)
        if len(found) < len(names):
            raise FileNotFoundError(2, names)
        return new

    def lopen(self, fid: int, flags: int = 0) -> tuple[bytes, int]:
        return struct.unpack("<13sI", self.call(T.LOPEN, fid, flags))

    def lcreate(self, fid: int, name: bytes, flags: int = 2, mode: int = 0o644, gid: int = 0) -> bytes:
        return self.call(T.LCREATE, fid, name, flags, mode, gid)

    def read(self, fid: int, offset: int, count: int) -> bytes:
        rest = self.ask(T.READ, encode("IQI", (fid, offset, count)), 11 + count)
        assert struct.unpack_from("<I", rest)[0] == len(rest) - 4
        return rest[4:]

    def write(self, fid: int, offset: int, data: bytes) -> int:
        return int(struct.unpack("<I", self.ask(T.WRITE, encode("IQI", (fid, offset, len(data))) + data))[0])

    def readdir(self, fid: int, offset: int = 0, count: int = 4096) -> list[tuple[bytes, int, int, int]]:
        """(name, offset, type, inode) of some entries."""
        rest = self.ask(T.READDIR, encode("IQI", (fid, offset, count)), 11 + count)
        at, found = 4, []
        assert struct.unpack_from("<I", rest)[0] == len(rest) - 4
        while at < len(rest):
            _, _, inode, following, kind, length = struct.unpack_from("<BIQQBH", rest, at)
            at += 24
            found.append((rest[at : at + length], following, kind, inode))
            at += length
        return found

    def entries(self, fid: int, count: int = 4096) -> Iterator[tuple[bytes, int, int, int]]:
        """All entries of an open directory."""
        offset = 0
        while some := self.readdir(fid, offset, count):
            yield from some
            offset = some[-1][1]

    def getattr(self, fid: int) -> Attributes:
        v = struct.unpack("<Q13sIIIQQQQQQQQQQQQQQQ", self.call(T.GETATTR, fid, 0x7FF))
        times = [v[at] * 10**9 + v[at + 1] for at in (10, 12, 14)]
        return Attributes(QID.unpack(v[1]), *v[2:10], *times)

    def setattr(self, fid: int, **values: int) -> None:
        """mode, uid, gid, size, atime_ns, mtime_ns; "now" of a time is -1."""
        bits = {"mode": 1, "uid": 2, "gid": 4, "size": 8, "atime_ns": 0x90, "mtime_ns": 0x120}
        valid = sum(bits[name] for name in values)
        times = []
        for name in ("atime_ns", "mtime_ns"):
            if values.get(name) == -1:
                valid -= 0x80 if name == "atime_ns" else 0x100
                values[name] = 0
            seconds, rest = divmod(values.get(name, 0), 10**9)
            times += [seconds % (1 << 64), rest]
        plain = [values.get(name, 0) for name in ("mode", "uid", "gid", "size")]
        self.call(T.SETATTR, fid, valid, *plain, *times)

    def clunk(self, fid: int) -> None:
        self.call(T.CLUNK, fid)


def server_at(path: Path | str, readonly: bool = False, limit: int = 10000) -> Server:
    """A server with a budget of its own."""
    budget = Budget(limit)
    return Server(Tree.open_folder(str(path), budget), readonly, budget)


def sender(server: Server) -> Send:
    """For Client: ask ``server``."""

    def send(request: bytes, room: int) -> bytes:
        reply = bytearray(room)
        count = server.answer([memoryview(request)], [memoryview(reply)])
        return bytes(reply[:count])

    return send


def through(rig: Rig) -> Send:
    """For Client: ask a device; the buffers are cut as Linux does, so that data begins in one of its own."""

    def send(request: bytes, room: int) -> bytes:
        cut = 23 if request[4] == T.WRITE and len(request) > 23 else len(request)
        readable = [request[:cut], *(request[at : at + 4096] for at in range(cut, len(request), 4096))]
        writable = [11, *(min(4096, room - at) for at in range(11, room, 4096))]
        return rig.request(0, readable, writable)

    return send
