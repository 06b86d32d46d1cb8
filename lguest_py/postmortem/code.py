# SPDX-License-Identifier: GPL-2.0-or-later
"""The instructions around an address: disassembled where the library iced-x86 is installed, else as bytes.

A disassembly backwards is a guess, since instructions differ in length: it begins at a symbol, or where it arrives at
the address.  Read next: backtrace.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lguest_py.postmortem.memory import read_virtual
from lguest_py.postmortem.walk import PAGE, Tables

BEFORE, AFTER = 40, 40  # bytes
SHOWN_BEFORE, SHOWN_AFTER = 5, 6  # instructions


@dataclass(frozen=True)
class Instruction:
    """One instruction; ``text`` is in the syntax of GNU as."""

    address: int
    data: bytes
    text: str


@dataclass(frozen=True)
class Code:
    """``data`` from ``start`` on, with ``address`` in it; no instructions without the library."""

    address: int
    start: int
    data: bytes
    instructions: tuple[Instruction, ...] = ()


def _library() -> Any:
    try:
        import iced_x86
    except ImportError:
        return None
    return iced_x86


def _decoded(library: Any, data: bytes, start: int) -> list[tuple[int, int, Any]]:
    """(address, length, instruction or None for no instruction) of each."""
    decoder = library.Decoder(32, data, ip=start)
    found = []
    while decoder.can_decode:
        instruction = decoder.decode()
        invalid = instruction.code == library.Code.INVALID
        found.append((instruction.ip32, instruction.len, None if invalid else instruction))
    return found


def _before(library: Any, data: bytes, start: int, address: int, known: int | None) -> list[tuple[int, int, Any]]:
    """The instructions that end at ``address``; none where nothing arrives there."""
    starts = range(start, address)
    for first in [known, *starts] if known is not None and known in starts else starts:
        assert first is not None
        decoded = _decoded(library, data[first - start : address - start], first)
        if decoded and decoded[-1][0] + decoded[-1][1] == address and all(each for _, _, each in decoded):
            return decoded
    return []


def code_around(tables: Tables, address: int, known: int | None = None) -> Code | None:
    """What is at ``address`` and around it; None where nothing is mapped.  ``known``: an instruction starts there."""
    after = read_virtual(tables, address, AFTER)
    if not after:
        return None
    start = max(address - BEFORE, 0)
    before = read_virtual(tables, start, address - start)
    if len(before) < address - start:  # the page before is not there
        start = address & -PAGE
        before = read_virtual(tables, start, address - start)
    data = before + after
    library = _library()
    if library is None:
        return Code(address, start, data)
    formatter = library.Formatter(library.FormatterSyntax.GAS)
    shown = []
    here = _decoded(library, after, address)[:SHOWN_AFTER]
    for at, length, instruction in [*_before(library, before, start, address, known)[-SHOWN_BEFORE:], *here]:
        raw = data[at - start : at - start + length]
        shown.append(Instruction(at, raw, formatter.format(instruction) if instruction else "(bad)"))
    return Code(address, start, data, tuple(shown))
