# SPDX-License-Identifier: GPL-2.0-or-later
"""An instruction for each exception that ring 0 can have, which really raises it there.

Some need a descriptor that is not present, or operands: they are on the Switcher's stack page, mapped in both worlds.
Source: Intel SDM vol. 3, 6.15.  Read next: fault_lab.py.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from hostile_code import le32
from rewind import Moment, Rewound

from lguest_py.shared_memory import _layouts as L

DEBUG, GENERAL_PROTECTION, PAGE_FAULT = 1, 13, 14
ABSENT_CODE, ABSENT_DATA = 30 << 3, 31 << 3  # entries that no Guest here uses
CODE_BYTE, DATA_BYTE = 0x1B, 0x13  # access bytes without "present"
LIMITS, POINTER = L.SWITCHER_STACK_PAGE + 0x600, L.SWITCHER_STACK_PAGE + 0x608
NO_SELECTOR = b"\xea" + bytes(6)  # ljmp 0:0
NO_PAGE = b"\x2e\xa1" + le32(0xFFFFF000)  # a load from where nothing is mapped
NOP = b"\x90"
OF, TF, TS = 0x800, 0x100, 8  # flags; of CR0
BREAKPOINT_0, NO_BREAKPOINT = 0x402, 0x400  # DR7


@dataclass(frozen=True)
class Cause:
    """One exception: the instruction, and what it needs."""

    code: bytes
    error: int = 0
    is_trap: bool = False  # the frame's eip is behind it
    flags: int = 0
    cr0: int = 0


CAUSES = {
    0: Cause(b"\xd4\x00"),  # aam 0
    3: Cause(b"\xcc", is_trap=True),  # int3
    4: Cause(b"\xce", is_trap=True, flags=OF),  # into
    5: Cause(b"\x2e\x62\x05" + le32(LIMITS)),  # bound
    6: Cause(b"\x0f\x0b"),  # ud2
    7: Cause(b"\xd9\xd0", cr0=TS),  # fnop
    11: Cause(b"\xea" + bytes(4) + le32(ABSENT_CODE)[:2], ABSENT_CODE),  # ljmp
    12: Cause(b"\x2e\x0f\xb2\x25" + le32(POINTER), ABSENT_DATA),  # lss
    GENERAL_PROTECTION: Cause(NO_SELECTOR),
    PAGE_FAULT: Cause(NO_PAGE),
}


def with_operands(then: Moment, machine: Rewound) -> Moment:
    """This moment, with what the instructions above read."""
    memory = bytearray(then.memory)
    place = machine.physical(LIMITS)
    memory[place : place + 14] = struct.pack("<iiIH", 1, 0, 0, ABSENT_DATA)
    for selector, access in ((ABSENT_CODE, CODE_BYTE), (ABSENT_DATA, DATA_BYTE)):
        entry = machine.physical(then.tables["GDT"][0] + selector)
        memory[entry : entry + 8] = struct.pack("<Q", 0x00CF00000000FFFF | access << 40)
    return replace(then, memory=bytes(memory))
