# SPDX-License-Identifier: GPL-2.0-or-later
"""A native Guest with PAE that churns its page tables, at random: PDPTs, page directories, tables and entries.

There are more PDPTs than the Host kernel keeps shadows for, and several lead to the same page directories.
Read before: churn_lab.py, hostile_pae.py.  Used by test_shadow_model_pae.py.
"""

from __future__ import annotations

import struct
from random import Random

from hostile_code import ESI, le32, mov, store
from hostile_lab import LONG, harmless, image_of, run_image
from hostile_pae import FIRST, NX, P
from shadow_model import Modelled

from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher

DIRECTORIES, TABLES, TARGETS, POINTERS = 0x400000, 0x440000, 0x4C0000, 0x4F0000
POINTER_COUNT, DIRECTORY_COUNT, TABLE_COUNT, TARGET_COUNT, ENTRY_COUNT = 80, 40, 96, 32, 12
LIST, LIST_END, DONE = 0x500000, 0x700000, 0x3F0000
PARTS, INDICES = (1, 2), range(8, 32)  # of a PDPT; in a page directory
LINKS = 0x67, 0x67, 7, 0x65, 0x63, 0x67 | NX, 0
ENTRIES = 0x67, 0x65, 0x61, 7, 0x167, 3, 0x67 | NX, 0x65 | NX, 0
STORE, CHECK, TOUCH, LOAD, FLUSH, FINISH = range(6)
WRONG = b"\x0f\x0b"  # a trap, at which this Guest powers off


def interpreter() -> bytes:
    """Three words at a time: what to do, an address or a CR3, and a value, in eax, ebx and ecx."""
    code = b"\x8b\x06\x8b\x5e\x04\x8b\x4e\x08\x83\xc6\x0c"
    cases = (
        (STORE, b"\x89\x0b"),
        (CHECK, b"\x39\x0b\x74\x02" + WRONG),
        (TOUCH, b"\x8b\x03"),
        (LOAD, b"\x0f\x22\xdb"),
        (FLUSH, b"\x0f\x01\x3b"),
    )
    for what, does in cases:
        code += b"\x83\xf8" + bytes([what]) + b"\x75" + bytes([len(does) + 5]) + does
        code += b"\xe9" + le32(-(len(code) + 5))
    return mov(ESI, LIST) + code + store(DONE, 1)


class Churn:
    """A list of what to do, and what the Guest's tables hold."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.words: list[int] = []
        self.pointers: dict[tuple[int, int], int] = {}  # PDPT, part: page directory
        self.links: dict[tuple[int, int], int] = {}  # page directory, index: table
        self.entries: dict[tuple[int, int], int] = {}  # table, index: target
        self.current = 0
        for number in range(TARGET_COUNT):
            self.add(STORE, TARGETS + 0x1000 * number, number)
        for number in range(POINTER_COUNT):
            for part in (0, 3):
                self.entry(self.at(number) + 8 * part, FIRST | P)
            self.point(number)
        self.add(LOAD, self.at(0))

    def add(self, what: int, address: int, value: int = 0) -> None:
        self.words += [what, address & 0xFFFFFFFF, value & 0xFFFFFFFF]

    def entry(self, place: int, value: int) -> None:
        """An entry, in halves: the lower one last, as long as the other does not belong to it."""
        self.add(STORE, place, 0)
        self.add(STORE, place + 4, value >> 32)
        self.add(STORE, place, value)

    @staticmethod
    def at(pointers: int) -> int:
        return POINTERS + 32 * pointers

    def point(self, number: int) -> None:
        part, directory = self.random.choice(PARTS), self.random.randrange(DIRECTORY_COUNT)
        gone = self.random.random() < 0.2
        self.entry(self.at(number) + 8 * part, 0 if gone else DIRECTORIES + 0x1000 * directory | P)
        self.pointers.pop((number, part), None)
        if not gone:
            self.pointers[number, part] = directory

    def link(self) -> None:
        r = self.random
        directory, index, table, flags = (
            r.randrange(DIRECTORY_COUNT),
            r.choice(INDICES),
            r.randrange(TABLE_COUNT),
            r.choice(LINKS),
        )
        self.entry(DIRECTORIES + 0x1000 * directory + 8 * index, flags and TABLES + 0x1000 * table | flags)
        self.links.pop((directory, index), None)
        if flags:
            self.links[directory, index] = table

    def page(self) -> None:
        r = self.random
        table, index, target, flags = (
            r.randrange(TABLE_COUNT),
            r.randrange(ENTRY_COUNT),
            r.randrange(TARGET_COUNT),
            r.choice(ENTRIES),
        )
        self.entry(TABLES + 0x1000 * table + 8 * index, flags and TARGETS + 0x1000 * target | flags)
        self.entries.pop((table, index), None)
        if flags:
            self.entries[table, index] = target

    def mapped(self) -> list[tuple[int, int]]:
        """Addresses by the tables of the last load of CR3, and what is there."""
        return [
            (part << 30 | index << 21 | low << 12, self.entries[table, low])
            for part in PARTS
            for index in INDICES
            if (table := self.links.get((self.loaded.get(part, -1), index))) is not None
            for low in range(ENTRY_COUNT)
            if (table, low) in self.entries
        ]

    def load(self, number: int) -> None:
        """From here on all entries must be as they are now, and the PDPT's stay so."""
        self.current = number
        self.loaded = {part: self.pointers[number, part] for part in PARTS if (number, part) in self.pointers}
        self.add(LOAD, self.at(number))
        for address, target in self.random.choices(self.mapped() or [(TARGETS, 0)], k=3):
            self.add(CHECK, address, target)

    def step(self) -> None:
        r = self.random
        for _ in range(2):
            self.link()
        for _ in range(4):
            self.page()
        if r.random() < 0.3:
            self.point(r.choice((self.current, r.randrange(POINTER_COUNT))))
        if r.random() < 0.5:
            self.load(r.choice((self.current, r.randrange(POINTER_COUNT))))
        for address, target in r.choices(self.mapped() or [(TARGETS, 0)], k=2):
            if r.random() < 0.5:
                self.add(TOUCH, address)
            else:
                self.add(FLUSH, address)
                self.add(CHECK, address, target)


def churn(engine_name: str, switcher: Switcher, seed: int, steps: int) -> None:
    made = Churn(seed)
    made.load(0)
    for _ in range(steps):
        made.step()
    made.add(FINISH, 0)
    words = struct.pack(f"<{len(made.words)}I", *made.words)
    assert len(words) <= LIST_END - LIST
    done: list[int] = []

    class Ended(Modelled):
        def _look(self) -> None:
            super()._look()
            done.append(self.memory[self.guest.start + DONE])

    image = image_of("native", interpreter(), more={LIST: words}, pae=True)
    ran = harmless(run_image(engine_name, image, b"", LONG, watched=Ended, switcher=switcher))
    outcome = ran.result.outcome
    assert (outcome.end, done) == (End.POWERED_OFF, [1]), outcome
    assert Modelled.seen[-1] > (32, 32), "it is no test of what it is meant to test"
