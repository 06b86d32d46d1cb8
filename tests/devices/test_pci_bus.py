# SPDX-License-Identifier: GPL-2.0-or-later
"""The registers of virtio 1.x on PCI, used well and wrongly; test_pci_function.py has configuration space."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Collection, Sequence

import pytest
from ring_lab import Arena, Driver, modern_ring

from lguest_py.devices.console import Console
from lguest_py.devices.device import Defaults, Progress
from lguest_py.devices.errors import GuestError
from lguest_py.devices.pci_bus import PciBus
from lguest_py.devices.rounds import Rounds
from lguest_py.devices.virtqueue import RING_FEATURES, Virtqueue
from lguest_py.files.poller import Poller
from lguest_py.shared_memory import _layouts as L

RAM = 1 << 20
VERSION_1 = 1 << 32
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 0x40, 0x80
AT = {  # offsets in the common configuration: virtio 1.2, 4.1.4.3
    "device_feature_select": (0, 4),
    "device_feature": (4, 4),
    "driver_feature_select": (8, 4),
    "driver_feature": (12, 4),
    "msix_config": (16, 2),
    "num_queues": (18, 2),
    "status": (20, 1),
    "generation": (21, 1),
    "queue_select": (22, 2),
    "queue_size": (24, 2),
    "queue_msix": (26, 2),
    "queue_enable": (28, 2),
    "notify_off": (30, 2),
    "desc": (32, 4),
    "driver": (40, 4),
    "device": (48, 4),
}


class Probe(Defaults):
    """A device with two queues and eight bytes of configuration; ``fault`` is raised by its next call."""

    name, type, queue_sizes, features = "probe", 2, (64, 128), 1 << 5 | 1 << 34

    def __init__(self) -> None:
        self.bytes = bytearray(b"01234567")
        self.log: list[object] = []
        self.queues: Sequence[Virtqueue] = ()
        self.config_changed: Callable[[], None] = lambda: None
        self.fault: GuestError | None = None

    def _break(self) -> None:
        if fault := self.fault:
            self.fault = None
            raise fault

    def config(self) -> bytes:
        return bytes(self.bytes)

    def write_config(self, offset: int, data: bytes) -> None:
        self.bytes[offset : offset + len(data)] = data
        self._break()

    def start(self, queues: Sequence[Virtqueue], features: int, config_changed: Callable[[], None]) -> None:
        self.queues, self.config_changed = queues, config_changed
        self.log.append(("start", features))
        self._break()

    def reset(self) -> None:
        self.queues = ()
        self.log.append("reset")

    def kick(self, queue: int) -> None:
        self.log.append(("kick", queue))
        self._break()

    def watched(self) -> Collection[int]:
        return ()

    def blocked(self) -> Collection[int]:
        return ()

    def settle(self) -> None:
        pass

    def service(self) -> Progress:
        self._break()
        return Progress.IDLE

    def close(self) -> None:
        pass


class Setup:
    """A bus with a console in slot 1 and the probe in slot 2, and a driver's view of them."""

    def __init__(self, *, msix: bool = False) -> None:
        self.vectors: list[tuple[int, int]] = []
        self.backing = bytearray(RAM)
        self.memory = memoryview(self.backing)
        self.interrupts: list[int] = []
        self.changes: list[int] = []
        self.said: list[str] = []
        self.probe = Probe()
        self.console = Console(bytearray(), None)  # type: ignore[arg-type]
        devices = (self.console, self.probe)
        told = (lambda slot, vectors: self.vectors.append((slot, vectors))) if msix else None
        self.bus = PciBus(self.memory, devices, self.interrupts.append, self.changes.append, self.said.append, told)
        self.rounds = Rounds(self.bus.slots, Poller())

    def read(self, name: str, slot: int = 2) -> int:
        return self.bus.access(slot, L.BAR_COMMON + AT[name][0], AT[name][1], None)

    def write(self, name: str, value: int, slot: int = 2) -> None:
        self.bus.access(slot, L.BAR_COMMON + AT[name][0], AT[name][1], value)

    def write_address(self, name: str, value: int) -> None:
        for half in range(2):
            self.bus.access(2, L.BAR_COMMON + AT[name][0] + 4 * half, 4, value >> 32 * half & 0xFFFFFFFF)

    def offered(self) -> int:
        value = 0
        for half in range(2):
            self.write("device_feature_select", half)
            value |= self.read("device_feature") << 32 * half
        return value

    def negotiate(self, features: int) -> bool:
        self.write("status", ACKNOWLEDGE)
        self.write("status", ACKNOWLEDGE | DRIVER)
        for half in range(2):
            self.write("driver_feature_select", half)
            self.write("driver_feature", features >> 32 * half & 0xFFFFFFFF)
        self.write("status", ACKNOWLEDGE | DRIVER | FEATURES_OK)
        return bool(self.read("status") & FEATURES_OK)

    def set_up_queue(self, number: int, address: int, size: int, features: int) -> Driver:
        ring = modern_ring(address, size)
        self.write("queue_select", number)
        self.write("queue_size", size)
        self.write_address("desc", ring.descriptors)
        self.write_address("driver", ring.available)
        self.write_address("device", ring.used)
        self.write("queue_enable", 1)
        return Driver(self.memory, ring, features, Arena(address + 0x8000, address + 0x10000))

    def start(self, features: int = VERSION_1 | RING_FEATURES) -> Driver:
        assert self.negotiate(features)
        driver = self.set_up_queue(1, 0x10000, 16, features)
        self.write("status", ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)
        return driver

    def broken(self) -> bool:
        return bool(self.read("status") & NEEDS_RESET)


