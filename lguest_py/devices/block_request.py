# SPDX-License-Identifier: GPL-2.0-or-later
"""One request to a disk, read from a chain of buffers: a header, data either way, and the status that it ends with.

The buffers may be cut anywhere.  Source: virtio 1.2, section 5.2.6.  Read next: block.py.
Next in the book: block.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from lguest_py.devices.errors import GuestError
from lguest_py.devices.virtqueue import Chain

IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13
BARRIER = 1 << 31  # of old drivers (Linux up to 2.6.36), which also send the flushes before and after
OK, IO_ERROR, UNSUPPORTED = 0, 1, 2
SECTOR = 512
_HEADER = struct.Struct("<I4xQ")  # type, reserved (a priority in old drivers), sector
_SEGMENT = struct.Struct("<QII")  # sector, sectors, flags


class Request:
    """What a chain asks for.  Raises GuestError for one that cannot even be answered."""

    __slots__ = ("_status", "chain", "inward", "kind", "outward", "sector", "size")

    def __init__(self, chain: Chain, name: str) -> None:
        self.chain: Chain | None = chain
        readable, writable = chain.readable, chain.writable
        if not writable:
            raise GuestError(f"{name}: a request without room for its status")
        if readable and len(readable[0]) == _HEADER.size:
            self.kind, self.sector = _HEADER.unpack(readable[0])
            self.outward: Sequence[memoryview] = readable[1:]
        else:
            header, self.outward = _split(readable, _HEADER.size)
            if len(header) < _HEADER.size:
                raise GuestError(f"{name}: a request whose header has {len(header)} bytes")
            self.kind, self.sector = _HEADER.unpack(header)
        self.kind &= ~BARRIER
        last = writable[-1]
        if len(last) == 1:
            self._status = last
            self.inward: Sequence[memoryview] = writable[:-1]
        else:
            self._status = last[-1:]
            self.inward = (*writable[:-1], last[:-1])
        if self.kind == IN and self.outward:
            raise GuestError(f"{name}: a read with data to write")
        if self.kind in (OUT, DISCARD, WRITE_ZEROES) and self.inward:
            raise GuestError(f"{name}: a write with room for data that is read")
        self.size = sum(map(len, self.inward if self.kind == IN else self.outward))

    def segments(self) -> Iterator[tuple[int, int, int]]:
        """(sector, sectors, flags) of each range of a discard or write-zeroes; a whole number of them is there."""
        return _SEGMENT.iter_unpack(b"".join(self.outward))

    def whole_segments(self, most: int) -> bool:
        """Whether the data of a discard or write-zeroes are 1 to ``most`` ranges."""
        return 0 < self.size <= most * _SEGMENT.size and not self.size % _SEGMENT.size

    def finish(self, status: int) -> tuple[Chain, int]:
        """Write the status; returns the chain, and how many bytes of it were filled.  The request is empty then."""
        chain = self.chain
        assert chain
        self._status[0] = status
        filled = self.size + 1 if self.kind == IN else sum(map(len, chain.writable))
        self.forget()
        return chain, filled

    def forget(self) -> None:
        """Drop all views of the Guest's memory."""
        self.chain = None
        self._status = memoryview(b"")
        self.inward = self.outward = ()


def _split(buffers: Sequence[memoryview], count: int) -> tuple[bytes, list[memoryview]]:
    """The first ``count`` bytes, and the buffers after them."""
    start = bytearray()
    rest = []
    for buffer in buffers:
        missing = count - len(start)
        start += buffer[:missing]
        if len(buffer) > missing:
            rest.append(buffer[missing:])
    return bytes(start), rest
