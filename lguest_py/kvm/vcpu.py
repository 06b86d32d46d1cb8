# SPDX-License-Identifier: GPL-2.0-or-later
"""Vcpu: run and stop a vCPU, read and write its state.

Read next: exits.py for what ``run`` returns, structs.py for the state.
"""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from lguest_py.kvm._kvm import ffi, lib
from lguest_py.kvm.errors import KvmError
from lguest_py.kvm.exits import Exit, Interrupted, Io, Mmio, decode, io_data
from lguest_py.kvm.file import File
from lguest_py.kvm.ioctls import find
from lguest_py.kvm.structs import (
    CpuidEntry,
    Fpu,
    MpState,
    Registers,
    SpecialRegisters,
    T,
    VcpuEvents,
    load,
    store,
)

MAX_CPUID_ENTRIES = 256  # KVM_MAX_CPUID_ENTRIES


@cache
def kick_signal() -> int:
    """The signal that ``Vcpu.kick`` sends to the running thread; its handler does nothing.

    It is chosen once per process, from the unused real-time signals.
    """
    number = lib.kvm_kick_signal()
    if not number:
        raise KvmError("sigaction", "every real-time signal has a handler already", errno.EBUSY)
    return number


class Vcpu(File):
    """A vCPU's file descriptor, made by ``Vm.create_vcpu``. One thread runs it; any thread may ``kick`` it."""

    def __init__(self, fd: int, map_size: int) -> None:
        super().__init__(fd)
        self._lock = threading.Lock()
        self._runner = 0  # the ident of the thread in KVM_RUN, or 0
        self._last_runner = 0
        self._unanswered: Any = None
        self._size = map_size
        self._map = lib.kvm_map(fd, map_size)
        if not self._map:
            number = ffi.errno
            self.close()
            raise KvmError("mmap", f"vCPU, {map_size} bytes", number)
        self._run = ffi.cast("struct kvm_run *", self._map)
        self._run_number = find("KVM_RUN").number
        kick_signal()

    # --- running --------------------------------------------------------------------------------------------

    def run(self) -> Exit:
        """Run the vCPU until the next exit. The GIL is released meanwhile. Raises KvmError."""
        self._unanswered = None
        if self._fd < 0:
            raise KvmError("KVM_RUN", "", errno.EBADF)
        me = threading.get_ident()
        if me != self._last_runner:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {kick_signal()})
            self._last_runner = me
        with self._lock:
            self._runner = me
        result = lib.kvm_ioctl_value(self._fd, self._run_number, 0)
        with self._lock:  # kick signals this thread only while it holds the lock
            self._runner = 0
            if result == -errno.EINTR:
                self._run.immediate_exit = 0
                return Interrupted()
        if result < 0:
            raise KvmError("KVM_RUN", "", -result)
        vm_exit = decode(self._run)
        if isinstance(vm_exit, Io | Mmio) and not vm_exit.is_write:
            self._unanswered = vm_exit
        return vm_exit

    def answer(self, data: bytes) -> None:
        """Set the result of the read of the last exit, Io or Mmio. Without it the read gets stale data.

        Raises ValueError when the last exit was not a read, or ``data`` has another size.
        """
        vm_exit, self._unanswered = self._unanswered, None
        if vm_exit is None:
            raise ValueError("the last exit was no read, or it was answered before")
        wanted = vm_exit.size * vm_exit.count if isinstance(vm_exit, Io) else vm_exit.size
        if len(data) != wanted:
            raise ValueError(f"the read of {wanted} bytes was answered with {len(data)}")
        target = io_data(self._run) if isinstance(vm_exit, Io) else self._run.mmio.data
        ffi.memmove(target, data, len(data))

    def kick(self) -> None:
        """Make the current run, or else the next one, return Interrupted at once. Any thread may call it.

        A kick may coincide with the Interrupted of a signal, so the running thread must check its condition after
        every Interrupted: set the condition first, then kick.
        """
        with self._lock:
            if self._fd < 0:
                return
            self._run.immediate_exit = 1
            if self._runner:
                signal.pthread_kill(self._runner, kick_signal())

    # --- state ----------------------------------------------------------------------------------------------

    def _get(self, name: str, struct: str, kind: type[T]) -> T:
        data = ffi.new(f"struct {struct} *")
        self._pointer(name, data)
        return load(kind, data)

    def _set(self, name: str, struct: str, value: object, *shown: str) -> None:
        """``shown``: the fields in the message of an error."""
        data = ffi.new(f"struct {struct} *")
        store(value, data)
        self._pointer(name, data, **{field: getattr(value, field) for field in shown})

    def get_regs(self) -> Registers:
        """The general registers."""
        return self._get("KVM_GET_REGS", "kvm_regs", Registers)

    def set_regs(self, registers: Registers) -> None:
        """Set the general registers, all of them."""
        self._set("KVM_SET_REGS", "kvm_regs", registers, "rip", "rflags")

    def get_sregs(self) -> SpecialRegisters:
        """Segment registers, descriptor table registers and control registers."""
        return self._get("KVM_GET_SREGS", "kvm_sregs", SpecialRegisters)

    def set_sregs(self, registers: SpecialRegisters) -> None:
        """Set segment, table and control registers, all of them."""
        self._set("KVM_SET_SREGS", "kvm_sregs", registers, "cr0", "cr3", "cr4", "efer", "cs")

    def get_fpu(self) -> Fpu:
        """The floating-point state."""
        return self._get("KVM_GET_FPU", "kvm_fpu", Fpu)

    def set_fpu(self, fpu: Fpu) -> None:
        """Set the floating-point state."""
        self._set("KVM_SET_FPU", "kvm_fpu", fpu, "fcw", "mxcsr")

    def get_vcpu_events(self) -> VcpuEvents:
        """Pending and injected exceptions and interrupts."""
        return self._get("KVM_GET_VCPU_EVENTS", "kvm_vcpu_events", VcpuEvents)

    def set_vcpu_events(self, events: VcpuEvents) -> None:
        """Set pending and injected exceptions and interrupts; ``flags`` says which fields are valid."""
        self._set("KVM_SET_VCPU_EVENTS", "kvm_vcpu_events", events, "flags")

    def get_mp_state(self) -> MpState:
        """The activity state."""
        data = ffi.new("struct kvm_mp_state *")
        self._pointer("KVM_GET_MP_STATE", data)
        return MpState(data.mp_state)

    def set_mp_state(self, state: MpState) -> None:
        """Set the activity state."""
        self._pointer("KVM_SET_MP_STATE", ffi.new("struct kvm_mp_state *", {"mp_state": state}), state=state.name)

    def get_lapic(self) -> bytes:
        """The registers of the in-kernel local APIC, 1024 bytes: each register at its MMIO offset."""
        data = ffi.new("struct kvm_lapic_state *")
        self._pointer("KVM_GET_LAPIC", data)
        return bytes(ffi.buffer(data.regs))

    def set_lapic(self, registers: bytes) -> None:
        """Set the registers of the in-kernel local APIC."""
        data = ffi.new("struct kvm_lapic_state *")
        if len(registers) != len(data.regs):
            raise ValueError(f"a local APIC's state has {len(data.regs)} bytes, not {len(registers)}")
        ffi.memmove(data.regs, registers, len(registers))
        self._pointer("KVM_SET_LAPIC", data)

    def get_cpuid2(self) -> list[CpuidEntry]:
        """The CPUID entries of this vCPU."""
        table = ffi.new("struct kvm_cpuid2 *", {"entries": MAX_CPUID_ENTRIES})
        table.nent = MAX_CPUID_ENTRIES
        self._pointer("KVM_GET_CPUID2", table)
        entries = [load(CpuidEntry, table.entries[index]) for index in range(table.nent)]
        while entries and entries[-1] == CpuidEntry():  # Linux up to 6.x does not return the number of entries
            entries.pop()
        return entries

    def set_cpuid2(self, entries: Sequence[CpuidEntry]) -> None:
        """Set the CPUID entries, before the first run."""
        table = ffi.new("struct kvm_cpuid2 *", {"entries": len(entries)})
        table.nent = len(entries)
        for index, entry in enumerate(entries):
            store(entry, table.entries[index])
        self._pointer("KVM_SET_CPUID2", table, entries=len(entries))

    def get_msrs(self, indices: Sequence[int]) -> dict[int, int]:
        """Model-specific registers: index -> value. It stops at the first unreadable one."""
        table = self._msrs(dict.fromkeys(indices, 0))
        done = self._pointer("KVM_GET_MSRS", table, count=len(indices))
        return {table.entries[index].index: table.entries[index].data for index in range(done)}

    def set_msrs(self, values: Mapping[int, int]) -> None:
        """Set model-specific registers, by index. Raises KvmError naming the first that cannot be set."""
        done = self._pointer("KVM_SET_MSRS", self._msrs(values), count=len(values))
        if done < len(values):
            index, value = list(values.items())[done]
            raise KvmError("KVM_SET_MSRS", f"msr={index:#x}, value={value:#x}", errno.EINVAL)

    def _msrs(self, values: Mapping[int, int]) -> Any:
        table = ffi.new("struct kvm_msrs *", {"entries": len(values)})
        table.nmsrs = len(values)
        for position, (index, value) in enumerate(values.items()):
            table.entries[position].index, table.entries[position].data = index, value
        return table

    def get_tsc_khz(self) -> int:
        """The rate of the VM's TSC in kHz."""
        return self._value("KVM_GET_TSC_KHZ")

    def set_tsc_khz(self, rate: int) -> None:
        """Set the rate of the VM's TSC, where the processor can."""
        self._value("KVM_SET_TSC_KHZ", rate, khz=rate)

    # --- events ---------------------------------------------------------------------------------------------

    def interrupt(self, vector: int) -> None:
        """Queue an external interrupt; only without in-kernel interrupt controllers."""
        self._pointer("KVM_INTERRUPT", ffi.new("struct kvm_interrupt *", {"irq": vector}), vector=vector)

    def nmi(self) -> None:
        """Queue a non-maskable interrupt."""
        self._value("KVM_NMI")

    def set_guest_debug(
        self, *, single_step: bool = False, software: bool = False, hardware: Mapping[int, int] | None = None
    ) -> None:
        """Request Debug exits: after each instruction, at int3, or by debug registers (number -> value).

        Without arguments the requests end.
        """
        debug = ffi.new("struct kvm_guest_debug *")
        debug.control |= lib.KVM_GUESTDBG_ENABLE if single_step or software or hardware else 0
        debug.control |= lib.KVM_GUESTDBG_SINGLESTEP if single_step else 0
        debug.control |= lib.KVM_GUESTDBG_USE_SW_BP if software else 0
        debug.control |= lib.KVM_GUESTDBG_USE_HW_BP if hardware else 0
        for number, value in (hardware or {}).items():
            debug.arch.debugreg[number] = value
        self._pointer("KVM_SET_GUEST_DEBUG", debug, control=debug.control)

    def close(self) -> None:
        """Close the vCPU, which must not be running."""
        with self._lock:
            shared, self._map, self._unanswered = self._map, None, None
            if shared:
                lib.kvm_unmap(shared, self._size)
            super().close()
