# SPDX-License-Identifier: GPL-2.0-or-later
"""The cache of SET_PTE is dropped with the table that it names, however that table is freed.

The cache names a page of the Host kernel's pool.  A stale cache would let the Guest write entries of its choice into a
page directory that the CPU uses, and reach ring 0.  Read before: script_lab.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hostile_code import DIRECTORY
from hostile_lab import SWITCHERS, harmless, word
from script_lab import ASK, Call, Script
from shadow_model import Modelled, Shadow, objects, untruths

from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L

TABLE, OTHER_TABLE, STOLEN, MARKED = 0x310000, 0x318000, 0x330000, 0x320000
SECOND, HOLDER = 0x340000, 0x348000  # page directories
MORE = 0x400000  # and many
INDEX, NEXT, KERNEL = 5, 7, 0x320  # in a directory
ADDRESS = INDEX << 22
STALE = 100 << 12  # from ADDRESS on: what the stale SET_PTE names
USED = 0x67
LIMITS = {"fresh"}  # grows by one a page, and stops where the pool ends


class Wrap:
    """Brings each word that counted between two looks to just before what it was at the first: 2^32 events later."""

    def __init__(self) -> None:
        self.before: dict[str, int] = {}
        self.wrapped: set[str] = set()

    def first(self, memory: memoryview) -> None:
        self.before = {name: word(memory, at) for name, at in objects().items()}

    def second(self, memory: memoryview) -> None:
        for name, at in objects().items():
            grown = word(memory, at) - self.before[name]
            if 0 < grown <= L.HCALL_RING and name not in LIMITS:
                memory[at : at + 4] = (self.before[name] - 1 & 0xFFFFFFFF).to_bytes(4, "little")
                self.wrapped.add(name)


def copy_directory(script: Script, to: int) -> None:
    """With what all have: the first 12 MiB, here and from 3 GiB on."""
    for index in (0, 1, 2, 768, 769, 770):
        script.store(to + 4 * index, DIRECTORY + 0x1000 * (1 + index % 256) | USED)


def entry(script: Script, directory: int, index: int, table: int | None) -> None:
    script.store(directory + 4 * index, 0 if table is None else table | USED)


def start(index: int = INDEX) -> Script:
    """TABLE is linked at an index of DIRECTORY, and STALE in it names STOLEN, used and dirty."""
    script = Script()
    for each in (TABLE, OTHER_TABLE):
        script.store(each, MARKED | USED)
    copy_directory(script, SECOND)
    entry(script, DIRECTORY, index, TABLE)
    script.touch(index << 22)
    return script


def remember(script: Script, directory: int = DIRECTORY) -> None:
    """What a stale SET_PTE would follow."""
    script.call(L.LHCALL_SET_PTE, directory, ADDRESS, MARKED | USED)


@dataclass(frozen=True)
class Way:
    """The script up to where TABLE is about to lose its shadow, the calls that do it, and whose entry is stale."""

    script: Script
    calls: Sequence[Call]
    directory: int = DIRECTORY


def set_pgd() -> Way:
    script = start()
    remember(script)
    entry(script, DIRECTORY, INDEX, None)
    return Way(script, [(L.LHCALL_SET_PGD, DIRECTORY, INDEX)])


def another_table() -> Way:
    script = start()
    remember(script)
    entry(script, DIRECTORY, INDEX, OTHER_TABLE)
    return Way(script, [(L.LHCALL_SET_PGD, DIRECTORY, INDEX)])


def another_table_with_a_shadow() -> Way:
    script = start()
    entry(script, DIRECTORY, NEXT, OTHER_TABLE)
    script.touch(NEXT << 22)
    remember(script)
    entry(script, DIRECTORY, INDEX, OTHER_TABLE)
    return Way(script, [(L.LHCALL_SET_PGD, DIRECTORY, INDEX)])


def flush(kind: int) -> Way:
    script = start()
    remember(script)
    entry(script, DIRECTORY, INDEX, None)
    return Way(script, [(L.LHCALL_FLUSH_TLB, kind)])


def flush_user() -> Way:
    return flush(0)


def flush_all() -> Way:
    return flush(1)


def entered_after_a_flush() -> Way:
    script = start()
    script.call(L.LHCALL_NEW_PGTABLE, SECOND)
    script.call(L.LHCALL_FLUSH_TLB, 1)
    remember(script)
    entry(script, DIRECTORY, INDEX, None)
    return Way(script, [(L.LHCALL_NEW_PGTABLE, DIRECTORY)])


def before_the_last() -> Way:
    """The cache has two places."""
    script = start()
    entry(script, DIRECTORY, NEXT, OTHER_TABLE)
    script.touch(NEXT << 22)
    remember(script)
    script.call(L.LHCALL_SET_PTE, DIRECTORY, NEXT << 22, MARKED | USED)
    entry(script, DIRECTORY, INDEX, None)
    return Way(script, [(L.LHCALL_SET_PGD, DIRECTORY, INDEX)])


def set_pte_of_its_holder() -> Way:
    """A SET_PTE looks at the directory first; the other place of the cache found the table without one."""
    script = start(NEXT)
    copy_directory(script, HOLDER)
    entry(script, HOLDER, INDEX, TABLE)
    remember(script, HOLDER)
    entry(script, DIRECTORY, NEXT, None)
    return Way(script, [(L.LHCALL_SET_PTE, DIRECTORY, NEXT << 22, 0)], HOLDER)


def page_fault() -> Way:
    """One that finds another table than the shadow has."""
    script = start()
    remember(script)
    entry(script, DIRECTORY, INDEX, OTHER_TABLE)
    script.store(OTHER_TABLE + 4 * 9, MARKED | USED)
    return Way(script, [])


def eviction() -> Way:
    script = start()
    for number in range(67):
        copy_directory(script, MORE + 0x1000 * number)
    for number in range(63):
        script.call(L.LHCALL_NEW_PGTABLE, MORE + 0x1000 * number)
    remember(script)
    return Way(script, [(L.LHCALL_NEW_PGTABLE, MORE + 0x1000 * number) for number in range(63, 67)])


WAYS: tuple[Callable[[], Way], ...] = (
    *(set_pgd, another_table, another_table_with_a_shadow, flush_user, flush_all, entered_after_a_flush),
    *(before_the_last, set_pte_of_its_holder, page_fault, eviction),
)


@SWITCHERS
@pytest.mark.parametrize("wrapped", [False, True], ids=["at-once", "wrapped"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_it_dies_with_its_table(engine_name: str, switcher: Switcher, way: Callable[[], Way], wrapped: bool) -> None:
    """In one drain of the ring: at once, and though whatever counts has come round."""
    made, wrap = way(), Wrap()
    script = made.script
    script.store(TABLE + STALE // 4096 * 4, STOLEN | USED)
    stale: Call = (L.LHCALL_SET_PTE, made.directory, ADDRESS + STALE, STOLEN | USED)
    reused: Call = (L.LHCALL_NEW_PGTABLE, SECOND)
    behind = [reused, ASK, (L.LHCALL_SET_PGD, DIRECTORY, 6), stale] if wrapped else [stale, reused]
    if made.calls:
        script.ring([*[ASK] * wrapped, *made.calls, *behind])
    else:
        if wrapped:
            script.ask()
        script.touch(ADDRESS + (9 << 12))
        script.ring(behind)
    harmless(script.run(engine_name, switcher, [wrap.first, wrap.second] if wrapped else []))


@SWITCHERS
@pytest.mark.parametrize("directory", [DIRECTORY, HOLDER], ids=["with-a-shadow", "without"])
def test_behind_set_pgd_it_leads_to_the_table_of_now(engine_name: str, switcher: Switcher, directory: int) -> None:
    script = start()
    copy_directory(script, HOLDER)
    for number in range(2):
        script.store(MARKED + 0x1000 * number, number)
    script.store(OTHER_TABLE, MARKED | USED)
    entry(script, DIRECTORY, NEXT, OTHER_TABLE)
    script.check(NEXT << 22, 0)
    entry(script, directory, INDEX, TABLE)
    remember(script, directory)
    entry(script, directory, INDEX, OTHER_TABLE)
    script.store(OTHER_TABLE, MARKED + 0x1000 | USED)
    script.ring([(L.LHCALL_SET_PGD, directory, INDEX), (L.LHCALL_SET_PTE, directory, ADDRESS, MARKED + 0x1000 | USED)])
    script.check(NEXT << 22, 1)
    harmless(script.run(engine_name, switcher))


def test_the_model_sees_an_entry_where_none_may_be(engine_name: str) -> None:
    seen: list[list[str]] = []

    def spoil(memory: memoryview) -> None:
        assert Modelled.last
        guest = Modelled.last.guest
        shadow = Shadow.read(memory)
        pool = word(memory, objects()["pool"])
        table = next(page for page in shadow.pages if page not in shadow.free and page not in shadow.directories)
        for page in (shadow.free[0], next(iter(shadow.directories)), table):
            copy = memoryview(bytearray(memory))
            copy[pool + 4096 * page + 800 : pool + 4096 * page + 804] = (guest.start | USED).to_bytes(4, "little")
            seen.append(untruths(copy, guest))
        assert not untruths(memory, guest)

    script = start()
    entry(script, DIRECTORY, INDEX, None)
    script.call(L.LHCALL_SET_PGD, DIRECTORY, INDEX)
    script.ask()
    harmless(script.run(engine_name, "lean", [spoil]))
    free, directory, table = seen
    assert any("is not empty" in each for each in free)
    assert any("no table" in each for each in directory)
    assert any("is not marked" in each for each in table)
    assert any("writers" in each for each in table)
