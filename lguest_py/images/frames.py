# SPDX-License-Identifier: GPL-2.0-or-later
"""Two framings of compressed kernels whose Python libraries decompress only single blocks.

LZ4 legacy frame: magic, then blocks of 8 MiB uncompressed, each after its compressed size (little-endian).
lzop file: magic, a header, then blocks, each after its uncompressed size, compressed size and checksums (big-endian);
an uncompressed size of 0 ends it.  Sources: LZ4 frame format description, "Legacy frame"; lzop's file format.

Both yield the uncompressed bytes block by block.  Read next: decompress.py, which passes the library.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

LZ4_MAGIC = 0x184C2102
LZ4_BLOCK = 8 << 20
LZOP_MAGIC = b"\x89LZO\x00\r\n\x1a\n"
LZOP_BLOCK = 64 << 20  # the limit of lzop, which writes 256 KiB
ADLER_UNPACKED, ADLER_PACKED, CRC_UNPACKED, CRC_PACKED = 0x1, 0x2, 0x100, 0x200
HAS_FILTER = 0x800
LONG_HEADER = 0x940  # the lzop version since which the header has three more fields


class CorruptError(Exception):
    """The compressed bytes are damaged or truncated, or their uncompressed size exceeds the limit."""


class _Reader:
    """Reads ``data`` from the front.  Raises CorruptError at its end."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.position = 0

    def remaining(self) -> int:
        return len(self.data) - self.position

    def take(self, size: int) -> memoryview:
        if size > self.remaining():
            raise CorruptError("ends early")
        self.position += size
        return self.data[self.position - size : self.position]

    def number(self, kind: str) -> int:
        value: int = struct.unpack(kind, self.take(struct.calcsize(kind)))[0]
        return value


def lz4_legacy(data: memoryview, block: Any, whole: bool) -> Iterator[bytes]:
    """Decompress an LZ4 legacy frame; with ``whole`` also the frames after it.

    ``block`` is the module lz4.block.  A block of less than 8 MiB is the last of its frame.  A payload may end with the
    4 bytes of its uncompressed size, which the kernel's build appends.
    """
    reader = _Reader(data)
    reader.take(4)
    while reader.remaining() > (0 if whole else 4):
        size = reader.number("<I")
        if whole and size == LZ4_MAGIC:
            continue
        piece: bytes = block.decompress(reader.take(size), uncompressed_size=LZ4_BLOCK)
        yield piece
        if len(piece) < LZ4_BLOCK:
            if not whole or not reader.remaining():
                return
            if reader.number("<I") != LZ4_MAGIC:
                raise CorruptError("has other data after its end")


def _lzop_flags(reader: _Reader) -> int:
    """Read the header; returns its flags, which say which checksums the blocks have."""
    if reader.take(len(LZOP_MAGIC)) != LZOP_MAGIC:
        raise CorruptError("has a broken header")
    version = reader.number(">H")
    new = version >= LONG_HEADER
    reader.take(2 + (2 if new else 0) + 1 + (1 if new else 0))  # library, needed version, method, level
    flags = reader.number(">I")
    reader.take(4 if flags & HAS_FILTER else 0)
    reader.take(8 + (4 if new else 0))  # mode and time
    reader.take(reader.number("B") + 4)  # name and checksum
    return flags


def lzop(data: memoryview, lzo: Any) -> Iterator[bytes]:
    """Decompress an lzop file and check the checksums of its uncompressed blocks.  ``lzo`` is the module lzo."""
    reader = _Reader(data)
    flags = _lzop_flags(reader)
    while size := reader.number(">I"):
        packed_size = reader.number(">I")
        if size > LZOP_BLOCK or packed_size > size:
            raise CorruptError("has an impossible block size")
        adler = reader.number(">I") if flags & ADLER_UNPACKED else None
        crc = reader.number(">I") if flags & CRC_UNPACKED else None
        if packed_size < size:
            reader.take(4 * (bool(flags & ADLER_PACKED) + bool(flags & CRC_PACKED)))
        block = bytes(reader.take(packed_size))
        plain: bytes = block if packed_size == size else lzo.decompress(block, False, size)
        if adler not in (None, zlib.adler32(plain)) or crc not in (None, zlib.crc32(plain)) or len(plain) != size:
            raise CorruptError("has a wrong checksum")
        yield plain
