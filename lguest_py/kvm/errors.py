# SPDX-License-Identifier: GPL-2.0-or-later
"""KvmError: the ioctl that failed, its arguments, and the meaning of the errno for that ioctl.

Source of the meanings: the kernel's Documentation/virt/kvm/api.rst, section 4, and the checks in its code.
Read next: file.py, which raises it.
"""

from __future__ import annotations

import errno
import os

NO_IRQCHIP = "it needs the in-kernel interrupt controllers (KVM_CREATE_IRQCHIP), or a number is out of range"

MEANINGS: dict[tuple[str, int], str] = {
    ("open /dev/kvm", errno.ENOENT): "this kernel has no KVM, or its module is not loaded",
    ("open /dev/kvm", errno.ENODEV): "the KVM module found no virtualisation in this processor",
    ("open /dev/kvm", errno.EACCES): "this user may not use KVM: join the group that owns /dev/kvm",
    ("open /dev/kvm", errno.EPERM): "this container or sandbox does not allow /dev/kvm",
    ("KVM_CREATE_VM", errno.EBUSY): "another hypervisor holds the processor's virtualisation",
    ("KVM_CREATE_VM", errno.EINVAL): "this KVM does not know that type of VM",
    ("KVM_SET_USER_MEMORY_REGION", errno.EINVAL): (
        "an address or size is not a multiple of the page size, the slot's number is too high, a flag is unknown, "
        "or a slot was resized in place"
    ),
    ("KVM_SET_USER_MEMORY_REGION", errno.EEXIST): "it overlaps another slot",
    ("KVM_CREATE_VCPU", errno.EEXIST): "a vCPU with this number exists",
    ("KVM_CREATE_VCPU", errno.EINVAL): "the number is beyond KVM_CAP_MAX_VCPU_ID or there are too many vCPUs",
    ("KVM_CREATE_IRQCHIP", errno.EEXIST): "the interrupt controllers exist already",
    ("KVM_CREATE_IRQCHIP", errno.EINVAL): "they must be created before the first vCPU",
    ("KVM_SET_TSS_ADDR", errno.EINVAL): "the three pages must lie below 4 GiB",
    ("KVM_IRQ_LINE", errno.ENXIO): "there are no in-kernel interrupt controllers",
    ("KVM_IRQFD", errno.EINVAL): NO_IRQCHIP,
    ("KVM_IRQFD", errno.EBUSY): "this eventfd already raises an interrupt",
    ("KVM_IRQFD", errno.EBADF): "the file descriptor is not open",
    ("KVM_IOEVENTFD", errno.EEXIST): "an eventfd already listens at that address, length and value",
    ("KVM_IOEVENTFD", errno.EINVAL): "the length must be 0, 1, 2, 4 or 8, or the file descriptor is no eventfd",
    ("KVM_IOEVENTFD", errno.ENOENT): "no such eventfd listens there",
    ("KVM_IOEVENTFD", errno.ENOSPC): "this VM has too many of them",
    ("KVM_SET_GSI_ROUTING", errno.EINVAL): "a GSI, pin, type or flag is not known, or there are too many routes",
    ("KVM_GET_DIRTY_LOG", errno.ENOENT): "the slot is empty or was made without logging",
    ("KVM_GET_SUPPORTED_CPUID", errno.E2BIG): "there are more entries than room for them",
    ("KVM_GET_TSC_KHZ", errno.EIO): "the host's TSC is not stable",
    ("KVM_SET_TSC_KHZ", errno.EINVAL): "this processor cannot scale the TSC to that rate",
    ("KVM_SET_CPUID2", errno.EINVAL): "CPUID cannot change after the first KVM_RUN, or an entry is not possible",
    ("KVM_SET_CPUID2", errno.E2BIG): "there are too many entries",
    ("KVM_SET_SREGS", errno.EINVAL): "the control registers contradict each other or have bits this CPU lacks",
    ("KVM_GET_LAPIC", errno.EINVAL): NO_IRQCHIP,
    ("KVM_SET_LAPIC", errno.EINVAL): NO_IRQCHIP,
    ("KVM_SET_MP_STATE", errno.EINVAL): NO_IRQCHIP,
    ("KVM_INTERRUPT", errno.ENXIO): "with in-kernel interrupt controllers, interrupts come from those",
    ("KVM_INTERRUPT", errno.EEXIST): "an interrupt is queued already",
    ("KVM_SET_GUEST_DEBUG", errno.EBUSY): "an exception is already pending",
    ("KVM_RUN", errno.EFAULT): "the VM's memory could not be reached",
    ("KVM_RUN", errno.EINVAL): "the vCPU's state is not one that this processor can run",
    ("KVM_RUN", errno.EBADF): "the vCPU is closed",
    ("KVM_RUN", errno.ENOMEM): "no memory is left for its page tables",
}

GENERAL: dict[int, str] = {
    errno.ENOTTY: "this kernel does not know the ioctl, or it belongs to another kind of file descriptor",
    errno.EINVAL: "an argument is not valid, or the capability is missing",
    errno.EFAULT: "an argument points to memory that is not there",
    errno.EIO: "KVM's state of this VM is damaged; the VM cannot run again",
    errno.EBADF: "the file descriptor is closed",
    errno.ENXIO: "there is no such device in this VM",
    errno.ENOMEM: "the kernel has no memory left for it",
    errno.EPERM: "this process may not do that",
}


class KvmError(OSError):
    """A failed KVM call: ``call`` is the ioctl's name, ``arguments`` its arguments as text, ``errno`` the error."""

    def __init__(self, call: str, arguments: str, number: int) -> None:
        self.call = call
        self.arguments = arguments
        meaning = MEANINGS.get((call, number)) or GENERAL.get(number) or os.strerror(number)
        name = errno.errorcode.get(number, str(number))
        shown = f"{call}({arguments})" if arguments else call
        super().__init__(number, f"{shown} failed: {name}: {meaning}")

    def __str__(self) -> str:
        return str(self.strerror)
