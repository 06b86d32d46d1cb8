# SPDX-License-Identifier: GPL-2.0-or-later
"""What is told of a row's samples, and how often to measure: until the minimum does not move.

Read next: record.py.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from lguest_py.errors import LguestError
from lguest_py.measurements.row import CYCLES, MICROSECONDS, MILLISECONDS, Row

STILL = 3  # runs in succession in which no minimum moved
STILL_COUNTED = 1  # the same for instructions: two equal runs
FALL = 0.01  # a minimum of times moved when it fell by more than this since it last moved


@dataclass(frozen=True)
class Stats:
    """Quantiles by the nearest rank, so each is a value that was measured; ``n`` samples."""

    n: int
    min: int
    q1: int
    median: int
    q3: int
    p99: int
    max: int

    @property
    def spread(self) -> int:
        """The interquartile range."""
        return self.q3 - self.q1


def stats(samples: Counter[int]) -> Stats:
    """Of value -> how often.  Raises LguestError when there is none."""
    values = sorted(value for value, count in samples.items() if count > 0)
    if not values:
        raise LguestError("a row without a sample cannot be told about")
    ranks = list(itertools.accumulate(samples[value] for value in values))
    total = ranks[-1]

    def quantile(percent: int) -> int:
        wanted = max(1, -(-total * percent // 100))
        return next(value for value, rank in zip(values, ranks, strict=True) if rank >= wanted)

    return Stats(total, values[0], quantile(25), quantile(50), quantile(75), quantile(99), values[-1])


def nanoseconds(value: float, row: Row) -> float | None:
    """A value of this row as time; None where it is none (instructions, or a clock of unknown rate)."""
    if row.unit in (MICROSECONDS, MILLISECONDS):
        return value * (1000 if row.unit == MICROSECONDS else 1e6)
    return value * 1e6 / row.tsc_khz if row.unit == CYCLES and row.tsc_khz else None


@dataclass(frozen=True)
class Repeated:
    """All samples of some runs; ``moving``: the keys of rows whose minimum moved until the end."""

    rows: tuple[Row, ...]
    runs: int
    moving: frozenset[tuple[str, str, str, str]]


def merged(rows: Iterable[Row]) -> list[Row]:
    """One row for those with the same key: their samples together, the least of their counts."""
    found: dict[tuple[str, str, str, str], Row] = {}
    for row in rows:
        old = found.get(row.key)
        if old is None:
            found[row.key] = row
        else:
            both = {name: min(old.counts.get(name, count), count) for name, count in row.counts.items()}
            found[row.key] = replace(old, samples=old.samples + row.samples, counts={**old.counts, **both})
    return list(found.values())


def repeat(
    measure: Callable[[], Sequence[Row]], most: int, counted: bool, tell: Callable[[int, list[str]], None]
) -> Repeated:
    """Measure until no minimum moved for STILL runs, at most ``most`` times.

    ``counted``: two runs with equal minima suffice.  ``tell`` gets each run's number (from 1) and the names of the
    rows whose minimum moved in it.
    """
    rows: list[Row] = []
    least: dict[tuple[str, str, str, str], int] = {}
    still: dict[tuple[str, str, str, str], int] = {}
    runs = 0
    for runs in range(1, most + 1):
        moved = []
        for row in merged(measure()):
            lowest, before = min(row.samples), least.get(row.key)
            if before is None or (lowest != before if counted else lowest < before * (1 - FALL)):
                moved.append(row.name)
                still[row.key] = 0
                least[row.key] = lowest
            else:
                still[row.key] += 1
            rows.append(row)
        rows = merged(rows)
        tell(runs, moved)
        if all(count >= (STILL_COUNTED if counted else STILL) for count in still.values()):
            break
    needed = STILL_COUNTED if counted else STILL
    return Repeated(tuple(rows), runs, frozenset(key for key, count in still.items() if count < needed))
