# SPDX-License-Identifier: GPL-2.0-or-later
"""Small native kernels in machine code, for tests of how an unmodified Guest ends.

Each is entered in protected mode without paging, as a Linux is.  Read next: tests/host_kernel/test_six_ends.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import imagewriter
from imagewriter import ElfFile, Part

BASE, DATA, STACK = 0x100000, 0x180000, 0x1F0000
CODE_SELECTOR = 0x10  # of the boot GDT
INTERRUPT_GATE, ABSENT = 0x8E00, 0x0E00
SERIAL = 0x3F8

INT3, UD2, SPIN = b"\xcc", b"\x0f\x0b", b"\xeb\xfe"
HALT = b"\xfa\xf4"  # with interrupts off
SWITCH_FOREVER = b"\xe4\x61\xeb\xfc"  # in from port 0x61: each is a trap
SWITCH_OFTEN = b"\xb9\xe8\x03\x00\x00\xe4\x61\xe2\xfc"  # a thousand of them
BAD_SEGMENT = b"\xb8\xf0\xff\x00\x00\x8e\xd8"  # mov ds, 0xFFF0: general protection
PUT_BYTE = b"\x66\xba\xf8\x03\xee"  # al, to the serial port
POWER_OFF = b"\x66\xba\x04\x06\x66\xb8\x00\x34\x66\xef"


def out(port: int, value: int) -> bytes:
    """A byte to a port."""
    return b"\xb0" + bytes([value]) + b"\x66\xba" + struct.pack("<H", port) + b"\xee"


def lidt(address: int) -> bytes:
    """From this address, at which limit and base stand."""
    return b"\x0f\x01\x1d" + struct.pack("<I", address)


def say(text: bytes) -> bytes:
    """On the serial port, by rep outsb; the text stands within the code."""
    there = b"\xe8" + struct.pack("<I", len(text)) + text + b"\x5e"  # call behind it; pop esi
    return there + b"\xb9" + struct.pack("<I", len(text)) + b"\xba" + struct.pack("<I", SERIAL) + b"\xf3\x6e"


def table(limit: int, base: int = DATA + 8) -> bytes:
    """An operand of lidt at DATA."""
    return struct.pack("<HI2x", limit, base)


def gates(handlers: Mapping[int, int], absent: Iterable[int] = (), count: int = 256) -> bytes:
    """DATA for an IDT with these handlers: the operand of lidt, then the table."""
    idt = bytearray(8 * count)
    for vector in absent:
        struct.pack_into("<HHI", idt, 8 * vector, 0, CODE_SELECTOR, ABSENT)
    for vector, at in handlers.items():
        struct.pack_into("<HHI", idt, 8 * vector, at & 0xFFFF, CODE_SELECTOR, at & 0xFFFF0000 | INTERRUPT_GATE)
    return table(len(idt) - 1) + bytes(idt)


def kernel(path: Path, code: bytes, data: bytes = b"", handlers: Mapping[int, bytes] | None = None) -> str:
    """An ELF whose kernel has a stack, runs ``code`` and spins; its path.  ``handlers``: code by address."""
    start = b"\xbc" + struct.pack("<I", STACK) + code + SPIN
    parts = [Part(BASE, start), *(Part(at, more) for at, more in (handlers or {}).items())]
    parts += [Part(DATA, data + bytes(8)), Part(STACK + 0x1000, imagewriter.banner("6.1.0"))]
    path.write_bytes(ElfFile(tuple(parts)).bytes())
    return str(path)
