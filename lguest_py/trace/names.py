# SPDX-License-Identifier: GPL-2.0-or-later
"""Names for the Guest kernel's addresses: from --symbols (a vmlinux or a System.map), or from the Guest's own image.

An image that is an ELF may have a symbol table.  A Linux has one in itself (kallsyms), which is read out of the image
as it would lie in memory; an image that unpacks itself in the Guest shows it only there, so it needs --symbols.
Read before: lguest_py/postmortem/symbols.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property, lru_cache

from lguest_py.errors import ImageError, LguestError, UsageError
from lguest_py.files.inputs import open_regular, printable
from lguest_py.images import open_image
from lguest_py.images.symbols import read_symbols
from lguest_py.postmortem.kallsyms import kallsyms
from lguest_py.postmortem.memory import Remains
from lguest_py.postmortem.symbols import SortedSymbols, Symbols, clean, elf_symbols
from lguest_py.shared_memory._layouts import LINEAR_MAP

MAP_LINE = re.compile(rb"^([0-9a-fA-F]{8,16}) ([A-Za-z?]) (\S+)", re.M)
MAP_TEXT = b"tTwWvV"
LARGEST_MAP = 64 << 20
LARGEST_IMAGE = 512 << 20
KNOWN = 1 << 16  # addresses whose names are kept


def _map_symbols(data: bytes) -> Symbols | None:
    """Those of a System.map, which nm prints."""
    found: list[tuple[int, int, int]] = []
    names: list[bytes] = []
    for match in MAP_LINE.finditer(data):
        if match[2] in MAP_TEXT:
            found.append((int(match[1], 16) & 0xFFFFFFFF, 0, len(names)))
            names.append(match[3])
    return SortedSymbols(found, lambda key: clean(names[key])) if found else None


def from_file(path: str) -> Symbols:
    """Those of --symbols.  Raises UsageError."""
    try:
        file, size = open_regular(path, "give a vmlinux or a System.map")
    except ImageError as error:
        raise UsageError(str(error)) from None
    with file:
        start = file.read(4)
        file.seek(0)
        if start == b"\x7fELF":
            raw = read_symbols(file, path)
            symbols: Symbols | None = elf_symbols(*raw) if raw else None
        else:
            symbols = _map_symbols(file.read(LARGEST_MAP)) if size <= LARGEST_MAP else None
    if symbols is None:
        raise UsageError(f"--symbols {printable(path)} has no symbols: give a vmlinux or a System.map")
    return symbols


def from_image(path: str) -> Symbols | None:
    """Those of the Guest's own image; None where it has none, or is not there any more."""
    try:
        image = open_image(path)
        if image.symbols:
            return elf_symbols(*image.symbols)
        if image.version is None or image.end > LARGEST_IMAGE:
            return None
        ram = memoryview(bytearray(max(image.end, image.mapped)))
        image.load(ram)
    except LguestError:
        return None
    whole = ((0, len(ram)),)
    return kallsyms(Remains(ram, 0, len(ram), 0, False, {}, LINEAR_MAP, 0, whole))


class Names:
    """``load`` gives the symbols, at the first question; None: there are none, and an address has no name."""

    def __init__(self, load: Callable[[], Symbols | None]) -> None:
        self._load = load
        self.function = lru_cache(KNOWN)(self._function)
        self.place = lru_cache(KNOWN)(self._place)

    @cached_property
    def _symbols(self) -> Symbols | None:
        return self._load()

    def _function(self, address: int) -> str:
        """The function that it is in, or ""."""
        found = self._symbols.at(address) if self._symbols else None
        return found[0] if found else ""

    def _place(self, address: int) -> str:
        """``function+0x12``, or ""."""
        found = self._symbols.at(address) if self._symbols else None
        return f"{found[0]}+{found[1]:#x}" if found else ""
