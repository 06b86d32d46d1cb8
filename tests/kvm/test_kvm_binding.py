# SPDX-License-Identifier: GPL-2.0-or-later
"""The KVM binding on a KVM: small pieces of 16-bit and 32-bit code, run exit by exit."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

pytest.importorskip("lguest_py.kvm._kvm", reason="the KVM extension is built on x86 Linux only")

from lguest_py.kvm import (
    Debug,
    Hlt,
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
from lguest_py.kvm.vcpu import kick_signal
from lguest_py.kvm.x86 import TSS_ADDRESS, flat_protected_mode

pytestmark = pytest.mark.parametrize("engine_name", ["kvm"])

SIZE = 0x10000
SPIN = b"\xeb\xfe"


@pytest.fixture
def kvm(engine_name: str) -> Iterator[Kvm]:
    """/dev/kvm."""
    with Kvm() as opened:
        yield opened


@pytest.fixture
def memory() -> Iterator[mmap.mmap]:
    """The VM's RAM."""
    with mmap.mmap(-1, SIZE) as made:
        yield made


@pytest.fixture
def vm(kvm: Kvm, memory: mmap.mmap) -> Iterator[Vm]:
    """A VM with RAM and without interrupt controllers."""
    with kvm.create_vm() as made:
        made.set_tss_address(TSS_ADDRESS)
        made.set_memory(0, 0, memory)
        yield made


def prepare(vm: Vm, memory: mmap.mmap, code: bytes, **registers: int) -> Vcpu:
    """A vCPU that is about to run this 32-bit code."""
    memory[0x1000 : 0x1000 + len(code)] = code
    vcpu = vm.create_vcpu()
    vcpu.set_sregs(flat_protected_mode(vcpu.get_sregs()))
    vcpu.set_regs(Registers(rip=0x1000, rsp=0x8000, **registers))
    return vcpu


def test_the_system(kvm: Kvm) -> None:
    assert kvm.api_version() == 12
    assert kvm.check_extension("KVM_CAP_IRQCHIP") == 1
    assert kvm.check_extension("KVM_CAP_NR_VCPUS") >= 1
    assert kvm.vcpu_map_size() % mmap.PAGESIZE == 0
    leaves = {entry.function: entry for entry in kvm.supported_cpuid()}
    assert leaves[0].eax >= 1
    assert leaves[1].edx & 1, "no floating point?"


def test_in_and_out(vm: Vm, memory: mmap.mmap) -> None:
    vcpu = prepare(vm, memory, bytes.fromhex("ba34120000 ed 0511111111 ef f4"))  # mov; in; add; out; hlt
    assert vcpu.run() == Io(0x1234, 4, False)
    with pytest.raises(ValueError, match="4 bytes was answered with 3"):
        vcpu.answer(b"123")
    with pytest.raises(ValueError, match="no read"):
        vcpu.answer(b"1234")


def test_a_read_gets_its_answer(vm: Vm, memory: mmap.mmap) -> None:
    vcpu = prepare(vm, memory, bytes.fromhex("ba34120000 ed 0511111111 ef a100000040 f4"))
    assert vcpu.run() == Io(0x1234, 4, False)
    vcpu.answer(struct.pack("<I", 0x22222222))
    assert vcpu.run() == Io(0x1234, 4, True, struct.pack("<I", 0x33333333))
    assert vcpu.run() == Mmio(0x40000000, 4, False)
    vcpu.answer(struct.pack("<I", 0xABCDEF))
    assert vcpu.run() == Hlt()
    assert vcpu.get_regs().rax == 0xABCDEF
    with pytest.raises(ValueError, match="no read"):
        vcpu.answer(b"")


def test_a_string_of_ports(vm: Vm, memory: mmap.mmap) -> None:
    memory[0x2000:0x2006] = b"abcdef"
    code = bytes.fromhex("f3 66 6f f4")  # rep outsw; hlt
    vcpu = prepare(vm, memory, code, rcx=3, rsi=0x2000, rdx=0x80)
    data = b""
    while isinstance(left := vcpu.run(), Io):
        assert (left.port, left.size, len(left.data)) == (0x80, 2, 2 * left.count)
        data += left.data
    assert (left, data) == (Hlt(), b"abcdef")


