# SPDX-License-Identifier: GPL-2.0-or-later
"""The generation-1 device page: what the Guest reads there, and what its NOTIFY does."""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Sequence

import pytest
from ring_lab import Driver

from lguest_py.devices.device import Defaults, Progress
from lguest_py.devices.errors import GuestError
from lguest_py.devices.page_bus import PageBus
from lguest_py.devices.rounds import Rounds
from lguest_py.devices.virtqueue import F_EVENT_IDX, RING_FEATURES, Virtqueue
from lguest_py.errors import UsageError
from lguest_py.files.poller import Poller

RAM = 0x10000
PAGES = 256


class Probe(Defaults):
    """A device that writes down what is asked of it."""

    def __init__(self, kind: int, queues: int, features: int = 0, config: bytes = b"") -> None:
        self.name = f"probe{kind}"
        self.type, self.queue_sizes, self.features = kind, (256,) * queues, features
        self.configuration = config
        self.log: list[object] = []
        self.queues: Sequence[Virtqueue] = ()
        self.config_changed: Callable[[], None] = lambda: None

    def config(self) -> bytes:
        return self.configuration

    def write_config(self, offset: int, data: bytes) -> None:
        self.log.append(("config", offset, data))

    def start(self, queues: Sequence[Virtqueue], features: int, config_changed: Callable[[], None]) -> None:
        self.queues = queues
        self.config_changed = config_changed
        self.log.append(("start", features))

    def reset(self) -> None:
        self.log.append("reset")

    def kick(self, queue: int) -> None:
        self.log.append(("kick", queue))

    def watched(self) -> Collection[int]:
        return ()

    def blocked(self) -> Collection[int]:
        return ()

    def settle(self) -> None:
        pass

    def service(self) -> Progress:
        self.log.append("service")
        return Progress.IDLE

    def close(self) -> None:
        self.log.append("close")


ACCEPTED = RAM + 17  # where the block-like device's accepted features are
CONFIG = RAM + 21


