# SPDX-License-Identifier: GPL-2.0-or-later
"""Who called whom, from a stack: by the chain of frame pointers, then by what looks like a return address.

Most code keeps no frame pointers.  So each word of the stack behind the chain is taken for a return address if it has a
name and a call stands before it; such frames may be stale, and are marked.  Read next: postmortem.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from lguest_py.postmortem.memory import read_virtual
from lguest_py.postmortem.symbols import Symbols, described
from lguest_py.postmortem.walk import Tables

MOST = 24  # frames
STACK_BYTES = 8192  # a stack is searched up to a multiple of this, where one of Linux's kernel ends
NEAR = 0x10000  # a frame pointer leads no farther up than this


@dataclass(frozen=True)
class Frame:
    """``found``: "eip", "frame pointer", or "stack", which is a guess."""

    address: int
    symbol: str  # name+offset, or ""
    found: str


def _after_call(tables: Tables, address: int) -> bool:
    """Whether a call instruction ends at ``address``: e8 with 4 bytes, or ff /2 in one of its lengths."""
    data = read_virtual(tables, address - 7, 7) if address >= 7 else b""
    if len(data) < 7:
        return False
    if data[-5] == 0xE8:
        return True
    return any(data[-length] == 0xFF and data[1 - length] >> 3 & 7 == 2 for length in (2, 3, 4, 6, 7))


def _chain(tables: Tables, ebp: int, esp: int) -> Iterator[tuple[int, int]]:
    """(return address, where its frame ends) by frame pointers, which must rise."""
    low = esp
    while low <= ebp < low + NEAR and ebp % 4 == 0:
        data = read_virtual(tables, ebp, 8)
        if len(data) < 8:
            return
        following, address = struct.unpack("<II", data)
        yield address, ebp + 8
        low, ebp = ebp + 8, following


def backtrace(tables: Tables, registers: dict[str, int], symbols: Symbols | None) -> tuple[Frame, ...]:
    """At most MOST frames, the innermost first.  Stacks and code are flat from 0."""
    frames = [Frame(registers["eip"], described(symbols, registers["eip"]), "eip")]
    esp = registers["esp"]
    searched = esp & ~3
    for address, end in _chain(tables, registers["ebp"], esp):
        if len(frames) == MOST or not _after_call(tables, address):
            break
        frames.append(Frame(address, described(symbols, address), "frame pointer"))
        searched = end
    if symbols is None:
        return tuple(frames)
    stack = read_virtual(tables, searched, STACK_BYTES - searched % STACK_BYTES)
    for (address,) in struct.iter_unpack("<I", stack[: len(stack) & ~3]):
        if len(frames) == MOST:
            break
        if (symbol := described(symbols, address - 1)) and _after_call(tables, address):
            frames.append(Frame(address, described(symbols, address) or symbol, "stack"))
    return tuple(frames)