def test_a_write_outside_memory_and_a_read_only_slot(vm: Vm, memory: mmap.mmap) -> None:
    with mmap.mmap(-1, 4096) as rom:
        rom[:4] = b"ROM!"
        vm.set_memory(1, 0x40000000, rom, read_only=True)
        vcpu = prepare(vm, memory, bytes.fromhex("a100000040 a304000040 c60500000050 77 f4"))
        assert vcpu.run() == Mmio(0x40000004, 4, True, b"ROM!")
        assert vcpu.run() == Mmio(0x50000000, 1, True, b"w")
        assert vcpu.run() == Hlt()
        with pytest.raises(BufferError):
            rom.close()  # the VM still has it
        vm.delete_memory(1)


def test_slots_that_cannot_be(vm: Vm) -> None:
    with mmap.mmap(-1, 8192) as other:
        with pytest.raises(KvmError, match=r"slot=1, address=0x1000, size=0x2000, .*EEXIST: it overlaps another slot"):
            vm.set_memory(1, 0x1000, other)
        with pytest.raises(KvmError, match="EINVAL: an address or size is not a multiple of the page size"):
            vm.set_memory(1, 0x20001, other)
    with pytest.raises((BufferError, TypeError, ValueError)):
        vm.set_memory(1, 0x20000, memoryview(bytes(4096)))


def test_the_dirty_log(kvm: Kvm, memory: mmap.mmap) -> None:
    with kvm.create_vm() as vm:
        vm.set_tss_address(TSS_ADDRESS)
        vm.set_memory(0, 0, memory, log_dirty=True)
        vcpu = prepare(vm, memory, bytes.fromhex("a200300000 a200b00000 f4"))
        vm.dirty_log(0)
        assert vcpu.run() == Hlt()
        log = int.from_bytes(vm.dirty_log(0), "little")
        assert log & ~(1 << 1) == 1 << 3 | 1 << 11  # the code's own page may count too: it is mapped writable
        assert not any(vm.dirty_log(0))


def test_the_dirty_log_of_a_slot_without_one(vm: Vm) -> None:
    with pytest.raises(KvmError, match="without logging"):
        vm.dirty_log(0)


def test_state_comes_back(vm: Vm, memory: mmap.mmap) -> None:
    vcpu = prepare(vm, memory, b"\xf4", rbx=5)
    regs = vcpu.get_regs()
    assert (regs.rip, regs.rsp, regs.rbx, regs.rflags) == (0x1000, 0x8000, 5, 2)
    sregs = vcpu.get_sregs()
    assert (sregs.cs.selector, sregs.cs.limit, sregs.ss.selector, sregs.cr0) == (8, 0xFFFFFFFF, 16, 0x11)
    fpu = replace(vcpu.get_fpu(), fcw=0x27F, xmm=tuple(bytes([n]) * 16 for n in range(16)))
    vcpu.set_fpu(fpu)
    assert vcpu.get_fpu().fcw == 0x27F
    assert vcpu.get_fpu().xmm[:8] == fpu.xmm[:8]
    events = vcpu.get_vcpu_events()
    vcpu.set_vcpu_events(events)
    assert vcpu.get_vcpu_events() == events
    assert vcpu.get_tsc_khz() > 100_000


def test_model_specific_registers(vm: Vm, memory: mmap.mmap) -> None:
    vcpu = prepare(vm, memory, b"\xf4")
    sysenter_cs, sysenter_esp, no_such = 0x174, 0x175, 0xDEADBEEF
    vcpu.set_msrs({sysenter_cs: 0x10, sysenter_esp: 0x1234})
    assert vcpu.get_msrs([sysenter_esp, sysenter_cs]) == {sysenter_esp: 0x1234, sysenter_cs: 0x10}
    assert vcpu.get_msrs([sysenter_cs, no_such, sysenter_esp]) == {sysenter_cs: 0x10}
    with pytest.raises(KvmError, match=r"KVM_SET_MSRS\(msr=0xdeadbeef, value=0x1\)"):
        vcpu.set_msrs({sysenter_cs: 0, no_such: 1})


def test_cpuid(kvm: Kvm, vm: Vm, memory: mmap.mmap) -> None:
    vcpu = prepare(vm, memory, bytes.fromhex("31c0 0fa2 f4"))
    leaf = next(entry for entry in kvm.supported_cpuid() if entry.function == 0)
    vcpu.set_cpuid2([replace(leaf, eax=0, ebx=0x1234)])
    assert [(entry.function, entry.ebx) for entry in vcpu.get_cpuid2()] == [(0, 0x1234)]
    assert vcpu.run() == Hlt()
    assert vcpu.get_regs().rbx == 0x1234


