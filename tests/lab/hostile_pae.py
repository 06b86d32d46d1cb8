# SPDX-License-Identifier: GPL-2.0-or-later
"""The PAE form of random native Guests: their page tables, and what they do to them and to control registers.

Read before: hostile_guest.py.
"""

from __future__ import annotations

import struct
from random import Random

from hostile_code import (
    BARS,
    BARS_BYTES,
    DIRECTORY,
    EAX,
    ECX,
    EDX,
    GDT,
    RAM_END,
    Maker,
    any_address,
    any_value,
    le32,
    mov,
    rare,
    store,
)
from hostile_guest import INVLPG, NATIVE_RING_1, RELOAD_CR3, control, for_programs, page_tables

P, PS, NX = 1, 0x80, 1 << 63
SPAN = 2 << 20  # of a page table
TABLES = 6  # behind PDPT and page directory: 12 MiB
FIRST = DIRECTORY + 0x1000  # the page directory of the addresses from 0 and from 3 GiB
# PDPTs, with what they need behind them:
SECOND, THIRD, LARGE = DIRECTORY + 0x10000, DIRECTORY + 0x14000, DIRECTORY + 0x16000
BAD = DIRECTORY + 0x20  # one with a reserved bit
EFER, EFER_NXE = 0xC0000080, 0x800


def pae_control(r: Random) -> bytes:
    """CR0, CR3, CR4 and EFER, as far as they matter to PAE; else what others do."""
    cr0 = r.choice((0x80010033, 0x80000033, 0xE0010033, 0x33))
    cr3 = r.choice((DIRECTORY, DIRECTORY, SECOND, THIRD, LARGE, BAD, DIRECTORY + 0x18))
    cr4 = r.choice((0x20, 0x30, 0xB0, 0xA0, 0x6F0))
    if rare(r, 0.02):
        cr3, cr4 = r.choice(((r.randrange(RAM_END), 0x20), (DIRECTORY, r.getrandbits(11))))
    efer = r.choice((0, EFER_NXE, EFER_NXE, EFER_NXE, EFER_NXE | 1, r.getrandbits(12)))
    number = mov(ECX, EFER) + mov(EDX, r.choice((0, 0, 0, 1)))
    return r.choice(
        (
            mov(EAX, cr0) + b"\x0f\x22\xc0",
            mov(EAX, cr3) + b"\x0f\x22\xd8",
            mov(EAX, cr3) + b"\x0f\x22\xd8",
            mov(EAX, cr4) + b"\x0f\x22\xe0",
            number + mov(EAX, efer) + b"\x0f\x30",
            number + b"\x0f\x32",
            INVLPG + le32(any_address(r)),
        )
    )


def pae_page_tables(r: Random) -> bytes:
    """Changes of entries, in halves, said or left unsaid."""
    tables = [FIRST, *(FIRST + 0x1000 * (1 + each) for each in range(TABLES)), SECOND + 0x1000, SECOND + 0x2000]
    table = r.choice((*tables, LARGE + 0x1000, DIRECTORY, SECOND))
    pointers = table in (DIRECTORY, SECOND)
    low = 0 if pointers else 8 if table == FIRST else 0x1A0 if table == FIRST + 0x1000 else 0
    index = r.randrange(1, 3) if pointers else r.randrange(low, 512)
    memory = r.randrange(RAM_END)
    frame = r.choice((memory, memory, DIRECTORY + r.randrange(0x18000), GDT, any_address(r)))
    kind = r.choice((0x67, 0x67, 7, 3, 0x63, 0x65, 0x61, 0x167, 0xE7, 0, r.getrandbits(12)))
    if pointers:
        kind = r.choice((1, 1, 0, 0x19, r.getrandbits(9)))
    elif table in (FIRST, SECOND + 0x1000, LARGE + 0x1000) and r.random() < 0.5:
        kind, frame = kind | PS, frame & -SPAN if r.random() < 0.9 else frame
    high = r.choice((0, 0, 0, NX >> 32, NX >> 32, 1, 1 << r.randrange(32), r.getrandbits(32)))
    halves = [store(table + 8 * index, frame & ~0xFFF | kind), store(table + 8 * index + 4, high)]
    r.shuffle(halves)
    address = index << 12 | r.choice((0, 0xC0000000))
    said = r.choice((b"", INVLPG + le32(address), RELOAD_CR3))
    used = r.choice((b"", b"\xa1" + le32(address), store(address, any_value(r))))
    return b"".join(halves) + said + used


OURS: dict[Maker, Maker] = {control: pae_control, page_tables: pae_page_tables}
PAE_RING_1: tuple[Maker, ...] = tuple(OURS.get(maker, maker) for maker in NATIVE_RING_1)


def pointers(directory: int) -> bytes:
    """A PDPT: the same from 0 and from 3 GiB, and nothing between; behind it one that no load of CR3 takes."""
    good = directory | P
    return struct.pack("<8Q", good, 0, 0, good, good, good | 6, 0, good).ljust(0x1000, b"\0")


def rows(links: list[int]) -> bytes:
    """A page directory, or a table."""
    return struct.pack(f"<{len(links)}Q", *links).ljust(0x1000, b"\0")


def pae_tables(r: Random, sane: bool) -> tuple[bytes, dict[int, bytes]]:
    """(what is kept, all by address) as hostile_guest.guest_tables has them."""
    used = r.choice((0x67, 7))
    frames = range(BARS + BARS_BYTES >> 12)
    entries = [frame << 12 | (used if not sane or for_programs(frame) else used & ~4) for frame in frames]
    tables = struct.pack(f"<{len(entries)}Q", *entries).ljust(TABLES * 0x1000, b"\0")
    links = [FIRST + 0x1000 * (1 + number) | 0x67 for number in range(TABLES)]
    kept = pointers(FIRST) + rows(links) + tables
    second = [frame << 12 | r.choice((0x67, 0x67, 7, 0x65, 0x67 | NX)) for frame in range(512)]
    return kept, {
        DIRECTORY: kept,
        SECOND: pointers(SECOND + 0x1000) + rows([SECOND + 0x2000 | 0x67, *links[1:]]) + rows(second),
        THIRD: pointers(FIRST),
        LARGE: pointers(LARGE + 0x1000) + rows([n * SPAN | 0xE7 for n in range(TABLES)]),
    }
