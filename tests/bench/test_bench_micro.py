# SPDX-License-Identifier: GPL-2.0-or-later
"""What lguest-py bench measures in the tiny Guest, in the Host kernel and in a native Guest.

Times are held against nothing here: what must hold between rows is looked at in instructions, which repeat.
"""

from __future__ import annotations

import sys
from functools import cache

import pytest
from guest import boot

from lguest_py.bench.counting import choose, counting_machine
from lguest_py.bench.micro import MEASUREMENTS, MICRO, micro_rows
from lguest_py.bench.prompt import TIMES, until_shown
from lguest_py.bench.samples import parse
from lguest_py.errors import LguestError, UsageError
from lguest_py.launcher.result import End
from lguest_py.measurements.row import COUNTS, CYCLES, GROUPS, INSTRUCTIONS, MILLISECONDS, PLACES, Row

SAMPLES = 300  # BENCH_SAMPLES in guest_kernel/bench/bench_samples.h
LEAN_INSIDE = ("hypercall-bare", "hypercall", "fault-reflected-inside")
STEPS = [name for name, what in MEASUREMENTS.items() if what.group == "step"]


SWITCHERS = pytest.mark.parametrize("switcher", ["classic", "lean"])


@cache
def measured(engine: str, switcher: str) -> dict[str, Row]:
    return {row.name: row for row in micro_rows(engine, switcher, False, ())}


@cache
def counted(switcher: str = "classic") -> dict[str, Row]:
    return {row.name: row for row in micro_rows("tcg", switcher, True, ())}


def least(name: str, switcher: str = "classic") -> int:
    return min(counted(switcher)[name].samples)


def names(switcher: str) -> list[str]:
    return [name for name, what in MEASUREMENTS.items() if what.switcher in ("", switcher)]


@pytest.mark.nightly("kvm")
@SWITCHERS
def test_every_row_is_there_with_all_its_samples(engine_name: str, switcher: str) -> None:
    rows = measured(engine_name, switcher)
    assert list(rows) == [name for name in names(switcher) if MEASUREMENTS[name].engine in ("", engine_name)]
    prompt = rows["prompt"]
    assert (prompt.unit, prompt.group, sum(prompt.samples.values())) == (MILLISECONDS, "wall", TIMES)
    assert min(prompt.samples) > 10  # a Python has to start
    for row in (row for row in rows.values() if row is not prompt):
        assert sum(row.samples.values()) == SAMPLES, row.name
        assert min(row.samples) >= 0
        assert row.unit == CYCLES
        assert row.tsc_khz > 1000
        assert row.group in GROUPS
        assert row.where in PLACES
        assert row.group == "step" or max(row.samples) > 0, row.name


@pytest.mark.nightly("kvm")
def test_loads_and_walks_are_counted(engine_name: str) -> None:
    rows = measured(engine_name, "classic")
    switch, call = rows["null-switch"].counts, rows["hypercall-bare"].counts
    for counts in (switch, call):
        assert set(counts) == set(COUNTS)
        assert counts["cr3_loads"] == 2
        assert counts["table_loads"] == 6  # GDT, IDT and TSS, there and back
        assert counts["segment_loads"] == 8  # ds, es, fs and gs, there and back
    # The Guest's code, and the Switcher's three pages; and at least its text and state with one of the Host's own.
    assert 4 + 3 <= switch["page_walks"] <= call["page_walks"]
    lean = measured(engine_name, "lean")["null-switch"].counts
    assert lean["cr3_loads"] == 2
    assert lean["table_loads"] == 0
    assert lean["segment_loads"] == 6  # ds and es, there and back; fs and gs, there
    assert 4 + 3 <= lean["page_walks"] <= switch["page_walks"]


@SWITCHERS
def test_what_stays_in_the_guests_tables_is_no_world_switch(engine_name: str, switcher: str) -> None:
    rows = measured(engine_name, switcher)
    inside = {name for name, row in rows.items() if row.group == "inside"}
    assert inside == {"system-call", *(LEAN_INSIDE if switcher == "lean" else ())}
    answered = {name for name, row in rows.items() if row.counts.get("answered")}
    assert answered == {"native-cli", "native-sti", "native-iret", "native-iret-kernel", *(inside - {"system-call"})}


def test_the_lean_switcher_answers_each_program_fault_once(engine_name: str) -> None:
    """Else the row would hold some that went by way of the Host kernel, and its median could be either's."""
    assert measured(engine_name, "lean")["fault-reflected-inside"].counts == {"answered": 1}
    assert "fault-reflected-inside" not in measured(engine_name, "classic")


