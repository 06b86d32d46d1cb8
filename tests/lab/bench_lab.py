# SPDX-License-Identifier: GPL-2.0-or-later
"""Invented rows and measurements, for tests of lguest_py/measurements and lguest_py/bench."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from lguest_py.measurements.environment import Environment
from lguest_py.measurements.record import Record
from lguest_py.measurements.row import CYCLES, INSTRUCTIONS, Row

ENVIRONMENT = Environment("0.1.0", "0123456789ab", "tcg", "emulated", "Some CPU", "7.2.22", "6.1.0-50-686")


def row(
    name: str,
    *values: int,
    group: str = "switch",
    where: str = "guest",
    switcher: str = "classic",
    unit: str = CYCLES,
    counts: Mapping[str, int] | None = None,
    tsc_khz: int = 2_000_000,
) -> Row:
    """A row with these values, once each."""
    return Row(name, group, where, switcher, unit, Counter(values), counts or {}, tsc_khz if unit == CYCLES else 0)


def record(*rows: Row, environment: Environment = ENVIRONMENT, date: str = "2026-01-02T03:04:05+00:00") -> Record:
    """A measurement."""
    return Record(environment, rows, date)


def every_kind() -> Record:
    """A row of each kind."""
    return record(
        row("null-switch", 150, 150, 160, counts={"cr3_loads": 2, "page_walks": 14}),
        row("null-switch", 80, 81, 95, switcher="lean", counts={"cr3_loads": 2}),
        row("step-gdt", 10, 11, group="step", where="host"),
        row("step-cr3", 90, 95, group="step", where="host"),
        row("step-cr3", 90, group="step", where="host", switcher="lean"),
        row("reflect", 40, 44, group="inside", switcher="lean"),
        row("cli", 300, 310, group="native-personality"),
        row("python-exit", 90_000, 95_000, group="wall", where="launcher", switcher=""),
        row("fork", 2000, 2100, 2200, group="linux"),
        row("fork", 1500, 1600, 1700, group="linux", switcher="lean"),
        row("fork", 1000, 1000, 1100, group="linux", where="native", switcher=""),
        row("boot-to-init", 28_000_000, group="boot", unit=INSTRUCTIONS),
    )
