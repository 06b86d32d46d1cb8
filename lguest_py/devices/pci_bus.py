# SPDX-License-Identifier: GPL-2.0-or-later
"""The PCI bus: a host bridge in slot 0, the console in slot 1, then the other devices, each a virtio 1.x function.

The Host kernel answers configuration space, the ISR and notifications (switcher/layouts/machine.h); here are the
functions that it answers from, and the registers that it asks for.
Read next: pci_registers.py; host_kernel/pci for the other half.
Next in the book: console.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from lguest_py.devices.device import Device, Interrupt, Say
from lguest_py.devices.errors import GuestError
from lguest_py.devices.pci_function import absent, host_bridge, virtio_function
from lguest_py.devices.pci_registers import Registers
from lguest_py.devices.rounds import Slot
from lguest_py.errors import UsageError
from lguest_py.shared_memory import _layouts as L

# That no device of ours has; further functions share them.  An interrupt of the second controller costs a trap more.
PIC_PINS = (11, 5, 7, 3, 6, 10, 12, 14, 15)


def interrupt_pin(slot: int, native: bool) -> int:
    """The interrupt of a slot: a pin of the PIC, or a virtual interrupt of lguest, of which each slot has its own."""
    return PIC_PINS[(slot - 1) % len(PIC_PINS)] if native else slot


def native_pins() -> Sequence[int]:
    """The pin of each slot's interrupt; 0 for the host bridge."""
    return [0, *(interrupt_pin(slot, True) for slot in range(1, L.PCI_SLOTS))]


class PciBus:
    """The functions of ``devices``, in slots from 1.  ``memory`` is the Guest's RAM, from Guest-physical 0.

    ``vectors`` is told the MSI-X vectors of a slot (mailbox.vectors); without it there are none.
    ``wrote``: see Virtqueue.
    """

    def __init__(
        self,
        memory: memoryview,
        devices: Sequence[Device],
        interrupt: Interrupt,
        config_interrupt: Interrupt,
        say: Say,
        vectors: Callable[[int, int], None] | None = None,
        wrote: memoryview | None = None,
    ) -> None:
        if len(devices) >= L.PCI_SLOTS:
            raise UsageError(f"{len(devices)} devices are too many: a Guest has room for {L.PCI_SLOTS - 1}")
        self._slots = {
            slot: Registers(
                device,
                memory,
                partial(interrupt, slot),
                partial(config_interrupt, slot),
                say,
                partial(vectors, slot) if vectors else None,
                wrote,
            )
            for slot, device in enumerate(devices, 1)
        }

    def write_functions(self, memory: memoryview, bar_base: int, native: bool) -> None:
        """Write the array of struct pci_function into the machine's memory."""
        for slot in range(L.PCI_SLOTS):
            if not slot:
                function = host_bridge()
            elif slot in self._slots:
                bar = bar_base + (slot - 1) * L.BAR_BYTES
                device = self._slots[slot].device
                function = virtio_function(device, bar, interrupt_pin(slot, native), msix=native)
            else:
                function = absent()
            function.write(memory, slot)

    def holds(self, record: int) -> bool:
        """No notification holds the Guest."""
        return False

    def notify(self, record: int) -> None:
        """A NOTIFY record of the mailbox.  Raises GuestError for one that is not of this bus."""
        if record < L.NOTIFY_PCI:
            raise GuestError(f"NOTIFY of {record:#x}, where there is no device: its devices are on PCI")
        if registers := self._slots.get(record >> 16 & 0xFF):
            registers.kick(record & 0xFFFF)

    def access(self, slot: int, offset: int, size: int, value: int | None) -> int:
        """An access to BAR 0 of a slot; ``value`` is None for a read."""
        registers = self._slots.get(slot)
        page, at = offset & ~0xFFF, offset & 0xFFF
        if not registers or page not in (L.BAR_COMMON, L.BAR_DEVICE):
            return (1 << 8 * size) - 1
        if value is not None:
            write = registers.write_common if page == L.BAR_COMMON else registers.write_config
            write(at, size, value & ((1 << 8 * size) - 1))
            return 0
        read: Callable[[int, int], int] = registers.read_common if page == L.BAR_COMMON else registers.read_config
        return read(at, size)

    def save(self) -> list[dict[str, Any]]:
        """The state of each function, in their order.  Raises LguestError for one that cannot be saved."""
        return [registers.save() for registers in self._slots.values()]

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        """Go on in memory that has their rings.  Raises GuestError for rings that cannot be."""
        for registers, state in zip(self._slots.values(), states, strict=True):
            registers.restore(state)

    @property
    def slots(self) -> Collection[Slot]:
        """The devices, where the Launcher lets them work."""
        return self._slots.values()

    def close(self) -> None:
        """The end of this boot: every device forgets its queues, and the views of memory are dropped."""
        for registers in self._slots.values():
            registers.reset()
        self._slots.clear()
