# SPDX-License-Identifier: GPL-2.0-or-later
"""The memory of a machine that has ended, while it is still there.

Read next: postmortem.py, core.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lguest_py.postmortem.walk import PAGE, Tables
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import Layout


def word_at(memory: memoryview, address: int, otherwise: int) -> int:
    """A word whose address the Host kernel left; ``otherwise`` if it left none, or none that can be."""
    if not 0 < address <= len(memory) - 4:
        return otherwise
    return int.from_bytes(memory[address : address + 4], "little")


def struct_at(memory: memoryview, address: int, layout: Layout) -> dict[str, int]:
    """The words of a struct whose address it left, without arrays and structs in it; {} as above."""
    if not 0 < address <= len(memory) - layout.size:
        return {}
    words = {name: offset for name, (offset, count, kind) in layout.fields.items() if kind == "I" and not count}
    return {name: word_at(memory, address + offset, 0) for name, offset in words.items()}


def read_virtual(tables: Tables, address: int, count: int) -> bytes:
    """Up to ``count`` bytes at a virtual address: as far as memory is mapped there."""
    found = bytearray()
    while len(found) < count and address + len(found) < 1 << 32:
        at = address + len(found)
        physical = tables.walk(at).physical
        if physical is None:
            break
        part = tables.memory[physical : physical + min(count - len(found), PAGE - at % PAGE)]
        if not len(part):
            break
        found += part
    return bytes(found)


@dataclass(frozen=True)
class Remains:
    """The machine's memory, and where the Guest's is in it.

    ``touched``: the ranges of the machine's memory that may be other than zero.
    """

    memory: memoryview
    guest_base: int
    guest_bytes: int  # of RAM
    device_bytes: int  # of the pages behind it that the Guest may map too
    pae: bool
    registers: dict[str, int]  # the Guest's at its last exit; empty: it never ran
    directory: int  # Guest-physical, or LINEAR_MAP
    shadow: int  # VM-physical, or 0: there is none
    touched: tuple[tuple[int, int], ...]
    large: bool = True  # whether the Guest's page directory may map large pages

    @property
    def ram(self) -> memoryview:
        """The Guest's RAM."""
        return self.memory[self.guest_base : self.guest_base + self.guest_bytes]

    @property
    def guest(self) -> Tables:
        """The Guest's own page tables."""
        end = self.guest_base + self.guest_bytes + self.device_bytes
        root = None if self.directory == L.LINEAR_MAP else self.directory
        return Tables(self.memory[self.guest_base : end], root, self.pae, self.large)

    @property
    def shadows(self) -> Tables | None:
        """The shadow page tables, whose addresses are VM-physical."""
        return Tables(self.memory, self.shadow, self.pae) if self.shadow else None

    def ram_touched(self) -> Iterable[tuple[int, int]]:
        """The ranges of RAM that may be other than zero, Guest-physical."""
        for start, end in self.touched:
            low, high = max(start - self.guest_base, 0), min(end - self.guest_base, self.guest_bytes)
            if low < high:
                yield low, high
