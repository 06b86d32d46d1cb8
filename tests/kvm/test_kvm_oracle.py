# SPDX-License-Identifier: GPL-2.0-or-later
"""An independent oracle: PyPI's pykvm runs the same self-test as our binding, with equal exits and registers.

pykvm was written for Python 2; one division in it is mended as it is imported.  Its ioctl numbers and layouts,
written by hand from the kernel's headers, are compared with those that the C compiler gave us.
"""

from __future__ import annotations

import ctypes
import importlib.util
import mmap
import os
import struct
import sys
import types
from collections.abc import Generator
from dataclasses import asdict
from functools import cache
from typing import Any

import pytest

ffi = pytest.importorskip("lguest_py.kvm._kvm", reason="the KVM extension is built on x86 Linux only").ffi

STRUCTS = {
    "KVMUserSpaceMemoryRegion": "struct kvm_userspace_memory_region",
    "KVMRegs": "struct kvm_regs",
    "KVMSegment": "struct kvm_segment",
    "KVMDTable": "struct kvm_dtable",
    "KVMSRegs": "struct kvm_sregs",
}


@cache
def load_pykvm() -> tuple[Any, Any]:
    """pykvm's modules kvm and kvm_types."""
    spec = importlib.util.find_spec("pykvm.kvm_types")
    assert spec, "pykvm is not installed: pip install '.[test]'"
    assert spec.origin
    with open(spec.origin, encoding="utf-8") as file:
        source = file.read()
    assert source.count("(KVM_NR_INTERRUPTS + 63) / 64") == 1
    module = types.ModuleType("pykvm.kvm_types")
    exec(compile(source.replace(" + 63) / 64", " + 63) // 64"), spec.origin, "exec"), module.__dict__)
    sys.modules["pykvm.kvm_types"] = module
    return importlib.import_module("pykvm.kvm"), module


@pytest.fixture(scope="module")
def pykvm() -> tuple[Any, Any]:
    """The oracle."""
    return load_pykvm()


def test_every_ioctl_number_of_the_oracle_is_ours(pykvm: tuple[Any, Any]) -> None:
    from lguest_py.kvm import ioctls

    numbers = {name: value for name, value in vars(pykvm[1]).items() if name.startswith("KVM_") and value > 0xFFF}
    theirs_alone = {"KVM_MEM_REGISTER_FIXED_REGION", "KVM_MEM_RW"}  # extensions of the S2E project
    assert len(numbers) >= 14
    assert {name: ioctls.find(name).number for name in numbers.keys() - theirs_alone} == {
        name: value for name, value in numbers.items() if name not in theirs_alone
    }


def test_every_exit_reason_of_the_oracle_is_ours(pykvm: tuple[Any, Any]) -> None:
    from lguest_py.kvm import ioctls

    theirs = {reason.name: reason.value for reason in pykvm[1].KVMExitReason if reason < 100}
    ours = {name: number for number, name in ioctls.exit_names().items()}
    assert len(theirs) >= 25
    assert {name: ours.get(name) for name in theirs} == theirs


@pytest.mark.parametrize("name", STRUCTS)
def test_layouts_agree(pykvm: tuple[Any, Any], name: str) -> None:
    theirs = getattr(pykvm[1], name)
    ours = ffi.typeof(STRUCTS[name])
    assert ffi.sizeof(ours) == ctypes.sizeof(theirs)
    fields = dict(ours.fields)
    for field, *_ in theirs._fields_:
        if field != "padding":
            place = getattr(theirs, field)
            assert (fields[field].offset, ffi.sizeof(fields[field].type)) == (place.offset, place.size), field


def test_the_layout_of_kvm_run_agrees(pykvm: tuple[Any, Any]) -> None:
    theirs, ours = pykvm[1].KVMRun, ffi.typeof("struct kvm_run")
    fields = dict(ours.fields)
    for field in ("request_interrupt_window", "exit_reason", "if_flag", "cr8", "apic_base"):
        assert fields[field].offset == getattr(theirs, field).offset, field
    union = theirs.exit_reasons.offset
    for part, kind in (("io", "KVMRunExitIO"), ("mmio", "KVMRunExitMMIO"), ("internal", "KVMRunExitInternal")):
        assert fields[part].offset == union
        inner = dict(fields[part].type.fields)
        for field, *_ in getattr(pykvm[1], kind)._fields_:
            assert inner[field].offset == getattr(getattr(pykvm[1], kind), field).offset, (part, field)


