# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that a server of the Network Block Device protocol has, at a Unix socket.

Source: the NBD protocol (doc/proto.md of the nbd project): fixed newstyle negotiation, simple replies.  A connection
does one request at a time, so there are as many as threads that use the disk.  Read next: qemu_nbd.py, the server.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from lguest_py.disks.backend import SECTOR, Buffers, Facts, cut, length, skip
from lguest_py.disks.workers import THREADS

_SERVER, _OPTION, _OPTION_REPLY = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_GO, _ACK, _INFO, _EXPORT = 7, 1, 3, 0
_READ, _WRITE, _DISCONNECT, _FLUSH, _TRIM, _ZEROES = 0, 1, 2, 3, 4, 6
_FUA, _NO_HOLE = 1, 2
_READ_ONLY, _SEND_FLUSH, _SEND_FUA, _SEND_TRIM, _SEND_ZEROES = 2, 4, 8, 32, 64
_REQUEST, _REPLY = struct.Struct(">IHHQQI"), struct.Struct(">IIQ")
_REQUEST_MAGIC, _REPLY_MAGIC = 0x25609513, 0x67446698
MOST = 8 << 20  # bytes in one request; servers take 32 MiB
VECTORS = 1000  # buffers in one call; Linux takes 1024
ENDED = "the server of the image has ended"
TIMEOUT = 120.0  # seconds without a byte from the server


class _Wire:
    """One connection, negotiated.  An OSError of it leaves it unusable, except ``ServerError``."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(TIMEOUT)
            self._socket.connect(path)
            self.size, self.flags = self._negotiate()
        except BaseException:
            self._socket.close()
            raise

    def _negotiate(self) -> tuple[int, int]:
        magic, option, flags = struct.unpack(">QQH", self._take(18))
        if (magic, option) != (_SERVER, _OPTION) or not flags & _FIXED_NEWSTYLE:
            raise OSError(errno.EPROTO, "the server is none of the NBD protocol that is known")
        request = struct.pack(">IH", 0, 0)  # the export without a name, and no further facts
        self._give([struct.pack(">IQII", flags & (_FIXED_NEWSTYLE | _NO_ZEROES), _OPTION, _GO, len(request)), request])
        export = (0, 0)
        while True:
            magic, option, kind, size = struct.unpack(">QIII", self._take(20))
            if (magic, option) != (_OPTION_REPLY, _GO) or size > 1 << 16:
                raise OSError(errno.EPROTO, "the NBD server's answer makes no sense")
            data = self._take(size)
            if kind == _ACK:
                return export
            if kind != _INFO:
                text = data.decode("utf-8", "replace") or f"answer {kind:#x}"
                raise OSError(errno.EPROTO, f"the NBD server refuses: {text}")
            if data[:2] == struct.pack(">H", _EXPORT):
                export = struct.unpack(">QH", data[2:12])

    def _give(self, buffers: list[bytes | memoryview]) -> None:
        views = [memoryview(each) for each in buffers]
        while views:
            views = skip(views, self._socket.sendmsg(views[:VECTORS]))

    def _fill(self, buffers: Buffers) -> None:
        while buffers:
            count = self._socket.recvmsg_into(buffers[:VECTORS])[0]
            if not count:
                raise OSError(errno.ESHUTDOWN, ENDED)
            buffers = skip(buffers, count)

    def _take(self, count: int) -> bytes:
        data = bytearray(count)
        self._fill([memoryview(data)] if count else [])
        return bytes(data)

    def call(self, kind: int, flags: int, offset: int, count: int, out: Buffers = (), into: Buffers = ()) -> int:
        """Do one request; returns the server's error number, or 0."""
        self._give([_REQUEST.pack(_REQUEST_MAGIC, flags, kind, 0, offset, count), *out])
        magic, error, _ = _REPLY.unpack(self._take(_REPLY.size))
        if magic != _REPLY_MAGIC:
            raise OSError(errno.EPROTO, "the NBD server's answer makes no sense")
        if not error:
            self._fill(into)
        return int(error)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.sendall(_REQUEST.pack(_REQUEST_MAGIC, 0, _DISCONNECT, 0, 0, 0))
        self._socket.close()


