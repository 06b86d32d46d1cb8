# SPDX-License-Identifier: GPL-2.0-or-later
"""Check the Host kernel's bookkeeping of its shadow page tables from outside, in the machine's memory.

How often each table is pointed to, which entries are in use, that free pages are empty, how many entries let a frame be
written, and that no entry leads elsewhere than to the Guest's memory.  The layouts come from the debug information.

Read before: host_kernel/memory/shadow.h; hostile_lab.py.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

from hostile_lab import DATA_PAGES, LOW, NX_BIT, RW, P, Watched, form, leads_to, symbols, word

from lguest_py.engines.base import Engine
from lguest_py.launcher.vm_memory import PAGE, built
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View

NO_FRAME, TABLE_FRAMES, FRAME_DIRTY = 0xFFFFFFFF, 0x100000, 0x80000000
NAMES = "shadow_page", "shadow_directory", "guest"


@cache
def layouts(pae: bool = False) -> dict[str, tuple[int, dict[str, int]]]:
    """Of the Host kernel's own structs, by name: their size, and where each member is."""
    from elftools.elf.elffile import ELFFile

    found: dict[str, tuple[int, dict[str, int]]] = {}
    with built(form(pae).elf).open("rb") as file:
        elf: Any = ELFFile(file)
        for unit in elf.get_dwarf_info().iter_CUs():
            for entry in unit.iter_DIEs():
                name = entry.attributes.get("DW_AT_name")
                if entry.tag != "DW_TAG_structure_type" or not name or name.value.decode() not in NAMES:
                    continue
                members = {
                    each.attributes["DW_AT_name"].value.decode(): each.attributes["DW_AT_data_member_location"].value
                    for each in entry.iter_children()
                }
                found[name.value.decode()] = entry.attributes["DW_AT_byte_size"].value, members
            if len(found) == len(NAMES):
                break
    return found


@cache
def objects() -> dict[str, int]:
    """Where the Host kernel's variables of 4 bytes are."""
    from elftools.elf.elffile import ELFFile

    with built("host_kernel.elf").open("rb") as file:
        elf: Any = ELFFile(file)
        table = elf.get_section_by_name(".symtab")
        kind = "STT_OBJECT"
        wanted = [each for each in table.iter_symbols() if each["st_info"]["type"] == kind and each["st_size"] == 4]
        return {each.name: each["st_value"] for each in wanted}