def test_the_guest_has_the_rows_that_are_named_and_lives_on(engine_name: str) -> None:
    run = boot(engine_name, "run=bench;bench nothing;tasks;test fpu;test paging;test clock")
    first, _, rest = run.text.partition("BENCH done\n")
    printed = parse(first + "BENCH done\n").samples
    assert set(printed) == {"clock", *(name for name, what in MEASUREMENTS.items() if what.machine == "tiny")}
    assert {sum(samples.values()) for samples in printed.values()} == {SAMPLES}
    assert "no bench nothing\n" in rest
    assert rest.count(" passed, 0 failed\n") == 3
    assert run.end is End.POWERED_OFF


def test_only_what_is_named_is_measured(engine_name: str) -> None:
    wanted = ["native-out", "hypercall"]
    assert [row.name for row in micro_rows(engine_name, "classic", False, wanted)] == ["hypercall", "native-out"]


@SWITCHERS
def test_instructions_repeat(switcher: str) -> None:
    again = {row.name: row for row in micro_rows("tcg", switcher, True, ())}
    first = counted(switcher)
    assert list(again) == list(first) == [name for name in names(switcher) if MEASUREMENTS[name].group != "wall"]
    for name, row in first.items():
        assert (row.unit, row.tsc_khz) == (INSTRUCTIONS, 0)
        assert min(row.samples) == min(again[name].samples) > 0, name


def test_a_row_does_not_depend_on_those_before_it() -> None:
    for name in ("hypercall", "fault-filled", "flush-all", "directory-new"):
        (alone,) = micro_rows("tcg", "classic", True, [name])
        assert min(alone.samples) == least(name), name


def test_instructions_agree_with_one_another() -> None:
    assert least("floor") == 8  # int, iret, and six in common.S
    assert sum(map(least, STEPS)) - least("step-refill") <= least("null-switch")
    assert least("floor") < least("null-switch") < least("hypercall-bare") < least("ring-1")
    assert abs(least("hypercall") - least("hypercall-bare")) < 10  # the registers of the call are loaded there
    for name in ("null-switch", "hypercall-switch", "fault-reflected", "fault-filled", "interrupt", "directory-cached"):
        assert least(name, "lean") < least(name), name
    assert least("hypercall", "lean") < least("null-switch", "lean") < least("hypercall-switch", "lean")
    assert least("ring-64") < least("ring-1")
    assert least("hypercall", "lean") < least("fault-reflected-inside", "lean") < least("fault-reflected", "lean") / 3
    assert len(counted("lean")["fault-reflected-inside"].samples) < 5  # each the same way
    assert least("system-call") < least("null-switch") < least("fault-reflected")
    assert least("null-switch") < least("fault-filled")
    assert least("hypercall") < least("fpu-trap")  # there is one in its handler
    assert least("interrupt") < least("timer-lateness")  # which has the call in it that armed the clock
    assert least("hypercall") < least("directory-cached") < least("directory-stale") < least("directory-new")
    assert least("directory-cached") < least("flush-user") < least("flush-all")
    assert max(map(least, ("native-cli", "native-sti", "native-iret"))) < least("null-switch") < least("native-in")


def test_a_counting_machine_runs_the_tiny_guest() -> None:
    with counting_machine(command_line="run=uptime") as machine:
        result = machine.wait(timeout=100)
    assert result.outcome.end is End.POWERED_OFF
    assert "TSC at 1000000 kHz" in machine.console.output
    assert machine.engine == "tcg"


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(UsageError, match="no measurement 'nothing'"):
        micro_rows("tcg", "classic", False, ["nothing"])
    with pytest.raises(UsageError, match="counted by the tcg engine only"):
        choose("kvm", counted=True)
    with pytest.raises(UsageError, match="no Switcher 'other'"):
        micro_rows("tcg", "other", False, ["hypercall"])


TALKER = "import sys, time; print('one', flush=True); time.sleep(0.3); print('two', flush=True); sys.stdin.read()"


def test_until_it_is_shown_and_no_longer() -> None:
    took = until_shown([sys.executable, "-c", TALKER], b"two")
    assert took >= 0.3
    with pytest.raises(LguestError, match="did not reach its prompt; the last it showed: 'two'"):
        until_shown([sys.executable, "-c", TALKER], b"three", seconds=2)
    with pytest.raises(LguestError, match="did not reach its prompt; the last it showed: 'nothing'"):
        until_shown([sys.executable, "-c", ""], b"three")


def test_each_is_told_in_a_line() -> None:
    assert all(text and len(text) < 100 and not text.endswith(".") for text in MICRO.values())
