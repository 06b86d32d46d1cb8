# SPDX-License-Identifier: GPL-2.0-or-later
"""From the bytes of a trace to switches, samples and events."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_lab import FACTS, exit_record, items, records_block, stack_record, trace

from lguest_py.errors import LguestError
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory import trace_blocks as blocks
from lguest_py.trace.stream import Event, Facts, Item, Lost, Sample, Stream, Switch


def switches(found: list[Item]) -> list[Switch]:
    return [each for each in found if isinstance(each, Switch)]


def test_how_long_the_guest_ran_and_then_the_host_kernel() -> None:
    first, last = switches(items(trace(exit_record(1000, 1500), exit_record(1700, 1800))))
    assert (first.at_ns, first.guest_ns, first.host_ns, first.idle_ns) == (500, 500, 200, 0)
    assert (last.at_ns, last.guest_ns, last.host_ns, last.idle_ns) == (800, 100, None, None)


def test_the_time_that_it_was_idle_is_no_work() -> None:
    first, _ = switches(items(trace(exit_record(1000, 1500), exit_record(9000, 9100, idle=1600))))
    assert (first.host_ns, first.idle_ns) == (100, 7400)


def test_where_records_are_missing_the_duration_is_not_known() -> None:
    first, second = switches(items(trace(exit_record(1000, 1500), exit_record(1700, 1800, lost=3))))
    assert first.host_ns is None
    assert second.lost == 3


def test_what_was_lost_at_a_sample_is_told_with_the_next_exit() -> None:
    sample = stack_record(L.TRACE_SAMPLE, 1, 2, lost=4)
    *_, last = switches(items(trace(exit_record(1000, 1500), sample, exit_record(1700, 1800, lost=1))))
    assert last.lost == 5


def test_what_who_reads_was_too_slow_for() -> None:
    data = trace(exit_record(1000, 1500)) + blocks.block(blocks.DROPPED, struct.pack("<Q", 7))
    data += records_block(exit_record(1700, 1800))
    found = items(data)
    assert Lost(7) in found
    assert switches(found)[0].host_ns is None


def test_the_traps_that_the_switcher_answered_are_counted_from_the_second_exit_on() -> None:
    records = (exit_record(1000 + at, 1001 + at, fast_paths=each) for at, each in enumerate((0xFFFFFFFE, 1, 1)))
    assert [each.answered for each in switches(items(trace(*records)))] == [0, 3, 0]


def test_a_stack_of_several_records_is_one_sample() -> None:
    more = stack_record(L.TRACE_SAMPLE_MORE, 15, 16)
    records = exit_record(1000, 1500, 0xF0), stack_record(L.TRACE_SAMPLE, *range(1, 15)), more, exit_record(1700, 1800)
    (sample,) = (each for each in items(trace(*records)) if isinstance(each, Sample))
    assert sample.addresses == tuple(range(1, 17))
    assert (sample.host, sample.ring, sample.vector) == (False, 1, 0xF0)


def test_a_sample_that_the_host_kernel_took_is_that_of_the_exit_before() -> None:
    records = exit_record(1000, 1500, 14), stack_record(L.TRACE_SAMPLE_HOST, 5, ring=3), exit_record(1700, 1800)
    (sample,) = (each for each in items(trace(*records)) if isinstance(each, Sample))
    assert (sample.addresses, sample.host, sample.ring, sample.vector) == ((5,), True, 3, 14)


def test_the_launchers_clock_is_related_by_the_closest_pair() -> None:
    event = blocks.block(blocks.EVENTS, struct.pack("<QQII", 50_600, 50_900, blocks.NOTIFY, 3))
    data = trace() + records_block(exit_record(1000, 1500), taken=50_900) + event
    data += records_block(exit_record(1700, 1800), taken=50_810)  # 10 after that exit: the other was late by 400
    (told,) = (each for each in items(data) if isinstance(each, Event))
    assert told == Event(600 - 10, 300, blocks.NOTIFY, 3)


def test_a_guest_that_starts_again_has_times_of_its_own() -> None:
    again = blocks.facts_block({**FACTS, "guest_tsc": 90_000, "machine": 2})
    found = items(trace(exit_record(1000, 1500)) + again + records_block(exit_record(90_000, 90_100)))
    assert [each.machine for each in found if isinstance(each, Facts)] == [1, 2]
    first, second = switches(found)
    assert first.host_ns is None
    assert (second.at_ns, second.guest_ns) == (100, 100)


def test_times_that_run_backwards_are_none() -> None:
    stream = Stream("it")
    list(stream.feed(trace(exit_record(5000, 1500), exit_record(1000, 1800, idle=1 << 63))))
    (last,) = switches(list(stream.end()))
    assert stream.odd == 1
    assert last.guest_ns == 800


def test_a_record_of_an_unknown_kind_is_left_out() -> None:
    stream = Stream("it")
    list(stream.feed(trace(exit_record(1000, 1500, 0x300))))
    assert list(stream.end()) == []
    assert stream.odd == 1


def test_in_pieces_of_any_size_it_is_the_same() -> None:
    data = trace(exit_record(1000, 1500), stack_record(L.TRACE_SAMPLE, 1, 2), exit_record(1700, 1800))
    for step in (1, 7, 64):
        assert items(data, step) == items(data)


@pytest.mark.parametrize(
    "data", [b"", b"lguest-py trace 2\n", b"#!/bin/sh\n", blocks.MAGIC, blocks.MAGIC + b"\xff" * 99]
)
def test_what_is_no_trace_is_refused(data: bytes) -> None:
    with pytest.raises(LguestError, match="is no trace of lguest-py"):
        items(data)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"tsc_khz": 0, "guest_tsc": 0, "machine": 1}', b"[" * 99999, b'{"tsc_khz": "x"}']
)
def test_facts_that_cannot_be_are_refused(content: bytes) -> None:
    with pytest.raises(LguestError, match="is no trace of lguest-py"):
        items(blocks.MAGIC + blocks.block(blocks.FACTS, content))


def test_one_that_is_cut_off_is_shown_up_to_there() -> None:
    stream = Stream("it")
    whole = trace(exit_record(1000, 1500))
    found = list(stream.feed(whole + records_block(exit_record(1700, 1800))[:-1]))
    found += stream.end()
    assert len(switches(found)) == 1
    assert stream.damaged


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_random_bytes_are_read_or_refused(data: bytes, begun: bool) -> None:
    with contextlib.suppress(LguestError):
        items((trace(exit_record(1000, 1500)) if begun else b"") + data, 50)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=1024))
def test_random_records_are_no_error(data: bytes) -> None:
    for each in items(trace(data[: len(data) // 64 * 64])):
        if isinstance(each, Switch):
            assert each.guest_ns >= 0
            assert (each.host_ns or 0) >= 0
            assert (each.idle_ns or 0) >= 0