def test_single_step(vm: Vm, memory: mmap.mmap) -> None:
    vcpu = prepare(vm, memory, bytes.fromhex("40 40 40 f4"))
    vcpu.set_guest_debug(single_step=True)
    for count in (1, 2, 3):
        left = vcpu.run()
        assert isinstance(left, Debug)
        assert (left.exception, left.pc) == (1, 0x1000 + count)
        assert vcpu.get_regs().rax == count
    vcpu.set_guest_debug()
    assert vcpu.run() == Hlt()


def test_an_interrupt_without_controllers(vm: Vm, memory: mmap.mmap) -> None:
    memory[0x2000:0x2008] = struct.pack("<HHHH", 0x1100, 8, 0x8E00, 0)  # the gate of vector 0
    memory[0x3000:0x3018] = struct.pack("<QQQ", 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF)
    memory[0x1100:0x1102] = b"\x43\xf4"  # inc ebx; hlt
    vcpu = prepare(vm, memory, b"\xfb" + SPIN)
    sregs = vcpu.get_sregs()
    sregs.idt = replace(sregs.idt, base=0x2000, limit=7)
    sregs.gdt = replace(sregs.gdt, base=0x3000, limit=23)
    vcpu.set_sregs(sregs)
    vcpu.set_regs(replace(vcpu.get_regs(), rflags=0x202))
    vcpu.interrupt(0)
    assert vcpu.run() == Hlt()
    assert vcpu.get_regs().rbx == 1


def test_a_triple_fault(vm: Vm, memory: mmap.mmap) -> None:
    vcpu = prepare(vm, memory, b"\xcc")
    sregs = vcpu.get_sregs()
    sregs.idt = replace(sregs.idt, limit=0)
    vcpu.set_sregs(sregs)
    assert vcpu.run() == Shutdown()


def test_a_kick_before_and_during_a_run(vm: Vm, memory: mmap.mmap) -> None:
    vcpu = prepare(vm, memory, SPIN)
    vcpu.kick()
    assert vcpu.run() == Interrupted()
    for delay in (0.0, 0.01, 0.1):
        timer = threading.Timer(delay, vcpu.kick)
        timer.start()
        assert vcpu.run() == Interrupted()
        timer.join()


def test_a_kick_where_its_signal_is_blocked(vm: Vm, memory: mmap.mmap) -> None:
    vcpu = prepare(vm, memory, SPIN)
    ends: list[object] = []

    def run() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {kick_signal()})
        ends.append(vcpu.run())

    thread = threading.Thread(target=run)
    thread.start()
    while not vcpu._runner and not ends:
        pass
    vcpu.kick()
    thread.join(60)
    assert ends == [Interrupted()]


def test_other_threads_run_meanwhile(vm: Vm, memory: mmap.mmap) -> None:
    """The interpreter's lock is released: the vCPU spins until Python writes to its memory."""
    vcpu = prepare(vm, memory, bytes.fromhex("803d0020000000 74f7 f4"))  # cmpb $0, 0x2000; je; hlt
    thread = threading.Timer(0.05, lambda: memory.__setitem__(0x2000, 1))
    thread.start()
    assert vcpu.run() == Hlt()
    thread.join()


def test_eventfds(vm: Vm, memory: mmap.mmap) -> None:
    rung, matched = (os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2))
    try:
        vm.ioeventfd(rung, 0x500, 1, port=True)
        vm.ioeventfd(matched, 0x40000000, 4, port=False, match=7)
        with pytest.raises(KvmError, match="EEXIST: an eventfd already listens"):
            vm.ioeventfd(rung, 0x500, 1, port=True)
        code = "66ba0005 ee ee ef b807000000 a300000040 b808000000 a300000040 f4"
        vcpu = prepare(vm, memory, bytes.fromhex(code))
        assert vcpu.run() == Io(0x500, 4, True, bytes(4)), "another length is an exit"
        assert os.eventfd_read(rung) == 2
        assert vcpu.run() == Mmio(0x40000000, 4, True, b"\x08\0\0\0"), "another value is an exit"
        assert os.eventfd_read(matched) == 1
        assert vcpu.run() == Hlt()
        vm.ioeventfd(rung, 0x500, 1, port=True, remove=True)
        with pytest.raises(KvmError, match="ENOENT: no such eventfd"):
            vm.ioeventfd(rung, 0x500, 1, port=True, remove=True)
    finally:
        os.close(rung)
        os.close(matched)