@pytest.fixture
def setup() -> Setup:
    return Setup()


# The registers, as the specification wants them to be used.


def test_features_are_offered_in_two_halves(setup: Setup) -> None:
    assert setup.offered() == Probe.features | RING_FEATURES | VERSION_1
    setup.write("device_feature_select", 2)
    assert setup.read("device_feature") == 0


def test_a_device_starts_at_driver_ok_with_what_was_accepted(setup: Setup) -> None:
    driver = setup.start(VERSION_1 | RING_FEATURES | 1 << 34)
    assert setup.probe.log == [("start", VERSION_1 | 1 << 34)]
    driver.used_event = 0
    driver.add([b"hello"], [3])
    setup.bus.notify(L.NOTIFY_PCI | 2 << 16 | 1)
    assert setup.probe.log[1:] == [("kick", 1)]
    assert setup.probe.queues[0].pop() is None
    chain = setup.probe.queues[1].pop()
    assert chain is not None
    assert bytes(chain.readable[0]) == b"hello"
    chain.writable[0][:] = b"abc"
    setup.probe.queues[1].push(chain, 3)
    setup.probe.queues[1].notify()
    assert setup.interrupts == [2]
    ((request, written),) = driver.finished()
    assert (driver.read(request), written) == (b"abc", 3)


@pytest.mark.parametrize("features", [0, RING_FEATURES, VERSION_1 | 1, VERSION_1 | 1 << 63])
def test_without_version_1_or_with_more_than_offered_features_are_not_ok(setup: Setup, features: int) -> None:
    assert not setup.negotiate(features)
    assert not setup.broken()


def test_features_do_not_change_after_features_ok(setup: Setup) -> None:
    assert setup.negotiate(VERSION_1)
    setup.write("driver_feature_select", 0)
    setup.write("driver_feature", 0xFFFFFFFF)
    assert setup.read("driver_feature") == 0


def test_queues_show_their_size_and_their_doorbell(setup: Setup) -> None:
    assert setup.read("num_queues") == 2
    seen = []
    for number in range(3):
        setup.write("queue_select", number)
        seen.append((setup.read("queue_size"), setup.read("notify_off"), setup.read("queue_enable")))
    assert seen == [(64, 0, 0), (128, 1, 0), (0, 0, 0)]
    setup.write("queue_enable", 1)  # of none
    assert not setup.broken()


def test_there_are_no_msix_vectors(setup: Setup) -> None:
    setup.write("msix_config", 0)
    setup.write("queue_msix", 1)
    assert setup.read("msix_config") == setup.read("queue_msix") == 0xFFFF