Step = tuple[str, tuple[int, int, int, bytes] | None, dict[str, int]]


def run_ours() -> Generator[tuple[Step, Any], None, None]:
    """Each exit of the self-test under our binding: its name, what an OUT wrote, the registers; and the vCPU."""
    from lguest_py.kvm import Io, Kvm, Registers, selftest
    from lguest_py.kvm.x86 import flat_protected_mode

    with mmap.mmap(-1, selftest.MEMORY) as memory, Kvm() as kvm, kvm.create_vm() as vm:
        code = selftest.image()
        memory[selftest.BASE : selftest.BASE + len(code)] = code
        vm.set_memory(0, 0, memory)
        vcpu = vm.create_vcpu()
        vcpu.set_sregs(flat_protected_mode(vcpu.get_sregs()))
        vcpu.set_regs(Registers(rip=selftest.BASE))
        while True:
            left = vcpu.run()
            out = (left.port, left.size, left.count, left.data) if isinstance(left, Io) else None
            yield (type(left).__name__, out, asdict(vcpu.get_regs())), vcpu


def run_theirs(kvm: Any, kvm_types: Any) -> Generator[tuple[Step, Any], None, None]:
    """The same under pykvm; and its special registers."""
    import fcntl

    from lguest_py.kvm import selftest

    device = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    vm = kvm.VM(device, selftest.MEMORY)
    try:
        vm.vcpu.init_state(rip=selftest.BASE, bits=32)
        vm.ram.write(selftest.BASE, selftest.image().decode("latin-1"))
        run = vm.vcpu._run_obj
        while True:
            vm.run()
            regs, sregs = kvm_types.KVMRegs(), kvm_types.KVMSRegs()
            fcntl.ioctl(vm.vcpu._vcpu_fd, kvm_types.KVM_GET_REGS, regs)
            fcntl.ioctl(vm.vcpu._vcpu_fd, kvm_types.KVM_GET_SREGS, sregs)
            reason = {"KVM_EXIT_IO": "Io", "KVM_EXIT_HLT": "Hlt"}[kvm_types.KVMExitReason(run.exit_reason).name]
            out = None
            if reason == "Io":
                io = run.exit_reasons.io
                data = vm.vcpu._pointer[io.data_offset : io.data_offset + io.size * io.count]
                out = io.port, io.size, io.count, data
            yield (reason, out, {name: getattr(regs, name) for name, _ in regs._fields_}), sregs
    finally:
        for fd in (vm.vcpu._vcpu_fd, vm.fd, device):
            os.close(fd)


@pytest.mark.parametrize("engine_name", ["kvm"])
def test_the_self_test_runs_alike_in_both(engine_name: str, pykvm: tuple[Any, Any]) -> None:
    from lguest_py.kvm import selftest

    ours, theirs = run_ours(), run_theirs(*pykvm)
    results = []
    for _ in range(len(selftest.EXPECTED) + 1):
        (our_step, vcpu), (their_step, their_sregs) = next(ours), next(theirs)
        assert our_step == their_step
        if our_step[1]:
            results.append(struct.unpack("<I", our_step[1][3])[0])
    assert our_step[0] == "Hlt"
    assert results == [value for value, _ in selftest.EXPECTED]
    sregs = vcpu.get_sregs()
    for name in ("cs", "ds", "es", "ss", "tr"):  # all that the self-test loads; a few bits differ by who loaded them
        for field in ("base", "limit", "selector", "type", "present", "dpl", "db", "s", "l", "g"):
            mine, their = getattr(getattr(sregs, name), field), getattr(getattr(their_sregs, name), field)
            assert mine == their, f"{name}.{field}"
    for name in ("gdt", "idt"):
        mine, their = getattr(sregs, name), getattr(their_sregs, name)
        assert (mine.base, mine.limit) == (their.base, their.limit)
    for name in ("cr2", "cr3", "cr4", "efer", "apic_base"):
        assert getattr(sregs, name) == getattr(their_sregs, name), name
    assert sregs.cr0 | 0x10 == their_sregs.cr0 | 0x10  # ET, which pykvm does not set
    ours.close()
    theirs.close()
