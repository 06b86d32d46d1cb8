# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtio console: no byte is lost, memory is bounded, a driver that breaks a rule is an error."""

from __future__ import annotations

import struct
from functools import partial

import pytest
from ring_lab import Driver, Rig

from lguest_py.devices.console import BUDGET, CHAINS, F_EMERG_WRITE, F_SIZE, Console
from lguest_py.devices.device import Progress
from lguest_py.devices.errors import GuestError
from lguest_py.devices.input_pace import LEAST, QUIET, InputPace
from lguest_py.devices.virtqueue import DESC_WRITE, Chain, Virtqueue, legacy_ring


class Sink:
    """Takes ``room`` bytes and then no more."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.data = b""

    def write(self, data: bytes | bytearray) -> None:
        assert len(data) <= self.room
        self.room -= len(data)
        self.data += data


class Setup:
    """A started console and the driver's two queues, in 4 MiB."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.memory = memoryview(bytearray(4 << 20))
        self.irqs: list[str] = []
        self.inbox = bytearray()
        self.sink = Sink(room)
        self.console = Console(self.inbox, self.sink)
        addresses = {"receive": 0x10000, "transmit": 0x20000}
        self.queues = [Virtqueue(name, self.memory, partial(self.irqs.append, name)) for name in addresses]
        self.rings = [legacy_ring(at, 256, 4096) for at in addresses.values()]
        self.receive, self.transmit = (Driver(self.memory, at) for at in addresses.values())

    def start(self) -> Setup:
        for queue, ring in zip(self.queues, self.rings, strict=True):
            queue.enable(ring)
        self.console.start(self.queues, 0, lambda: None)
        return self


def test_output_goes_to_the_sink_and_its_buffers_back() -> None:
    s = Setup().start()
    s.transmit.send(0, 0x1000, b"hello ")
    s.transmit.send(1, 0x2000, b"world")
    assert s.console.service() is Progress.IDLE
    assert s.sink.data == b"hello world"
    assert s.transmit.used() == [(0, 0), (1, 0)]
    assert s.irqs == ["transmit"]
    assert s.console.service() is Progress.IDLE
    assert s.irqs == ["transmit"]


def test_output_waits_for_the_sink_and_none_is_lost() -> None:
    s = Setup(room=4).start()
    s.transmit.describe(0, 0x1000, 3, 1, 1)
    s.transmit.describe(1, 0x1100, 5)
    s.memory[0x1000:0x1003] = b"abc"
    s.memory[0x1100:0x1105] = b"defgh"
    s.transmit.offer(0)
    assert s.console.service() is Progress.BLOCKED
    assert s.sink.data == b"abcd"
    assert s.transmit.used() == []
    assert s.irqs == []
    assert s.console.service() is Progress.BLOCKED
    s.sink.room = 100
    assert s.console.service() is Progress.IDLE
    assert s.sink.data == b"abcdefgh"
    assert s.transmit.used() == [(0, 0)]


def test_a_guest_that_never_stops_talking_gives_way() -> None:
    s = Setup().start()
    s.transmit.send(0, 0x100000, b"x" * (3 * BUDGET))
    calls = 1
    while s.console.service() is Progress.MORE:
        calls += 1
    assert calls == 3
    assert len(s.sink.data) == 3 * BUDGET


def test_a_guest_that_refills_the_ring_meanwhile_gives_way() -> None:
    s = Setup().start()
    s.transmit.send(0, 0x1000, b"x")
    pop = s.queues[1].pop

    def pop_and_refill() -> Chain | None:
        s.transmit.send(0, 0x1000, b"x")
        return pop()

    s.queues[1].pop = pop_and_refill  # type: ignore[method-assign]
    assert s.console.service() is Progress.MORE
    assert len(s.sink.data) == CHAINS


def test_input_fills_buffers_in_order() -> None:
    s = Setup().start()
    s.receive.receive(0, 0x1000, 4)
    s.receive.receive(1, 0x2000, 4)
    s.inbox += b"abcdefghij"
    s.console.service()
    assert bytes(s.memory[0x1000:0x1004]) + bytes(s.memory[0x2000:0x2004]) == b"abcdefgh"
    assert s.receive.used() == [(0, 4), (1, 4)]
    assert s.inbox == b"ij"
    assert s.irqs == ["receive"]
    s.receive.receive(0, 0x1000, 4)
    s.console.service()
    assert s.receive.used() == [(0, 2)]
    assert bytes(s.memory[0x1000:0x1002]) == b"ij"


def test_input_fills_all_buffers_of_a_chain() -> None:
    s = Setup().start()
    s.receive.chain((0x1000, 2, DESC_WRITE), (0x2000, 2, DESC_WRITE))
    s.inbox += b"abc"
    s.console.service()
    assert bytes(s.memory[0x1000:0x1002]) + bytes(s.memory[0x2000:0x2001]) == b"abc"
    assert s.receive.used() == [(0, 3)]


def test_it_is_hungry_only_with_a_buffer_to_fill_and_nothing_to_fill_it_with() -> None:
    s = Setup()
    assert not s.console.wants_input
    s.start()
    assert not s.console.wants_input
    s.receive.receive(0, 0x1000, 4)
    assert s.console.wants_input
    s.inbox += b"x"
    assert not s.console.wants_input


