# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver of a virtio console on PCI, for the scripts of fake_engine.py."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from fake_engine import IMAGE, FakeEngine
from ring_lab import Arena, Driver, modern_ring

from lguest_py.shared_memory import _layouts as L

LATER = replace(IMAGE, version="4.10.0", generation=2)  # an image whose devices are on PCI


class PciConsole:
    """The driver of the console in slot 1, by the registers of virtio 1.x."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine

    def write(self, offset: int, size: int, value: int) -> Generator[str, None, None]:
        yield from self.engine.access(1, L.BAR_COMMON + offset, size, value)

    def start(self) -> Generator[str, None, None]:
        yield from self.write(20, 1, 0)
        yield from self.write(20, 1, 3)
        yield from self.write(8, 4, 1)
        yield from self.write(12, 4, 1)  # VERSION_1
        yield from self.write(20, 1, 11)
        status = yield from self.engine.access(1, L.BAR_COMMON + 20, 1)
        assert status == 11
        self.drivers = []
        for number in range(2):
            ring = modern_ring(0x100000 + number * 0x10000, 16)
            yield from self.write(22, 2, number)
            yield from self.write(24, 2, 16)
            for offset, address in ((32, ring.descriptors), (40, ring.available), (48, ring.used)):
                yield from self.write(offset, 4, address)
            yield from self.write(28, 2, 1)
            self.engine.guest[ring.used : ring.end] = bytes(ring.end - ring.used)
            arena = Arena(0x200000 + number * 0x10000, 0x210000 + number * 0x10000)
            self.drivers.append(Driver(self.engine.guest, ring, 0, arena))
        yield from self.write(20, 1, 15)

    def notify(self, queue: int) -> None:
        self.engine.notify(L.NOTIFY_PCI | 1 << 16 | queue)