class Setup:
    """A bus with a block-like device (11 feature bits, 8 bytes of configuration) and a console-like one."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(RAM + PAGES * 4096))
        self.irqs: list[int] = []
        self.bus = PageBus(self.memory, RAM, self.irqs.append)
        self.block = Probe(2, 1, 0x405, b"capacity")
        self.console = Probe(3, 2)
        self.bus.add(self.block)
        self.bus.add(self.console)


@pytest.fixture
def setup() -> Setup:
    return Setup()


def test_the_page_is_packed_as_the_guest_reads_it(setup: Setup) -> None:
    block = struct.pack("<5B HHI", 2, 1, 4, 8, 0, 256, 1, RAM // 4096 + 1)
    block += struct.pack("<II8s", RING_FEATURES | 0x405, 0, b"capacity")
    console = struct.pack("<5B HHI HHI", 3, 2, 4, 0, 0, 256, 2, RAM // 4096 + 4, 256, 3, RAM // 4096 + 7)
    console += struct.pack("<II", RING_FEATURES, 0)
    assert bytes(setup.memory[RAM : RAM + 4096]) == (block + console).ljust(4096, b"\0")


def test_accepted_features_start_the_device_once(setup: Setup) -> None:
    setup.memory[RAM + 4] = 3  # ACKNOWLEDGE, DRIVER
    setup.memory[ACCEPTED] = 4  # what is accepted
    setup.bus.notify(RAM)
    setup.bus.notify(RAM)
    assert setup.block.log == [("start", 4)]
    assert setup.console.log == []


def test_features_that_are_accepted_after_a_notify_count_until_the_first_kick(setup: Setup) -> None:
    """Linux up to 3.0 notifies of each status, and accepts features between two of them."""
    ring = RAM + 4096
    for status in (1, 3):
        setup.memory[RAM + 4] = status
        setup.bus.notify(RAM)
    setup.memory[ACCEPTED] = 4
    setup.memory[ring : ring + 4] = b"ring"  # the driver fills it before it kicks
    setup.bus.notify(ring)
    assert setup.block.log == [("start", 0), "reset", ("start", 4), ("kick", 0)]
    assert bytes(setup.memory[ring : ring + 4]) == b"ring"
    assert setup.memory[ACCEPTED] == 4
    setup.memory[ACCEPTED] = 1
    setup.memory[RAM + 4] = 7
    setup.bus.notify(RAM)
    setup.bus.notify(ring)
    assert setup.block.log[4:] == [("kick", 0)]


def test_the_first_kick_starts_a_device_that_said_nothing(setup: Setup) -> None:
    ring = RAM + 7 * 4096
    setup.bus.notify(ring)
    setup.bus.notify(ring)
    assert setup.console.log == [("start", 0), ("kick", 1), ("kick", 1)]


def test_features_that_were_not_offered_end_the_guest(setup: Setup) -> None:
    setup.memory[RAM + 4] = 3
    setup.memory[ACCEPTED] = 2
    with pytest.raises(GuestError, match="accepted features 0x2, offered 0x30000405"):
        setup.bus.notify(RAM)
    assert setup.block.log == []


@pytest.mark.parametrize("status", [0, 0x83])
def test_reset_and_failure_empty_the_rings_and_forget_features(setup: Setup, status: int) -> None:
    setup.memory[RAM + 4] = 3
    setup.memory[ACCEPTED] = 4
    setup.bus.notify(RAM)
    ring = slice(RAM + 4096, RAM + 2 * 4096)
    setup.memory[ring] = b"x" * 4096
    setup.memory[RAM + 4] = status
    setup.bus.notify(RAM)
    assert setup.block.log == [("start", 4), "reset"]
    assert not any(setup.memory[ring])
    assert setup.memory[ACCEPTED] == 0
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
    setup.memory[ACCEPTED : ACCEPTED + 4] = bytes(4)
    setup.memory[RAM + 4] = 3
    setup.bus.notify(RAM)
    setup.bus.notify(RAM + 4096)
    assert setup.block.log[0] == ("start", 0)
    assert setup.block.log[-1] == ("kick", 0)


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
    with pytest.raises(UsageError, match="no room"):
        setup.bus.add(Probe(1, 4))


def test_the_page_is_never_filled_to_its_end() -> None:
    """A type of 0 must follow the last descriptor."""
    bus = PageBus(memoryview(bytearray(RAM + PAGES * 4096)), RAM, lambda irq: None)
    for _ in range(16):
        bus.add(Probe(1, 0, 0, bytes(250)))
    bus.add(Probe(1, 0, 0, bytes(10)))  # one byte is left
    with pytest.raises(UsageError, match="no room"):
        bus.add(Probe(1, 0, 0, bytes(0)))


def test_ring_features_are_the_queues_and_not_the_devices(setup: Setup) -> None:
    setup.memory[ACCEPTED : ACCEPTED + 4] = (F_EVENT_IDX | 0x400).to_bytes(4, "little")
    setup.memory[RAM + 4] = 3
    setup.bus.notify(RAM)
    assert setup.block.log == [("start", 0x400)]
    driver = Driver(setup.memory, RAM + 4096, F_EVENT_IDX)
    driver.used_event = 1
    for expected in ([], [1]):
        driver.send(0, 0x1000, b"x")
        chain = setup.block.queues[0].pop()
        assert chain is not None
        setup.block.queues[0].push(chain, 0)
        setup.block.queues[0].notify()
        assert setup.irqs == expected


def test_the_configuration_goes_both_ways(setup: Setup) -> None:
    setup.memory[RAM + 4] = 3
    setup.bus.notify(RAM)
    setup.block.configuration = b"CAPACITY"
    setup.block.config_changed()
    assert bytes(setup.memory[CONFIG : CONFIG + 8]) == b"CAPACITY"
    setup.memory[CONFIG + 2 : CONFIG + 4] = b"xy"
    setup.bus.notify(RAM + 4096)
    assert ("config", 2, b"xy") in setup.block.log
    assert bytes(setup.memory[CONFIG : CONFIG + 8]) == b"CAPACITY"  # the device did not take it


def test_only_started_devices_work_and_the_end_of_a_boot_resets_all(setup: Setup) -> None:
    rounds = Rounds(setup.bus.slots, Poller())
    assert rounds.service() is Progress.IDLE
    assert setup.block.log == []
    setup.memory[RAM + 4] = 3
    setup.bus.notify(RAM)
    rounds.service()
    rounds.service()
    assert setup.block.log == [("start", 0), "service"]
    assert setup.console.log == []
    setup.bus.close()
    assert setup.block.log[-1] == setup.console.log[-1] == "reset"
