# SPDX-License-Identifier: GPL-2.0-or-later
"""A flame graph of the Guest's kernel: each sample is a stack of functions, and equal beginnings are one box.

A box's width is the share of samples in which the function was on the stack; the order from left to right is that of
names, not of time.  What is no function of the kernel has a box, too: programs, the Host kernel's work for the Guest,
addresses without a name.  So the widths are shares of all samples, and the picture says how much is not known.
Read before: stream.py, names.py.  Read next: flame_picture.py.
"""

from __future__ import annotations

from collections import Counter
from typing import BinaryIO

from lguest_py.shared_memory.mailbox import vector_name
from lguest_py.trace.flame_picture import draw
from lguest_py.trace.names import Names
from lguest_py.trace.stream import Facts, Item, Lost, Sample, Switch
from lguest_py.trace.text import guest_name

PROGRAMS, UNKNOWN, KERNEL = "[programs]", "[unknown]", "[kernel]"
Stack = tuple[str, ...]  # the outermost first


class Flame:
    """An Output that draws to ``picture``, and lists the stacks in ``folded``, at its end."""

    def __init__(self, names: Names, picture: BinaryIO | None, folded: BinaryIO | None) -> None:
        self._names, self._picture, self._folded = names, picture, folded
        self.stacks: Counter[Stack] = Counter()
        self.frames = self.unknown = 0  # of the kernel's
        self._title = ""
        self._busy_ns = 0
        self.lost = 0

    def _frame(self, address: int) -> str:
        self.frames += 1
        name = self._names.function(address)
        if not name:
            self.unknown += 1
        return name or UNKNOWN

    def _stack(self, sample: Sample) -> Stack:
        if sample.ring == 3:
            found: Stack = (PROGRAMS,)
        else:
            innermost, *callers = sample.addresses
            # A return address may be that of the next function, behind a call that does not return.
            found = KERNEL, *(self._frame(each - 1) for each in reversed(callers)), self._frame(innermost)
        return (*found, f"[Host kernel: {vector_name(sample.vector)}]") if sample.host else found

    def take(self, item: Item) -> None:
        """See Output."""
        if isinstance(item, Sample):
            if item.addresses:
                self.stacks[self._stack(item)] += 1
        elif isinstance(item, Switch):
            self._busy_ns += item.guest_ns + (item.host_ns or 0)
            self.lost += item.lost
        elif isinstance(item, Lost):
            self.lost += item.records
        elif isinstance(item, Facts):
            self._title = guest_name(item.values)

    def summary(self) -> str:
        """What the samples are, in a line."""
        number = self.stacks.total()
        rate = number * 1e9 / max(self._busy_ns, 1)
        share = 100 * self.unknown / self.frames if self.frames else 0
        text = f"{number:,} samples, {rate:,.0f} a second of work; {share:.1f}% of the kernel's frames are unknown"
        return text + (f"; {self.lost:,} records lost" if self.lost else "")

    def end(self) -> None:
        """See Output."""
        if self._folded:
            lines = (f"{';'.join(each.replace(';', ':') for each in stack)} {count}\n" for stack, count in
                     sorted(self.stacks.items()))  # fmt: skip
            self._folded.write("".join(lines).encode())
        if self._picture:
            self._picture.write(draw(self.stacks, self._title, self.summary()).encode())
