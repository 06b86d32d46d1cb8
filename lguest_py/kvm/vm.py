# SPDX-License-Identifier: GPL-2.0-or-later
"""Vm: memory slots, interrupt controllers and eventfds.

Read next: vcpu.py.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Any

from lguest_py.kvm import ioctls
from lguest_py.kvm._kvm import ffi, lib
from lguest_py.kvm.file import Buffer, File
from lguest_py.kvm.structs import IrqRoute
from lguest_py.kvm.vcpu import Vcpu


class Vm(File):
    """A VM's file descriptor, made by ``Kvm.create_vm``. Closing it closes its vCPUs and releases its memory."""

    def __init__(self, fd: int, vcpu_map_size: int) -> None:
        super().__init__(fd)
        self._vcpu_map_size = vcpu_map_size
        self._vcpus: list[Vcpu] = []
        self._memory: dict[int, Any] = {}  # slot -> C view, which keeps its buffer alive

    # --- memory ---------------------------------------------------------------------------------------------

    def set_memory(
        self, slot: int, address: int, buffer: Buffer | mmap.mmap, *, log_dirty: bool = False, read_only: bool = False
    ) -> None:
        """Map ``buffer`` at VM-physical ``address``. Address, buffer and size are multiples of 4096 bytes.

        The VM keeps the buffer until the slot or the VM is closed. A write to a read-only slot is a Mmio exit.
        """
        view = ffi.from_buffer("char[]", buffer, require_writable=True)
        flags = (lib.KVM_MEM_LOG_DIRTY_PAGES if log_dirty else 0) | (lib.KVM_MEM_READONLY if read_only else 0)
        try:
            self._set_slot(slot, address, len(view), int(ffi.cast("uintptr_t", view)), flags)
        except BaseException:
            ffi.release(view)
            raise
        self._release(slot)
        self._memory[slot] = view

    def delete_memory(self, slot: int) -> None:
        """Delete a memory slot."""
        self._set_slot(slot, 0, 0, 0, 0)
        self._release(slot)

    def _set_slot(self, slot: int, address: int, size: int, user: int, flags: int) -> None:
        region = ffi.new("struct kvm_userspace_memory_region *")
        region.slot, region.flags = slot, flags
        region.guest_phys_addr, region.memory_size, region.userspace_addr = address, size, user
        self._pointer("KVM_SET_USER_MEMORY_REGION", region, slot=slot, address=address, size=size, flags=flags)

    def _release(self, slot: int) -> None:
        view = self._memory.pop(slot, None)
        if view is not None:
            ffi.release(view)

    def dirty_log(self, slot: int) -> bytes:
        """A bit for each page written since the last call, page 0 in bit 0 of byte 0; for a slot with ``log_dirty``."""
        pages = len(self._memory[slot]) // mmap.PAGESIZE
        bitmap = ffi.new("char[]", (pages + 63) // 64 * 8)
        log = ffi.new("struct kvm_dirty_log *", {"slot": slot, "dirty_bitmap": bitmap})
        self._pointer("KVM_GET_DIRTY_LOG", log, slot=slot)
        return bytes(ffi.buffer(bitmap))

    def set_tss_address(self, address: int) -> None:
        """Set the address of three pages below 4 GiB, outside all slots, that KVM needs on old Intel processors."""
        self._value("KVM_SET_TSS_ADDR", address, address=address)

    # --- processors -----------------------------------------------------------------------------------------

    def create_vcpu(self, number: int = 0) -> Vcpu:
        """Create a vCPU; ``number`` is also its local APIC ID."""
        fd = self._value("KVM_CREATE_VCPU", number, number=number)
        vcpu = Vcpu(fd, self._vcpu_map_size)
        self._vcpus.append(vcpu)
        return vcpu

    # --- interrupts -----------------------------------------------------------------------------------------

    def create_irqchip(self) -> None:
        """Create two PICs, an I/O APIC with 24 pins, and a local APIC for each vCPU created afterwards."""
        self._value("KVM_CREATE_IRQCHIP")

    def irq_line(self, gsi: int, level: bool) -> None:
        """Set the level of an interrupt line."""
        line = ffi.new("struct kvm_irq_level *", {"irq": gsi, "level": level})
        self._pointer("KVM_IRQ_LINE", line, gsi=gsi, level=int(level))

    def set_routes(self, routes: Sequence[IrqRoute]) -> None:
        """Replace the routing of all GSIs (by default GSI n goes to pin n of every controller)."""
        table = ffi.new("struct kvm_irq_routing *", {"entries": len(routes)})
        table.nr = len(routes)
        for entry, route in zip(table.entries, routes, strict=True):
            entry.gsi, entry.type = route.gsi, lib.KVM_IRQ_ROUTING_IRQCHIP
            entry.u.irqchip.irqchip, entry.u.irqchip.pin = route.chip, route.pin
        self._pointer("KVM_SET_GSI_ROUTING", table, routes=len(routes))

    def irqfd(self, eventfd: int, gsi: int, *, resample: int | None = None, remove: bool = False) -> None:
        """Make a write to ``eventfd`` pulse the line. With ``resample`` the line stays high until its EOI, which is
        written to that eventfd.
        """
        flags = (lib.KVM_IRQFD_FLAG_DEASSIGN if remove else 0) | (
            0 if resample is None else lib.KVM_IRQFD_FLAG_RESAMPLE
        )
        values = {"fd": eventfd, "gsi": gsi, "flags": flags, "resamplefd": resample or 0}
        self._pointer("KVM_IRQFD", ffi.new("struct kvm_irqfd *", values), **values)

    def ioeventfd(
        self, eventfd: int, address: int, length: int, *, port: bool, match: int | None = None, remove: bool = False
    ) -> None:
        """Signal ``eventfd`` for a write of ``length`` bytes to an I/O port or memory address, without an exit.

        With ``match``, only for a write of this value.
        """
        flags = lib.KVM_IOEVENTFD_FLAG_PIO if port else 0
        flags |= 0 if match is None else lib.KVM_IOEVENTFD_FLAG_DATAMATCH
        flags |= lib.KVM_IOEVENTFD_FLAG_DEASSIGN if remove else 0
        values = {"fd": eventfd, "addr": address, "len": length, "flags": flags, "datamatch": match or 0}
        self._pointer("KVM_IOEVENTFD", ffi.new("struct kvm_ioeventfd *", values), **values)

    # --- the rest -------------------------------------------------------------------------------------------

    def check_extension(self, name: str) -> int:
        """As ``Kvm.check_extension``, for this VM."""
        return self._value("KVM_CHECK_EXTENSION", ioctls.capability(name), capability=name)

    def enable_capability(self, name: str, *arguments: int) -> None:
        """Enable a capability, with up to four arguments."""
        request = ffi.new("struct kvm_enable_cap *", {"cap": ioctls.capability(name), "args": list(arguments)})
        self._pointer("KVM_ENABLE_CAP", request, capability=name, arguments=arguments)

    def close(self) -> None:
        """Close the vCPUs and the VM, then release the memory. No vCPU may be running."""
        for vcpu in self._vcpus:
            vcpu.close()
        super().close()
        for slot in list(self._memory):
            self._release(slot)
