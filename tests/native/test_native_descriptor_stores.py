# SPDX-License-Identifier: GPL-2.0-or-later
"""Stores of a native kernel to descriptors of its GDT: a program finds those that are in the GDT when it is entered.

Most of these stores are done by the Switcher, which tells the Host kernel only where it matters (descriptor_stores.h).
Random ones, in each form of mov, against a GDT that the test keeps; after some of them a program loads a selector and
reads through it.  Sources: Intel SDM vol. 2, 2.1.5; vol. 3, 3.4.5.  Read before: test_native_iret.py.
"""

from __future__ import annotations

from random import Random

import pytest
from hostile_code import DIRECTORY, EAX, EBP, ESP, GDT, PLACES, SCRATCH, le32, mov, push, store
from hostile_lab import image_of
from told_lab import END, FOR_PROGRAMS, FOR_THE_KERNEL, MASK, gates, told

from lguest_py.launcher.vm_memory import Switcher

CODE, BACK, FAULTED = 0x160000, 0x135000, 0x135200  # BACK: where a program's int leads
NEXT, TOLD, MARKS, STACK = SCRATCH, SCRATCH + 0x1000, SCRATCH + 0x2000, SCRATCH + 0x8000
VECTOR, USER_CODE, USER_DATA = 0x30, 0x23, 0x2B
FIRST, ENTRIES, BASES, ROUNDS = 20, 3, 3, 40
FAULT = 0xDEAD
PRESENT = 0x8000


def descriptor(base: int) -> int:
    """A page of data for programs."""
    return 0x0040F30000000FFF | (base & 0xFFFFFF) << 16 | base >> 24 << 56


VALUES = [0, *(descriptor(MARKS + 0x100 * n) for n in range(BASES))]


def move(r: Random, place: int, value: int) -> bytes:
    """A word is stored by a form of mov that kernels use, or by another instruction."""
    form = r.randrange(8)
    if form == 0:
        return store(place, value)
    register, base, index = r.sample([n for n in range(8) if n != ESP], 3)
    load = mov(register, value)
    displacement = r.choice((8, -8, 0x7C, -0x80))

    def modrm(mod: int, rm: int) -> bytes:
        return b"\x89" + bytes([mod << 6 | register << 3 | rm])

    if form == 1:
        return load + b"\x89" + bytes([register << 3 | 5]) + le32(place)
    if form == 2 and base != EBP:
        return load + mov(base, place) + modrm(0, base)
    if form == 3:
        return load + mov(base, place - displacement) + modrm(1, base) + bytes([displacement & 0xFF])
    if form == 4:
        return load + mov(base, place - displacement) + modrm(2, base) + le32(displacement)
    if form == 5:
        sib = bytes([2 << 6 | index << 3 | base])
        return load + mov(base, place - 0x50) + mov(index, 4) + modrm(1, 4) + sib + b"\x40"
    if form == 6:
        return load + mov(index, 8) + modrm(0, 4) + bytes([1 << 6 | index << 3 | 5]) + le32(place - 16)
    return load + mov(ESP, place - 8) + modrm(1, 4) + b"\x24\x08" + mov(ESP, STACK)


def script(r: Random) -> tuple[bytes, list[int], list[int]]:
    """Code, what its programs must find, and what is in the entries at its end."""
    table = [0] * ENTRIES
    code, expected = b"", []

    def put(entry: int, value: int, both: bool = True) -> bytes:
        halves = [0, 1] if both else [r.randrange(2)]
        made = b""
        for half in halves if r.random() < 0.8 else halves[::-1]:
            mask = 0xFFFFFFFF << 32 * half
            table[entry] = table[entry] & ~mask | value & mask
            made += move(r, GDT + 8 * (FIRST + entry) + 4 * half, value >> 32 * half & 0xFFFFFFFF)
        return made

    for _ in range(ROUNDS):
        for entry in range(ENTRIES):
            code += put(entry, r.choice(VALUES), r.random() < 0.9)
        asked = r.randrange(ENTRIES)
        low, high = table[asked] & 0xFFFFFFFF, table[asked] >> 32
        if r.random() < 0.4 or (not low and high & PRESENT):  # a segment of one byte, and QEMU checks no limits
            continue
        found = [n for n in range(1, BASES + 1) if VALUES[n] & 0xFFFFFFFF == low and high & PRESENT]
        expected.append(found[0] if found else FAULT)  # their upper halves are the same
        entering = push(USER_DATA, PLACES["USER_STACK"], 2, USER_CODE, PLACES["USER_SLOTS"]) + b"\xcf"
        before = mov(EAX, (FIRST + asked) << 3 | 3)
        resume = CODE + len(code + before + store(NEXT, 0) + entering)
        code += before + store(NEXT, resume) + entering + b"\xa3" + le32(TOLD + 4 * (len(expected) - 1))
    return code + END, expected, table