@dataclass(frozen=True)
class Page:
    """A page of the pool."""

    frame: int
    references: int
    next: int
    used: list[int]
    entries: tuple[int, ...]

    def unmarked(self) -> list[int]:
        """Entries that are there, and that the bits do not tell of."""
        return [
            index for index, entry in enumerate(self.entries) if entry and not self.used[index // 32] >> index % 32 & 1
        ]


@dataclass
class Shadow:
    """All of it."""

    pages: dict[int, Page] = field(default_factory=dict)
    directories: dict[int, tuple[int, int]] = field(default_factory=dict)  # page -> the Guest's address, which part
    free: list[int] = field(default_factory=list)

    @classmethod
    def read(cls, memory: memoryview, pae: bool = False) -> Shadow:
        """As it is now.  The machine must stand still."""
        at, shadow, has = symbols(pae), cls(), form(pae)
        size, where = layouts(pae)["shadow_page"]
        first, pool = word(memory, at["pages"]), word(memory, at["pool"])
        for number in range(1, word(memory, at["fresh"])):
            start = first + size * number
            (references,) = struct.unpack_from("<I" if pae else "<H", memory, start + where["references"])
            (following,) = struct.unpack_from("<H", memory, start + where["next"])
            used = list(struct.unpack_from(f"<{has.entries // 32}I", memory, start + where["used"]))
            entries = has.table(memory, pool + PAGE * number)
            shadow.pages[number] = Page(word(memory, start + where["frame"]), references, following, used, entries)
        size, where = layouts(pae)["shadow_directory"]
        for number in range(64):
            start = at["shadow_directories"] + size * number
            pages = struct.unpack_from(f"<{has.pages}H", memory, start + where["page"])
            for part, page in enumerate(pages if pages[0] else ()):  # else the slot is free, and the others are old
                shadow.directories[page] = word(memory, start + where["guest"]), part
        (page,) = struct.unpack_from("<H", memory, at["free_list"])
        while page in shadow.pages and page not in shadow.free:
            shadow.free.append(page)
            page = shadow.pages[page].next
        if page:
            shadow.free.append(page)
        return shadow


def untruths(memory: memoryview, guest: range, pae: bool = False) -> list[str]:
    """What is not as it must be; ``guest`` is the Guest's memory (VM-physical)."""
    at, shadow, has = symbols(pae), Shadow.read(memory, pae), form(pae)
    pool, absent = word(memory, at["pool"]), at["absent_page"]
    wrong: list[str] = []
    pointed: Counter[int] = Counter()
    writers: Counter[int] = Counter()
    free = set(shadow.free)
    if len(free) != len(shadow.free) or not free <= shadow.pages.keys():
        wrong.append("the list of free pages loops, or leads away")
    for page, (guest_address, part) in shadow.directories.items():
        entries = shadow.pages[page].entries
        own = has.switcher % has.entries if part == has.pages - 1 else has.entries  # up to the Switcher's
        if page in free:
            wrong.append(f"page {page} of directory {guest_address:#x} is free")
        if own < has.entries and entries[own] & ~0xFFF != at["guest_switcher_table"]:
            wrong.append(f"directory {guest_address:#x} has no Switcher")
        for index, entry in enumerate(entries[:own]):
            if not entry:
                continue
            table = ((entry & LOW) - pool) // PAGE
            known = shadow.pages.get(table)
            if known is None or table in shadow.directories or table in free or known.frame == NO_FRAME:
                wrong.append(f"directory {guest_address:#x} entry {index:#x} is {entry:#x}: no table")
            pointed[table] += 1
    for number, page_ in shadow.pages.items():
        if number in free:
            if any(page_.entries):
                wrong.append(f"free page {number} is not empty")
            continue
        wrong += [f"page {number}: entry {index:#x} is not marked" for index in page_.unmarked()]
        if number in shadow.directories:
            continue
        if page_.frame == NO_FRAME:
            wrong.append(f"page {number} is lost")
        if page_.references != pointed[number]:
            wrong.append(f"table {page_.frame:#x} has {page_.references} references, and {pointed[number]} lead there")
        for index, entry in enumerate(page_.entries):
            if entry & P and not leads_to(entry, guest) and entry & ~NX_BIT & ~0xFFF != absent:
                wrong.append(f"table {page_.frame:#x} entry {index:#x} is {entry:#x}: not the Guest's memory")
            if entry & RW and leads_to(entry, guest):
                writers[((entry & LOW) - guest.start) // PAGE] += 1
    return wrong + _writers(memory, writers, guest.start, pae)


def _writers(memory: memoryview, counted: Counter[int], base: int, pae: bool) -> list[str]:
    """Where the Host kernel counts other ways to write to a frame than there are."""
    at = symbols(pae)
    first, count = word(memory, at["writers"]), word(memory, at["writers_count"])
    data = word(memory, at["guest"] + layouts(pae)["guest"][1]["data"])
    for frame in range((data - base) // PAGE, (data - base) // PAGE + 2) if data else ():
        counted[frame] += 2  # the Host kernel writes to lguest_data
    own = word(memory, at["guest_switcher_table"] + form(pae).size * DATA_PAGES[0])
    if own & RW and not data:  # a native Guest's GDT: the Switcher reaches it by a way of its own
        counted[(own - base) // PAGE] += 2
    for frame in range(word(memory, L.MACHINE_ADDRESS + L.MACHINE.fields["guest_bytes"][0]) // PAGE, count):
        counted[frame] += 2  # the Launcher writes to device pages
    kept = struct.unpack_from(f"<{count}I", memory, first)
    return [
        f"frame {frame:#x} has {each & ~FRAME_DIRTY} writers, and {counted[frame]} entries lead there"
        for frame, each in enumerate(kept)
        if each & ~FRAME_DIRTY != counted[frame]
    ]


class Modelled(Watched):
    """An engine whose shadow page tables are looked at too, if the Host kernel, which changes them, ended it."""

    last: ClassVar[Modelled | None] = None
    seen: ClassVar[list[tuple[int, int]]] = []  # directories and tables, of each one that was looked at

    def __init__(self, engine: Engine, guest: range) -> None:
        super().__init__(engine, guest)
        Modelled.last = self

    def _look(self) -> None:
        super()._look()
        at = symbols(self.pae)["state_page"]
        ended = View(self.memory, L.MAILBOX_ADDRESS, L.MAILBOX)["end_kind"]
        if ended and View(self.memory, at, L.LGUEST_STATE)["guest_cr3"]:
            shadow = Shadow.read(self.memory, self.pae)
            tables = len(shadow.pages) - len(shadow.free) - len(shadow.directories)
            Modelled.seen.append((len(shadow.directories), tables))
            self.wrong += untruths(self.memory, self.guest, self.pae)
