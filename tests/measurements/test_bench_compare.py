# SPDX-License-Identifier: GPL-2.0-or-later
"""What changed is told, what is noise is not, and what is not alike is not compared."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bench_lab import ENVIRONMENT, every_kind, record, row

from lguest_py.errors import UsageError
from lguest_py.measurements.compare import change, check_alike, compare
from lguest_py.measurements.row import INSTRUCTIONS


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ([1000] * 9, [1009] * 9, False),  # within 1 %
        ([1000] * 9, [1011] * 9, True),
        ([1000] * 9, [989] * 9, True),
        ([900, 1000, 1100], [950, 1150, 1350], False),  # within a spread
        ([900, 1000, 1100], [1190, 1200, 1210], False),  # not more than the wider spread
        ([900, 1000, 1100], [1190, 1201, 1210], True),
        ([0] * 9, [1] * 9, True),
    ],
)
def test_times_change_beyond_their_spread(old: list[int], new: list[int], changed: bool) -> None:
    assert bool(change(row("a", *old), row("a", *new))) is changed


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ([1000] * 9, [1005] * 9, None),
        ([1000] * 9, [1006] * 9, "median"),
        ([1000] * 9, [994] * 9, "median"),
        ([1000] * 9, [1000] * 8 + [990], "min"),
        ([1000] * 9, [1000] * 8 + [2000], None),
    ],
)
def test_instructions_change_by_half_a_percent(old: list[int], new: list[int], what: str | None) -> None:
    found = change(row("a", *old, unit=INSTRUCTIONS), row("a", *new, unit=INSTRUCTIONS))
    assert (found and found.what) == what


def test_nothing_changed() -> None:
    (line,) = compare("OLD", every_kind(), every_kind()).splitlines()
    assert line.startswith("against OLD (commit 0123456789ab): 0 of 12 rows changed (times: medians by more than both")


def test_what_changed_is_told_with_both_numbers() -> None:
    old = record(row("a", 100), row("b", 100), row("gone", 1))
    new = record(row("a", 120), row("b", 100), environment=replace(ENVIRONMENT, qemu="9.0"))
    first, note, _, line = compare("OLD", old, new).splitlines()
    assert "1 of 2 rows changed, not in both: 1" in first
    assert note.strip() == "note: qemu was 7.2.22, is 9.0"
    assert line.split() == ["a", "guest", "classic", "cycles", "median", "100", "120", "+20.0", "%"]


def test_what_is_not_alike_is_refused() -> None:
    counted = record(row("a", 1, unit=INSTRUCTIONS))
    timed = record(row("a", 1))
    with pytest.raises(UsageError, match="OLD holds only instructions: compare it with --icount"):
        check_alike("OLD", counted, "tcg", False)
    with pytest.raises(UsageError, match="OLD holds no instructions: compare it without --icount"):
        check_alike("OLD", timed, "tcg", True)
    with pytest.raises(UsageError, match="engine tcg, this is kvm"):
        check_alike("OLD", timed, "kvm", False)
    check_alike("OLD", timed, "tcg", False)
    check_alike("OLD", counted, "tcg", True)
    lean = record(row("a", 1, switcher="lean"))
    kvm = record(row("a", 1), environment=replace(ENVIRONMENT, engine="kvm"))
    for other in (counted, lean, kvm):
        with pytest.raises(UsageError, match="OLD has no row like one of these"):
            compare("OLD", timed, other)
