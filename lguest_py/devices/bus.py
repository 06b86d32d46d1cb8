# SPDX-License-Identifier: GPL-2.0-or-later
"""The generation-1 device bus: one page of packed descriptors just above the Guest's RAM, then the rings.

A descriptor is struct lguest_device_desc (switcher/layouts/lguest_abi.h), then for each virtqueue its size (u16),
interrupt (u16) and page number (u32), then the features offered, as many bytes for those accepted, then the
configuration space.  The Guest can write all of it; only its status and what it accepted are read.

Status values: virtio 1.0, section 2.1.  Read next: lguest_py/devices/console.py.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from lguest_py.devices.device import Device, Interrupt
from lguest_py.devices.errors import GuestError
from lguest_py.devices.virtqueue import Virtqueue, ring_layout
from lguest_py.shared_memory import _layouts as L

PAGE = 4096
STATUS_FAILED = 0x80
_RING_PAGES = -(-ring_layout(L.LGUEST_RING_SIZE, L.LGUEST_RING_ALIGN).size // PAGE)


@dataclass
class _Slot:
    device: Device
    queues: Sequence[Virtqueue]
    status: int  # offset in memory
    accepted: memoryview
    running: bool = False

    def start(self) -> None:
        if self.running:
            return
        features = int.from_bytes(self.accepted, "little")
        if features & ~self.device.features:
            raise GuestError(f"{self.device.name}: accepted features {features:#x}, offered {self.device.features:#x}")
        self.running = True
        self.device.start(self.queues, features)

    def reset(self) -> None:
        self.running = False
        self.device.reset()
        self.accepted[:] = bytes(len(self.accepted))
        for queue in self.queues:
            queue.reset()


class Bus:
    """The device page and its rings.

    ``memory`` is Guest-physical memory from 0: ``ram_bytes`` of RAM, then the device pages, zeroed.
    Interrupts are given out from 1 (0 is the clock), one to a virtqueue.  The console must be added last.
    """

    def __init__(self, memory: memoryview, ram_bytes: int, interrupt: Interrupt) -> None:
        self._memory = memory
        self._base = ram_bytes
        self._interrupt = interrupt
        self._descriptor = ram_bytes  # where the next one goes
        self._ring = ram_bytes + PAGE
        self._irq = 1
        self._slots: dict[int, _Slot] = {}
        self._kicks: dict[int, tuple[_Slot, int]] = {}

    def add(self, device: Device) -> None:
        """Put a device on the bus.  Raises ValueError when there is no room for it."""
        feature_bytes = (device.features.bit_length() + 7) // 8
        start = self._descriptor
        vqs = start + L.LGUEST_DEVICE_DESC.size
        offered = vqs + 8 * device.queue_count
        accepted = offered + feature_bytes
        config = accepted + feature_bytes
        end = config + len(device.config)
        rings_end = self._ring + device.queue_count * _RING_PAGES * PAGE
        if end >= self._base + PAGE or rings_end > len(self._memory) or self._irq + device.queue_count > L.VIRTUAL_IRQS:
            raise ValueError(f"no room on the bus for {device.name}")
        memory = self._memory
        header = (device.type, device.queue_count, feature_bytes, len(device.config), 0)
        memory[start:vqs] = struct.pack("<5B", *header)
        memory[offered:accepted] = device.features.to_bytes(feature_bytes, "little")
        memory[config:end] = device.config
        queues: list[Virtqueue] = []
        slot = _Slot(device, queues, start + L.LGUEST_DEVICE_DESC.fields["status"][0], memory[accepted:config])
        for number in range(device.queue_count):
            irq, address = self._irq + number, self._ring + number * _RING_PAGES * PAGE
            queue_config = struct.pack("<HHI", L.LGUEST_RING_SIZE, irq, address // PAGE)
            memory[vqs + 8 * number : vqs + 8 * number + 8] = queue_config
            name = f"{device.name} queue {number}"
            interrupt = partial(self._interrupt, irq)
            queues.append(Virtqueue(name, memory, address, L.LGUEST_RING_SIZE, L.LGUEST_RING_ALIGN, interrupt))
            self._kicks[address] = slot, number
        self._slots[start] = slot
        self._descriptor, self._ring, self._irq = end, rings_end, self._irq + device.queue_count

    def holds(self, address: int) -> bool:
        """Is this an address in the device page?  A NOTIFY of one holds the Guest until it was handled."""
        return self._base <= address < self._base + PAGE

    def notify(self, address: int) -> None:
        """The Guest called NOTIFY with ``address``: a ring was kicked, or a descriptor's status changed.

        Raises GuestError when it is neither, or when what the device then does breaks a rule.
        """
        if address in self._kicks:
            slot, number = self._kicks[address]
            slot.start()  # kernels up to 2.6.30 do not notify when they accept features
            slot.device.kick(number)
        elif address in self._slots:
            slot = self._slots[address]
            status = self._memory[slot.status]
            if status == 0 or status & STATUS_FAILED:
                slot.reset()
            else:
                slot.start()
        else:
            raise GuestError(f"NOTIFY of {address:#x}, which is neither a ring nor a device descriptor")
