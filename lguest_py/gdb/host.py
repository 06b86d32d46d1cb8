# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine itself as gdb's target, on kvm: its one processor, in the Host kernel, the Switcher or the Guest.

KVM stops the processor anywhere, and steps it.  Memory is read by the page tables that the processor uses.  There are
no breakpoints: a machine within a machine (an emulated SVM) delivers them to the Host kernel, which would die of them.
On tcg QEMU's own stub takes this place (lguest_py/engines/tcg.py).
Read before: target.py.  Read next: lguest_py/engines/kvm.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lguest_py.gdb import registers
from lguest_py.gdb.target import SIGINT, NotPossibleError, Stop
from lguest_py.launcher.vm import Vm
from lguest_py.postmortem.walk import PAGE, Tables

NO_BREAKPOINTS = "there are no breakpoints in the Host kernel on kvm: boot with --engine tcg"
PAGING, PAE = 1 << 31, 1 << 5  # in CR0 and CR4


class HostTarget:
    """It.  ``vm`` runs on kvm."""

    def __init__(self, vm: Vm) -> None:
        from lguest_py.engines.kvm import KvmEngine

        engine = vm.engine
        assert isinstance(engine, KvmEngine)
        self._engine = engine
        self._told, self._step = False, False

    def registers(self) -> list[bytes]:
        """See Target."""
        cpu = self._engine.processor
        general, special, fpu = cpu.get_regs(), cpu.get_sregs(), cpu.get_fpu()
        values = {
            name: (
                getattr(special, name).selector
                if name in registers.SELECTORS
                else general.rflags & 0xFFFFFFFF
                if name == "eflags"
                else getattr(general, "r" + name[1:]) & 0xFFFFFFFF
            )
            for name in registers.GENERAL
        }
        controls = {name: getattr(special, name) & 0xFFFFFFFF for name in registers.CONTROLS}
        area = bytearray(512)  # as fxsave writes it
        for at, value, size in ((0, fpu.fcw, 2), (2, fpu.fsw, 2), (4, fpu.ftwx, 1), (24, fpu.mxcsr, 4)):
            area[at : at + size] = value.to_bytes(size, "little")
        for number in range(8):
            area[32 + 16 * number : 48 + 16 * number] = fpu.fpr[number]
            area[160 + 16 * number : 176 + 16 * number] = fpu.xmm[number]
        return registers.raw(values, controls, bytes(area))

    def set_register(self, name: str, value: int) -> None:
        """See Target."""
        if name not in registers.GENERAL or name in registers.SELECTORS:
            raise NotPossibleError(f"{name} of the machine cannot be changed")
        cpu = self._engine.processor
        known = "rflags" if name == "eflags" else "r" + name[1:]
        cpu.set_regs(replace(cpu.get_regs(), **{known: value}))

    def _pieces(self, address: int, count: int) -> Iterator[tuple[int, int]]:
        special = self._engine.processor.get_sregs()
        root = special.cr3 if special.cr0 & PAGING else None
        tables = Tables(self._engine.memory, root, bool(special.cr4 & PAE))
        while count and address < 1 << 32:
            here, physical = min(count, PAGE - address % PAGE), tables.walk(address).physical
            if physical is None:
                return
            yield physical, here
            address, count = address + here, count - here

    def read(self, address: int, count: int) -> bytes:
        """See Target."""
        memory = self._engine.memory
        return b"".join(bytes(memory[physical : physical + here]) for physical, here in self._pieces(address, count))

    def write(self, address: int, data: bytes) -> None:
        """See Target."""
        pieces = list(self._pieces(address, len(data)))
        if sum(count for _, count in pieces) < len(data):
            raise NotPossibleError("not mapped")
        for physical, count in pieces:
            self._engine.memory[physical : physical + count] = data[:count]
            data = data[count:]

    def insert(self, kind: int, address: int, size: int) -> None:
        """See Target."""
        raise NotPossibleError(NO_BREAKPOINTS)

    def remove(self, kind: int, address: int, size: int) -> None:
        """See Target."""

    def resume(self, step: bool) -> None:
        """See Target."""
        self._told, self._step = False, step
        self._engine.go_on(step=step)

    def interrupt(self) -> None:
        """See Target."""
        self._engine.stand()

    def stopped(self) -> Stop | None:
        """See Target."""
        if self._told or not self._engine.stands:
            return None
        self._told = True
        return Stop() if self._step else Stop(SIGINT)

    def leave(self) -> None:
        """See Target."""
        self._engine.go_on()

    def monitor(self, command: str) -> str:
        """See Target."""
        raise NotPossibleError("monitor is for the Guest's connection")
