# SPDX-License-Identifier: GPL-2.0-or-later
"""The symbol table of an ELF kernel, as its raw bytes: they are decoded only if the Guest dies.

Source: System V ABI, chapter 4.  Read next: lguest_py/postmortem/symbols.py.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from lguest_py.errors import ImageError
from lguest_py.files.inputs import read_exactly

SYMTAB = 2  # sh_type
MOST_SECTIONS = 4096
LARGEST = 32 << 20  # bytes of either section: a Linux with all symbols has 4 MiB
SECTION = struct.Struct("<10I")  # name, type, flags, addr, offset, size, link, info, addralign, entsize
HEADER_BYTES = 52
Raw = tuple[bytes, bytes]  # .symtab, .strtab


def _sections(file: BinaryIO, name: str) -> list[tuple[int, ...]]:
    header = read_exactly(file, 0, HEADER_BYTES, name)
    (offset,) = struct.unpack_from("<I", header, 32)
    step, count = struct.unpack_from("<HH", header, 46)
    if not offset or not count or step < SECTION.size or count > MOST_SECTIONS:
        return []
    data = read_exactly(file, offset, step * count, name)
    return [SECTION.unpack_from(data, step * index) for index in range(count)]


def read_symbols(file: BinaryIO, name: str) -> Raw | None:
    """The symbol table of the 32-bit ELF in ``file``; None where it has none that can be read: it runs without."""
    try:
        sections = _sections(file, name)
        for each in sections:
            if each[1] != SYMTAB or each[6] >= len(sections):
                continue
            strings = sections[each[6]]
            if max(each[5], strings[5]) <= LARGEST:
                return read_exactly(file, each[4], each[5], name), read_exactly(file, strings[4], strings[5], name)
    except (ImageError, ValueError, OverflowError):
        pass
    return None
