# SPDX-License-Identifier: GPL-2.0-or-later
"""Kvm: /dev/kvm, which reports capabilities and creates VMs.

Read next: vm.py.
"""

from __future__ import annotations

import errno
import os

from lguest_py.kvm import ioctls
from lguest_py.kvm._kvm import ffi
from lguest_py.kvm.errors import KvmError
from lguest_py.kvm.file import File
from lguest_py.kvm.structs import CpuidEntry, load
from lguest_py.kvm.vm import Vm

MAX_CPUID_ENTRIES = 4096  # far above KVM's limit of 256
API_VERSION = 12  # frozen since Linux 2.6.22; anything else is not KVM as documented


class Kvm(File):
    """The system file descriptor. Raises KvmError when /dev/kvm cannot be opened.

    ``opened``: one that is open already, whose file this one shares.
    """

    def __init__(self, path: str = "/dev/kvm", opened: Kvm | None = None) -> None:
        try:
            fd = os.dup(opened.fileno()) if opened else os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise KvmError("open /dev/kvm", path if path != "/dev/kvm" else "", error.errno or 0) from None
        super().__init__(fd)

    def api_version(self) -> int:
        """The result of KVM_GET_API_VERSION, which is API_VERSION."""
        return self._value("KVM_GET_API_VERSION")

    def check_extension(self, name: str) -> int:
        """The value of a capability: 0 when it is missing, else 1 or a number that depends on it.

        ``name`` is a KVM_CAP_ name; KeyError for one that the headers do not have.
        """
        return self._value("KVM_CHECK_EXTENSION", ioctls.capability(name), capability=name)

    def supported_cpuid(self) -> list[CpuidEntry]:
        """Every CPUID entry that this processor and this KVM support."""
        room = 64
        while True:
            table = ffi.new("struct kvm_cpuid2 *", {"entries": room})
            table.nent = room
            try:
                self._pointer("KVM_GET_SUPPORTED_CPUID", table, entries=room)
            except KvmError as error:
                if error.errno != errno.E2BIG or room > MAX_CPUID_ENTRIES:
                    raise
                room *= 2
            else:
                return [load(CpuidEntry, table.entries[index]) for index in range(table.nent)]

    def vcpu_map_size(self) -> int:
        """Bytes of the area that a vCPU shares with user space (struct kvm_run)."""
        return self._value("KVM_GET_VCPU_MMAP_SIZE")

    def create_vm(self, kind: int = 0) -> Vm:
        """A VM without memory and vCPUs. ``kind`` is the machine type: 0 is the default of x86."""
        return Vm(self._value("KVM_CREATE_VM", kind, type=kind), self.vcpu_map_size())
