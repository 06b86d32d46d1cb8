# SPDX-License-Identifier: GPL-2.0-or-later
"""The registers of one virtio 1.x function on PCI: the common configuration and the device's own.

Source: virtio 1.2, sections 2.1 (status), 2.2 (features), 3.1 (initialization), 4.1.4.3 (common configuration).
A driver that breaks a rule gets DEVICE_NEEDS_RESET: the device forgets its queues, the user reads one line, and
everything but a reset is ignored.
Read next: pci_bus.py, which calls this.
Next in the book: pci_bus.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lguest_py.devices.device import Device, Progress, Say
from lguest_py.devices.errors import GuestError
from lguest_py.devices.virtqueue import RING_FEATURES, Ring, Virtqueue
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import SIZES

DRIVER_OK, FEATURES_OK = L.STATUS_DRIVER_OK, L.STATUS_FEATURES_OK
NEEDS_RESET, FAILED = L.STATUS_NEEDS_RESET, L.STATUS_FAILED
VERSION_1 = 1 << 32
NO_VECTOR = 0xFFFF
U32 = 0xFFFFFFFF

_SAVED = "status", "accepted", "device_select", "driver_select", "queue_select", "config_vector", "generation"
_FIELDS = [(name, kind) for name, (_, _, kind) in L.VIRTIO_PCI_COMMON.fields.items()]
_COMMON = struct.Struct("<" + "".join(kind for _, kind in _FIELDS))


@dataclass
class _Queue:
    """What the driver wrote about one queue."""

    size: int
    enabled: int = 0
    vector: int = NO_VECTOR
    descriptors: int = 0
    available: int = 0
    used: int = 0


def _halves(*addresses: int) -> Iterator[int]:
    for address in addresses:
        yield address & U32
        yield address >> 32


class Registers:
    """One function.  ``interrupt`` raises its interrupt for a queue, ``config_interrupt`` for its configuration.

    ``vectors`` is told which MSI-X vectors the driver has chosen (mailbox.vectors); without it there are none.
    """

    def __init__(
        self,
        device: Device,
        memory: memoryview,
        interrupt: Callable[[], None],
        config_interrupt: Callable[[], None],
        say: Say,
        vectors: Callable[[int], None] | None = None,
        wrote: memoryview | None = None,
    ) -> None:
        self.device = device
        self.running = self.due = False
        self._offered = device.features | RING_FEATURES | VERSION_1
        self._interrupt, self._config_interrupt, self._say = interrupt, config_interrupt, say
        self._vectors, self._vectors_told = vectors, 0
        self._generation = 0
        self._said = False
        self._memory, self._wrote = memory, wrote
        self._virtqueues = self._make_queues()
        self._clear()

    def _make_queues(self) -> Sequence[Virtqueue]:
        names = (f"{self.device.name} queue {number}" for number in range(len(self.device.queue_sizes)))
        return [Virtqueue(name, self._memory, self._interrupt, self._wrote) for name in names]

    def _clear(self) -> None:
        self._status = 0
        self._accepted = 0
        self._device_select = self._driver_select = self._queue_select = 0
        self._config_vector = NO_VECTOR
        self._queues = [_Queue(size) for size in self.device.queue_sizes]
        self._tell_vectors()

    def _vector(self, value: int) -> int:
        """What the driver reads back: NO_VECTOR tells it that there is no such vector."""
        return value if self._vectors and value < L.MSIX_VECTORS else NO_VECTOR

    def _tell_vectors(self) -> None:
        chosen = {queue.vector for queue in self._queues}, {self._config_vector}
        of_queues, of_config = (sum(1 << vector for vector in each - {NO_VECTOR}) for each in chosen)
        now = of_queues | of_config << L.MSIX_CONFIG
        if self._vectors and now != self._vectors_told:
            self._vectors_told = now
            self._vectors(now)

    def reset(self) -> None:
        """The driver's reset, or the end of the boot."""
        self._stop()
        self._clear()

    def _stop(self) -> None:
        self.running, self.due = False, True
        self.device.reset()
        for queue in self._virtqueues:
            queue.disable()
        self._virtqueues = self._make_queues()  # what the device still has is of the old ones

    def save(self) -> dict[str, Any]:
        """What the driver wrote, and where the device stands.  Raises LguestError for one that cannot be saved."""
        return {
            **{name: getattr(self, f"_{name}") for name in _SAVED},
            "running": self.running,
            "queues": [asdict(queue) for queue in self._queues],
            "positions": [queue.position for queue in self._virtqueues],
            "device": self.device.save() if self.running else {},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on so.  Raises GuestError for rings that cannot be."""
        for name in _SAVED:
            setattr(self, f"_{name}", int(state[name]))
        self._queues = [_Queue(**each) for each in state["queues"]]
        self._tell_vectors()
        for queue, virtqueue, position in zip(self._queues, self._virtqueues, state["positions"], strict=True):
            if queue.enabled:
                ring = Ring(queue.size, queue.descriptors, queue.available, queue.used)
                virtqueue.enable(ring, self._accepted)
                virtqueue.go_on(int(position))
        if state["running"]:
            self._start()
            self.device.restore(state["device"])

    def _start(self) -> None:
        self.running = self.due = True
        self.device.start(self._virtqueues, self._accepted & (self.device.features | VERSION_1), self._changed)

    def _fail(self, error: GuestError) -> None:
        """The driver broke a rule."""
        started = self._status & DRIVER_OK
        self._stop()
        self._status |= NEEDS_RESET
        if not self._said:
            self._said = True
            self._say(f"the Guest's driver broke a rule, so its device stopped until it is reset: {error}")
        if started:
            self._changed()

    def _changed(self) -> None:
        self._generation = (self._generation + 1) & 0xFF
        self._config_interrupt()

    def kick(self, queue: int) -> None:
        """The driver notified the device of this queue.  Before the start, or of a queue too many, it is ignored."""
        if self.running and queue < len(self._queues):
            self.due = True
            try:
                self.device.kick(queue)
            except GuestError as error:
                self._fail(error)

    def service(self) -> Progress:
        """Let the device work, which was started."""
        try:
            return self.device.service()
        except GuestError as error:
            self._fail(error)
            return Progress.IDLE

    def read_config(self, offset: int, size: int) -> int:
        """Read the device's configuration; beyond its end are zeros."""
        return int.from_bytes(self.device.config()[offset : offset + size], "little")

    def write_config(self, offset: int, size: int, value: int) -> None:
        """Write there; what is beyond its end is dropped."""
        room = len(self.device.config()) - offset
        if room <= 0 or self._status & NEEDS_RESET:
            return
        self.due = True
        try:
            self.device.write_config(offset, value.to_bytes(size, "little")[:room])
        except GuestError as error:
            self._fail(error)

    def read_common(self, offset: int, size: int) -> int:
        """Read the common configuration; beyond its end are zeros."""
        return int.from_bytes(_COMMON.pack(*self._values())[offset : offset + size], "little")

    def _values(self) -> tuple[int, ...]:
        queue = self._queues[self._queue_select] if self._queue_select < len(self._queues) else _Queue(0)
        return (
            self._device_select,
            self._offered >> 32 * self._device_select & U32 if self._device_select < 2 else 0,
            self._driver_select,
            self._accepted >> 32 * self._driver_select & U32 if self._driver_select < 2 else 0,
            self._config_vector,
            len(self._queues),
            self._status,
            self._generation,
            self._queue_select,
            queue.size,
            queue.vector,
            queue.enabled,
            self._queue_select if queue.size else 0,
            *_halves(queue.descriptors, queue.available, queue.used),
        )

    def write_common(self, offset: int, size: int, value: int) -> None:
        """Write the common configuration, with any width: each field within it takes its part."""
        image = bytearray(_COMMON.pack(*self._values()))
        data = value.to_bytes(size, "little")[: max(0, len(image) - offset)]
        image[offset : offset + len(data)] = data
        at = 0
        try:
            for name, kind in _FIELDS:
                length = SIZES[kind]
                if at < offset + len(data) and offset < at + length:
                    self._set(name, int.from_bytes(image[at : at + length], "little"))
                at += length
        except GuestError as error:
            self._fail(error)

    def _set(self, name: str, value: int) -> None:
        if name == "device_status":
            self._set_status(value)
        elif name == "device_feature_select":
            self._device_select = value
        elif name == "driver_feature_select":
            self._driver_select = value
        elif name == "queue_select":
            self._queue_select = value
        elif name == "config_msix_vector":
            self._config_vector = self._vector(value)
            self._tell_vectors()
        elif name == "driver_feature":
            if self._driver_select < 2 and not self._status & (FEATURES_OK | NEEDS_RESET):
                shift = 32 * self._driver_select
                self._accepted = self._accepted & ~(U32 << shift) | value << shift
        elif name.startswith("queue_") and not self._status & NEEDS_RESET and self._queue_select < len(self._queues):
            self._set_queue(name, value, self._queue_select)

    def _set_status(self, value: int) -> None:
        if not value:
            self.reset()
            return
        new = value & ~self._status & ~NEEDS_RESET
        if self._status & NEEDS_RESET:
            return
        if new & FEATURES_OK and (self._accepted & ~self._offered or not self._accepted & VERSION_1):
            new &= ~FEATURES_OK  # the driver reads it back
        self._status |= new
        if new & FAILED:
            self._stop()
        elif new & DRIVER_OK:
            if not self._status & FEATURES_OK:
                raise GuestError(f"{self.device.name}: DRIVER_OK before FEATURES_OK")
            self._start()

    def _set_queue(self, name: str, value: int, number: int) -> None:
        queue, label = self._queues[number], self._virtqueues[number].name
        if name == "queue_msix_vector":
            queue.vector = self._vector(value)
            self._tell_vectors()
        if name in ("queue_msix_vector", "queue_notify_off"):
            return
        if queue.enabled:
            raise GuestError(f"{label}: {name} was written while it is enabled")
        if name == "queue_size":
            if not 0 < value <= self.device.queue_sizes[number] or value & (value - 1):
                raise GuestError(f"{label}: a size of {value}, at most {self.device.queue_sizes[number]}")
            queue.size = value
        elif name == "queue_enable":
            if value != 1 or not self._status & FEATURES_OK:
                raise GuestError(f"{label}: it was enabled by {value}, or before FEATURES_OK")
            ring = Ring(queue.size, queue.descriptors, queue.available, queue.used)
            self._virtqueues[number].enable(ring, self._accepted)
            queue.enabled = 1
        else:
            part = {"desc": "descriptors", "driver": "available", "device": "used"}[name.split("_")[1]]
            shift = 32 if name.endswith("high") else 0
            address = getattr(queue, part)
            setattr(queue, part, address & ~(U32 << shift) | value << shift)
