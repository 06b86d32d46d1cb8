# SPDX-License-Identifier: GPL-2.0-or-later
"""The window between the worlds on KVM: an NMI at every instruction of a Switcher, by KVM_NMI.

The vCPU stops first at the Switcher's first instruction, where the Host's page tables and stack are loaded, then at
its iret to the Guest, where the Guest's are.  At each of the two stops eip is set to every instruction and an NMI is
queued.
A stop at the NMI's handler shows that it came, and single steps (KVM_SET_GUEST_DEBUG) that it goes.

The NMI itself is not stepped: KVM makes a step with TF, which the CPU would push with the frame.  A stop is an out that
stands there for once: the processor with SVM that QEMU emulates neither stops at int3 for KVM nor loads breakpoints
with DR7.
Read before: window_lab.py.  Read next: tests/window/test_window_kvm.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from hostile_lab import symbols
from window_lab import IF, TF, place_of

from lguest_py.engines.base import MachineEnd
from lguest_py.engines.kvm import KvmEngine
from lguest_py.kvm import Debug, Exit, Interrupted, Io, Registers
from lguest_py.launcher.vm_memory import PAGE
from lguest_py.shared_memory import _layouts as L

STOP_PORT = 0x80
STOP = bytes([0xE6, STOP_PORT])  # out, which changes no register
FRAME_BYTES, NMI, GATE_BYTES = 12, 2, 8
STEPS = 3  # of a handler
SREGS_BYTES = 312


class NmiKvm(KvmEngine):
    """An engine whose vCPU gets an NMI at each of ``wanted``."""

    pae: ClassVar[bool]
    wanted: ClassVar[list[int]]
    stops: ClassVar[dict[str, int]]  # where it is stopped, by what is loaded there
    came: ClassVar[dict[str, set[int]]]  # NMIs that came and went
    wrong_at: ClassVar[list[str]]

    def start(self, entry: int, ebx: int, tsc: int = 0) -> None:
        self._left = iter(self.stops.items())
        self._next_stop()
        super().start(entry, ebx, tsc)

    def _next_stop(self) -> None:
        self._world, place = next(self._left, ("", 0))
        if place:
            self._stop_at(place)

    def _stop_at(self, address: int) -> None:
        """A stop stands there from now on."""
        self._place = place_of(self.memory, address, self.pae)
        there = self.memory[self._place : self._place + len(STOP)]
        self._kept, there[:] = bytes(there), STOP

    def _stopped(self) -> Registers:
        """The registers there; what stood there stands there again."""
        self._vcpu.kick()
        assert self._vcpu.run() == Interrupted()  # KVM ends the out
        self.memory[self._place : self._place + len(STOP)] = self._kept
        now = self._vcpu.get_regs()
        return replace(now, rip=now.rip - len(STOP))

    def _handle(self, vm_exit: Exit) -> MachineEnd | None:
        if not isinstance(vm_exit, Io) or vm_exit.port != STOP_PORT:
            return super()._handle(vm_exit)
        then, cs, handler = self._stopped(), self._vcpu.get_sregs().cs.selector, self._handler()
        if then.rflags & (IF | TF) or cs & 3:
            self.wrong_at.append(f"{self._world}: eflags {then.rflags:#x}, cs {cs:#x}")
        seen = self.came.setdefault(self._world, set())
        for each in self.wanted:
            if self._stopping:
                break
            wrong = list(self._nmi(replace(then, rip=each), handler))
            self.wrong_at.extend(f"{each:#x} ({self._world}): {what}" for what in wrong)
            if not wrong:
                seen.add(each)
        self._vcpu.set_regs(then)
        self._vcpu.set_guest_debug()
        self._next_stop()
        return MachineEnd(False, "closed") if self._stopping else None

    def _nmi(self, before: Registers, handler: int) -> Iterator[str]:
        """It comes, and all is as before; else what is not."""
        vcpu = self._vcpu
        vcpu.set_regs(before)
        special, pages = self._special(), self._pages(before.rsp)
        events = vcpu.get_vcpu_events()
        events.nmi.masked = 0  # KVM sees that an iret is done when eip is another one than before it
        vcpu.set_vcpu_events(events)
        vcpu.set_guest_debug()
        vcpu.nmi()
        self._stop_at(handler)
        found = self._run_on()
        now = self._stopped()
        if not isinstance(found, Io) or now != replace(before, rip=handler, rsp=before.rsp - FRAME_BYTES):
            yield f"no NMI at {handler:#x}: {found}, {now}"
            return
        vcpu.set_regs(now)
        vcpu.set_guest_debug(single_step=True)
        for _ in range(STEPS):
            found = self._run_on()
            now = vcpu.get_regs()
            if not isinstance(found, Debug) or (now.rip, now.rsp) == (before.rip, before.rsp):
                break
        if now != before:
            yield f"{before} became {now}, {found}"
        if (after := self._special()) != special:
            yield f"struct kvm_sregs: {special.hex()} became {after.hex()}"
        if self._pages(before.rsp) != pages:
            yield "the Switcher's pages changed"

    def _special(self) -> bytes:
        """Segment, table and control registers; not as SpecialRegisters, which takes long in the carrier."""
        self._vcpu.ioctl("KVM_GET_SREGS", data := bytearray(SREGS_BYTES))
        return bytes(data)

    def _run_on(self) -> Exit:
        """The next exit but for signals."""
        while isinstance(found := self._vcpu.run(), Interrupted) and not self._stopping:
            pass
        return found

    def _handler(self) -> int:
        """Where the CPU's own IDT leads an NMI."""
        base, gate = self._vcpu.get_sregs().idt.base, symbols(self.pae)["host_idt"]
        if base >= L.SWITCHER_BASE:
            gate = symbols(self.pae)["state_page"] + L.LGUEST_STATE.fields["idt"][0]
        gate += NMI * GATE_BYTES
        return int.from_bytes(bytes(self.memory[gate : gate + 2]) + bytes(self.memory[gate + 6 : gate + 8]), "little")

    def _pages(self, stack: int) -> list[bytes]:
        """The Switcher's two, but for what the CPU pushes below the stack pointer."""
        at = symbols(self.pae)
        pages = [bytearray(self.memory[at[name] : at[name] + PAGE]) for name in ("stack_page", "state_page")]
        end = stack - L.SWITCHER_STACK_PAGE
        if FRAME_BYTES <= end <= PAGE:
            pages[0][end - FRAME_BYTES : end] = bytes(FRAME_BYTES)
        return [bytes(page) for page in pages]
