# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands beside a row in Linux: world switches, hypercalls and instructions per operation (bench/profile.py)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from lguest_py.bench import linux as bench
from lguest_py.bench.profile import counts_of
from lguest_py.bench.samples import parse
from lguest_py.errors import LguestError
from lguest_py.kernels.stock import Kernel
from lguest_py.measurements.row import HOST_INSTRUCTIONS, INSTRUCTIONS_SUFFIX, SWITCHER_INSTRUCTIONS, Row
from lguest_py.measurements.table import format_counts

if TYPE_CHECKING:
    from linux_lab import RealLinux

TEXT = """\
PROFILE 1 ticks=60\r
PROFILE 2 ticks=7448 silent=2 switches=2 host=928 ticks0=400 ticks4=500 fault_ticks=28 call0=2 call4=2 call30=2\r
PROFILE 3 ticks=50000 switches=2 answered=640 filled=31 reflected=32 delivered=64 host=6400 ticks14=6400 call14=64\r
BENCH boot-to-init 9000*1\r
BENCH clock 3*40\r
BENCH pipe 7400*2\r
BENCH munmap 103*2\r
BENCH-COUNTS munmap operations=64\r
BENCH signal 1*2\r
BENCH done\r
"""
ON_BOTH = ("pipe", "mprotect", "munmap", "int-syscall", "fork")


def test_counts_are_per_operation_and_named() -> None:
    counts = counts_of(TEXT, parse(TEXT), True)
    assert counts["pipe"] == {
        "switches": 2, "flush_async": 2, "new_pgtable": 2, "call_30": 2, "faults_instructions": 28,
        "flush_async_instructions": 400, "new_pgtable_instructions": 500,
        SWITCHER_INSTRUCTIONS: 120, HOST_INSTRUCTIONS: 928,
    }  # fmt: skip
    assert counts["munmap"] == {
        "answered": 10, "reflected": 1, "interrupts": 1, "set_pte": 1, "set_pte_instructions": 100,
        SWITCHER_INSTRUCTIONS: 2, HOST_INSTRUCTIONS: 100,
    }  # fmt: skip
    assert counts["signal"] == {}
    assert "clock" not in counts
    assert HOST_INSTRUCTIONS not in counts_of(TEXT, parse(TEXT), False)["pipe"]  # ticks are no instructions


def test_they_are_told_in_words() -> None:
    counts = counts_of(TEXT, parse(TEXT), True)["pipe"]
    row = Row("pipe", "linux", "guest", "lean", "instructions", Counter([1]), counts)
    assert format_counts(row) == (
        "switches 2, flush_async 2 (400), new_pgtable 2 (500), call_30 2, behind page faults 28, "
        "in the Switcher 120, in the Host kernel 928"
    )


def test_a_host_kernel_that_tells_nothing_is_an_error() -> None:
    text = TEXT.replace("PROFILE 1 ", "PROFILE 9 ")
    with pytest.raises(LguestError, match="printed nothing"):
        counts_of(text, parse(text), True)


def guest_rows(rows: list[Row]) -> dict[str, Row]:
    assert not [row for row in rows if row.where == "native" and row.counts]
    return {row.name: row for row in rows if row.where == "guest"}


def check_parts(row: Row, native: int) -> None:
    """What is left beside Host kernel and Switcher is the Guest's own work, which is at least what it is natively."""
    assert (
        min(row.samples) - row.counts.get(HOST_INSTRUCTIONS, 0) - row.counts.get(SWITCHER_INSTRUCTIONS, 0)
        > 0.95 * native
    ), row.name


@pytest.mark.parametrize("engine_name", ["tcg"])
@pytest.mark.parametrize("switcher", ["lean", "classic"])
def test_an_lguest_kernel(engine_name: str, linux: RealLinux, switcher: str) -> None:
    rows = bench.linux_rows(linux.bzimage, None, engine_name, switcher, True, ON_BOTH, rounds=5)
    native = {row.name: min(row.samples) for row in rows if row.where == "native"}
    guest = guest_rows(rows)
    for row in guest.values():
        check_parts(row, native[row.name])
    assert guest["int-syscall"].counts == {}  # it goes to the kernel directly
    assert guest["pipe"].counts["new_pgtable"] == guest["pipe"].counts["set_stack"] == 2
    assert guest["mprotect"].counts["flush_tlb"] == 2
    assert guest["munmap"].counts["set_pte"] == 1
    for row in guest.values():  # all of the Host kernel's is behind a hypercall or a fault
        kinds = {name: count for name, count in row.counts.items() if name.endswith(INSTRUCTIONS_SUFFIX)}
        behind = sum(count for name, count in kinds.items() if name not in (HOST_INSTRUCTIONS, SWITCHER_INSTRUCTIONS))
        assert behind == pytest.approx(row.counts.get(HOST_INSTRUCTIONS, 0), abs=len(row.counts))
    assert guest["fork"].counts["switches"] > guest["mprotect"].counts["switches"]
    per_switch = {
        row.counts[SWITCHER_INSTRUCTIONS] / row.counts["switches"]
        for name, row in guest.items()
        if name != "munmap" and row.counts
    }
    assert len(per_switch) == 1
    assert 30 < per_switch.pop() < 90


@pytest.mark.parametrize("engine_name", ["tcg"])
def test_a_distributions_kernel(engine_name: str, stock: Kernel) -> None:
    rows = bench.linux_rows(stock.kernel, None, engine_name, "lean", True, ["int-syscall", "pipe"], rounds=3)
    guest = guest_rows(rows)
    assert guest["pipe"].counts["switches"] >= 2
    assert guest["int-syscall"].counts.get("answered", 0) >= 1  # its iret


@pytest.mark.parametrize("engine_name", ["tcg"])
def test_without_counting_instructions_the_kinds_are_counted_still(engine_name: str, linux: RealLinux) -> None:
    rows = bench.linux_rows(linux.bzimage, None, engine_name, "lean", False, ["pipe"], rounds=3)
    counts = guest_rows(rows)["pipe"].counts
    assert counts["switches"] >= 2 <= counts["new_pgtable"]
    assert HOST_INSTRUCTIONS not in counts
