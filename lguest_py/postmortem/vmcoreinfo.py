# SPDX-License-Identifier: GPL-2.0-or-later
"""VMCOREINFO, what a Linux with CONFIG_CRASH_CORE says of itself to readers of its cores: version, addresses, layouts.

The kernel keeps it in its memory as an ELF note, ready for a kdump.  Where that is no symbol says, for kallsyms has no
data in most kernels, so it is searched by its form.  A program of the Guest can have a copy, of this kernel or of
another one: the one that is right about where the kernel's version is comes first.  All of it is the Guest's to forge,
and tells only about this Guest.
Source: Linux's Documentation/admin-guide/kdump/vmcoreinfo.rst, kernel/crash_core.c.

Read next: core.py.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from lguest_py.postmortem.memory import Remains, read_virtual

NAME = b"VMCOREINFO\0"
START = NAME + b"\0OSRELEASE="
HEADER = struct.Struct("<3I")  # bytes of the name, bytes of the text, type
LONGEST = 3 * 4096  # Linux has a page for it
MOST_FOUND = 64  # places that begin like a note
STEP = 4 << 20
LINE = re.compile(rb"[\x20-\x7e]+=[\x20-\x7e]*\n")
NEEDED = re.compile(rb"PAGESIZE=4096\n"), re.compile(rb"SYMBOL\(swapper_pg_dir\)=[0-9a-f]{1,8}\n")  # or drgn refuses
UTS_BYTES = 6 * 65 + 64  # struct uts_namespace begins with a count or two, and then its names


def _places(ram: memoryview, ranges: list[tuple[int, int]]) -> Iterator[int]:
    found = 0
    for low, high in ranges:
        for start in range(low, high, STEP):
            end = min(start + STEP, high)
            chunk = bytes(ram[start : end + len(START)])
            place = chunk.find(START)
            while 0 <= place < end - start and found < MOST_FOUND:
                yield start + place - HEADER.size
                found += 1
                place = chunk.find(START, place + 1)


def _text(ram: memoryview, at: int) -> bytes | None:
    """The text of the note at ``at``, if it is one."""
    if at < 0 or at % 4:
        return None
    name_bytes, count, kind = HEADER.unpack_from(ram, at)
    first = at + HEADER.size + len(NAME) + 1
    if name_bytes != len(NAME) or kind or not 0 < count <= min(LONGEST, len(ram) - first):
        return None
    text = bytes(ram[first : first + count])
    lines = text.splitlines(keepends=True)
    whole = all(any(each.fullmatch(line) for line in lines) for each in NEEDED)
    return text if whole and all(LINE.fullmatch(line) for line in lines) else None


def _is_right(remains: Remains, text: bytes) -> bool:
    """Whether the kernel's version is where the text says."""
    release = re.search(rb"^OSRELEASE=(.+)$", text, re.M)
    names = re.search(rb"^SYMBOL\(init_uts_ns\)=([0-9a-f]{1,8})$", text, re.M)
    if not release or not names:
        return False
    return b"\0" + release[1] + b"\0" in read_virtual(remains.guest, int(names[1], 16), UTS_BYTES)


def vmcoreinfo(remains: Remains) -> bytes:
    """The note as it stands in a core; b"" where this memory has none."""
    texts = {text: None for at in _places(remains.ram, list(remains.ram_touched())) if (text := _text(remains.ram, at))}
    if not texts:
        return b""
    text = next((each for each in texts if _is_right(remains, each)), next(iter(texts)))
    return HEADER.pack(len(NAME), len(text), 0) + NAME + b"\0" + text + bytes(-len(text) % 4)
