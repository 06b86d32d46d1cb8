# SPDX-License-Identifier: GPL-2.0-or-later
"""Quantiles, and when enough was measured."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable

import pytest
from bench_lab import row

from lguest_py.errors import LguestError
from lguest_py.measurements.row import INSTRUCTIONS, MICROSECONDS, MILLISECONDS, Row
from lguest_py.measurements.stats import Repetitions, Stats, merged, nanoseconds, repeat, stats


def test_quantiles_are_values_that_were_measured() -> None:
    assert stats(Counter(range(1, 101))) == Stats(100, 1, 25, 50, 75, 99, 100)
    assert stats(Counter({7: 1})) == Stats(1, 7, 7, 7, 7, 7, 7)
    assert stats(Counter({5: 98, 900: 2})) == Stats(100, 5, 5, 5, 5, 900, 900)
    assert stats(Counter({5: 99, 900: 1})).p99 == 5
    assert stats(Counter({3: 2, 1: 1, 9: 0})) == Stats(3, 1, 1, 3, 3, 3, 3)
    assert stats(Counter(range(1, 101))).interquartile_range == 50


def test_the_median_is_the_lower_one_of_the_libraries() -> None:
    for n in range(1, 40):
        values = [value * value % 37 for value in range(n)]
        assert stats(Counter(values)).median == statistics.median_low(values)


def test_no_sample_is_an_error() -> None:
    with pytest.raises(LguestError):
        stats(Counter())


def test_time_where_it_is_known() -> None:
    assert nanoseconds(3000, row("fork", 1, tsc_khz=1_500_000)) == 2000
    assert nanoseconds(3000, row("fork", 1, tsc_khz=0)) is None
    assert nanoseconds(3000, row("fork", 1, unit=INSTRUCTIONS)) is None
    assert nanoseconds(3, row("boot", 1, unit=MICROSECONDS)) == 3000
    assert nanoseconds(3, row("prompt", 1, unit=MILLISECONDS)) == 3_000_000


def test_rows_alike_become_one() -> None:
    one = row("fork", 5, 6, counts={"cr3_loads": 3, "page_walks": 9})
    other = row("fork", 5, 4, counts={"cr3_loads": 2, "page_walks": 12, "table_loads": 1})
    lean = row("fork", 1, switcher="lean")
    whole, left = merged([one, lean, other])
    assert whole.samples == Counter({5: 2, 6: 1, 4: 1})
    assert whole.counts == {"cr3_loads": 2, "page_walks": 9, "table_loads": 1}
    assert left is lean


def measured(runs: Iterable[list[Row]], most: int, counted: bool) -> tuple[Repetitions, list[list[str]]]:
    """What repeat() makes of these runs, and what it told."""
    source, told = iter(runs), []

    def tell(run: int, moved: list[str]) -> None:
        told.append(moved)
        assert run == len(told)

    return repeat(lambda: next(source), most, counted, tell), told


def test_three_runs_without_a_new_minimum_are_enough() -> None:
    done, told = measured(([row("fork", value)] for value in (10, 12, 11, 9, 9, 30, 10, 1)), 100, False)
    assert (done.runs, done.unstable) == (7, frozenset())
    assert told == [["fork"], [], [], ["fork"], [], [], []]
    assert done.rows[0].samples == Counter({10: 2, 12: 1, 11: 1, 9: 2, 30: 1})


def test_a_minimum_may_fall_a_little_but_not_bit_by_bit() -> None:
    def runs(*values: int) -> int:
        return measured(([row("fork", value)] for value in values), len(values), False)[0].runs

    assert runs(1000, 995, 991, 990, 500) == 4
    assert runs(1000, 995, 991, 989, 989, 989, 989, 500) == 7


def test_every_row_must_stand_still() -> None:
    runs = [[row("a", 5), row("b", value)] for value in (9, 8, 7, 6, 6, 6, 6, 5)]
    assert measured(runs, 100, False)[0].runs == 7


def test_no_more_than_so_many_runs() -> None:
    done, _ = measured(([row("a", 5), row("b", value)] for value in range(9, 0, -1)), 5, False)
    assert done.runs == 5
    assert {key[0] for key in done.unstable} == {"b"}
    assert measured([[row("a", 5)]], 1, False)[0].unstable == {row("a", 1).key}


def test_instructions_need_two_equal_runs() -> None:
    def counted(*values: int) -> Repetitions:
        return measured(([row("a", value, unit=INSTRUCTIONS)] for value in values), 5, True)[0]

    assert counted(10, 10, 9).runs == 2
    assert counted(10, 11, 11).runs == 3  # a higher one moved as well
    assert counted(10, 11, 10, 11, 10, 10).unstable


def test_a_row_that_comes_twice_in_a_run_is_one() -> None:
    done, _ = measured([[row("a", 5), row("a", 6)]] * 4, 9, False)
    assert done.runs == 4
    assert done.rows[0].samples == Counter({5: 4, 6: 4})
