# SPDX-License-Identifier: GPL-2.0-or-later
"""KVM in 30 lines: a VM whose only program prints a greeting, by lguest_py.kvm alone.

Run it: python examples/kvm_in_30_lines.py        It needs a /dev/kvm that works.
Read next: lguest_py/kvm/__init__.py.
"""

import mmap

from lguest_py.kvm import Hlt, Io, Kvm, Registers
from lguest_py.kvm.x86 import TSS_ADDRESS, flat_protected_mode

PROGRAM = bytes.fromhex(
    "be 00 20 00 00"  # 1000  mov  $0x2000, %esi
    "ac            "  # 1005  lodsb
    "84 c0         "  # 1006  test %al, %al
    "74 04         "  # 1008  jz   100e
    "e6 e9         "  # 100a  out  %al, $0xe9
    "eb f7         "  # 100c  jmp  1005
    "f4            "  # 100e  hlt
)
memory = mmap.mmap(-1, 0x10000)
memory[0x1000 : 0x1000 + len(PROGRAM)] = PROGRAM
memory[0x2000:0x2010] = b"Hello from a VM\n"
with Kvm() as kvm, kvm.create_vm() as vm:
    vm.set_tss_address(TSS_ADDRESS)
    vm.set_memory(0, 0, memory)
    vcpu = vm.create_vcpu()
    vcpu.set_sregs(flat_protected_mode(vcpu.get_sregs()))
    vcpu.set_regs(Registers(rip=0x1000))
    while not isinstance(left := vcpu.run(), Hlt):
        assert isinstance(left, Io), left
        print(left.data.decode(), end="")
