# SPDX-License-Identifier: GPL-2.0-or-later
"""Names for addresses, from a symbol table: an ELF's, or that of a kernel in memory (kallsyms.py).

Names come from a file or from the Guest's memory, so they are cut and made printable.  Read next: backtrace.py.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Protocol

LONGEST_NAME = 128
FARTHEST = 0x10000  # from a symbol without a size, an address is no longer in it
SYMBOL = struct.Struct("<IIIBBH")  # name, value, size, info, other, section
NOTYPE, FUNC = 0, 2
UNDEFINED, RESERVED_SECTIONS, ABSOLUTE = 0, 0xFF00, 0xFFF1


class Symbols(Protocol):
    """Where an address is."""

    def at(self, address: int) -> tuple[str, int] | None:
        """The symbol, and the address's offset in it."""


def clean(name: bytes) -> str:
    """A name that may be printed."""
    return "".join(chr(each) if 0x20 < each < 0x7F else "?" for each in name[:LONGEST_NAME])


class SortedSymbols:
    """Symbols by address: (address, size or 0, what ``name`` turns into a name)."""

    def __init__(self, symbols: Iterable[tuple[int, int, int]], name: Callable[[int], str]) -> None:
        self._symbols = sorted(symbols)
        self._addresses = [address for address, _, _ in self._symbols]
        self._name = name

    def __len__(self) -> int:
        return len(self._symbols)

    def named(self, name: str) -> list[int]:
        """The addresses of what is called so."""
        return [address for address, _, key in self._symbols if self._name(key) == name]

    def at(self, address: int) -> tuple[str, int] | None:
        """See Symbols."""
        place = bisect_right(self._addresses, address)
        if not place:
            return None
        start, size, key = self._symbols[place - 1]
        if address - start >= (size or FARTHEST):
            return None
        name = self._name(key)
        return (name, address - start) if name else None


def elf_symbols(symtab: bytes, strtab: bytes) -> SortedSymbols:
    """The functions and labels of an ELF's symbol table (lguest_py/images/symbols.py reads the two sections)."""
    found = []
    for name, value, size, info, _, section in SYMBOL.iter_unpack(symtab[: len(symtab) // SYMBOL.size * SYMBOL.size]):
        if info & 15 in (NOTYPE, FUNC) and name and UNDEFINED < section < RESERVED_SECTIONS:
            found.append((value, size, name))

    def text(offset: int) -> str:
        return clean(strtab[offset : offset + LONGEST_NAME].split(b"\0", 1)[0])

    return SortedSymbols(found, text)


def described(symbols: Symbols | None, address: int) -> str:
    """``name+0x12``, or "" where there is no name."""
    found = symbols.at(address) if symbols else None
    return f"{found[0]}+{found[1]:#x}" if found else ""
