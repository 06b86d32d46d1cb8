# SPDX-License-Identifier: GPL-2.0-or-later
"""No operation takes more than 5 % more instructions than were kept (results/instructions.json).

A rise that is meant, and a fall: python tools/keep_instructions.py.
"""

from __future__ import annotations

from pathlib import Path

import keep_instructions
import pytest
from bench_lab import row
from linux_lab import RealLinux

from lguest_py.measurements.row import INSTRUCTIONS


def test_micro() -> None:
    assert not keep_instructions.rises(
        keep_instructions.read()["micro"], keep_instructions.minima(keep_instructions.measure("micro"))
    )


@pytest.mark.nightly
def test_linux(linux: RealLinux) -> None:
    kept = keep_instructions.read().get("linux")
    assert kept, "nothing is kept: LGUEST_LINUX=DIR python tools/keep_instructions.py"
    assert not keep_instructions.rises(kept, keep_instructions.minima(keep_instructions.measure("linux")))


def test_a_rise_is_named_with_both_numbers() -> None:
    kept = {("fork", "guest", "lean"): 1000, ("cow", "guest", ""): 100, ("gone", "guest", ""): 5}
    now = {("fork", "guest", "lean"): 1051, ("cow", "guest", ""): 105, ("new", "guest", ""): 9}
    fork, gone = keep_instructions.rises(kept, now)
    assert fork == "fork guest lean: 1051 instructions, 1000 were kept (+5.1 %)"
    assert gone.startswith("gone guest: 5 instructions were kept")
    assert not keep_instructions.rises(now, now)
    assert len(keep_instructions.rises({("empty", "host", ""): 0}, {("empty", "host", ""): 1})) == 1


def test_the_file_is_as_it_would_be_written(tmp_path: Path) -> None:
    kept = keep_instructions.read()
    assert kept["micro"]
    assert keep_instructions.text(kept) == keep_instructions.KEPT.read_text()
    assert keep_instructions.read(tmp_path / "none") == {}


def test_the_least_of_a_row_is_kept() -> None:
    rows = [row("fork", 9, 7, 8, unit=INSTRUCTIONS, switcher="lean")]
    assert keep_instructions.minima(rows) == {("fork", "guest", "lean"): 7}
