# SPDX-License-Identifier: GPL-2.0-or-later
"""A Guest that churns its page tables, at random, with a hypercall for some of the changes.

There are more page directories than the Host kernel keeps shadows for.
Read before: shadow_model.py, script_lab.py.  Used by test_shadow_model.py.
"""

from __future__ import annotations

from random import Random

from hostile_code import DIRECTORY
from hostile_lab import harmless
from script_lab import Look, Script
from shadow_model import Modelled

from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L

DIRECTORIES, TABLES, TARGETS = 0x400000, 0x480000, 0x700000  # each one page
DIRECTORY_COUNT, TABLE_COUNT, TARGET_COUNT, ENTRY_COUNT = 80, 96, 32, 12
USER, KERNEL = range(8, 32), range(800, 808)  # indices in a directory; the kernel's are the same in all
LINKS = 0x67, 0x67, 7, 0x65, 0x63, 0
ENTRIES = 0x67, 0x65, 0x61, 7, 0x167, 3, 0


class Churn:
    """A script, and what the Guest's tables hold."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.script = Script()
        self.links: dict[tuple[int, int], int] = {}  # directory, index: table
        self.entries: dict[tuple[int, int], int] = {}  # table, index: target
        self.current = 0
        for number in range(DIRECTORY_COUNT):
            for index in (0, 1, 768, 769):
                self.script.store(self.at(number) + 4 * index, DIRECTORY + 0x1000 * (1 + index % 256) | 0x67)
        for number in range(TARGET_COUNT):
            self.script.store(TARGETS + 0x1000 * number, number)
        self.script.call(L.LHCALL_NEW_PGTABLE, self.at(0))

    @staticmethod
    def at(directory: int) -> int:
        return DIRECTORIES + 0x1000 * directory

    def link(self) -> None:
        r, script = self.random, self.script
        table, flags = r.randrange(TABLE_COUNT), r.choice(LINKS)
        kernel = r.random() < 0.02
        index = r.choice(KERNEL if kernel else USER)
        told = r.randrange(DIRECTORY_COUNT)
        for directory in range(DIRECTORY_COUNT) if kernel else (told,):
            script.store(self.at(directory) + 4 * index, flags and TABLES + 0x1000 * table | flags)
            self.links.pop((directory, index), None)
            if flags:
                self.links[directory, index] = table
        if r.random() < 0.75:
            script.call(L.LHCALL_SET_PGD, self.at(told), index)

    def entry(self) -> None:
        r, script = self.random, self.script
        table, index, target, flags = (
            r.randrange(TABLE_COUNT),
            r.randrange(ENTRY_COUNT),
            r.randrange(TARGET_COUNT),
            r.choice(ENTRIES),
        )
        value = flags and TARGETS + 0x1000 * target | flags
        script.store(TABLES + 0x1000 * table + 4 * index, value)
        self.entries.pop((table, index), None)
        if flags:
            self.entries[table, index] = target
        holders = [where for where, linked in self.links.items() if linked == table]
        if holders and r.random() < 0.75:
            directory, upper = r.choice(holders)
            script.call(L.LHCALL_SET_PTE, self.at(directory), upper << 22 | index << 12, value)

    def mapped(self) -> list[tuple[int, int]]:
        """Addresses in the current directory, and what is there."""
        linked = [(index, table) for (directory, index), table in self.links.items() if directory == self.current]
        return [
            (index << 22 | low << 12, self.entries[table, low])
            for index, table in linked
            for low in range(ENTRY_COUNT)
            if (table, low) in self.entries
        ]

    def read(self, fresh: bool) -> None:
        for address, target in self.random.choices(self.mapped() or [(TARGETS, 0)], k=3):
            if fresh:
                self.script.check(address, target)
            else:
                self.script.touch(address)

    def step(self) -> None:
        r = self.random
        self.link()
        for _ in range(2):
            self.entry()
        if r.random() < 0.3:
            self.current = r.randrange(DIRECTORY_COUNT)
            self.script.call(L.LHCALL_NEW_PGTABLE, self.at(self.current))
        if r.random() < 0.2:
            everything = r.random() < 0.5
            self.script.call(L.LHCALL_FLUSH_TLB, everything)
            self.read(everything)
        self.read(False)


def churn(engine_name: str, switcher: Switcher, seed: int, steps: int, look: Look | None = None) -> None:
    made = Churn(seed)
    if look:
        made.script.ask()
    for _ in range(steps):
        made.step()
    harmless(made.script.run(engine_name, switcher, [look] if look else []))
    assert Modelled.seen[-1] > (32, 32), "it is no test of what it is meant to test"
