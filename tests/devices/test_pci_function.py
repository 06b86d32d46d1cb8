# SPDX-License-Identifier: GPL-2.0-or-later
"""PCI configuration space as a system finds it: a console, a disk and a source of random bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from lguest_py.devices.block import Block
from lguest_py.devices.console import Console
from lguest_py.devices.device import Device
from lguest_py.devices.entropy import EntropyDevice
from lguest_py.devices.pci_bus import PIC_PINS, PciBus, native_pins
from lguest_py.errors import UsageError
from lguest_py.hardware import Disk, Entropy
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View

RAM = 1 << 20
BASE = 0x5000000
MSIX = 0x11  # capability ID


class Setup:
    """The bus and its devices, in slots from 1."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self.devices = devices
        self.bus = PciBus(memoryview(bytearray(RAM)), devices, print, print, print)


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    with ExitStack() as stack:
        devices: list[Device] = [
            Console(bytearray(), None),  # type: ignore[arg-type]
            Block(Disk(str(tmp_path / "disk")), print),
            EntropyDevice(Entropy(), print),
        ]
        for device in devices:
            stack.callback(device.close)
        yield Setup(devices)


def functions(setup: Setup, native: bool = True) -> list[View]:
    machine = memoryview(bytearray(L.PCI_ADDRESS + L.PCI_SLOTS * L.PCI_FUNCTION.size))
    setup.bus.write_functions(machine, BASE, native)
    step = L.PCI_FUNCTION.size
    return [View(machine, L.PCI_ADDRESS + step * slot, L.PCI_FUNCTION) for slot in range(L.PCI_SLOTS)]


def word(function: View, offset: int, size: int) -> int:
    return int.from_bytes(function.bytes("config")[offset : offset + size], "little")


def capabilities(function: View) -> dict[int, tuple[int, int, int, int]]:
    """Of each virtio kind: where the capability is, its BAR, offset and length."""
    found: dict[int, tuple[int, int, int, int]] = {}
    assert word(function, 6, 2) & 0x10
    at, seen = word(function, 0x34, 1), []
    while at:
        assert at not in seen
        assert at % 4 == 0
        seen.append(at)
        identity, following, length, kind, bar = function.bytes("config")[at : at + 5]
        if identity == MSIX:
            assert at == function["msix"]
            at = following
            continue
        assert identity == 9
        assert length == {2: 20, 5: 20}.get(kind, 16)
        assert at + length <= (following or 256)
        found[kind] = at, bar, word(function, at + 8, 4), word(function, at + 12, 4)
        at = following
    return found


@pytest.mark.parametrize("native", [True, False])
def test_a_kernel_with_a_local_apic_finds_msix(setup: Setup, native: bool) -> None:
    for function in functions(setup, native)[1:4]:
        at = function["msix"]
        assert bool(at) == native
        if native:
            assert (word(function, at, 1), word(function, at + 2, 2)) == (MSIX, L.MSIX_VECTORS - 1)
            places = word(function, at + 4, 4), word(function, at + 8, 4)
            assert places == (L.BAR_MSIX_TABLE, L.BAR_MSIX_PENDING)
            assert bytes(function.bytes("writable")[at : at + 12]) == bytes([0, 0, 0, 0xC0, *bytes(8)])
            assert at in walked(function)


def walked(function: View) -> list[int]:
    """Where its capabilities are."""
    at, seen = word(function, 0x34, 1), []
    while at:
        seen.append(at)
        at = word(function, at + 1, 1)
    return seen


def test_slots_are_a_host_bridge_the_console_and_the_others(setup: Setup) -> None:
    each = functions(setup)
    assert [word(f, 0, 4) for f in each[:4]] == [0x12378086, 0x10431AF4, 0x10421AF4, 0x10441AF4]
    assert all(word(f, 0, 4) == 0xFFFFFFFF for f in each[4:])
    assert word(each[0], 8, 4) >> 8 == 0x060000
    assert word(each[2], 8, 4) >> 8 == 0x010000
    assert all(word(f, 8, 1) == 1 for f in each[1:4])
    assert all(word(f, 0x0E, 1) == 0 for f in each[:4])


def test_capabilities_point_to_the_pages_of_the_bar(setup: Setup) -> None:
    for function, device in zip(functions(setup)[1:4], setup.devices, strict=True):
        found = capabilities(function)
        expected = {
            1: (0, L.BAR_COMMON, L.VIRTIO_PCI_COMMON.size),
            2: (0, L.BAR_NOTIFY, 4 * len(device.queue_sizes)),
            3: (0, L.BAR_ISR, 1),
            5: (0, 0, 0),
        }
        if config := device.config():
            expected[4] = 0, L.BAR_DEVICE, len(config)
        assert {kind: place[1:] for kind, place in found.items()} == expected
        assert word(function, found[2][0] + 16, 4) == 4  # notify_off_multiplier
        assert function["window"] == found[5][0]
        writable = function.bytes("writable")
        assert writable[found[5][0] + 4] == 0xFF
        assert bytes(writable[found[5][0] + 8 : found[5][0] + 20]) == b"\xff" * 12


def test_bars_are_apart_in_the_window_and_can_be_sized(setup: Setup) -> None:
    bars = [word(function, 0x10, 4) for function in functions(setup)[1:3]]
    assert bars == [BASE, BASE + L.BAR_BYTES]
    for function in functions(setup)[1:4]:
        mask = int.from_bytes(function.bytes("writable")[0x10:0x14], "little")
        assert (~mask & 0xFFFFFFFF) + 1 == L.BAR_BYTES
        assert not any(function.bytes("writable")[0x14:0x3C])


@pytest.mark.parametrize("native", [True, False])
def test_each_function_has_its_interrupt(setup: Setup, native: bool) -> None:
    each = functions(setup, native)
    assert [f["irq"] for f in each[:3]] == ([0, *PIC_PINS[:2]] if native else [0, 1, 2])
    assert [word(f, 0x3C, 1) for f in each[:3]] == [f["irq"] for f in each[:3]]
    assert [word(f, 0x3D, 1) for f in each[:3]] == [0, 1, 1]
    assert each[1].bytes("writable")[0x3C] == 0xFF


def test_the_pins_of_the_pic_are_shared_in_turn() -> None:
    assert list(native_pins()) == [0, *(PIC_PINS * 4)[:31]]


def test_the_console_has_its_emergency_write(setup: Setup) -> None:
    """virtio 1.2, 5.3.4: emerg_wr is behind cols, rows and max_nr_ports."""
    each = functions(setup)
    assert [f["emergency"] for f in each[:3]] == [0, L.BAR_DEVICE + 8, 0]
    assert setup.bus.access(1, L.BAR_COMMON + 4, 4, None) & 1 << 2  # device_feature, the first half


def test_there_is_room_for_31_devices() -> None:
    def bus(count: int) -> PciBus:
        devices = [EntropyDevice(Entropy(), print) for _ in range(count)]
        try:
            return PciBus(memoryview(bytearray(RAM)), devices, print, print, print)
        finally:
            for device in devices:
                device.close()

    bus(31)
    with pytest.raises(UsageError, match="32 devices are too many"):
        bus(32)


def test_capability_lengths_cover_their_pages() -> None:
    starts = [L.BAR_COMMON, L.BAR_ISR, L.BAR_DEVICE, L.BAR_NOTIFY, L.BAR_BYTES]
    assert all(second - first == 4096 for first, second in pairwise(starts))
