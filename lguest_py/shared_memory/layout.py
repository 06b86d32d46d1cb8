# SPDX-License-Identifier: GPL-2.0-or-later
"""Read and write C structs in memory that is shared with a VM.

The layouts come from the C headers themselves (tools/layouts.py writes _layouts.py).  Each access
is one aligned load or store of the field's size, which is what a word with one writer needs.
Next in the book: mailbox.py.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final, Literal

SIZES: Final = {"B": 1, "H": 2, "I": 4, "Q": 8}
SWAPPED: Final = sys.byteorder == "big"  # the VM is little-endian, always


@dataclass(frozen=True)
class Layout:
    """A struct: its name, size in bytes, and for each field its offset, its count (0: no array) and its kind.

    The kind is a memoryview format letter (B, H, I, Q) or the name of another struct.
    """

    name: str
    size: int
    fields: dict[str, tuple[int, int, str]]


class _Swapped:
    """For a big-endian computer: little-endian words of ``memory``, of memoryview format ``kind``."""

    def __init__(self, memory: memoryview, kind: Literal["H", "I"]) -> None:
        self._words = memory.cast(kind)
        self._size = SIZES[kind]

    def __getitem__(self, index: int) -> int:
        return int.from_bytes(self._words[index].to_bytes(self._size, "big"), "little")

    def __setitem__(self, index: int, value: int) -> None:
        self._words[index] = int.from_bytes(value.to_bytes(self._size, "little"), "big")


def words(memory: memoryview, kind: Literal["H", "I"]) -> memoryview[int] | _Swapped:
    """``memory`` as words of 16 or 32 bits, each read or written by one access; several times faster than a View."""
    return _Swapped(memory, kind) if SWAPPED else memory.cast(kind)


class View:
    """A struct at ``offset`` in ``memory``: ``view["field"]``, ``view["array", index]``."""

    def __init__(self, memory: memoryview, offset: int, layout: Layout) -> None:
        self.layout = layout
        self._memory = memory
        self._offset = offset
        words, halves, longs = layout.size // 4 * 4, layout.size // 2 * 2, layout.size // 8 * 8
        whole = memory[offset : offset + layout.size]
        self._words: dict[str, memoryview[int]] = {
            "B": whole.cast("B"),
            "H": whole[:halves].cast("H"),
            "I": whole[:words].cast("I"),
            "Q": whole[:longs].cast("Q"),
        }

    def _place(self, key: str | tuple[str, int]) -> tuple[memoryview[int], int, str]:
        name, index = key if isinstance(key, tuple) else (key, 0)
        offset, count, kind = self.layout.fields[name]
        if not 0 <= index < max(count, 1):
            raise IndexError(f"{self.layout.name}.{name}[{index}]")
        return self._words[kind], offset // SIZES[kind] + index, kind

    def __getitem__(self, key: str | tuple[str, int]) -> int:
        words, index, kind = self._place(key)
        value = words[index]
        return int.from_bytes(value.to_bytes(SIZES[kind], "big"), "little") if SWAPPED else value

    def __setitem__(self, key: str | tuple[str, int], value: int) -> None:
        words, index, kind = self._place(key)
        words[index] = int.from_bytes(value.to_bytes(SIZES[kind], "little"), "big") if SWAPPED else value

    def bytes(self, name: str) -> memoryview:
        """An array of u8 as a writable memoryview."""
        offset, count, kind = self.layout.fields[name]
        if kind != "B":
            raise TypeError(f"{self.layout.name}.{name} is not an array of bytes")
        return self._memory[self._offset + offset : self._offset + offset + count]

    def sub(self, name: str, layout: Layout, index: int = 0) -> View:
        """A struct within this one; ``layout`` describes it."""
        offset, count, kind = self.layout.fields[name]
        if kind != layout.name or not 0 <= index < max(count, 1):
            raise IndexError(f"{self.layout.name}.{name}[{index}] is not a {layout.name}")
        return View(self._memory, self._offset + offset + index * layout.size, layout)
