# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics of a row's samples, and repetition of a measurement until its minima are stable.

Read next: record.py.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from lguest_py.errors import LguestError
from lguest_py.measurements.row import CYCLES, MICROSECONDS, MILLISECONDS, Row

STABLE_RUNS = 3  # consecutive runs without a new minimum
STABLE_INSTRUCTION_RUNS = 1  # the same for instructions: two equal runs
MIN_FALL = 0.01  # a new minimum of times is lower than the previous one by more than this


@dataclass(frozen=True)
class Stats:
    """Percentiles of ``n`` samples by the nearest-rank method, so each is a measured value."""

    n: int
    min: int
    q1: int
    median: int
    q3: int
    p99: int
    max: int

    @property
    def interquartile_range(self) -> int:
        """The interquartile range."""
        return self.q3 - self.q1


def stats(samples: Counter[int]) -> Stats:
    """The statistics of value -> number of samples.  Raises LguestError without a sample."""
    values = sorted(value for value, count in samples.items() if count > 0)
    if not values:
        raise LguestError("a row has no sample")
    ranks = list(itertools.accumulate(samples[value] for value in values))
    total = ranks[-1]

    def percentile(percent: int) -> int:
        wanted = max(1, -(-total * percent // 100))
        return next(value for value, rank in zip(values, ranks, strict=True) if rank >= wanted)

    return Stats(total, values[0], percentile(25), percentile(50), percentile(75), percentile(99), values[-1])


def nanoseconds(value: float, row: Row) -> float | None:
    """A value of this row in nanoseconds; None for instructions and for cycles of an unknown rate."""
    if row.unit in (MICROSECONDS, MILLISECONDS):
        return value * (1000 if row.unit == MICROSECONDS else 1e6)
    return value * 1e6 / row.tsc_khz if row.unit == CYCLES and row.tsc_khz else None


@dataclass(frozen=True)
class Repetitions:
    """The samples of all runs; ``unstable``: the keys of rows whose minimum was not stable at the end."""

    rows: tuple[Row, ...]
    runs: int
    unstable: frozenset[tuple[str, str, str, str]]


def merged(rows: Iterable[Row]) -> list[Row]:
    """Merge rows with the same key: all their samples, and the minimum of each count."""
    by_key: dict[tuple[str, str, str, str], Row] = {}
    for row in rows:
        old = by_key.get(row.key)
        if old is None:
            by_key[row.key] = row
        else:
            both = {name: min(old.counts.get(name, count), count) for name, count in row.counts.items()}
            by_key[row.key] = replace(old, samples=old.samples + row.samples, counts={**old.counts, **both})
    return list(by_key.values())


def repeat(
    measure: Callable[[], Sequence[Row]], most: int, counted: bool, tell: Callable[[int, list[str]], None]
) -> Repetitions:
    """Measure until no minimum changed for STABLE_RUNS runs, at most ``most`` times.

    ``counted``: two runs with equal minima suffice.  ``tell`` gets each run's number (from 1) and the names of the
    rows with a new minimum.
    """
    rows: list[Row] = []
    least: dict[tuple[str, str, str, str], int] = {}
    still: dict[tuple[str, str, str, str], int] = {}
    runs = 0
    for runs in range(1, most + 1):
        moved = []
        for row in merged(measure()):
            lowest, before = min(row.samples), least.get(row.key)
            if before is None or (lowest != before if counted else lowest < before * (1 - MIN_FALL)):
                moved.append(row.name)
                still[row.key] = 0
                least[row.key] = lowest
            else:
                still[row.key] += 1
            rows.append(row)
        rows = merged(rows)
        tell(runs, moved)
        if all(count >= (STABLE_INSTRUCTION_RUNS if counted else STABLE_RUNS) for count in still.values()):
            break
    needed = STABLE_INSTRUCTION_RUNS if counted else STABLE_RUNS
    return Repetitions(tuple(rows), runs, frozenset(key for key, count in still.items() if count < needed))
