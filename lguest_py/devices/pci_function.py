# SPDX-License-Identifier: GPL-2.0-or-later
"""A PCI function's configuration space, as the Host kernel answers the Guest from it (struct pci_function).

Configuration space is only bytes and a mask of those bits that can be written, so sizing a BAR needs no code.
Sources: PCI Local Bus Specification 3.0, chapter 6; virtio 1.2, section 4.1 (4.1.4 has the capabilities).
Read next: pci_bus.py, the registers that the capabilities point to.
Next in the book: pci_registers.py.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from lguest_py.devices import console
from lguest_py.devices.device import Device
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View

INTEL, HOST_BRIDGE, BRIDGE_REVISION = 0x8086, 0x1237, 2  # the 440FX, which every PC system knows
VIRTIO, FIRST_VIRTIO, VIRTIO_REVISION = 0x1AF4, 0x1040, 1
CLASS_HOST_BRIDGE = 0x060000
CLASSES = {1: 0x020000, 2: 0x010000, 3: 0x078000, 9: 0x000200}  # by virtio device ID: network, storage, serial, …
CLASS_OTHER = 0x00FF00
COMMAND_MEMORY, COMMAND_MASTER, COMMAND_NO_INTX = 1 << 1, 1 << 2, 1 << 10
STATUS_CAPABILITIES = 1 << 4
CAP_VENDOR, CAP_MSIX = 9, 0x11
MSIX_ENABLE, MSIX_MASK = 1 << 15, 1 << 14
MSIX = struct.Struct("<BBHII")  # id, next, control, places of the table and of the pending bits (in BAR 0)
CAP_COMMON, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_WINDOW = range(1, 6)
CAPABILITY = struct.Struct("<BBBBB3xII")  # id, next, length, type, BAR, offset, length
FIRST_CAPABILITY = 0x40
NOTIFY_MULTIPLIER = 4
_BAR_MASK = -L.BAR_BYTES & 0xFFFFFFFF


@dataclass
class Function:
    """The contents of one struct pci_function; ``set`` fills configuration space."""

    config: bytearray = field(default_factory=lambda: bytearray(256))
    writable: bytearray = field(default_factory=lambda: bytearray(256))
    irq: int = 0
    window: int = 0
    emergency: int = 0
    msix: int = 0

    def set(self, offset: int, kind: str, value: int, writable: int = 0) -> None:
        """Put a little-endian value of struct format ``kind``, and which of its bits can be written."""
        struct.pack_into("<" + kind, self.config, offset, value)
        struct.pack_into("<" + kind, self.writable, offset, writable)

    def write(self, memory: memoryview, slot: int) -> None:
        """Write it into the machine's memory."""
        at = L.PCI_ADDRESS + slot * L.PCI_FUNCTION.size
        view = View(memory, at, L.PCI_FUNCTION)
        view.bytes("config")[:] = self.config
        view.bytes("writable")[:] = self.writable
        view["irq"], view["window"], view["emergency"], view["msix"] = self.irq, self.window, self.emergency, self.msix


def _function(vendor: int, device: int, revision: int, class_code: int) -> Function:
    result = Function()
    result.set(0x00, "H", vendor)
    result.set(0x02, "H", device)
    result.set(0x08, "I", class_code << 8 | revision)
    result.set(0x0C, "H", 0, 0xFFFF)  # cache line size and latency timer: nobody reads them
    return result


def absent() -> Function:
    """An empty slot."""
    return Function(config=bytearray(b"\xff" * 256))


def host_bridge() -> Function:
    """Slot 0: what makes an operating system believe in the bus."""
    return _function(INTEL, HOST_BRIDGE, BRIDGE_REVISION, CLASS_HOST_BRIDGE)


def virtio_function(device: Device, bar: int, irq: int, msix: bool = False) -> Function:
    """A virtio 1.x device, whose BAR 0 is at ``bar`` until the Guest moves it; with ``msix`` it can send messages."""
    result = _function(VIRTIO, FIRST_VIRTIO + device.type, VIRTIO_REVISION, CLASSES.get(device.type, CLASS_OTHER))
    result.irq = irq
    result.set(0x04, "H", COMMAND_MEMORY, COMMAND_MEMORY | COMMAND_MASTER | COMMAND_NO_INTX)
    result.set(0x06, "H", STATUS_CAPABILITIES)
    result.set(0x10, "I", bar, _BAR_MASK)
    result.set(0x2C, "H", VIRTIO)
    result.set(0x2E, "H", 0x40 + device.type)
    result.set(0x34, "B", FIRST_CAPABILITY)
    result.set(0x3C, "B", irq, 0xFF)
    result.set(0x3D, "B", 1 if irq else 0)  # INTA
    capabilities = [
        (CAP_COMMON, L.BAR_COMMON, L.VIRTIO_PCI_COMMON.size, b""),
        (CAP_ISR, L.BAR_ISR, 1, b""),
        (CAP_NOTIFY, L.BAR_NOTIFY, NOTIFY_MULTIPLIER * len(device.queue_sizes), struct.pack("<I", NOTIFY_MULTIPLIER)),
        (CAP_WINDOW, 0, 0, bytes(4)),
    ]
    if length := len(device.config()):
        capabilities.insert(2, (CAP_DEVICE, L.BAR_DEVICE, length, b""))
    at = FIRST_CAPABILITY
    if msix:
        result.msix, at = at, at + MSIX.size
        MSIX.pack_into(
            result.config, result.msix, CAP_MSIX, at, L.MSIX_VECTORS - 1, L.BAR_MSIX_TABLE, L.BAR_MSIX_PENDING
        )
        struct.pack_into("<H", result.writable, result.msix + 2, MSIX_ENABLE | MSIX_MASK)
    for number, (kind, offset, length, more) in enumerate(capabilities):
        size = CAPABILITY.size + len(more)
        following = at + -(-size // 4) * 4 if number + 1 < len(capabilities) else 0
        CAPABILITY.pack_into(result.config, at, CAP_VENDOR, following, size, kind, 0, offset, length)
        result.config[at + CAPABILITY.size : at + size] = more
        if kind == CAP_WINDOW:
            result.window = at
            result.writable[at + 4] = 0xFF  # BAR
            result.writable[at + 8 : at + size] = b"\xff" * (size - 8)  # offset, length, data
        at = following
    if device.type == console.Console.type and device.features & console.F_EMERG_WRITE:
        result.emergency = L.BAR_DEVICE + console.EMERGENCY
    return result
