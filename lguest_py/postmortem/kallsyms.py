# SPDX-License-Identifier: GPL-2.0-or-later
"""The symbols that a Linux has of itself in its memory (CONFIG_KALLSYMS), for a kernel whose file has none.

The tables have no address that is known from outside, so they are searched by their form.  In memory they follow each
other, each at a multiple of 4:

    addresses, or offsets and their base; the number of symbols; names; markers; token table; token index

(since Linux 6.4 the offsets come last; since 6.2, and in 6.1's updates, the order of the names stands behind the
markers).  A name is its length and that many bytes, each the number of a token; the first letter is the symbol's type.
A marker is the place of every 256th name.  All of it is the Guest's to forge: each table is checked before it is used,
and a wrong one costs a wrong name.
Source: Linux's scripts/kallsyms.c and kernel/kallsyms.c.

Read next: symbols.py.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

from lguest_py.postmortem.memory import Remains
from lguest_py.postmortem.symbols import LONGEST_NAME, SortedSymbols, clean

DIGITS = b"".join(bytes([each, 0]) for each in b"0123456789")  # tokens that are always single letters
SEARCHED = 640 << 20  # bytes of RAM that may hold a kernel
MOST_SYMBOLS = 1 << 19
MOST_FOUND = 64  # places that may be in a token table
MOST_TRIED = 16  # counts that are right, with other names than it says
TOKENS, GROUP = 256, 256
STEP = 4 << 20
LOWEST_BASE = 0x40000000  # of any kernel's virtual addresses
LARGEST_KERNEL = 512 << 20
NAME_ROOM = 256 * 200  # bytes of the names behind the last marker,
MARKER_STEP = NAME_ROOM  # and between two


@dataclass(frozen=True)
class _Tokens:
    start: int  # of the token table
    index_at: int
    texts: tuple[bytes, ...]


def _digits(ram: memoryview, ranges: list[tuple[int, int]]) -> Iterator[int]:
    """Where in RAM the ten tokens stand one behind the other."""
    found = 0
    for low, high in ranges:
        for start in range(low, min(high, SEARCHED), STEP):
            chunk = bytes(ram[start : min(start + STEP + len(DIGITS), high)])
            place = chunk.find(DIGITS)
            while 0 <= place < STEP and found < MOST_FOUND:
                yield start + place
                found += 1
                place = chunk.find(DIGITS, place + 1)


def _tokens(ram: memoryview, digits: int) -> _Tokens | None:
    """The token table around the ten, by the index that must follow it."""
    window = bytes(ram[digits : digits + 8192])
    for at in range(-digits % 4, len(window) - 2 * TOKENS + 1, 4):
        if window[at : at + 2] != b"\0\0":
            continue
        index = struct.unpack_from(f"<{TOKENS}H", window, at)
        start = digits - index[ord("0")]
        if start < 0 or any(low >= high for low, high in pairwise(index)):
            continue
        table = bytes(ram[start : digits + at])
        if len(table) <= index[-1] or any(table[place - 1] for place in index[1:]):
            continue
        return _Tokens(start, digits + at, tuple(table[place:].split(b"\0", 1)[0] for place in index))
    return None


def _markers(ram: memoryview, end: int) -> Iterator[tuple[int, list[int]]]:
    """(where they begin, the markers), for each that may be those of the token table at ``end``.

    They rise from 0, and end there or at a table of 3 bytes for each symbol that ends there.
    """
    low = max(end - 4 * (MOST_SYMBOLS // GROUP) - 3 * MOST_SYMBOLS, 0)
    words = struct.unpack_from(f"<{(end - low) // 4}I", ram, low)
    first = -1
    for place, word in enumerate((*words, 0)):
        if first >= 0 and words[place - 1] < word < words[place - 1] + MARKER_STEP:
            continue
        for count in (place - first, place - first - 1) if first >= 0 else ():  # the last may be of the next table
            rest = 4 * (len(words) - first - count)
            if count >= 1 and (not rest or 3 * GROUP * (count - 1) < rest < 3 * GROUP * count + 4):
                yield low + 4 * first, list(words[first : first + count])
        first = place if not word else -1


def _skip(names: bytes | memoryview, at: int, count: int) -> int:
    """The place behind ``count`` names; -1: they end before."""
    for _ in range(count):
        if at >= len(names):
            return -1
        length = names[at]
        at += 1
        if length & 0x80:  # two bytes, since Linux 6.1
            if at >= len(names):
                return -1
            length = length & 0x7F | names[at] << 7
            at += 1
        at += length
    return at if at <= len(names) else -1


def _names(ram: memoryview, end: int, markers: list[int]) -> tuple[int, int]:
    """(where the names begin, how many they are); (0, 0): nowhere.  ``end`` is where the markers begin."""
    groups, tried = len(markers) - 1, 0
    highest = end - markers[-1] & ~3
    for start in range(highest, max(highest - NAME_ROOM, 4), -4):
        (count,) = struct.unpack_from("<I", ram, start - 4)
        if not groups * GROUP < count <= len(markers) * GROUP:
            continue
        tried += 1
        if tried > MOST_TRIED:
            break
        behind = _skip(ram[start:end], markers[-1], count - groups * GROUP)
        if 0 <= behind <= end - start < behind + 4 and (not groups or _skip(ram[start:end], 0, GROUP) == markers[1]):
            return start, count
    return 0, 0


def _offsets(ram: memoryview, at: int, base_at: int, count: int) -> list[int] | None:
    if at < 0 or max(at + 4 * count, base_at + 4) > len(ram):
        return None
    offsets = struct.unpack_from(f"<{count}I", ram, at)
    (base,) = struct.unpack_from("<I", ram, base_at)
    if base < LOWEST_BASE or max(offsets) >= LARGEST_KERNEL or bisect_left(offsets, max(offsets)) < count // 2:
        return None
    return [base + offset & 0xFFFFFFFF for offset in offsets]


def _addresses(ram: memoryview, names: int, count: int, behind: int) -> list[int] | None:
    """In each of the three forms; ``behind``: the end of the token index."""
    before = names - 4  # of the number of symbols
    for at, base in ((before - 4 - 4 * count, before - 4), (behind, behind + 4 * count)):
        if found := _offsets(ram, at, base, count):
            return found
    at = before - 4 * count
    if at < 0:
        return None
    absolute = list(struct.unpack_from(f"<{count}I", ram, at))
    return absolute if absolute[count // 2] >= LOWEST_BASE else None


def _found(ram: memoryview, tokens: _Tokens) -> SortedSymbols | None:
    for markers_at, markers in islice(_markers(ram, tokens.start & ~3), MOST_TRIED):
        start, count = _names(ram, markers_at, markers)
        if 0 < count <= MOST_SYMBOLS:
            break
    else:
        return None
    addresses = _addresses(ram, start, count, tokens.index_at + 2 * TOKENS)
    if not addresses:
        return None
    names = bytes(ram[start:markers_at])

    def text(number: int) -> str:
        at = _skip(names, markers[number // GROUP], number % GROUP)
        if not 0 <= at < len(names):
            return ""
        length = names[at]
        body = at + 1
        if length & 0x80 and body < len(names):
            length, body = length & 0x7F | names[body] << 7, body + 1
        letters = b"".join(tokens.texts[each] for each in names[body : body + min(length, LONGEST_NAME)])
        return clean(letters[1:])

    return SortedSymbols(((address, 0, number) for number, address in enumerate(addresses)), text)


def kallsyms(remains: Remains) -> SortedSymbols | None:
    """The symbols of the Linux in this memory; None where there are none."""
    ram = remains.ram
    for digits in _digits(ram, list(remains.ram_touched())):
        tokens = _tokens(ram, digits)
        if tokens and (found := _found(ram, tokens)):
            return found
    return None
