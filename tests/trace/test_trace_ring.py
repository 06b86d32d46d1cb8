# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring in shared memory, and what the Launcher does with what it takes out of it."""

from __future__ import annotations

import struct
import time

import pytest

from lguest_py.errors import LguestError
from lguest_py.launcher.tracing import AT_ONCE, MOST_EVENTS, Tracing
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory import trace_blocks as blocks
from lguest_py.shared_memory.layout import View
from lguest_py.shared_memory.trace_ring import RECORD, TraceRing


class Machine:
    """The memory of one, with a Host kernel's words in it."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(1 << 20))
        self.mailbox = View(self.memory, L.MAILBOX_ADDRESS, L.MAILBOX)
        self.mailbox["tsc_khz"], self.mailbox["guest_tsc"] = 1000, 5

    def write(self, count: int) -> None:
        """As the Host kernel: records whose first word is their number."""
        for _ in range(count):
            head = self.mailbox["trace_head"]
            struct.pack_into("<I", self.memory, L.TRACE_ADDRESS + head % L.TRACE_RECORDS * RECORD, head)
            self.mailbox["trace_head"] = (head + 1) & 0xFFFFFFFF


class Kept:
    """A Sink."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.data, self.room = b"", room

    def write(self, data: bytes) -> None:
        self.data += data

    def blocks(self) -> list[tuple[bytes, bytes]]:
        return list(blocks.Blocks("it").feed(self.data))


def numbers(taken: bytes) -> list[int]:
    return [struct.unpack_from("<I", taken, at)[0] for at in range(0, len(taken), RECORD)]


@pytest.mark.parametrize("start", [0, L.TRACE_RECORDS - 3, 0xFFFFFFFD])
def test_records_come_in_order_around_its_end(start: int) -> None:
    machine = Machine()
    machine.mailbox["trace_head"] = start
    ring = TraceRing(machine.memory)
    ring.want(True)
    machine.write(6)
    assert ring.pending() == 6
    wanted = [(start + each) & 0xFFFFFFFF for each in range(6)]
    assert numbers(ring.take(4)) == wanted[:4]
    assert numbers(ring.take(99)) == wanted[4:]
    assert ring.take(99) == b""


def test_more_records_than_it_has_is_a_bug() -> None:
    machine = Machine()
    machine.mailbox["trace_head"] = L.TRACE_RECORDS + 1
    with pytest.raises(LguestError, match="this is a bug"):
        TraceRing(machine.memory).take(1)


def test_it_lies_where_nothing_else_does() -> None:
    end = L.TRACE_ADDRESS + L.TRACE_RECORDS * RECORD
    assert L.MAILBOX_ADDRESS + L.MAILBOX.size <= L.PCI_ADDRESS <= L.TRACE_ADDRESS
    assert end <= 0xA0000 < L.HOST_KERNEL_BASE


def test_without_a_reader_the_host_kernel_is_asked_for_nothing() -> None:
    machine, tracing = Machine(), Tracing()
    tracing.begin(machine.memory, {})
    assert (machine.mailbox["trace"], tracing.on) == (0, False)
    reader = tracing.add(Kept(), 10)
    tracing.obey()
    assert (machine.mailbox["trace"], machine.mailbox["trace_rate"]) == (1, 10)
    tracing.remove(reader)
    tracing.obey()
    assert (machine.mailbox["trace"], machine.mailbox["trace_rate"], tracing.on) == (0, 0, False)


def test_facts_come_before_the_first_record_for_each_reader() -> None:
    machine, tracing, early = Machine(), Tracing({"name": "it"}), Kept()
    tracing.add(early)
    tracing.begin(machine.memory, {"pae": False})
    machine.write(2)
    tracing.drain()
    late = Kept()
    tracing.add(late)
    machine.write(1)
    tracing.drain()
    assert [kind for kind, _ in early.blocks()] == [blocks.FACTS, blocks.RECORDS, blocks.RECORDS]
    assert [kind for kind, _ in late.blocks()] == [blocks.FACTS, blocks.RECORDS]
    assert numbers(late.blocks()[1][1][8:]) == [2]


def test_a_reader_without_room_loses_and_is_told_how_many() -> None:
    machine, tracing, slow, quick = Machine(), Tracing(), Kept(), Kept()
    tracing.add(slow)
    tracing.add(quick)
    tracing.begin(machine.memory, {})
    machine.write(1)
    tracing.drain()
    slow.room = 100
    machine.write(AT_ONCE + 5)
    tracing.drain()
    slow.room = 1 << 20
    machine.write(1)
    tracing.drain()
    told = [struct.unpack("<Q", content)[0] for kind, content in slow.blocks() if kind == blocks.DROPPED]
    assert told == [AT_ONCE + 5]
    seen = [len(content[8:]) // RECORD for kind, content in quick.blocks() if kind == blocks.RECORDS]
    assert sum(seen) == AT_ONCE + 7


def test_a_machine_that_was_saved_while_it_was_traced_has_no_old_records() -> None:
    machine, tracing, kept = Machine(), Tracing(), Kept()
    tracing.add(kept)
    machine.mailbox["trace"] = 1  # of the one that was saved
    machine.write(9)
    tracing.begin(machine.memory, {})
    tracing.restored()
    machine.write(1)
    tracing.drain()
    assert [numbers(content[8:]) for kind, content in kept.blocks() if kind == blocks.RECORDS] == [[9]]


def test_events_are_gathered_and_short_looks_are_none() -> None:
    machine, tracing, kept = Machine(), Tracing(), Kept()
    tracing.add(kept)
    tracing.begin(machine.memory, {})
    tracing.drain()
    begun = time.monotonic_ns() - 1_000_000
    for number in range(MOST_EVENTS + 1):
        tracing.event(blocks.NOTIFY, begun, number)
    tracing.event(blocks.DEVICES, time.monotonic_ns() + 1_000_000)  # no time at all
    tracing.drain()
    sizes = [len(content) // blocks.EVENT.size for kind, content in kept.blocks() if kind == blocks.EVENTS]
    assert sizes == [MOST_EVENTS, 1]