def test_before_it_is_started_nothing_moves() -> None:
    s = Setup()
    s.inbox += b"x"
    s.transmit.send(0, 0x1000, b"x")
    assert s.console.service() is Progress.IDLE
    assert s.inbox == b"x"
    assert s.sink.data == b""


def test_reset_forgets_a_half_sent_buffer() -> None:
    s = Setup(room=1).start()
    s.transmit.send(0, 0x1000, b"abc")
    assert s.console.service() is Progress.BLOCKED
    s.console.reset()
    s.memory[0x10000:0x30000] = bytes(0x20000)
    s.sink.room = 100
    s.start()
    s.transmit = Driver(s.memory, 0x20000)
    s.transmit.send(0, 0x1000, b"new")
    s.console.service()
    assert s.sink.data == b"anew"


def test_a_buffer_of_the_wrong_direction_ends_the_guest() -> None:
    s = Setup().start()
    s.transmit.receive(0, 0x1000, 4)
    with pytest.raises(GuestError, match="transmit queue"):
        s.console.service()
    s = Setup().start()
    s.receive.send(0, 0x1000, b"x")
    s.inbox += b"x"
    with pytest.raises(GuestError, match="receive queue"):
        s.console.service()


def test_a_terminals_size_is_offered_and_its_change_is_told_once() -> None:
    size = [(80, 24)]
    console = Console(bytearray(), Sink(99), lambda: size[-1])
    changes: list[bytes] = []
    rig = Rig(console)
    console.start(rig.queues, F_SIZE, lambda: changes.append(console.config()))
    assert console.features == F_EMERG_WRITE | F_SIZE
    assert console.config() == struct.pack("<HHII", 80, 24, 0, 0)
    assert console.service() is Progress.IDLE
    assert changes == []
    size.append((132, 50))
    console.service()
    console.service()
    assert changes == [struct.pack("<HHII", 132, 50, 0, 0)]
    console.reset()
    size.append((1, 2))
    console.service()  # between two boots of the Guest: it will find it
    assert (len(changes), console.config()[:4]) == (1, struct.pack("<HH", 1, 2))


def test_a_driver_that_reads_input_is_told_of_the_first_size_once() -> None:
    s = Setup()
    changes: list[bytes] = []
    s.console = Console(s.inbox, s.sink, lambda: (80, 24))
    for _ in range(2):  # again after a restart of the Guest
        for queue, ring in zip(s.queues, s.rings, strict=True):
            queue.disable()
            ring_words = s.memory[ring.available : ring.available + 4], s.memory[ring.used : ring.used + 4]
            for each in ring_words:
                each[:] = bytes(4)
            queue.enable(ring)
        s.receive, s.transmit = (Driver(s.memory, at) for at in (0x10000, 0x20000))
        changes.clear()
        s.console.start(s.queues, F_SIZE, lambda: changes.append(s.console.config()[:4]))
        for number in range(256):
            s.receive.receive(number, 0x30000 + number, 1)
        s.transmit.send(0, 0x1000, b"while its console is set up")
        s.inbox += b"ahead"
        s.console.service()
        s.console.service()
        assert changes == []
        s.receive.receive(0, 0x30000, 1)  # it has read the first byte
        s.console.service()
        assert changes == [struct.pack("<HH", 80, 24)]
        s.receive.receive(1, 0x30001, 1)
        s.inbox += b"more"
        s.console.service()
        s.console.service()
        assert len(changes) == 1
        s.console.reset()


def test_what_is_no_terminal_has_no_size() -> None:
    console = Console(bytearray(), Sink(99))
    assert console.features == F_EMERG_WRITE
    assert console.config() == bytes(12)


def test_the_pace_holds_input_back_and_loses_none() -> None:
    s = Setup().start()
    now = 0.0
    s.console.pace = InputPace(lambda: 0, lambda: now)
    s.inbox += bytes(range(200))
    for number in range(4):
        s.receive.receive(number, 0x1000 * (number + 1), 40)
    s.console.service()
    assert s.console.held
    assert s.receive.used() == []
    now = QUIET
    s.console.service()
    assert s.receive.used() == [(0, 40), (1, LEAST - 40)]  # what there is room for, in the buffers that there are
    assert s.console.held
    assert not s.console.wants_input
    now += QUIET
    s.console.service()
    assert s.receive.used() == [(2, 40), (3, LEAST - 40)]
    assert bytes(s.memory[0x1000:0x1028]) + bytes(s.memory[0x2000:0x2018]) == bytes(range(LEAST))
    assert bytes(s.inbox) == bytes(range(2 * LEAST, 200))
    assert not s.console.held  # it has no buffers


def test_input_that_nothing_holds_back_is_wanted() -> None:
    s = Setup().start()
    idles = 0
    s.console.pace = InputPace(lambda: idles, lambda: 0.0)
    s.receive.receive(0, 0x1000, 4096)
    assert not s.console.wants_input
    idles += 1
    assert s.console.wants_input
    assert not s.console.held


def test_a_bad_receive_ring_is_an_error_of_service_alone() -> None:
    """The Launcher asks ``wants_input`` outside of the bus, which alone can mark the device as broken."""
    s = Setup().start()
    struct.pack_into("<H", s.memory, 0x10000 + 16 * 256 + 2, 300)  # the available index
    assert s.console.wants_input
    with pytest.raises(GuestError, match="available index moved 300"):
        s.console.service()
