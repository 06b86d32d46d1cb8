# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults at the instructions of a Switcher, many in one machine: each end is taken back.

Where the Guest's work leads, an instruction that faults stands there for one step.  The Host kernel is stopped when it
has written its report; then its memory, the CPU's registers and its tables are set to what they were.
Read before: window_lab.py.  Read next: tests/host_kernel/test_window_faults.py.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import ClassVar

from gdb_remote import Remote
from hostile_lab import symbols, word
from monitored import MonitoredTcg
from window_lab import IF, NO_PAGE, NO_SELECTOR, STUB, WAIT, Stepped

from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View

GENERAL_PROTECTION, PAGE_FAULT = 13, 14
MADE_BY = {GENERAL_PROTECTION: NO_SELECTOR, PAGE_FAULT: NO_PAGE}
TABLES = re.compile(r"^(GDT|IDT)= *([0-9a-f]{8}) ([0-9a-f]{8})", re.MULTILINE)
CONTROL = re.compile(r"CR2=([0-9a-f]{8}) CR3=([0-9a-f]{8})")
IRET, SEGMENT_POPS = b"\xcf", {b"\x0f\xa9", b"\x0f\xa1", b"\x1f", b"\x07"}
HOST_BYTES = 2 << 20  # the Host kernel, its mailbox and its stacks
END_KIND = L.MAILBOX_ADDRESS + L.MAILBOX.fields["end_kind"][0]
SCRATCH = STUB + 0x100
SELECTORS = ["cs", "ss", "ds", "es", "fs", "gs"]
RESERVED = 2  # a flag
MOV_CR2, MOV_CR3 = b"\x0f\x22\xd0", b"\x0f\x22\xd8"
LGDT, LIDT, LTR, POPF = b"\x0f\x01\x15", b"\x0f\x01\x1d", b"\x0f\x00\xd8", b"\x9d"
MANY = 4000  # stops at places that are looked at later


@dataclass
class Moment:
    """All that an exception may change."""

    registers: dict[str, int]
    tables: dict[str, tuple[int, int]]  # base and limit
    cr2: int
    cr3: int
    memory: bytes


