# SPDX-License-Identifier: GPL-2.0-or-later
"""The initial state of an x86 vCPU in 32-bit protected mode.

Source: Intel SDM vol. 3, 3.4.5 (descriptors) and 2.5 (control registers). Read next: structs.py.
"""

from __future__ import annotations

from lguest_py.kvm.structs import Segment, SpecialRegisters

CODE, DATA = 11, 3  # descriptor types: execute/read and read/write, both accessed
CR0_PE, CR0_ET = 0x01, 0x10  # ET is always set
TSS_ADDRESS = 0xFFFBD000  # for Vm.set_tss_address: next to KVM's own page at 0xFFFBC000


def flat_protected_mode(registers: SpecialRegisters) -> SpecialRegisters:
    """These registers with flat 4 GiB segments in ring 0, protection on and paging off.

    The other registers, such as TR, are unchanged: the VM loads its own.
    """

    def flat(selector: int, kind: int) -> Segment:
        return Segment(limit=0xFFFFFFFF, selector=selector, type=kind, present=1, db=1, s=1, g=1)

    registers.cs = flat(0x08, CODE)
    registers.ds = registers.es = registers.fs = registers.gs = registers.ss = flat(0x10, DATA)
    registers.cr0 = CR0_PE | CR0_ET
    return registers
