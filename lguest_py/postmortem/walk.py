# SPDX-License-Identifier: GPL-2.0-or-later
"""Page tables in memory, read as the processor reads them: one address, or all that they map.

Both forms: two levels with pages of 4 KiB and 4 MiB, and PAE with 4 KiB and 2 MiB.  A walk reads at most three entries,
and all of a directory is at most a million.  Source: Intel SDM vol. 3, 4.3 and 4.4.

Read next: memory.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

PAGE = 4096
PRESENT, WRITABLE, USER, LARGE = 1, 2, 4, 0x80
NX = 1 << 63
ADDRESS = 0x000F_FFFF_FFFF_F000  # of an entry of PAE
BEYOND = "beyond the memory"


@dataclass(frozen=True)
class Level:
    """One entry on the way: of which table, at which physical address, and its value."""

    table: str
    at: int
    entry: int


@dataclass(frozen=True)
class Walk:
    """The translation of one address.  ``physical`` is None where ``why`` says what is missing."""

    address: int
    levels: tuple[Level, ...]
    physical: int | None
    why: str = ""
    page: int = PAGE
    writable: bool = False
    user: bool = False
    executable: bool = True


@dataclass(frozen=True)
class Run:
    """``length`` bytes at a virtual address that lie one behind the other in physical memory, too."""

    virtual: int
    physical: int
    length: int


@dataclass(frozen=True)
class Tables:
    """Page tables in ``memory``, whose first byte is physical address 0.

    ``root`` is what CR3 holds; None: paging is off, and a virtual address is the physical one.  ``large``: without PAE,
    whether a directory entry may map 4 MiB.
    """

    memory: memoryview
    root: int | None
    pae: bool
    large: bool = True

    def _entry(self, table: int, index: int) -> tuple[int, int | None]:
        """Where an entry is, and its value; None: beyond the memory."""
        size = 8 if self.pae else 4
        at = table + index * size
        if at + size > len(self.memory):
            return at, None
        return at, int.from_bytes(self.memory[at : at + size], "little")

    def _steps(self, address: int) -> tuple[tuple[str, int], ...]:
        if self.pae:
            return (
                ("page directory pointer table", address >> 30),
                ("page directory", address >> 21 & 511),
                ("page table", address >> 12 & 511),
            )
        return ("page directory", address >> 22), ("page table", address >> 12 & 1023)

    def walk(self, address: int) -> Walk:
        """Translate ``address``."""
        address &= 0xFFFFFFFF
        if self.root is None:
            inside = address < len(self.memory)
            return Walk(address, (), address if inside else None, "" if inside else BEYOND, PAGE, True, True)
        table = self.root & (~31 if self.pae else ~(PAGE - 1)) & 0xFFFFFFFF
        levels: list[Level] = []
        rights, executable, page = WRITABLE | USER, True, PAGE
        for number, (name, index) in enumerate(self._steps(address)):
            at, entry = self._entry(table, index)
            if entry is None:
                return Walk(address, tuple(levels), None, f"the {name} is {BEYOND}")
            levels.append(Level(name, at, entry))
            if not entry & PRESENT:
                return Walk(address, tuple(levels), None, "not present")
            pointers = self.pae and number == 0  # without rights of its own
            rights &= WRITABLE | USER if pointers else entry
            executable &= pointers or not (self.pae and entry & NX)
            table = entry & (ADDRESS if self.pae else ~(PAGE - 1))
            if name == "page directory" and entry & LARGE and (self.pae or self.large):
                page = 1 << (21 if self.pae else 22)
                table &= -page
                break
        physical = table + (address & (page - 1))
        there = physical < len(self.memory)
        why = "" if there else BEYOND
        flags = bool(rights & WRITABLE), bool(rights & USER), executable
        return Walk(address, tuple(levels), physical if there else None, why, page, *flags)

    def _table(self, at: int) -> tuple[int, ...]:
        if at + PAGE > len(self.memory):
            return ()
        return struct.unpack_from("<512Q" if self.pae else "<1024I", self.memory, at)

    def _directories(self) -> Iterator[tuple[int, int]]:
        """(the first virtual address, the table) of each page directory."""
        assert self.root is not None
        if not self.pae:
            yield 0, self.root & ~(PAGE - 1)
            return
        for number in range(4):
            _, entry = self._entry(self.root & ~31, number)
            if entry is not None and entry & PRESENT:
                yield number << 30, entry & ADDRESS

    def _pages(self) -> Iterator[Run]:
        shift = 21 if self.pae else 22
        mask = ADDRESS if self.pae else ~(PAGE - 1)
        for first, directory in self._directories():
            for index, entry in enumerate(self._table(directory)):
                if not entry & PRESENT:
                    continue
                virtual = first + (index << shift)
                if entry & LARGE and (self.pae or self.large):
                    yield Run(virtual, entry & mask & -(1 << shift), 1 << shift)
                    continue
                for number, leaf in enumerate(self._table(entry & mask)):
                    if leaf & PRESENT:
                        yield Run(virtual + (number << 12), leaf & mask, PAGE)

    def runs(self) -> Iterator[Run]:
        """All that is mapped to memory, by rising virtual address; neighbours in both are one run."""
        size = len(self.memory)
        if self.root is None:
            yield Run(0, 0, size)
            return
        virtual = physical = length = 0
        for page in self._pages():
            here = min(page.length, size - page.physical)
            if here <= 0:
                continue
            if length and page.virtual == virtual + length and page.physical == physical + length:
                length += here
                continue
            if length:
                yield Run(virtual, physical, length)
            virtual, physical, length = page.virtual, page.physical, here
        if length:
            yield Run(virtual, physical, length)