class Faulted(Stepped):
    """An engine whose CPU has the exception ``vector`` at each of ``wanted``."""

    vector: ClassVar[int] = GENERAL_PROTECTION
    switcher: ClassVar[Switcher] = "lean"
    ends: ClassVar[dict[int, str]] = {}  # what came of each: a reason, or where it goes on

    def _stops(self, remote: Remote, bare: MonitoredTcg) -> None:
        left = set(self.wanted)
        for each in left:
            remote.breakpoint(each)
        while left and not self._ending.is_set() and remote.go(WAIT):
            now = remote.registers()
            at = now["eip"]
            if now["cs"] & 3:  # the Guest jumped there
                self._over(remote, at)
                continue
            remote.breakpoint(at, False)
            if at in left:
                left.discard(at)
                self.natural.add(at)
                self._at(remote, bare, at, self._moment(remote, bare))
        for each in left:
            remote.breakpoint(each, False)

    @staticmethod
    def _over(remote: Remote, at: int) -> None:
        remote.breakpoint(at, False)
        remote.step()
        remote.breakpoint(at)

    def _moment(self, remote: Remote, bare: MonitoredTcg) -> Moment:
        text = bare.monitor("info registers")
        tables = {name: (int(base, 16), int(limit, 16)) for name, base, limit in TABLES.findall(text)}
        control = CONTROL.search(text)
        assert control, text
        cr2, cr3 = int(control[1], 16), int(control[2], 16)
        return Moment(remote.registers(), tables, cr2, cr3, bytes(self.memory[:HOST_BYTES]))

    @staticmethod
    def _do(remote: Remote, at: int, code: bytes, eax: int = 0) -> None:
        """Run an instruction of ours at a place of the Switcher, which is mapped in both worlds."""
        kept = remote.ask(f"m{at:x},{len(code):x}")
        remote.set("eip", at)
        remote.set("eax", eax)
        assert remote.ask(f"M{at:x},{len(code):x}:{code.hex()}") == "OK"
        remote.step()
        assert remote.ask(f"M{at:x},{len(code):x}:{kept}") == "OK"
        assert remote.registers()["eip"] == at + len(code), hex(remote.registers()["eip"])

    def _back(self, remote: Remote, then: Moment) -> None:
        """The Host kernel runs, on its own page tables, or nothing has happened yet: all is as it was."""
        base = L.SWITCHER_BASE
        host = word(self.memory, symbols(self.pae)["state_page"] + L.LGUEST_STATE.fields["host_cr3"][0])
        self._do(remote, base, MOV_CR3, host)
        self.memory[:HOST_BYTES] = then.memory
        for name, code in (("GDT", LGDT), ("IDT", LIDT)):
            table, limit = then.tables[name]
            self.memory[SCRATCH : SCRATCH + 6] = struct.pack("<HI", limit, table)
            self._do(remote, base, b"\x36" + code + struct.pack("<I", SCRATCH))
        access = then.tables["GDT"][0] + L.TSS_SEL + 5
        kept = remote.ask(f"m{access:x},1")
        assert remote.ask(f"M{access:x},1:{int(kept, 16) & ~2:02x}") == "OK"
        self._do(remote, base, LTR, L.TSS_SEL)
        self.memory[SCRATCH : SCRATCH + 4] = struct.pack("<I", then.registers["eflags"] & ~IF | RESERVED)
        remote.set("esp", SCRATCH)
        self._do(remote, base, POPF)
        self._do(remote, base, MOV_CR2, then.cr2)
        self._do(remote, base, MOV_CR3, then.cr3)
        for name in SELECTORS:
            remote.set(name, then.registers[name])
        for name in then.registers.keys() - {"eflags", *SELECTORS}:
            remote.set(name, then.registers[name])
        self.memory[:HOST_BYTES] = then.memory
        now = remote.registers()
        if now != then.registers:
            changed = {name: (hex(old), hex(now[name])) for name, old in then.registers.items() if now[name] != old}
            raise AssertionError(f"not as it was: {changed}")

    def _at(self, remote: Remote, bare: MonitoredTcg, at: int, then: Moment) -> None:
        self.fault_here(remote, at, MADE_BY[self.vector])
        self.ends[at] = self._end(remote, at)
        bare.debug_text()  # read, or QEMU waits at some later line until it is
        self._back(remote, then)

    @staticmethod
    def fault_here(remote: Remote, at: int, code: bytes) -> None:
        """An instruction that faults stands there for one step."""
        kept = remote.ask(f"m{at:x},{len(code):x}")
        assert remote.ask(f"M{at:x},{len(code):x}:{code.hex()}") == "OK"
        remote.step()
        assert remote.ask(f"M{at:x},{len(code):x}:{kept}") == "OK"

    def _end(self, remote: Remote, at: int) -> str:
        """Let the Host kernel answer: what it says, or "handled" where the Switcher has an answer of its own."""
        symbol = symbols(self.pae)
        recovers = [symbol["reflect_gives_up"]] if self.recovers(at) else []
        assert remote.ask(f"Z2,{END_KIND:x},4") == "OK"
        for each in recovers:
            remote.breakpoint(each)
        try:
            for _ in range(MANY):
                if not remote.go(WAIT):
                    return f"hangs at {remote.registers()['eip']:#x}"
                now = remote.registers()
                if word(self.memory, END_KIND):
                    return self._report(at)
                if now["cs"] & 3:
                    return f"the Guest runs on at {now['eip']:#x}"
                if now["eip"] in recovers:
                    return "handled"
                remote.step()  # a place that is looked at later
            return "stops nowhere"
        finally:
            assert remote.ask(f"z2,{END_KIND:x},4") == "OK"
            for each in recovers:
                remote.breakpoint(each, False)

    def _report(self, at: int) -> str:
        """The kind of end and its reason; the registers of the report must name the instruction."""
        mailbox = View(self.memory, L.MAILBOX_ADDRESS, L.MAILBOX)
        place, size, _ = L.MAILBOX.fields["end_reason"]
        place += L.MAILBOX_ADDRESS
        reason = bytes(self.memory[place : place + size]).split(b"\0")[0].decode()
        kind = {L.END_KILLED: "killed", L.END_INTERNAL: "internal"}.get(mailbox["end_kind"], "another end")
        if kind == "internal":
            there, _, _ = L.MAILBOX.fields["host"]
            host = View(self.memory, L.MAILBOX_ADDRESS + there, L.REGISTERS)
            if (host["eip"], host["trapnum"]) != (at, self.vector):
                return f"{kind}, and the report has exception {host['trapnum']} at {host['eip']:#x}: {reason}"
        return f"{kind}: {reason}"

    def recovers(self, at: int) -> bool:
        """Whether a fault there is the Guest's stack or tables, which the lean Switcher leaves to the Host kernel."""
        if self.switcher != "lean":
            return False
        symbol = symbols(self.pae)
        ways = ["native_reflect"] if self.pae else ["reflect", "native_reflect"]
        return any(symbol[f"{way}_may_fault"] <= at < symbol[f"{way}_is_safe"] for way in ways)