class Nbd:
    """The disk behind the socket ``path``; ``ended`` is called when it was closed.  Backend says what methods do.

    All connections are made at once, so that the path is not needed later.  At most so many threads use the disk.
    """

    def __init__(
        self, path: str, readonly: bool, ended: Callable[[], None] = lambda: None, connections: int = THREADS
    ) -> None:
        self._ended = ended
        self._lock = threading.Lock()
        self._broken = False
        first = _Wire(path)
        self._idle = [first]
        try:
            for _ in range(1, connections):
                self._idle.append(_Wire(path))
        except BaseException:
            for wire in self._idle:
                wire.close()
            raise
        self._flags = flags = first.flags
        can_zero = bool(flags & _SEND_TRIM and flags & _SEND_ZEROES)
        size = first.size // SECTOR * SECTOR
        self.facts = Facts(size, readonly or bool(flags & _READ_ONLY), discards=can_zero)
        self._dirty = False
        self._closed = False

    @contextmanager
    def _wire(self) -> Iterator[_Wire]:
        with self._lock:
            if self._broken or not self._idle:
                raise OSError(errno.ESHUTDOWN, ENDED)
            wire = self._idle.pop()
        try:
            yield wire
        except BaseException:
            self._broken = True  # and so are the others, or will be: there is one server
            wire.close()
            raise
        with self._lock:
            self._idle.append(wire)

    def _call(self, kind: int, offset: int, count: int, flags: int = 0, out: Buffers = (), into: Buffers = ()) -> None:
        with self._wire() as wire:
            error = wire.call(kind, flags, offset, count, out, into)
        if error:
            raise OSError(error, os.strerror(error))

    def read_now(self, offset: int, buffers: Buffers) -> bool:
        """See Backend."""
        return False

    def read(self, offset: int, buffers: Buffers) -> None:
        """See Backend."""
        for at, piece in _pieces(buffers):
            self._call(_READ, offset + at, length(piece), into=piece)

    def writes_quickly(self) -> bool:
        """See Backend."""
        return False

    def write(self, offset: int, buffers: Buffers, through: bool) -> None:
        """See Backend."""
        fua = through and self._flags & _SEND_FUA
        for at, piece in _pieces(buffers):
            self._call(_WRITE, offset + at, length(piece), _FUA if fua else 0, out=piece)
        if not fua:
            self._dirty = True
            if through:
                self.flush()

    def needs_flush(self) -> bool:
        """See Backend."""
        return self._dirty

    def flush(self) -> None:
        """See Backend."""
        if not self._flags & _SEND_FLUSH:
            return
        self._dirty = False
        try:
            self._call(_FLUSH, 0, 0)
        except BaseException:
            self._dirty = True
            raise

    def discard(self, offset: int, length: int) -> None:
        """See Backend."""
        self._call(_TRIM, offset, length)
        self._dirty = True

    def zero(self, offset: int, length: int, unmap: bool) -> None:
        """See Backend."""
        self._call(_ZEROES, offset, length, 0 if unmap else _NO_HOLE)
        self._dirty = True

    def close(self) -> None:
        """See Backend."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._dirty and not self.facts.readonly:
                self.flush()
        finally:
            for wire in self._idle:
                wire.close()
            self._idle = []
            self._ended()


def _pieces(buffers: Buffers) -> Iterator[tuple[int, Buffers]]:
    """(offset, buffers) of at most MOST bytes each."""
    total = length(buffers)
    if total <= MOST:
        yield 0, buffers
        return
    for at in range(0, total, MOST):
        yield at, cut(buffers, at, MOST)
