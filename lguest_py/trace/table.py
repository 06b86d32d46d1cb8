# SPDX-License-Identifier: GPL-2.0-or-later
"""World switches by cause: how many, and the time that the Host kernel took for them.  --top shows it live.

Read before: causes.py.  Read next: picture.py, which lists the costliest too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lguest_py.trace.causes import cause
from lguest_py.trace.stream import Item, Lost, Switch
from lguest_py.trace.text import duration

EVERY = 1.0  # seconds between two pictures of --top
ALTERNATE, ORDINARY, HOME, TO_END, LINE_END = "\x1b[?1049h", "\x1b[?1049l", "\x1b[H", "\x1b[J", "\x1b[K"
COLUMNS = f"{'switches':>10} {'/s':>8}  {'total':>9} {'mean':>9} {'longest':>9} {'share':>6}  cause"
NARROW_COLUMNS = f"{'switches':>10} {'total':>8} {'share':>6} cause"
WIDE = 72  # columns of a terminal


@dataclass
class Count:
    """Of one cause; times are the Host kernel's, in nanoseconds."""

    number: int = 0
    total: int = 0
    longest: int = 0


@dataclass
class Counts:
    """All that a table needs."""

    causes: dict[str, Count] = field(default_factory=dict)
    guest_ns: int = 0
    host_ns: int = 0
    idle_ns: int = 0
    answered: int = 0
    lost: int = 0
    first_ns: int = -1
    last_ns: int = 0

    def add(self, item: Item) -> None:
        """Count one."""
        if isinstance(item, Lost):
            self.lost += item.records
        if not isinstance(item, Switch):
            return
        count = self.causes.setdefault(cause(item), Count())
        count.number += 1
        host = item.host_ns or 0
        count.total += host
        count.longest = max(count.longest, host)
        self.guest_ns += item.guest_ns
        self.host_ns += host
        self.idle_ns += item.idle_ns or 0
        self.answered += item.answered
        self.lost += item.lost
        if self.first_ns < 0:
            self.first_ns = item.at_ns
        self.last_ns = item.at_ns

    @property
    def number(self) -> int:
        """Of all switches."""
        return sum(each.number for each in self.causes.values())

    def costliest(self) -> list[tuple[str, Count]]:
        """By the time that they took, then by how many they are."""
        return sorted(self.causes.items(), key=lambda pair: (-pair[1].total, -pair[1].number, pair[0]))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def _row(name: str, each: Count, counts: Counts, span: int, narrow: bool) -> str:
    share = _share(each.total, counts.host_ns)
    if narrow:
        return f"{each.number:>10,} {duration(each.total):>8} {share:>6} {name}"
    rate = f"{each.number * 1e9 / span:,.0f}" if counts.number > 1 else "-"
    mean = duration(each.total // each.number)
    times = f"{duration(each.total):>9} {mean:>9} {duration(each.longest):>9}"
    return f"{each.number:>10,} {rate:>8}  {times} {share:>6}  {name}"


def lines(counts: Counts, most: int | None = None, columns: int = WIDE) -> list[str]:
    """The table; ``most``: of so many causes.  In less than WIDE ``columns`` it has fewer of its own."""
    span = max(counts.last_ns - counts.first_ns, 1)
    all_time = counts.guest_ns + counts.host_ns + counts.idle_ns
    parts = ("Guest", counts.guest_ns), ("Host kernel", counts.host_ns), ("idle", counts.idle_ns)
    where = ", ".join(f"{name} {_share(part, all_time)}" for name, part in parts)
    found = [
        f"{counts.number:,} world switches in {duration(span)}; time: {where}" if counts.number else "0 world switches",
        f"{counts.answered:,} traps were answered by the Switcher, without a world switch",
        COLUMNS if columns >= WIDE else NARROW_COLUMNS,
    ]
    found += [_row(name, each, counts, span, columns < WIDE) for name, each in counts.costliest()[:most]]
    if counts.lost:
        found.append(f"{counts.lost:,} records were lost, because who reads was too slow: they are in no count")
    return found


class Table:
    """The table at the end, and before, at a terminal, the live one.  ``size``: its columns and rows."""

    def __init__(self, write: Callable[[str], object], size: Callable[[], tuple[int, int]] | None = None) -> None:
        self.counts = Counts()
        self._write, self._size = write, size
        self._next = 0.0
        if size:
            write(ALTERNATE)

    def take(self, item: Item) -> None:
        """See Output."""
        self.counts.add(item)

    def tick(self) -> None:
        """Time passes: draw the live one again, if it is time."""
        if not self._size or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        columns, rows = self._size()
        shown = lines(self.counts, max(rows - 5, 1), columns)
        body = f"{LINE_END}\r\n".join(line[: max(columns - 1, 1)] for line in shown[: max(rows - 1, 1)])
        self._write(HOME + body + LINE_END + TO_END)

    def leave(self) -> None:
        """Give the terminal back."""
        if self._size:
            self._size = None
            self._write(ORDINARY)

    def end(self) -> None:
        """See Output."""
        self.leave()
        self._write("\n".join(lines(self.counts)) + "\n")
