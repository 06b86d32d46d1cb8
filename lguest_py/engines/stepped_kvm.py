# SPDX-License-Identifier: GPL-2.0-or-later
"""SteppedKvm: the kvm engine with a stepper (stepping.py), by KVM's guest debug.

A step is KVM_GUESTDBG_SINGLESTEP, for which KVM sets TF; what the CPU pushes with it is put right.  A place to stop at
is an ``out`` that stands there meanwhile: a processor with SVM that QEMU emulates stops for KVM neither at int3 nor by
debug registers.  An out works in ring 0 only, so the machine cannot be stopped in the Guest.
"""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from lguest_py.engines.base import MachineEnd
from lguest_py.engines.kvm import KvmEngine
from lguest_py.engines.stepping import GENERAL, SEGMENTS, MachineGoneError, State, Stepper
from lguest_py.kvm import Debug, Exit, Interrupted, Io, Vcpu

STOP_PORT: Final = 0x80
STOP: Final = bytes([0xE6, STOP_PORT])  # out, which changes no register
TRANSLATION: Final = struct.Struct("<QQB7x")  # struct kvm_translation: linear, physical, valid
PUSHF: Final = 0x9C
TF_BYTE, TF_BIT = 1, 1  # in a word of flags


class SteppedKvm(KvmEngine):
    """It, and its own stepper."""

    def __init__(self, memory_bytes: int, work: Callable[[Stepper], None]) -> None:
        """``work`` is called in the vCPU's thread."""
        super().__init__(memory_bytes)
        self._work = work

    def _before_it_runs(self) -> None:
        with contextlib.suppress(MachineGoneError):
            self._work(KvmStepper(self, self._vcpu))
            self._vcpu.set_guest_debug()

    def run_on(self) -> Exit:
        """The next exit that the engine does not handle.  Raises MachineGoneError."""
        found = self._vcpu.run()
        if isinstance(found, Debug) or (isinstance(found, Io) and found.port == STOP_PORT):
            return found
        end: MachineEnd | None = self._handle(found)
        if end is not None:
            self._end = end
        if end is not None or self._stopping:
            raise MachineGoneError
        return found


class KvmStepper:
    """See Stepper."""

    anywhere = False  # a stop has two bytes

    def __init__(self, engine: SteppedKvm, vcpu: Vcpu) -> None:
        self._engine, self._vcpu = engine, vcpu
        self._memory = engine.memory

    @contextlib.contextmanager
    def _stops(self, places: Mapping[int, int]) -> Iterator[None]:
        """A stop stands at each place."""
        kept = {at: bytes(self._memory[at : at + len(STOP)]) for at in places.values() if at}
        for at in kept:
            self._memory[at : at + len(STOP)] = STOP
        try:
            yield
        finally:
            for at, data in kept.items():
                self._memory[at : at + len(STOP)] = data

    def run_to(self, places: Mapping[int, int], seconds: float) -> bool:
        """See Stepper."""
        if self._vcpu.get_regs().rip in places:
            self.step()
            if self._vcpu.get_regs().rip in places:
                return True
        self._vcpu.set_guest_debug()
        deadline = time.monotonic() + seconds
        timer = threading.Timer(seconds, self._vcpu.kick)
        timer.daemon = True
        timer.start()
        try:
            with self._stops(places):
                while not isinstance(found := self._engine.run_on(), Io):
                    if isinstance(found, Interrupted) and time.monotonic() >= deadline:
                        return False
                self._vcpu.kick()
                self._vcpu.run()  # KVM ends the out
        finally:
            timer.cancel()
        now = self._vcpu.get_regs()
        self._vcpu.set_regs(replace(now, rip=now.rip - len(STOP)))
        return True

    def step(self) -> None:
        """See Stepper."""
        self._vcpu.set_guest_debug(single_step=True)
        pushes_flags = self._byte_at_eip() == PUSHF
        while not isinstance(self._engine.run_on(), Debug):
            pass
        if pushes_flags:
            place = self._physical(self._vcpu.get_regs().rsp) + TF_BYTE
            self._memory[place] &= ~TF_BIT

    def _physical(self, address: int) -> int:
        """Where a virtual address is in memory."""
        translation = bytearray(TRANSLATION.pack(address, 0, 0))
        self._vcpu.ioctl("KVM_TRANSLATE", translation)
        return int(TRANSLATION.unpack(translation)[1])

    def _byte_at_eip(self) -> int:
        place = self._physical(self._vcpu.get_regs().rip)
        return self._memory[place] if 0 <= place < len(self._memory) else 0

    def general(self) -> State:
        """See Stepper."""
        registers = self._vcpu.get_regs()
        return {name: getattr(registers, "r" + name[1:]) & 0xFFFFFFFF for name in (*GENERAL, "eip")}

    def state(self) -> State:
        """See Stepper."""
        general, special = self._vcpu.get_regs(), self._vcpu.get_sregs()
        state = self.general() | {"eflags": general.rflags & 0xFFFFFFFF}
        state |= {name: getattr(special, name).selector for name in SEGMENTS}
        state |= {name: getattr(special, name) & 0xFFFFFFFF for name in ("cr0", "cr2", "cr3", "cr4")}
        for name, table in (("gdt", special.gdt), ("idt", special.idt)):
            state[name], state[f"{name}_limit"] = table.base & 0xFFFFFFFF, table.limit
        state |= {"tr": special.tr.selector, "tss": special.tr.base & 0xFFFFFFFF, "ldt": special.ldt.selector}
        return state