def test_the_host_kernel_is_told_of_msix_vectors() -> None:
    """Those that exist; a reset takes them away."""
    setup = Setup(msix=True)
    setup.write("msix_config", 0)
    setup.write("queue_msix", 1)
    setup.write("queue_select", 1)
    setup.write("queue_msix", 0)
    assert [setup.read("msix_config"), setup.read("queue_msix")] == [0, 0]
    setup.write("queue_select", 0)
    assert setup.read("queue_msix") == 1
    config = 1 << L.MSIX_CONFIG
    assert setup.vectors == [(2, config), (2, config | 2), (2, config | 3)]
    for vector in (L.MSIX_VECTORS, 0xFFFF):
        setup.write("queue_msix", vector)
        assert setup.read("queue_msix") == 0xFFFF
    setup.write("queue_select", 2)  # there is none
    setup.write("queue_msix", 0)
    setup.write("status", 0)
    assert setup.vectors[3:] == [(2, config | 1), (2, 0)]
    assert setup.read("msix_config") == 0xFFFF


def test_a_queue_that_runs_may_get_another_vector() -> None:
    setup = Setup(msix=True)
    setup.start()
    setup.write("queue_select", 0)
    setup.write("queue_msix", 1)
    assert setup.vectors == [(2, 2)]
    assert not setup.broken()


def test_a_reset_forgets_all(setup: Setup) -> None:
    setup.start()
    old = setup.probe.queues[1]
    setup.write("status", 0)
    assert setup.read("status") == 0
    assert setup.probe.log[-1] == "reset"
    setup.write("queue_select", 1)
    assert (setup.read("queue_size"), setup.read("queue_enable")) == (128, 0)
    setup.bus.notify(L.NOTIFY_PCI | 2 << 16 | 1)
    assert setup.probe.log[-1] == "reset"
    driver = setup.start()
    driver.add([b"x"])
    assert old.pop() is None
    assert setup.probe.queues[1].pop() is not None


def test_a_driver_that_gives_up_stops_the_device(setup: Setup) -> None:
    setup.start()
    setup.write("status", 0x8F)
    assert setup.probe.log[-1] == "reset"
    assert setup.read("status") == 0x8F
    assert setup.said == []


@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_configuration_can_be_read_and_written_with_any_width(setup: Setup, width: int) -> None:
    whole = b"".join(
        setup.bus.access(2, L.BAR_DEVICE + at, width, None).to_bytes(width, "little") for at in range(0, 12, width)
    )
    assert whole == b"01234567\0\0\0\0"
    for at in range(0, 12, width):
        setup.bus.access(2, L.BAR_DEVICE + at, width, int.from_bytes(b"abcdefghijkl"[at : at + width], "little"))
    assert setup.probe.bytes == b"abcdefgh"
    assert setup.bus.access(2, L.BAR_DEVICE + 7, 4, None) == ord("h")


@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_common_configuration_too(setup: Setup, width: int) -> None:
    image = struct.pack("<IIII", 1, Probe.features >> 32 | 1, 1, 0)
    for at in (0, 8):
        for step in range(0, 4, width):
            value = int.from_bytes(image[at + step : at + step + width], "little")
            setup.bus.access(2, L.BAR_COMMON + at + step, width, value)
    read = b"".join(
        setup.bus.access(2, L.BAR_COMMON + at, width, None).to_bytes(width, "little") for at in range(0, 16, width)
    )
    assert read == image
    assert setup.bus.access(2, L.BAR_COMMON + L.VIRTIO_PCI_COMMON.size, width, None) == 0


def test_a_change_of_the_configuration_is_an_interrupt_and_a_generation(setup: Setup) -> None:
    setup.start()
    before = setup.read("generation")
    setup.probe.config_changed()
    assert setup.changes == [2]
    assert setup.read("generation") == before + 1


# Drivers that break a rule.


def enabled_twice(setup: Setup) -> None:
    setup.write("queue_enable", 1)


def enabled_with(setup: Setup, **addresses: int) -> None:
    setup.write("status", 0)
    setup.negotiate(VERSION_1)
    for name, value in addresses.items():
        if name == "queue_size":
            setup.write(name, value)
        else:
            setup.write_address(name, value)
    setup.write("queue_enable", 1)


def written(setup: Setup, name: str, value: int) -> None:
    setup.write("status", 0)
    setup.write(name, value)


