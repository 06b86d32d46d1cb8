# SPDX-License-Identifier: GPL-2.0-or-later
"""The two framings that kernels are packed in and whose libraries only know single blocks.

lz4's legacy frame: magic, then blocks of 8 MiB unpacked, each behind its packed size (little-endian).
lzop's file: magic, a header, then blocks behind unpacked size, packed size and checksums (big-endian), up to
an unpacked size of 0.  Sources: LZ4 frame format description, "Legacy frame"; lzop's file layout.

Both yield the unpacked bytes block by block; the library is the caller's (decompress.py).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

LZ4_MAGIC = 0x184C2102
LZ4_BLOCK = 8 << 20
LZOP_MAGIC = b"\x89LZO\x00\r\n\x1a\n"
LZOP_BLOCK = 64 << 20  # lzop itself writes 256 KiB and reads up to this
ADLER_UNPACKED, ADLER_PACKED, CRC_UNPACKED, CRC_PACKED = 0x1, 0x2, 0x100, 0x200
HAS_FILTER = 0x800


class CorruptError(Exception):
    """The compressed bytes are damaged, cut short, or unpack to more than LIMIT."""


class _Reader:
    """Takes bytes from the front; running out of them is an error."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.position = 0

    def left(self) -> int:
        return len(self.data) - self.position

    def take(self, size: int) -> memoryview:
        if size > self.left():
            raise CorruptError("ends early")
        self.position += size
        return self.data[self.position - size : self.position]

    def number(self, kind: str) -> int:
        value: int = struct.unpack(kind, self.take(struct.calcsize(kind)))[0]
        return value


def lz4_legacy(data: memoryview, block: Any, whole: bool) -> Iterator[bytes]:
    """Unpack an lz4 legacy frame; with ``whole`` also those behind it.

    ``block`` is the module lz4.block.  A block of less than 8 MiB is a frame's last, so there are never many; a payload
    may also end with the kernel's own size field of 4 bytes.
    """
    reader = _Reader(data)
    reader.take(4)
    while reader.left() > (0 if whole else 4):
        size = reader.number("<I")
        if whole and size == LZ4_MAGIC:
            continue
        piece: bytes = block.decompress(reader.take(size), uncompressed_size=LZ4_BLOCK)
        yield piece
        if len(piece) < LZ4_BLOCK:
            if not whole or not reader.left():
                return
            if reader.number("<I") != LZ4_MAGIC:
                raise CorruptError("has something else behind its end")


def _lzop_flags(reader: _Reader) -> int:
    """Read the header; returns the flags, which say what checksums the blocks have."""
    if reader.take(len(LZOP_MAGIC)) != LZOP_MAGIC:
        raise CorruptError("has a broken header")
    version = reader.number(">H")
    new = version >= 0x940
    reader.take(2 + (2 if new else 0) + 1 + (1 if new else 0))  # library, needed version, method, level
    flags = reader.number(">I")
    reader.take(4 if flags & HAS_FILTER else 0)
    reader.take(8 + (4 if new else 0))  # mode and time
    reader.take(reader.number("B") + 4)  # name and checksum
    return flags


def lzop(data: memoryview, lzo: Any) -> Iterator[bytes]:
    """Unpack an lzop file; its checksums of the unpacked blocks are checked.  ``lzo`` is the module of that name."""
    reader = _Reader(data)
    flags = _lzop_flags(reader)
    while size := reader.number(">I"):
        packed_size = reader.number(">I")
        if size > LZOP_BLOCK or packed_size > size:
            raise CorruptError("has a block size that cannot be")
        adler = reader.number(">I") if flags & ADLER_UNPACKED else None
        crc = reader.number(">I") if flags & CRC_UNPACKED else None
        if packed_size < size:
            reader.take(4 * (bool(flags & ADLER_PACKED) + bool(flags & CRC_PACKED)))
        block = bytes(reader.take(packed_size))
        plain: bytes = block if packed_size == size else lzo.decompress(block, False, size)
        if adler not in (None, zlib.adler32(plain)) or crc not in (None, zlib.crc32(plain)) or len(plain) != size:
            raise CorruptError("has a wrong checksum")
        yield plain
