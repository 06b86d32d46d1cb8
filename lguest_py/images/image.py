# SPDX-License-Identifier: GPL-2.0-or-later
"""Image: a Guest kernel as segments of Guest-physical memory and an entry point, whatever its file format.

Read next: lguest_py/images/__init__.py, which detects the format.
Next in the book: support.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lguest_py.errors import ImageError
from lguest_py.files.inputs import printable

MIB = 1 << 20
MARGIN = 4 * MIB  # for the kernel's page tables
MEMORY_STEP = 16 * MIB  # suggested sizes are multiples of this
RESERVED_LOW = 0x2000  # boot_params and the command line (boot_params.py)
ENTRIES = 1024  # of a page table
TABLE_SPAN = 4 * MIB  # what a page table maps
KERNEL_ADDRESS = 0xC0000000  # the usual virtual address of physical 0
HIGHEST = 0xC0000000  # Guest-physical: the limit of a Guest's RAM
WANTED = "a 32-bit Linux, 2.6.32 or newer"
Personality = Literal["lguest", "native"]  # what the Guest relies on: hypercalls, or a PC


def first_mapping(end: int, offset: int) -> int:
    """Guest-physical end of what a Linux with lguest support maps at its entry, before it knows its RAM.

    It maps up to its own ``end`` and the page tables for all addresses from ``offset`` on, in whole page tables.  Then
    it removes what is not RAM, by a call that fails in lguest (set_pte_at without an mm), before it can print anything.
    """
    return -(-(end + ((1 << 32) - offset) // ENTRIES) // TABLE_SPAN) * TABLE_SPAN


def suggestion(end: int) -> str:
    """The ``--memory`` option whose RAM includes Guest-physical ``end`` and MARGIN bytes."""
    return f"--memory {-(-(end + MARGIN) // MEMORY_STEP) * MEMORY_STEP // MIB}M"


@dataclass(frozen=True)
class Segment:
    """``size`` bytes at Guest-physical ``address``: ``data``, then zeros."""

    address: int
    data: memoryview | bytes
    size: int

    @property
    def end(self) -> int:
        """The Guest-physical address of the first byte after it."""
        return self.address + self.size


@dataclass(frozen=True)
class Image:
    """A Guest kernel that was read and checked and can be loaded into a Guest's RAM."""

    path: str
    kind: str  # "ELF", "bzImage" (its own decompressor runs in the Guest) or "bzImage (unpacked)"
    entry: int  # Guest-physical address of the first instruction
    segments: tuple[Segment, ...]
    setup_header: bytes  # of a bzImage, from offset 0x1F1, which is also its offset in boot_params; else b""
    version: str | None  # "3.18.24 (…)"; None: not Linux, or not known
    generation: int  # of lguest's devices: 1 up to Linux 3.19 and when unknown, 2 from 4.0
    reserve: int = 0  # Guest-physical end of the memory that its own decompressor needs, or 0
    mapped: int = 0  # Guest-physical end of what it maps at its entry and must be RAM, or 0
    personality: Personality = "lguest"
    expects_tables: bool = False  # the Host has to make its first page tables: lguest up to Linux 3.0
    pae: bool = False  # it will use page tables of three levels (a guess for one whose payload cannot be inspected)
    note: str = ""  # one line for the user, or ""
    symbols: tuple[bytes, bytes] | None = None  # .symtab and .strtab of an ELF that has them

    @property
    def end(self) -> int:
        """The Guest-physical end of the memory that the kernel needs; an initrd must be above it."""
        return max([self.reserve, *(segment.end for segment in self.segments)])

    def load(self, ram: memoryview) -> None:
        """Copy the segments into ``ram``: writable zeroed bytes from Guest-physical 0.

        Raises ImageError, with the memory needed, when they do not fit.
        """
        needed = max(self.end, self.mapped)
        if needed > len(ram):
            raise ImageError(
                f"{printable(self.path)} needs memory up to {-(-needed // MIB)}M, "
                f"but the Guest has {len(ram) // MIB}M: use {suggestion(needed)}"
            )
        for segment in self.segments:
            ram[segment.address : segment.address + len(segment.data)] = segment.data
