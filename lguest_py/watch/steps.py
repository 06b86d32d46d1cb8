# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a reader is in a record, or in two beside each other: what terminal.py and its keys move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lguest_py.watch.beside import rows
from lguest_py.watch.record import Phase, Record, Step


@dataclass(frozen=True)
class View:
    """Records, and in each row the number of a step of each, or None."""

    name: str
    records: tuple[Record, ...]
    rows: tuple[tuple[int | None, ...], ...]

    def steps(self, row: int) -> tuple[Step | None, ...]:
        """The steps of a row."""
        pairs = zip(self.records, self.rows[row], strict=True)
        return tuple(None if step is None else record.steps[step] for record, step in pairs)

    def first(self, row: int) -> Step:
        """The one that is told of: the leftmost."""
        return next(step for step in self.steps(row) if step is not None)

    def last(self, row: int, side: int) -> Step | None:
        """The step that a side is at: in this row, or the last one before it."""
        for before in range(row, -1, -1):
            step = self.steps(before)[side]
            if step is not None:
                return step
        return None

    def phases(self) -> list[tuple[Phase, int, int]]:
        """Runs of rows of one phase, each with its first row and the one behind its last."""
        found: list[tuple[Phase, int, int]] = []
        for row in range(len(self.rows)):
            phase = self.first(row).phase
            if found and found[-1][0] == phase:
                found[-1] = (phase, found[-1][1], row + 1)
            else:
                found.append((phase, row, row + 1))
        return found


def views(records: Sequence[Record]) -> tuple[View, ...]:
    """All ways to look at one record, or at two."""
    single = [View(each.switcher, (each,), tuple((n,) for n in range(len(each.steps)))) for each in records]
    if len(records) == 2:
        return View("beside", tuple(records), rows(*records)), *single
    return tuple(single)


class Reader:
    """A place in one of the views."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.views = views(records)
        self.view = self.views[0]
        self.row = 0
        self.why = True
        self.help = False

    def go(self, row: int) -> None:
        """To this row, or to the nearest that there is."""
        self.row = max(0, min(row, len(self.view.rows) - 1))

    def phase(self, forward: bool) -> None:
        """To the first step of the next phase, or of this one, or of the one before."""
        starts = [start for _, start, _ in self.view.phases()]
        if forward:
            self.go(next((start for start in starts if start > self.row), len(self.view.rows)))
        else:
            self.go(next((start for start in reversed(starts) if start < self.row), 0))

    def next_view(self) -> None:
        """The next way to look at it, at the same step if it is there."""
        step = self.view.first(self.row)
        self.view = self.views[(self.views.index(self.view) + 1) % len(self.views)]
        same = (row for row in range(len(self.view.rows)) if any(each is step for each in self.view.steps(row)))
        self.go(next(same, self.row))

    def press(self, key: str) -> bool:
        """Obey a key; False: it ends the reading."""
        if key in ("q", "Q"):
            return False
        if self.help:
            self.help = False
            return True
        match key:
            case "right" | "down" | " " | "l" | "j" | "n" | "\r":
                self.go(self.row + 1)
            case "left" | "up" | "h" | "k" | "p" | "\x7f":
                self.go(self.row - 1)
            case "page down":
                self.phase(True)
            case "page up":
                self.phase(False)
            case "home" | "g":
                self.go(0)
            case "end" | "G":
                self.go(len(self.view.rows) - 1)
            case "w":
                self.why = not self.why
            case "b":
                self.next_view()
            case "?":
                self.help = True
        return True
