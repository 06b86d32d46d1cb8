# SPDX-License-Identifier: GPL-2.0-or-later
"""The generation-1 device page: what the Guest reads there, and what its NOTIFY does."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from fake_engine import Driver

from lguest_py.devices.bus import Bus
from lguest_py.devices.errors import GuestError
from lguest_py.devices.virtqueue import Virtqueue

RAM = 0x10000
PAGES = 256


class Probe:
    """A device that writes down what is asked of it."""

    def __init__(self, kind: int, queues: int, features: int = 0, config: bytes = b"") -> None:
        self.name = f"probe{kind}"
        self.type, self.queue_count, self.features, self.config = kind, queues, features, config
        self.log: list[object] = []
        self.queues: Sequence[Virtqueue] = ()

    def start(self, queues: Sequence[Virtqueue], features: int) -> None:
        self.queues = queues
        self.log.append(("start", features))

    def reset(self) -> None:
        self.log.append("reset")

    def kick(self, queue: int) -> None:
        self.log.append(("kick", queue))


class Setup:
    """A bus with a block-like device (11 feature bits, 8 bytes of configuration) and a console-like one."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(RAM + PAGES * 4096))
        self.irqs: list[int] = []
        self.bus = Bus(self.memory, RAM, self.irqs.append)
        self.block = Probe(2, 1, 0x405, b"capacity")
        self.console = Probe(3, 2)
        self.bus.add(self.block)
        self.bus.add(self.console)


@pytest.fixture
def setup() -> Setup:
    return Setup()


def test_the_page_is_packed_as_the_guest_reads_it(setup: Setup) -> None:
    block = struct.pack("<5B HHI 2s2s8s", 2, 1, 2, 8, 0, 256, 1, RAM // 4096 + 1, b"\5\4", b"\0\0", b"capacity")
    console = struct.pack("<5B HHI HHI", 3, 2, 0, 0, 0, 256, 2, RAM // 4096 + 4, 256, 3, RAM // 4096 + 7)
    assert bytes(setup.memory[RAM : RAM + 4096]) == (block + console).ljust(4096, b"\0")


def test_accepted_features_start_the_device_once(setup: Setup) -> None:
    setup.memory[RAM + 4] = 3  # ACKNOWLEDGE, DRIVER
    setup.memory[RAM + 15] = 4  # what is accepted
    setup.bus.notify(RAM)
    setup.bus.notify(RAM)
    assert setup.block.log == [("start", 4)]
    assert setup.console.log == []


def test_the_first_kick_starts_a_device_that_said_nothing(setup: Setup) -> None:
    ring = RAM + 7 * 4096
    setup.bus.notify(ring)
    setup.bus.notify(ring)
    assert setup.console.log == [("start", 0), ("kick", 1), ("kick", 1)]


def test_features_that_were_not_offered_end_the_guest(setup: Setup) -> None:
    setup.memory[RAM + 4] = 3
    setup.memory[RAM + 15] = 2
    with pytest.raises(GuestError, match="accepted features 0x2, offered 0x405"):
        setup.bus.notify(RAM)
    assert setup.block.log == []


@pytest.mark.parametrize("status", [0, 0x83])
def test_reset_and_failure_empty_the_rings_and_forget_features(setup: Setup, status: int) -> None:
    setup.memory[RAM + 4] = 3
    setup.memory[RAM + 15] = 4
    setup.bus.notify(RAM)
    ring = slice(RAM + 4096, RAM + 2 * 4096)
    setup.memory[ring] = b"x" * 4096
    setup.memory[RAM + 4] = status
    setup.bus.notify(RAM)
    assert setup.block.log == [("start", 4), "reset"]
    assert not any(setup.memory[ring])
    assert setup.memory[RAM + 15] == 0
    setup.memory[RAM + 4] = 3
    setup.bus.notify(RAM)
    assert setup.block.log[-1] == ("start", 0)


def test_each_queue_raises_its_own_interrupt(setup: Setup) -> None:
    setup.bus.notify(RAM + 4096)
    setup.bus.notify(RAM + 4 * 4096)
    addresses = (RAM + 4 * 4096, RAM + 7 * 4096, RAM + 4096)
    for address, queue in zip(addresses, (*setup.console.queues, *setup.block.queues), strict=True):
        Driver(setup.memory, address).send(0, 0x1000, b"x")
        chain = queue.pop()
        assert chain is not None
        queue.push(chain, 0)
        queue.notify()
    assert setup.irqs == [2, 3, 1]


@pytest.mark.parametrize("address", [RAM + 1, RAM + 0xFFF, RAM + 2 * 4096, RAM + 255 * 4096, 0x5000, 0xFFFFFFFF])
def test_any_other_address_ends_the_guest(setup: Setup, address: int) -> None:
    with pytest.raises(GuestError, match=f"{address:#x}"):
        setup.bus.notify(address)


def test_scribbling_over_the_page_changes_nothing_of_ours(setup: Setup) -> None:
    setup.memory[RAM : RAM + 4096] = b"\xff" * 4096
    setup.memory[RAM + 15 : RAM + 17] = b"\0\0"
    setup.memory[RAM + 4] = 3
    setup.bus.notify(RAM)
    setup.bus.notify(RAM + 4096)
    assert setup.block.log == [("start", 0), ("kick", 0)]


def test_what_the_guest_waits_for_is_the_device_page(setup: Setup) -> None:
    assert [setup.bus.holds(address) for address in (RAM - 1, RAM, RAM + 4095, RAM + 4096)] == [
        False,
        True,
        True,
        False,
    ]


def test_a_bus_has_31_interrupts(setup: Setup) -> None:
    for _ in range(7):
        setup.bus.add(Probe(1, 4))
    with pytest.raises(ValueError, match="no room"):
        setup.bus.add(Probe(1, 4))


def test_the_page_is_never_filled_to_its_end() -> None:
    """A type of 0 must follow the last descriptor."""
    bus = Bus(memoryview(bytearray(RAM + PAGES * 4096)), RAM, lambda irq: None)
    for _ in range(15):
        bus.add(Probe(1, 0, 0, bytes(251)))
    with pytest.raises(ValueError, match="no room"):
        bus.add(Probe(1, 0, 0, bytes(251)))
