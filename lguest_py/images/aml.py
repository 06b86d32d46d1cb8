# SPDX-License-Identifier: GPL-2.0-or-later
"""A small encoder of AML, the bytecode of ACPI's definition blocks, and of the resources of a PCI host bridge.

Source: ACPI specification 6.5, chapter 20 (encodings) and 6.4 (resource descriptors).
Read next: acpi.py, which uses it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

NAME, SCOPE, BUFFER, PACKAGE, DEVICE = b"\x08", b"\x10", b"\x11", b"\x12", b"\x5b\x82"
END_TAG = b"\x79\0"
MEMORY_RANGE, IO_RANGE, BUS_RANGE = range(3)
FIXED = 0x0C  # both ends of the range are
ENTIRE_RANGE, READ_WRITE = 3, 1


def _sized(opcode: bytes, body: bytes) -> bytes:
    """An object with a PkgLength, which counts its own bytes."""
    length = len(body) + 1
    if length < 0x40:
        return opcode + bytes([length]) + body
    more = next(n for n in (1, 2, 3) if length + n < 1 << 4 + 8 * n)
    length += more
    return opcode + bytes([more << 6 | length & 0xF]) + (length >> 4).to_bytes(more, "little") + body


def integer(value: int) -> bytes:
    """The shortest encoding of a number of up to 32 bits."""
    if value < 2:
        return bytes([value])
    if value <= 0xFF:
        return b"\x0a" + struct.pack("<B", value)
    if value <= 0xFFFF:
        return b"\x0b" + struct.pack("<H", value)
    return b"\x0c" + struct.pack("<I", value)


def eisa_id(text: str) -> bytes:
    """A name like PNP0A03 in its packed form: three letters of five bits, then four digits, the highest byte first."""
    a, b, c = (ord(letter) - 0x40 for letter in text[:3])
    return b"\x0c" + struct.pack(">HH", a << 10 | b << 5 | c, int(text[3:], 16))


def package(elements: Sequence[bytes]) -> bytes:
    """A Package of encoded objects."""
    return _sized(PACKAGE, bytes([len(elements)]) + b"".join(elements))


def buffer(data: bytes) -> bytes:
    """A Buffer."""
    return _sized(BUFFER, integer(len(data)) + data)


def name(path: str, value: bytes) -> bytes:
    """Name (path, value); the path is one segment, after a backslash if it is absolute."""
    return NAME + path.encode() + value


def scope(path: str, body: bytes) -> bytes:
    """Scope (path) {body}."""
    return _sized(SCOPE, path.encode() + body)


def device(segment: str, body: bytes) -> bytes:
    """Device (segment) {body}."""
    return _sized(DEVICE, segment.encode() + body)


def ports(first: int, count: int) -> bytes:
    """The I/O ports that a device itself decodes (IO)."""
    return struct.pack("<BBHHBB", 0x47, 1, first, first, 1, count)


def word_range(kind: int, first: int, last: int) -> bytes:
    """A range of bus numbers or I/O ports that a bridge passes on (WordBusNumber, WordIO)."""
    specific = ENTIRE_RANGE if kind == IO_RANGE else 0
    return struct.pack("<BHBBB5H", 0x88, 13, kind, FIXED, specific, 0, first, last, 0, last - first + 1)


def memory_range(first: int, last: int) -> bytes:
    """A range of memory that a bridge passes on (DWordMemory)."""
    return struct.pack("<BHBBB5I", 0x87, 23, MEMORY_RANGE, FIXED, READ_WRITE, 0, first, last, 0, last - first + 1)
