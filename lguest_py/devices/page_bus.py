# SPDX-License-Identifier: GPL-2.0-or-later
"""The generation-1 device bus: one page of packed descriptors just above the Guest's RAM, then the rings.

A descriptor is struct lguest_device_desc (switcher/layouts/lguest_abi.h), then for each virtqueue its size (u16),
interrupt (u16) and page number (u32), then the features offered, as many bytes for those accepted, then the
configuration space.  The Guest can write all of it; only its status, what it accepted and what it wrote into the
configuration are read.  This bus has no interrupt for a change of configuration: the Guest finds it when it looks.

Status values: virtio 1.2, section 2.1.  Read next: lguest_py/devices/console.py.
Next in the book: pci_function.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lguest_py.devices import console
from lguest_py.devices.device import Device, Interrupt, Progress
from lguest_py.devices.errors import GuestError
from lguest_py.devices.rounds import Slot
from lguest_py.devices.virtqueue import RING_FEATURES, Ring, Virtqueue, legacy_ring
from lguest_py.errors import UsageError
from lguest_py.shared_memory import _layouts as L

PAGE = 4096
_RING_PAGES = -(-legacy_ring(0, L.LGUEST_RING_SIZE, L.LGUEST_RING_ALIGN).end // PAGE)

_Arguments = tuple[str, memoryview, Callable[[], None], memoryview | None]


@dataclass
class _Slot:
    device: Device
    offered: int
    arguments: Sequence[_Arguments]  # of the Virtqueues that each start makes
    rings: Sequence[Ring]
    memory: memoryview
    status: int  # offset in memory
    accepted: memoryview
    config: memoryview
    known: bytes  # the configuration as it was written into the page
    queues: Sequence[Virtqueue] = ()
    running: bool = False
    features: int = 0  # what was accepted when it was started
    used: bool = False  # a ring was kicked since
    due: bool = False

    def start(self) -> None:
        """Start it, or again if the driver accepted other features since.

        Up to Linux 3.0 it notifies of each status, also before it accepts features, and not when it does.
        """
        features = int.from_bytes(self.accepted, "little")
        if self.running and (self.used or features == self.features):
            return
        if features & ~self.offered:
            raise GuestError(f"{self.device.name}: accepted features {features:#x}, offered {self.offered:#x}")
        if self.running:
            self._stop()
        self._begin(features)

    def _begin(self, features: int) -> None:
        self.running = self.due = True
        self.features, self.used = features, False
        self.queues = [Virtqueue(*arguments) for arguments in self.arguments]
        for queue, ring in zip(self.queues, self.rings, strict=True):
            queue.enable(ring, features)
        self.device.start(self.queues, features & self.device.features, self.write_config)

    def write_config(self) -> None:
        self.config[:] = self.known = self.device.config()

    def read_config(self) -> None:
        """Pass on what the driver wrote there, which it does without a word."""
        if self.known != self.config:
            there = bytes(self.config)
            changed = [n for n in range(len(there)) if there[n] != self.known[n]]
            self.device.write_config(changed[0], there[changed[0] : changed[-1] + 1])
            self.write_config()

    def service(self) -> Progress:
        return self.device.service()

    def save(self) -> dict[str, Any]:
        if not self.running:
            return {"running": False}
        return {
            "running": True,
            "features": self.features,
            "used": self.used,
            "known": self.known.hex(),
            "positions": [queue.position for queue in self.queues],
            "device": self.device.save(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        if not state["running"]:
            return
        self._begin(int(state["features"]))
        self.used, self.known = bool(state["used"]), bytes.fromhex(state["known"])
        for queue, position in zip(self.queues, state["positions"], strict=True):
            queue.go_on(int(position))
        self.device.restore(state["device"])

    def _stop(self) -> None:
        self.running, self.due = False, True
        self.device.reset()
        for queue in self.queues:
            queue.disable()

    def reset(self) -> None:
        self._stop()
        self.accepted[:] = bytes(len(self.accepted))
        for ring in self.rings:
            self.memory[ring.descriptors : ring.end] = bytes(ring.end - ring.descriptors)  # as the driver expects it


class PageBus:
    """The device page and its rings.

    ``memory`` is Guest-physical memory from 0: ``ram_bytes`` of RAM, then the device pages, zeroed.
    Interrupts are given out from 1 (0 is the clock), one to a virtqueue.  The console must be added last.
    ``wrote``: see Virtqueue.
    """

    def __init__(
        self, memory: memoryview, ram_bytes: int, interrupt: Interrupt, wrote: memoryview | None = None
    ) -> None:
        self._memory, self._wrote = memory, wrote
        self._base = ram_bytes
        self._interrupt = interrupt
        self._descriptor = ram_bytes  # where the next one goes
        self._ring = ram_bytes + PAGE
        self._irq = 1
        self._slots: dict[int, _Slot] = {}
        self._kicks: dict[int, tuple[_Slot, int]] = {}

    def add(self, device: Device) -> None:
        """Put a device on the bus.  Raises UsageError when there is no room for it."""
        features = device.features | (RING_FEATURES if device.queue_sizes else 0)
        if device.type == console.Console.type:
            features &= ~console.F_EMERG_WRITE  # NOTIFY does that here
        count, configuration = len(device.queue_sizes), device.config()
        feature_bytes = (features.bit_length() + 7) // 8
        start = self._descriptor
        vqs = start + L.LGUEST_DEVICE_DESC.size
        offered = vqs + 8 * count
        accepted = offered + feature_bytes
        config = accepted + feature_bytes
        end = config + len(configuration)
        rings_end = self._ring + count * _RING_PAGES * PAGE
        if (
            len(configuration) > 255
            or end >= self._base + PAGE
            or rings_end > len(self._memory)
            or self._irq + count > L.VIRTUAL_IRQS
        ):
            raise UsageError(f"the device page has no room for {device.name}: give the Guest fewer devices")
        memory = self._memory
        header = (device.type, count, feature_bytes, len(configuration), 0)
        memory[start:vqs] = struct.pack("<5B", *header)
        memory[offered:accepted] = features.to_bytes(feature_bytes, "little")
        memory[config:end] = configuration
        arguments: list[_Arguments] = []
        rings: list[Ring] = []
        status = start + L.LGUEST_DEVICE_DESC.fields["status"][0]
        views = memory[accepted:config], memory[config:end]
        slot = _Slot(device, features, arguments, rings, memory, status, *views, known=configuration)
        for number in range(count):
            irq, address = self._irq + number, self._ring + number * _RING_PAGES * PAGE
            queue_config = struct.pack("<HHI", L.LGUEST_RING_SIZE, irq, address // PAGE)
            memory[vqs + 8 * number : vqs + 8 * number + 8] = queue_config
            arguments.append((f"{device.name} queue {number}", memory, partial(self._interrupt, irq), self._wrote))
            rings.append(legacy_ring(address, L.LGUEST_RING_SIZE, L.LGUEST_RING_ALIGN))
            self._kicks[address] = slot, number
        self._slots[start] = slot
        self._descriptor, self._ring, self._irq = end, rings_end, self._irq + count

    def holds(self, address: int) -> bool:
        """Is this an address in the device page?  A NOTIFY of one holds the Guest until it was handled."""
        return self._base <= address < self._base + PAGE

    def notify(self, address: int) -> None:
        """The Guest called NOTIFY with ``address``: a ring was kicked, or a descriptor's status changed.

        Raises GuestError when it is neither, or when what the device then does breaks a rule.
        """
        if address in self._kicks:
            slot, number = self._kicks[address]
            slot.start()
            slot.used = True
            slot.read_config()
            slot.due = True
            slot.device.kick(number)
        elif address in self._slots:
            slot = self._slots[address]
            status = self._memory[slot.status]
            if status == 0 or status & L.STATUS_FAILED:
                slot.reset()
            else:
                slot.start()
        else:
            raise GuestError(f"NOTIFY of {address:#x}, which is neither a ring nor a device descriptor")

    def access(self, slot: int, offset: int, size: int, value: int | None) -> int:
        """An access to a register: this bus has none."""
        return (1 << 8 * size) - 1

    def save(self) -> list[dict[str, Any]]:
        """The state of each device, in their order.  Raises LguestError for one that cannot be saved."""
        return [slot.save() for slot in self._slots.values()]

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        """Go on in memory that has their rings.  Raises GuestError for rings that cannot be."""
        for slot, state in zip(self._slots.values(), states, strict=True):
            slot.restore(state)

    @property
    def slots(self) -> Collection[Slot]:
        """The devices, where the Launcher lets them work."""
        return self._slots.values()

    def close(self) -> None:
        """The end of this boot: every device forgets its queues, and the views of memory are dropped."""
        for slot in self._slots.values():
            slot.device.reset()
        self._slots.clear()
        self._kicks.clear()
        del self._memory, self._wrote
