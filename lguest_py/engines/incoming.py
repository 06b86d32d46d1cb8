# SPDX-License-Identifier: GPL-2.0-or-later
"""What QEMU reads by -incoming, so that a machine starts with a given time-stamp counter.

QEMU has no option for the counter, but a machine that migrates takes its own along.  So the machine starts as if one
migrated to it of which nothing is known but this: the counter, and the ROM, which QEMU does not load then.  All else is
as after a reset.  The RAM is a file that is there already.
Source: QEMU's documentation of migration, devel/migration/main; its sections "timer" and "ram" are of these versions
since QEMU 1.0 and 2.0.
Read next: tcg.py.
"""

from __future__ import annotations

import struct

PAGE = 4096
VERSION = 3
END, FULL, CONFIGURATION, DESCRIPTION, FOOTER = 0x00, 0x04, 0x07, 0x06, 0x7E
RAM_SIZE, RAM_PAGE, RAM_END = 0x04, 0x08, 0x10  # flags in the low bits of an address
ROM = b"pc.bios"  # the name of its memory
MACHINE_TYPE = b"microvm"


def _name(text: bytes) -> bytes:
    return bytes((len(text),)) + text


def _section(number: int, name: bytes, version: int, data: bytes) -> bytes:
    head = struct.pack(">BI", FULL, number) + _name(name) + struct.pack(">II", 0, version)
    return head + data + struct.pack(">BI", FOOTER, number)


def _memory(rom: bytes) -> bytes:
    """The pages of the ROM, of which most have one byte all over: that is 0 in memory nobody has written to."""
    data = struct.pack(">Q", len(rom) | RAM_SIZE) + _name(ROM) + struct.pack(">Q", len(rom))
    for at in range(0, len(rom), PAGE):
        page = rom[at : at + PAGE]
        if page.strip(page[:1]):
            data += struct.pack(">Q", at | RAM_PAGE) + _name(ROM) + page
    return data + struct.pack(">Q", RAM_END)


def stream(tsc: int, rom: bytes) -> bytes:
    """The whole of it.  ``rom`` is as long as the file that QEMU has as its BIOS, a multiple of a page."""
    timer = struct.pack(">q8xq", tsc, 0)
    return b"".join(
        (
            struct.pack(">4sI", b"QEVM", VERSION),
            struct.pack(">BI", CONFIGURATION, len(MACHINE_TYPE)) + MACHINE_TYPE,
            _section(1, b"timer", 2, timer),
            _section(2, b"ram", 4, _memory(rom)),
            struct.pack(">BBI", END, DESCRIPTION, 2) + b"{}",
        )
    )
