# SPDX-License-Identifier: GPL-2.0-or-later
"""KvmEngine: a VM on KVM with one vCPU in a thread, the in-kernel interrupt controllers and two eventfds.

The doorbell is an ioeventfd and the interrupt an irqfd, so neither causes an exit to Python.  Only the debug port and
the exit port do.

Read next: lguest_py/kvm for the binding, host_kernel/core/start.S for the VM's first instructions.
Next in the book: host_kernel/core/start.S.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import threading
from dataclasses import replace
from typing import Final

from lguest_py.engines import cpuid
from lguest_py.engines.base import LESS_MEMORY, MachineEnd, MachineFacts, no_memory
from lguest_py.errors import EngineError
from lguest_py.files.descriptors import check
from lguest_py.kvm import (
    Debug,
    Exit,
    InternalError,
    Interrupted,
    Io,
    IrqRoute,
    Kvm,
    KvmError,
    Mmio,
    MpState,
    Registers,
    Shutdown,
    Vcpu,
    Vm,
)
from lguest_py.kvm.x86 import TSS_ADDRESS, flat_protected_mode

DOORBELL_PORT: Final = 0x500
EXIT_PORT: Final = 0x501
DEBUG_PORT: Final = 0xE9
DOORBELL_PIN: Final = 4
IOAPIC: Final = 2  # the chip's number in IrqRoute
MEMORY_LIMIT: Final = 0xC0000000  # above it are the APICs and the pages that KVM uses
MSR_TSC: Final = 0x10
FAR: Final = 1 << 40  # cycles: minutes
RESET_CS: Final = 0xF000  # of a processor after reset (Intel SDM vol. 3, 9.1.4)
# cpuid and vmmcall: the reason of the exit (exit codes of AMD64 APM vol. 2, appendix C), and bytes
STEPPED_OVER: Final = {0x72: 2, 0x81: 3}
ADVICE: Final = "--engine tcg runs without KVM"
FAULTS: Final = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}


class KvmEngine:
    """A VM on KVM (lguest_py.engines.base.Engine says what the methods do)."""

    name = "kvm"

    def __init__(self, memory_bytes: int, device: Kvm | None = None, original: int = -1) -> None:
        """``device``: an open /dev/kvm, where its name cannot be followed.

        ``original``: a file with so many bytes that is the memory at first; what the machine writes is its own.
        """
        if memory_bytes > MEMORY_LIMIT:
            size = f"{memory_bytes >> 20} MiB"
            raise EngineError(f"the VM would need {size}, and has room for {MEMORY_LIMIT >> 20} MiB: {LESS_MEMORY}")
        self._end: MachineEnd | None = None
        self._text = bytearray()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._may_run = threading.Event()
        self._may_run.set()
        self.stands = False  # as ``stand`` wanted, or after a step
        with contextlib.ExitStack() as stack:  # releases what was made if a later step fails
            try:
                how = mmap.MAP_SHARED if original < 0 else mmap.MAP_PRIVATE
                self._map = stack.enter_context(mmap.mmap(original, memory_bytes, flags=how))
                self._ready = _eventfd(stack)  # readable for the Launcher after a doorbell or the end
                self._irq = _eventfd(stack)
                kvm = stack.enter_context(Kvm(opened=device))
                self._vm = stack.enter_context(kvm.create_vm())
                self._vcpu = self._set_up(kvm, self._vm)
                kvm.close()
            except KvmError as error:
                check(error)
                raise EngineError(f"KVM failed: {error}; {ADVICE}") from None
            except OSError as error:
                raise no_memory(memory_bytes, error) from None
            stack.pop_all()
        self.description = "KVM runs the code on this CPU"
        self.memory = memoryview(self._map)

    def _set_up(self, kvm: Kvm, vm: Vm) -> Vcpu:
        vm.set_tss_address(TSS_ADDRESS)
        vm.create_irqchip()
        # Only the I/O APIC's pin: the default routing also raises the PIC's line, and the PIC is never initialized.
        vm.set_routes([IrqRoute(gsi=DOORBELL_PIN, chip=IOAPIC, pin=DOORBELL_PIN)])
        vm.irqfd(self._irq, DOORBELL_PIN)
        vm.ioeventfd(self._ready, DOORBELL_PORT, 1, port=True)
        vm.set_memory(0, 0, self._map)
        vcpu = vm.create_vcpu()
        vcpu.set_cpuid2(cpuid.allowed(kvm.supported_cpuid()))
        self.facts = MachineFacts(
            doorbell_port=DOORBELL_PORT,
            doorbell_pin=DOORBELL_PIN,
            doorbell_ack_port=0,
            debug_port=DEBUG_PORT,
            exit_port=EXIT_PORT,
            tsc_khz=vcpu.get_tsc_khz(),
        )
        return vcpu

    def start(self, entry: int, ebx: int, tsc: int = 0) -> None:
        """Set the vCPU's registers and start the thread that runs it."""
        try:
            self._vcpu.set_sregs(flat_protected_mode(self._vcpu.get_sregs()))
            self._vcpu.set_regs(Registers(rip=entry, rbx=ebx))
            if tsc:
                # KVM takes a value that is less than a second from its own for an attempt to set several processors'
                # counters alike, and keeps its own.
                self._vcpu.set_msrs({MSR_TSC: tsc + FAR})
                self._vcpu.set_msrs({MSR_TSC: tsc})
        except KvmError as error:
            raise EngineError(f"KVM failed: {error}; {ADVICE}") from None
        self._thread = threading.Thread(target=self._run, name="lguest-py vCPU", daemon=True)
        self._thread.start()

    def _before_it_runs(self) -> None:
        """What a subclass does with the vCPU first, in its thread."""

    def _run(self) -> None:
        """The thread.  It blocks all signals but faults, so that the main thread handles them."""
        signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals() - FAULTS)
        try:
            self._before_it_runs()
            while self._end is None:
                self._end = self._handle(self._vcpu.run())
                if not self._may_run.is_set() and not self._stopping and self._end is None:
                    self.stands = True
                    self._wake()
                    self._may_run.wait()
        except KvmError as error:
            self._end = MachineEnd(False, f"KVM failed: {error}; {ADVICE}")
        self._wake()

    def _handle(self, vm_exit: Exit) -> MachineEnd | None:
        match vm_exit:
            case Io(port=port, is_write=True, data=data) if port == DEBUG_PORT:
                self._text += data
            case Io(port=port, is_write=True) if port == EXIT_PORT:
                return MachineEnd(exited=True)
            case Io(port=port, is_write=True) if port == DOORBELL_PORT:
                self._wake()  # a write of another width than the ioeventfd's
            case InternalError(suberror=1, data=(_, reason, *_)) if reason in STEPPED_OVER:
                self._step_over(STEPPED_OVER[reason])
            case Debug():
                self._may_run.clear()  # after a step for gdb
            case Interrupted():
                return MachineEnd(False, "closed") if self._stopping else None
            case Shutdown():
                return MachineEnd(False, f"triple fault of the Host kernel: {self._registers_at_shutdown()}")
            case Io() | Mmio():
                return MachineEnd(False, f"the Host kernel accessed an absent device: {vm_exit}: {self._registers()}")
            case _:
                return MachineEnd(False, f"KVM cannot continue: {vm_exit}: {self._registers()}; {ADVICE}")
        return None

    def stand(self) -> None:
        """Let the processor stop where it is, wherever that is; ``stands`` tells when it does."""
        self._may_run.clear()
        self._vcpu.kick()

    def go_on(self, *, step: bool = False) -> None:
        """Let it go on, perhaps for one instruction."""
        self._vcpu.set_guest_debug(single_step=step)
        if step:
            self._vcpu.set_mp_state(MpState.RUNNABLE)  # else one that sleeps in hlt takes no step
        self.stands = False
        self._may_run.set()

    @property
    def processor(self) -> Vcpu:
        """While it stands: its registers can be read and written."""
        return self._vcpu

    def _step_over(self, length: int) -> None:
        """KVM has set the results of an instruction, and could not decode it to know its length.

        On a processor with SVM that QEMU emulates it cannot do so where the VM's page tables are those of PAE: QEMU
        sets bit 5 of a PDPTE, which no processor does, and which KVM takes for an invalid one.
        """
        registers = self._vcpu.get_regs()
        self._vcpu.set_regs(replace(registers, rip=registers.rip + length))

    def _registers_at_shutdown(self) -> str:
        """The registers, unless KVM has reset the vCPU, as it does on AMD processors."""
        reset = self._vcpu.get_sregs().cs.selector == RESET_CS
        return "the registers are lost, as always on AMD" if reset else self._registers()

    def _registers(self) -> str:
        general, special = self._vcpu.get_regs(), self._vcpu.get_sregs()
        names = ("rip", "rflags", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp")
        values = [("e" + name[1:], getattr(general, name)) for name in names]
        values += [(name, getattr(special, name).selector) for name in ("cs", "ss", "ds", "es", "fs", "gs", "tr")]
        values += [(name, getattr(special, name)) for name in ("cr0", "cr2", "cr3", "cr4")]
        return " ".join(f"{name}={value:x}" for name, value in values)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._ready, 1)

    def fileno(self) -> int:
        """Readable after a doorbell and at the end."""
        return self._ready

    def poll(self) -> MachineEnd | None:
        """Clear the eventfd; after the end it stays readable."""
        if self._ready >= 0:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._ready)
            if self._end is not None:
                self._wake()
        return self._end

    def interrupt(self) -> None:
        """Pulse the I/O APIC's pin."""
        if self._end is None:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_write(self._irq, 1)

    def debug_text(self) -> str:
        """The text written to the debug port."""
        return self._text.decode(errors="replace")

    def stop(self) -> None:
        """Stop the vCPU and wait for its thread."""
        self._stopping = True
        self._may_run.set()
        if self._thread is not None and self._thread.is_alive():
            self._vcpu.kick()
            self._thread.join()
        self._end = self._end or MachineEnd(False, "closed")

    def touched(self) -> tuple[tuple[int, int], ...]:
        """All of it: anonymous memory does not tell."""
        return ((0, len(self.memory)),)

    def close(self) -> None:
        """Stop the vCPU and release the resources."""
        if self._ready < 0:
            return
        self.stop()
        self._vm.close()
        for eventfd in (self._ready, self._irq):
            os.close(eventfd)
        self._ready = self._irq = -1
        self.memory.release()
        with contextlib.suppress(BufferError):  # the memory is unmapped when its last view is released
            self._map.close()


def _eventfd(stack: contextlib.ExitStack) -> int:
    eventfd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    stack.callback(os.close, eventfd)
    return eventfd
