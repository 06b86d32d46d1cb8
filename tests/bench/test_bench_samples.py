# SPDX-License-Identifier: GPL-2.0-or-later
"""What Guests print when they measure is read right, and never half of it."""

from __future__ import annotations

from collections import Counter

import pytest

from lguest_py.bench.samples import BenchOutput, parse, subtract_clock
from lguest_py.errors import LguestError

GOOD = "BENCH clock 20*5 2*1\r\nBENCH fork 120*2 130*1\r\nBENCH-COUNTS fork cr3_loads=2 page_walks=14\r\nBENCH done\r\n"


def test_what_a_console_with_noise_says() -> None:
    noise = "\x1b[0m[    1.25] Freeing unused memory\r\nno BENCHMARK here, nor a BENCH\r\n"
    text = noise + GOOD.replace("BENCH done", noise + "BENCH fork 120*1 99*4\r\n# BENCH done")
    printed = parse(text)
    assert printed.samples == {"clock": Counter({20: 5, 2: 1}), "fork": Counter({120: 3, 130: 1, 99: 4})}
    assert printed.counts == {"fork": {"cr3_loads": 2, "page_walks": 14}}


def test_names_may_have_signs() -> None:
    assert list(parse("BENCH mmap+touch+munmap 1*1\nBENCH FLUSH_TLB(0) 1*1\nBENCH done\n").samples) == [
        "mmap+touch+munmap",
        "FLUSH_TLB(0)",
    ]


def test_what_comes_behind_the_end_is_not_read() -> None:
    assert parse(GOOD + "BENCH fork 1*\n") == parse(GOOD)


@pytest.mark.parametrize("end", range(1, len(GOOD.rstrip()) - len("BENCH done") + 9))
def test_a_cut_output_is_an_error(end: int) -> None:
    with pytest.raises(LguestError) as caught:
        parse(GOOD[:end])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "BENCH fork", "BENCH fork 12", "BENCH fork 12*", "BENCH fork *12", "BENCH fork -1*2", "BENCH fork 1*0",
        "BENCH fork 1*2 [  1.5] tsc: unstable", "BENCH fork 1*2x", "BENCH fork 99999999999999999999*1", "BENCH ",
        "BENCH-COUNTS fork", "BENCH-COUNTS fork cr3_loads", "BENCH-COUNTS fork cr3=1 x", "BENCH \u0661 1*1",
        "BENCH fork \u0661*1", "BENCH done 1",
    ],
)  # fmt: skip
def test_a_broken_line_is_an_error(line: str) -> None:
    with pytest.raises(LguestError, match="is broken"):
        parse(f"{line}\n{GOOD}")


def test_an_error_shows_only_so_much() -> None:
    with pytest.raises(LguestError) as caught:
        parse("BENCH fork " + "x" * 10_000)
    assert len(str(caught.value)) < 200


def test_without_an_end_the_last_line_is_told() -> None:
    with pytest.raises(LguestError, match="is incomplete; the last line: 'Kernel panic'"):
        parse("BENCH fork 1*1\r\nKernel panic\r\n\r\n")


def test_the_clock_costs_nothing() -> None:
    printed = BenchOutput({"clock": Counter({22: 1, 20: 5}), "fork": Counter({120: 1, 121: 2, 15: 1})})
    assert subtract_clock(printed) == {"fork": Counter({100: 1, 101: 2, 0: 1})}


def test_a_sample_of_many_operations() -> None:
    printed = BenchOutput({"clock": Counter([20]), "batch": Counter({660: 1, 661: 1, 700: 1}), "fork": Counter([70])})
    assert subtract_clock(printed, {"batch": 64}) == {"batch": Counter({10: 2, 11: 1}), "fork": Counter([50])}


def test_no_clock_is_an_error() -> None:
    with pytest.raises(LguestError, match="no row 'clock'"):
        subtract_clock(BenchOutput({"fork": Counter([1])}))
