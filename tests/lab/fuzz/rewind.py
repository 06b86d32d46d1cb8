# SPDX-License-Identifier: GPL-2.0-or-later
"""Take back what a stopped CPU of QEMU did: a moment of the machine, and the way back to it.

The Host kernel's memory is copied; registers, tables and control registers are loaded by a few instructions on the
Switcher's stack page, which is mapped in both worlds.
Read before: gdb_remote.py, monitored.py.  Read next: fault_lab.py.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from gdb_remote import Remote
from hostile_code import EAX, le32, mov
from hostile_lab import symbols, word
from monitored import MonitoredTcg

from lguest_py.launcher.vm_memory import PAGE
from lguest_py.shared_memory import _layouts as L

HOST_BYTES = 2 << 20  # the Host kernel, its mailbox and its stacks
WAY_BACK = L.SWITCHER_STACK_PAGE + 0x400  # nobody uses these parts of the page
OPERANDS = L.SWITCHER_STACK_PAGE + 0x500
TABLES = re.compile(r"^(GDT|IDT)= *([0-9a-f]{8}) ([0-9a-f]{8})", re.MULTILINE)
CONTROL = re.compile(r"\b(CR[023]|DR[0-367])=([0-9a-f]{8,16})")
BUSY, ACCESS_BYTE = 2, 5
IF, TF, RESERVED = 0x200, 0x100, 2  # flags


@dataclass(frozen=True)
class Moment:
    """All that an exception may change."""

    registers: dict[str, int]
    tables: dict[str, tuple[int, int]]  # base and limit
    control: dict[str, int]  # CR0, CR2, CR3 and the debug registers
    memory: bytes


class Rewound:
    """A stopped machine, and one moment of it that it can be set to."""

    def __init__(self, remote: Remote, bare: MonitoredTcg, pae: bool) -> None:
        self._remote, self._memory, self._pae = remote, bare.memory, pae
        self._bare = bare
        self._code = b""  # of the way back, as QEMU knows it

    def now(self) -> Moment:
        """Everything as it is."""
        text = self._bare.monitor("info registers")
        tables = {name: (int(base, 16), int(limit, 16)) for name, base, limit in TABLES.findall(text)}
        control = {name: int(value, 16) for name, value in CONTROL.findall(text)}
        return Moment(self._remote.registers(), tables, control, bytes(self._memory[:HOST_BYTES]))

    def physical(self, address: int) -> int:
        """Where a byte of the Host kernel's data, or of the Switcher's two pages of them, is in memory."""
        for page, name in ((L.SWITCHER_STACK_PAGE, "stack_page"), (L.SWITCHER_STATE_PAGE, "state_page")):
            if page <= address < page + PAGE:
                return symbols(self._pae)[name] + address - page
        return address

    def back(self, then: Moment) -> None:
        """All is as it was then.  The CPU is in ring 0 now."""
        remote, code = self._remote, self._way(then)
        self._memory[:HOST_BYTES] = then.memory
        access = self.physical(then.tables["GDT"][0] + L.TSS_SEL + ACCESS_BYTE)
        self._memory[access] &= ~BUSY
        self._put(OPERANDS, self._operands(then))
        self._put(WAY_BACK, self._code)
        if code != self._code:
            remote.write(WAY_BACK, code)  # so that QEMU sees that it changed
            if not self._code:
                remote.breakpoint(WAY_BACK + len(code))  # it is as long at each moment
            self._code = code
        remote.set("eip", WAY_BACK)
        assert remote.go(60)
        assert (eip := remote.registers()["eip"]) == WAY_BACK + len(code), hex(eip)
        self._memory[:HOST_BYTES] = then.memory
        remote.set_all(then.registers)
        now = remote.registers()
        if now != then.registers:
            changed = {name: (hex(old), hex(now[name])) for name, old in then.registers.items() if now[name] != old}
            raise AssertionError(f"not as it was: {changed}")

    def _put(self, address: int, data: bytes) -> None:
        place = self.physical(address)
        self._memory[place : place + len(data)] = data

    def _way(self, then: Moment) -> bytes:
        """The instructions for this moment."""
        host = word(self._memory, symbols(self._pae)["state_page"] + L.LGUEST_STATE.fields["host_cr3"][0])
        code = mov(EAX, host) + b"\x0f\x22\xd8" + b"\x36\x0f\x01\x15" + le32(OPERANDS)  # cr3, lgdt
        code += b"\x36\x0f\x01\x1d" + le32(OPERANDS + 8) + mov(EAX, L.TSS_SEL) + b"\x0f\x00\xd8"  # lidt, ltr
        for number in (0, 6, 7):
            code += mov(EAX, then.control[f"DR{number}"]) + bytes([0x0F, 0x23, 0xC0 | number << 3])
        for number in (0, 2):
            code += mov(EAX, then.control[f"CR{number}"]) + bytes([0x0F, 0x22, 0xC0 | number << 3])
        code += b"\xbc" + le32(OPERANDS + 16) + b"\x9d" + mov(EAX, then.control["CR3"]) + b"\x0f\x22\xd8"  # popf, cr3
        assert len(code) < OPERANDS - WAY_BACK
        return code

    @staticmethod
    def _operands(then: Moment) -> bytes:
        """What lgdt, lidt and popf there read."""
        (gdt, gdt_limit), (idt, idt_limit) = then.tables["GDT"], then.tables["IDT"]
        flags = then.registers["eflags"] & ~(IF | TF) | RESERVED
        return struct.pack("<HIHHIHI", gdt_limit, gdt, 0, idt_limit, idt, 0, flags)