def test_interrupt_controllers(kvm: Kvm, memory: mmap.mmap) -> None:
    with kvm.create_vm() as vm:
        vm.set_tss_address(TSS_ADDRESS)
        vm.set_memory(0, 0, memory)
        vm.create_irqchip()
        with pytest.raises(KvmError, match="EEXIST: the interrupt controllers exist already"):
            vm.create_irqchip()
        vm.set_routes([IrqRoute(gsi=4, chip=2, pin=4)])
        vcpu = prepare(vm, memory, b"\xfa\xf4")
        lapic = vcpu.get_lapic()
        assert lapic[0x30] & 0xF0 == 0x10, "the version of an integrated local APIC is 0x1X"
        vcpu.set_lapic(lapic)
        with pytest.raises(ValueError, match="1024 bytes, not 1"):
            vcpu.set_lapic(b"x")
        vm.irq_line(4, True)
        vm.irq_line(4, False)
        with pytest.raises(KvmError, match="with in-kernel interrupt controllers"):
            vcpu.interrupt(32)
        assert vcpu.get_mp_state() == MpState.RUNNABLE
        timer = threading.Timer(0.3, vcpu.kick)
        timer.start()
        assert vcpu.run() == Interrupted(), "hlt waits in the kernel"
        timer.join()
        assert vcpu.get_mp_state() == MpState.HALTED
        vcpu.set_mp_state(MpState.RUNNABLE)
        assert vcpu.get_mp_state() == MpState.RUNNABLE
        pipe = os.pipe()
        with pytest.raises(KvmError, match=r"KVM_IRQFD\(fd=.*, gsi=4"):
            vm.irqfd(pipe[0], 4)
        for fd in pipe:
            os.close(fd)


def test_without_controllers_there_is_no_irqfd(vm: Vm) -> None:
    eventfd = os.eventfd(0)
    try:
        with pytest.raises(KvmError, match=r"KVM_IRQFD.*EINVAL: it needs the in-kernel interrupt controllers"):
            vm.irqfd(eventfd, 4)
    finally:
        os.close(eventfd)


def test_any_ioctl_by_name(vm: Vm, memory: mmap.mmap) -> None:
    clock = bytearray(48)
    vm.ioctl("KVM_GET_CLOCK", clock)
    assert int.from_bytes(clock[:8], "little") > 0
    vcpu = prepare(vm, memory, b"\xf4")
    translation = bytearray(struct.pack("<QQBBB5x", 0x1234, 0, 0, 0, 0))
    vcpu.ioctl("KVM_TRANSLATE", translation)
    assert struct.unpack_from("<QQB", translation)[1:] == (0x1234, 1), "paging is off: physical is linear, and valid"
    assert vm.ioctl("KVM_CHECK_EXTENSION", 7) >= 0
    with pytest.raises(KvmError, match=r"KVM_NMI failed: ENOTTY: .*another kind of file descriptor"):
        vm.ioctl("KVM_NMI")


def test_capabilities_of_a_vm(vm: Vm) -> None:
    assert vm.check_extension("KVM_CAP_NR_MEMSLOTS") >= 32
    with pytest.raises(KvmError, match=r"KVM_ENABLE_CAP\(capability=KVM_CAP_USER_MEMORY"):
        vm.enable_capability("KVM_CAP_USER_MEMORY")


def test_after_close_everything_says_so(kvm: Kvm, memory: mmap.mmap) -> None:
    vm = kvm.create_vm()
    vm.set_memory(0, 0, memory)
    vcpu = vm.create_vcpu()
    with pytest.raises(KvmError, match="EEXIST: a vCPU with this number exists"):
        vm.create_vcpu()
    vm.close()
    vm.close()
    vcpu.close()
    vcpu.kick()
    for call in (vcpu.run, vcpu.get_regs, vcpu.get_sregs, vm.create_vcpu, vm.create_irqchip):
        with pytest.raises(KvmError, match=r"EBADF: the (vCPU|file descriptor) is closed"):
            call()


def test_nothing_stays_open(kvm: Kvm, memory: mmap.mmap) -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        with kvm.create_vm() as vm:
            vm.set_memory(0, 0, memory)
            vm.create_vcpu(0)
            vm.create_vcpu(1)
    assert os.listdir("/proc/self/fd") == before
    with mmap.mmap(-1, 4096) as other, kvm.create_vm() as vm:
        vm.set_memory(0, 0, other)  # and its memory can be closed right after the VM
