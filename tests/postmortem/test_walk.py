# SPDX-License-Identifier: GPL-2.0-or-later
"""Walks of page tables of both forms, and the runs that they map: against a model, and of hostile tables."""

from __future__ import annotations

import random
import struct

import pytest

from lguest_py.postmortem.walk import BEYOND, NX, PAGE, Run, Tables, Walk

P, RW, US, PS = 1, 2, 4, 0x80
SIZE = 64 * PAGE


def memory(*entries: tuple[int, int], wide: bool = False, size: int = SIZE) -> memoryview:
    """Memory with these entries, by address."""
    made = bytearray(size)
    for at, entry in entries:
        struct.pack_into("<Q" if wide else "<I", made, at, entry)
    return memoryview(made)


def test_two_levels() -> None:
    tables = Tables(memory((0x1000 + 4 * 768, 0x2000 | P | RW), (0x2000 + 4 * 5, 0x7000 | P | RW | US)), 0x1000, False)
    walk = tables.walk(0xC0005123)
    assert (walk.physical, walk.writable, walk.user, walk.why) == (0x7123, True, False, "")
    assert [(level.table, level.at, level.entry) for level in walk.levels] == [
        ("page directory", 0x1C00, 0x2003),
        ("page table", 0x2014, 0x7007),
    ]
    assert (tables.walk(0xC0006000).physical, tables.walk(0xC0006000).why) == (None, "not present")
    assert len(tables.walk(0).levels) == 1


def test_a_page_of_4_mib_where_the_guest_may_have_one() -> None:
    made = memory((0x1000, P | RW | PS))
    walk = Tables(made, 0x1000, False).walk(0x3456)
    assert (walk.physical, walk.page) == (0x3456, 4 << 20)
    assert Tables(made, 0x1000, False).walk(0x300000).why == BEYOND
    assert Tables(made, 0x1000, False, large=False).walk(0x3456).why == "not present"  # it is a table's address


def test_pae() -> None:
    entries = (0x1018, 0x2000 | P), (0x2000, 0x3000 | P | RW | NX), (0x3008, 0x9000 | P | RW), (0x2008, P | US | PS)
    tables = Tables(memory(*entries, wide=True), 0x1000, True)
    walk = tables.walk(0xC0001007)
    assert (walk.physical, walk.writable, walk.executable) == (0x9007, True, False)
    assert [level.table for level in walk.levels] == ["page directory pointer table", "page directory", "page table"]
    large = tables.walk(0xC0200010)
    assert (large.physical, large.page) == (0x10, 2 << 20)
    assert (large.writable, large.user, large.executable) == (False, True, True)
    assert tables.walk(0x1000).why == "not present"


def test_an_address_above_4_gib_is_beyond_the_memory() -> None:
    entries = (0x1000, 0x2000 | P), (0x2000, 1 << 40 | P), (0x2008, 1 << 33 | P | PS)
    tables = Tables(memory(*entries, wide=True), 0x1000, True)
    assert tables.walk(0).why == f"the page table is {BEYOND}"
    assert tables.walk(0x200000).why == BEYOND
    assert list(tables.runs()) == []


@pytest.mark.parametrize("root", [0xFFFFFFE0, 0xFFFFF000, SIZE - 4, SIZE, SIZE - PAGE])
@pytest.mark.parametrize("pae", [False, True])
def test_a_root_at_or_beyond_the_end(root: int, pae: bool) -> None:
    tables = Tables(memory(), root, pae)
    assert all(tables.walk(address).physical is None for address in (0, 0x12345678, 0xFFFFFFFF))
    assert list(tables.runs()) == []


def test_without_paging_virtual_is_physical() -> None:
    tables = Tables(memory(), None, False)
    assert tables.walk(0x1234).physical == 0x1234
    assert tables.walk(SIZE).physical is None
    assert list(tables.runs()) == [Run(0, 0, SIZE)]


def test_a_directory_that_maps_itself() -> None:
    for pae in (False, True):
        made = bytearray(4 * PAGE)
        for at in range(0, len(made), 8):
            made[at : at + 8] = (0x1000 | P | RW).to_bytes(8, "little") if pae else (0x1001).to_bytes(4, "little") * 2
        tables = Tables(memoryview(made), 0x1000, pae)
        assert tables.walk(0xDEADBEEF).physical == 0x1EEF
        runs = list(tables.runs())
        assert sum(run.length for run in runs) <= 1 << 32
        assert len(runs) <= 1 << 20


@pytest.mark.parametrize("pae", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_random_tables_agree_with_a_walk_of_each_page(pae: bool, seed: int) -> None:
    """And no walk of them leaves the memory."""
    chance = random.Random(seed)
    made = memory(size=16 * PAGE)
    size = 8 if pae else 4
    for _ in range(3000):
        entry = chance.randrange(20) << 12 | chance.randrange(0x1000) & ~(0 if chance.random() < 0.1 else PS)
        entry |= chance.choice([0, 0, 0, NX, 1 << 36]) if pae else 0
        struct.pack_into("<Q" if pae else "<I", made, chance.randrange(16 * PAGE // size) * size, entry)
    tables = Tables(made, chance.randrange(16) << 12, pae)
    mapped: dict[int, int] = {}
    most = 1 << 14
    for run in tables.runs():
        assert 0 < run.length <= len(made)
        assert run.physical + run.length <= len(made)
        for offset in range(0, run.length, PAGE):
            mapped[run.virtual + offset] = run.physical + offset
    chosen = chance.sample(sorted(mapped), min(len(mapped), most))
    chosen += [chance.randrange(1 << 20) << 12 for _ in range(500)]
    for address in chosen:
        walk: Walk = tables.walk(address)
        assert walk.physical == mapped.get(address)
        assert len(walk.levels) <= 3
