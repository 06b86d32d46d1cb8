# SPDX-License-Identifier: GPL-2.0-or-later
"""Compare a measurement with a baseline, and report the changes above the noise.

Times: the medians differ by more than either interquartile range, and by more than 1 %.  Instructions: the minimum or
the median differs by more than 0.5 %.  Rows are compared when name, place, Switcher, unit and engine are equal.

Read next: stats.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lguest_py.errors import UsageError
from lguest_py.measurements.record import Record
from lguest_py.measurements.row import INSTRUCTIONS, Row
from lguest_py.measurements.stats import stats
from lguest_py.measurements.table import columns

TIME_THRESHOLD, INSTRUCTION_THRESHOLD = 0.01, 0.005
RULE = {
    True: f"instructions: minimum or median by more than {INSTRUCTION_THRESHOLD:.1%}",
    False: f"times: medians by more than both interquartile ranges and {TIME_THRESHOLD:.0%}",
}


@dataclass(frozen=True)
class Change:
    """The values of a statistic ``what`` ("min" or "median") in the baseline and now."""

    row: Row
    what: str
    old: int
    new: int

    @property
    def relative(self) -> str:
        """The relative change, as "+12.3 %"; the new value when the baseline is 0."""
        return f"{100 * (self.new - self.old) / self.old:+.1f} %" if self.old else f"+{self.new}"


def change(old: Row, new: Row) -> Change | None:
    """The change of a row above the noise, or None."""
    before, after = stats(old.samples), stats(new.samples)
    if new.unit == INSTRUCTIONS:
        for what in ("median", "min"):
            one, other = getattr(before, what), getattr(after, what)
            if abs(other - one) > INSTRUCTION_THRESHOLD * one:
                return Change(new, what, one, other)
        return None
    difference = abs(after.median - before.median)
    noise = max(before.interquartile_range, after.interquartile_range)
    if difference > noise and difference > TIME_THRESHOLD * before.median:
        return Change(new, "median", before.median, after.median)
    return None


def check_alike(name: str, old: Record, engine: str, counted: bool) -> None:
    """Check before measuring.  Raises UsageError when no row can be comparable with the baseline ``old``."""
    if old.environment.engine != engine:
        measured = old.environment.engine
        raise UsageError(f"{name} was measured on the engine {measured}, this is {engine}: no row is alike")
    units = {row.unit == INSTRUCTIONS for row in old.rows}
    if counted not in units:
        said = "only instructions" if True in units else "no instructions"
        raise UsageError(f"{name} holds {said}: compare it {'without' if counted else 'with'} --icount")


def compare(name: str, old: Record, new: Record) -> str:
    """The changes since the baseline ``old`` as text.  Raises UsageError without a comparable row."""
    before = {row.key: row for row in old.rows}
    pairs = [(before[row.key], row) for row in new.rows if row.key in before]
    if old.environment.engine != new.environment.engine or not pairs:
        raise UsageError(f"{name} has no row like one of these (same name, place, Switcher, unit and engine)")
    return "\n".join(_lines(name, old, new, pairs)) + "\n"


def _lines(name: str, old: Record, new: Record, pairs: list[tuple[Row, Row]]) -> Iterator[str]:
    changes = [found for one, other in pairs if (found := change(one, other))]
    rules = "; ".join(RULE[counted] for counted in sorted({row.unit == INSTRUCTIONS for _, row in pairs}))
    more = len({row.key for row in [*old.rows, *new.rows]}) - len(pairs)
    alone = f", not in both: {more}" if more else ""
    title = f"against {name} (commit {old.environment.commit})"
    yield f"{title}: {len(changes)} of {len(pairs)} rows changed{alone} ({rules})"
    for what in ("cpu", "flavour", "qemu", "kernel"):
        one, other = getattr(old.environment, what), getattr(new.environment, what)
        if one != other:
            yield f"  note: {what} was {one or 'none'}, is {other or 'none'}"
    if changes:
        lines = [["name", "where", "switcher", "unit", "", "was", "is", "change"]]
        for each in changes:
            row = each.row
            words = [row.name, row.where, row.switcher or "-", row.unit, each.what]
            lines.append([*words, str(each.old), str(each.new), each.relative])
        yield from columns(lines)