HOSTILE: dict[str, Callable[[Setup], object]] = {
    "queue_enable was written while": enabled_twice,
    "queue_size was written while": lambda s: s.write("queue_size", 8),
    "queue_desc_low was written while": lambda s: s.write_address("desc", 1 << 32),
    "descriptor table cannot be at 0xfffff000": lambda s: enabled_with(s, desc=0xFFFFF000),
    "descriptor table cannot be at 0x8": lambda s: enabled_with(s, desc=8),
    "available ring cannot be at 0xffffffffffffffff": lambda s: enabled_with(s, driver=(1 << 64) - 1),
    "available ring cannot be at 0xffffe": lambda s: enabled_with(s, driver=RAM - 2),
    "used ring cannot be at 0x2": lambda s: enabled_with(s, device=2),
    "a size of 65535, at most 64": lambda s: enabled_with(s, queue_size=0xFFFF),
    "a size of 48": lambda s: enabled_with(s, queue_size=48),
    "a size of 0": lambda s: enabled_with(s, queue_size=0),
    "DRIVER_OK before FEATURES_OK": lambda s: written(s, "status", 7),
    "enabled by 1, or before FEATURES_OK": lambda s: written(s, "queue_enable", 1),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_broken_rule_needs_a_reset(setup: Setup, what: str) -> None:
    setup.start()
    HOSTILE[what](setup)
    assert setup.broken()
    assert len(setup.said) == 1
    assert what in setup.said[0]
    assert setup.probe.log[-1] == "reset"
    setup.write("status", 0)
    setup.start()
    assert not setup.broken()
    HOSTILE[what](setup)
    assert len(setup.said) == 1  # the user knows


@pytest.mark.parametrize("where", ["kick", "service", "config", "start"])
def test_a_device_whose_guest_lies_is_broken_and_says_so(setup: Setup, where: str) -> None:
    if where != "start":
        setup.start()
    setup.probe.fault = GuestError("probe: a lie")
    if where == "kick":
        setup.bus.notify(L.NOTIFY_PCI | 2 << 16)
    elif where == "service":
        assert setup.rounds.service() is Progress.IDLE
    elif where == "config":
        setup.bus.access(2, L.BAR_DEVICE, 1, 0)
    else:
        setup.start()
    assert setup.broken()
    assert setup.changes == [2]
    assert "probe: a lie" in setup.said[0]
    count = len(setup.probe.log)
    setup.bus.notify(L.NOTIFY_PCI | 2 << 16)
    setup.bus.access(2, L.BAR_DEVICE, 1, 0x61)
    setup.write("status", 0xF)
    setup.rounds.service()
    assert len(setup.probe.log) == count
    assert setup.broken()


@pytest.mark.parametrize("record", [0xFF1F0000, 0xFFFFFFFF, 0xFF02FFFF, 0xFF000000])
def test_notifications_of_what_is_not_there_are_ignored(setup: Setup, record: int) -> None:
    setup.start()
    setup.bus.notify(record)
    assert setup.probe.log == [("start", VERSION_1)]


def test_a_notify_by_hypercall_is_wrong_here(setup: Setup) -> None:
    with pytest.raises(GuestError, match="0x5000"):
        setup.bus.notify(0x5000)


@pytest.mark.parametrize(("slot", "offset"), [(0, 0), (5, 0), (0xFFFFFFFF, 0), (2, L.BAR_ISR), (2, 0xFFFFF000)])
def test_registers_that_are_not_there_read_as_ones(setup: Setup, slot: int, offset: int) -> None:
    assert setup.bus.access(slot, offset, 2, None) == 0xFFFF
    setup.bus.access(slot, offset, 2, 0)


def test_any_accesses_at_all_raise_nothing() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        setup = Setup()
        for _ in range(200):
            if chance.random() < 0.2:
                setup.bus.notify(L.NOTIFY_PCI | chance.choice((1, 2, 3)) << 16 | chance.randrange(4))
                setup.rounds.service()
                continue
            offset, size = chance.choice(list(AT.values()))
            offset += chance.choice((0, 0, 0, 1, 2, 4))
            size = chance.choice((size, size, 1, 2, 4))
            value = chance.choice((0, 1, 2, 3, 7, 8, 0xF, 0x10000, chance.getrandbits(8 * size)))
            page = L.BAR_DEVICE if chance.random() < 0.1 else L.BAR_COMMON
            setup.bus.access(2, page + offset, size, value if chance.random() < 0.8 else None)


def test_the_end_of_a_boot_resets_every_device_and_drops_the_memory(setup: Setup) -> None:
    setup.start()
    setup.bus.close()
    assert setup.probe.log[-1] == "reset"
    setup.memory.release()
    setup.backing.append(0)  # raises BufferError while a view of it is left