@pytest.mark.parametrize("switcher", ["lean", "classic"])
@pytest.mark.parametrize("seed", range(4))
def test_programs_find_what_was_stored(engine_name: str, seed: int, switcher: Switcher) -> None:
    code, expected, table = script(Random(seed))
    marks = b"".join(store(MARKS + 0x100 * n, n + 1) for n in range(BASES))
    handlers = gates({VECTOR: (BACK, FOR_PROGRAMS), 11: (FAULTED, FOR_THE_KERNEL), 13: (FAULTED, FOR_THE_KERNEL)})
    start = MASK + mov(ESP, STACK) + marks + handlers + mov(EAX, CODE) + b"\xff\xe0"
    back = b"\xb9\x18\x00\x00\x00\x8e\xd9\x8e\xc1" + mov(ESP, STACK) + b"\xff\x25" + le32(NEXT)
    program = b"\x8e\xe8\x65\xa1\x00\x00\x00\x00\xcd" + bytes([VECTOR])
    more = {CODE: code, BACK: back, FAULTED: mov(EAX, FAULT) + b"\xe9" + le32(BACK - FAULTED - 10)}
    image = image_of("native", start, program, more)
    (found, words), answered = told(engine_name, switcher, image, (TOLD, len(expected)), (GDT + 8 * FIRST, 2 * ENTRIES))
    assert found == expected
    assert words == [half for value in table for half in (value & 0xFFFFFFFF, value >> 32)]
    assert answered > ROUNDS


@pytest.mark.parametrize("switcher", ["lean", "classic"])
def test_a_page_that_the_kernel_made_read_only_faults(engine_name: str, switcher: Switcher) -> None:
    """The Switcher's own mapping of it stays writable, and must not be used."""
    place, handler = GDT + 8 * FIRST, 0x135000
    entry = DIRECTORY + 0x1000 + 4 * (GDT >> 12)
    value = (
        mov(EAX, VALUES[1] & 0xFFFFFFFF) + b"\xa3" + le32(place) + mov(EAX, VALUES[1] >> 32) + b"\xa3" + le32(place + 4)
    )
    moves = b"".join(
        b"\xb9" + le32(VALUES[1] >> 32 * n & 0xFFFFFFFF) + b"\x89\x0d" + le32(place + 4 * n) for n in (0, 1)
    )
    to_program = push(USER_DATA, PLACES["USER_STACK"], 2, USER_CODE, PLACES["USER_SLOTS"]) + b"\xcf"
    read_only = store(entry, GDT | 0x65) + b"\x0f\x01\x3d" + le32(GDT)
    rest = mov(ESP, STACK) + value + moves * 2 + read_only + b"\xb9\0\0\0\0\x89\x0d" + le32(place) + END
    handlers = gates({VECTOR: (CODE, FOR_PROGRAMS), 14: (handler, FOR_THE_KERNEL)})
    start = MASK + mov(ESP, STACK) + handlers + to_program
    more = {CODE: b"\xb9\x18\0\0\0\x8e\xd9\x8e\xc1" + rest, handler: b"\x58\xa3" + le32(TOLD) + END}
    image = image_of("native", start, b"\xcd" + bytes([VECTOR]), more)
    (words, error), _ = told(engine_name, switcher, image, (place, 2), (TOLD, 1))
    assert words + error == [VALUES[1] & 0xFFFFFFFF, VALUES[1] >> 32, 3]
