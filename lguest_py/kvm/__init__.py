# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux KVM for Python: one class per file descriptor, exits as typed values, errors with their meaning.

It is independent of the rest of lguest-py. In the order of use::

    with Kvm() as kvm, kvm.create_vm() as vm:
        vm.set_memory(0, 0, memory)          # any page-aligned writable buffer, such as mmap.mmap(-1, size)
        vcpu = vm.create_vcpu()
        ...                                  # vcpu.set_regs, vcpu.set_sregs, vcpu.set_cpuid2
        while not isinstance(vcpu.run(), Hlt):
            ...

An ioctl without a method is called by name: ``vm.ioctl("KVM_GET_CLOCK", bytearray(48))``.
Source: the kernel's Documentation/virt/kvm/api.rst, whose section 4 has the ioctls.

Read next: file.py, then system.py, vm.py, vcpu.py in that order.
"""

from lguest_py.kvm.errors import KvmError
from lguest_py.kvm.exits import (
    Debug,
    Exit,
    FailEntry,
    Hlt,
    InternalError,
    Interrupted,
    Io,
    IrqWindowOpen,
    Mmio,
    Nmi,
    Other,
    Shutdown,
    SystemEvent,
    Unknown,
)
from lguest_py.kvm.structs import (
    CpuidEntry,
    DescriptorTable,
    Fpu,
    IrqRoute,
    MpState,
    Registers,
    Segment,
    SpecialRegisters,
    VcpuEvents,
)
from lguest_py.kvm.system import Kvm
from lguest_py.kvm.vcpu import Vcpu
from lguest_py.kvm.vm import Vm

__all__ = [
    "CpuidEntry",
    "Debug",
    "DescriptorTable",
    "Exit",
    "FailEntry",
    "Fpu",
    "Hlt",
    "InternalError",
    "Interrupted",
    "Io",
    "IrqRoute",
    "IrqWindowOpen",
    "Kvm",
    "KvmError",
    "Mmio",
    "MpState",
    "Nmi",
    "Other",
    "Registers",
    "Segment",
    "Shutdown",
    "SpecialRegisters",
    "SystemEvent",
    "Unknown",
    "Vcpu",
    "VcpuEvents",
    "Vm",
]
