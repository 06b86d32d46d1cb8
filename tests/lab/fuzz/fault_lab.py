# SPDX-License-Identifier: GPL-2.0-or-later
"""Exceptions at the instructions of a Switcher, many in one machine: each end is taken back.

The CPU is stopped where a Switcher begins, with the Host's state, and at its iret, with the Guest's.  From there eip is
set to each instruction, and one that raises the exception stands there for one step.  Or the same happens where the
Guest's work leads, with the state that the CPU has there.  The Host kernel is stopped when it has written its report.
Read before: window_lab.py, rewind.py, fault_causes.py.  Read next: tests/window/test_window_faults.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from fault_causes import BREAKPOINT_0, CAUSES, DEBUG, GENERAL_PROTECTION, NO_BREAKPOINT, NOP, TF, Cause, with_operands
from gdb_remote import Remote
from hostile_lab import symbols, word
from monitored import MonitoredTcg
from rewind import Moment, Rewound
from window_lab import IRET, WAIT, Stepped, place_of

from lguest_py.launcher.vm_memory import PAGE, Switcher
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View

Place = tuple[str, int, int]  # HOST, GUEST or NATURAL; vector or STEP; instruction
HOST, GUEST, NATURAL = "the Host's state", "the Guest's state", "where the Guest led"
Raised = tuple[int, int, int]  # the vector, the error code and eip
STEP = -1  # instead of a vector: a debug exception for TF
FRAME = L.SWITCHER_STACK_PAGE + PAGE - L.REGISTERS.size
POPS = {b"\x0f\xa9": "gs", b"\x0f\xa1": "fs", b"\x1f": "ds", b"\x07": "es"}
END_KIND = L.MAILBOX_ADDRESS + L.MAILBOX.fields["end_kind"][0]
INT_1 = b"\xcd\x01"
DR6_CLEAR, RF = 0xFFFF0FF0, 0x10000
MANY = 4000  # stops at places that are looked at later
HANGS = 3  # that are enough
BELOW = 16  # words of the stack that a handler may use
ACCESSED_AND_DIRTY = 0x60  # of a page table entry


def changes(before: bytes, after: bytes) -> list[int]:
    """The words that differ, but for what the CPU marks in page tables."""
    size = PAGE
    parts = [at for at in range(0, len(before), size) if before[at : at + size] != after[at : at + size]]
    words = [
        (at // 4 + index, old ^ new)
        for at in parts
        for index, (old, new) in enumerate(
            zip(memoryview(before[at : at + size]).cast("I"), memoryview(after[at : at + size]).cast("I"), strict=True)
        )
    ]
    return [place for place, difference in words if difference & ~ACCESSED_AND_DIRTY]


class Faulted(Stepped):
    """An engine whose CPU has the exceptions ``vectors`` at each of ``wanted``."""

    vectors: ClassVar[tuple[int, ...]]
    worlds: ClassVar[tuple[str, ...]]
    switcher: ClassVar[Switcher] = "lean"
    ends: ClassVar[dict[Place, str]] = {}  # what came of each: a reason, or where it goes on
    raised: ClassVar[dict[Place, Raised]] = {}  # what the CPU pushes

    def _stops(self, remote: Remote, bare: MonitoredTcg) -> None:
        self._remote, self._text = remote, bare
        self._rewound = Rewound(remote, bare, self.pae)
        iret = symbols(self.pae)["switcher_lean_iret" if self.switcher == "lean" else "switcher_iret"]
        for world, place in ((HOST, L.SWITCHER_BASE), (GUEST, iret)):
            if world in self.worlds:
                remote.breakpoint(place)
                assert remote.go(WAIT)
                remote.breakpoint(place, False)
                self._at_all(world, sorted(self.wanted))
        if NATURAL in self.worlds:
            self._where_it_leads(remote)

    def _where_it_leads(self, remote: Remote) -> None:
        left = set(self.wanted)
        for each in left:
            remote.breakpoint(each)
        while left and not self._ending.is_set() and remote.go(WAIT):
            now = remote.registers()
            at = now["eip"]
            remote.breakpoint(at, False)
            if now["cs"] & 3:  # the Guest jumped there
                remote.step()
                remote.breakpoint(at)
            elif at in left:
                left.discard(at)
                self.natural.add(at)
                self._at_all(NATURAL, [at])
        for each in left:
            remote.breakpoint(each, False)

    def _at_all(self, world: str, places: list[int]) -> None:
        """With the state that there is now; in the end it is there again."""
        clean = self._rewound.now()
        then = with_operands(clean, self._rewound)
        self._handler_path = self._path(replace(then, registers={**then.registers, "eip": places[0]}))
        assert self._remote.ask(f"Z2,{END_KIND:x},4") == "OK"
        for vector in self.vectors:
            for at in places:
                if self._ending.is_set() or sum(end.startswith("hangs") for end in self.ends.values()) > HANGS:
                    return
                moment = replace(then, registers={**then.registers, "eip": at})
                if world == GUEST and vector in CAUSES and not CAUSES[vector].is_trap:
                    moment.registers["esp"] = self._stack(at, moment.registers["esp"])
                self.ends[world, vector, at] = self._raise(moment, world, vector)
                self._text.debug_text()  # read, or QEMU waits at some later line until it is
        assert self._remote.ask(f"z2,{END_KIND:x},4") == "OK"
        self._rewound.back(clean)

    def _stack(self, at: int, otherwise: int) -> int:
        """The stack pointer that a pop of the way to the Guest has."""
        place = place_of(self.memory, at, self.pae)
        for code, name in POPS.items():
            if self.memory[place : place + len(code)] == code:
                return FRAME + L.REGISTERS.fields[name][0]
        return otherwise

    def _raise(self, then: Moment, world: str, vector: int) -> str:
        if vector == DEBUG:
            return self._breakpoint(then)
        cause = Cause(NOP, flags=TF) if vector == STEP else CAUSES[vector]
        at, flags = then.registers["eip"], then.registers["eflags"] | cause.flags
        control = {**then.control, "CR0": then.control["CR0"] | cause.cr0}
        self._rewound.back(replace(then, registers={**then.registers, "eflags": flags}, control=control))
        raised = vector, cause.error, at + len(cause.code) * cause.is_trap
        if vector == STEP:  # QEMU's own step is in its way
            raised = DEBUG, 0, self._step_to_handler(at)
        else:
            self._step_as(at, cause.code)
            gate = self._rewound.physical(then.tables["IDT"][0]) + 8 * vector
            selector = word(memoryview(then.memory), gate) >> 16
            if selector != L.HOST_CS:  # leads to the Guest, which ring 0 must not enter
                raised = GENERAL_PROTECTION, selector & ~3, at
        self.raised[world, vector, at] = raised
        return self._end(raised, then.registers["esp"])

    def _step_to_handler(self, at: int) -> int:
        """By TF, behind a nop, or behind the handler's own first instruction; the eip that is pushed."""
        first, second = self._handler_path[:2]
        if at == first:
            self._run_to(second)
            return second
        place = place_of(self.memory, at, self.pae)
        kept = bytes(self.memory[place : place + len(NOP)])
        self._remote.write(at, NOP)
        self._run_to(first)
        self._remote.write(at, kept)
        return at + len(NOP)

    def _run_to(self, address: int) -> None:
        remote = self._remote
        remote.breakpoint(address)
        assert remote.go(WAIT)
        while remote.registers()["eip"] != address:  # a place that is looked at later
            remote.step()
            assert remote.go(WAIT)
        remote.breakpoint(address, False)

    def _end(self, raised: Raised, stack: int) -> str:
        """Let the Host kernel answer: what it says, or "handled" where the Switcher has an answer of its own."""
        remote, trail = self._remote, []
        gives_up = [symbols(self.pae)["reflect_gives_up"]] if self.recovers(raised[2], stack) else []
        for each in gives_up:
            remote.breakpoint(each)
        try:
            for _ in range(MANY):
                if word(self.memory, END_KIND):
                    return self._report(raised)
                if not remote.go(WAIT):
                    return f"hangs at {remote.registers()['eip']:#x}"
                now = remote.registers()
                trail.append(hex(now["eip"]))
                if now["cs"] & 3 and not word(self.memory, END_KIND):
                    return f"the Guest runs on at {now['eip']:#x}"
                if now["eip"] in gives_up:
                    return "handled"
                remote.step()  # a place that is looked at later
            return f"stops nowhere: {trail[:20]} {trail[-20:]}"
        finally:
            for each in gives_up:
                remote.breakpoint(each, False)

    def _report(self, raised: Raised) -> str:
        """The kind of end and its reason; the registers of the report must name the instruction."""
        mailbox = View(self.memory, L.MAILBOX_ADDRESS, L.MAILBOX)
        place, size, _ = L.MAILBOX.fields["end_reason"]
        place += L.MAILBOX_ADDRESS
        reason = bytes(self.memory[place : place + size]).split(b"\0")[0].decode()
        kind = {L.END_KILLED: "killed", L.END_INTERNAL: "internal"}.get(mailbox["end_kind"], "another end")
        if kind == "internal":
            there, _, _ = L.MAILBOX.fields["host"]
            host = View(self.memory, L.MAILBOX_ADDRESS + there, L.REGISTERS)
            if (host["trapnum"], host["errcode"], host["eip"]) != raised:
                return f"{kind}, and the report has exception {host['trapnum']} at {host['eip']:#x}: {reason}"
        return f"{kind}: {reason}"

    def _breakpoint(self, then: Moment) -> str:
        """A breakpoint of the Guest's is at this instruction: it is ignored, and nothing else changes.

        In the handler itself it would be met again and again; no Guest can have one there.  There it is an int 1.
        """
        remote, at = self._remote, then.registers["eip"]
        if at in self._handler_path:
            self._rewound.back(then)
            self._step_as(at, INT_1)
            then.registers["eip"] += len(INT_1)
        else:
            self._rewound.back(replace(then, control={**then.control, "DR0": at, "DR7": BREAKPOINT_0}))
            self._run_to(self._handler_path[0])
        before = bytes(self.memory[: len(then.memory)])
        self._run_to(self._handler_path[-1])
        remote.step()
        after = self._rewound.now()
        wrong = []
        if after.registers != {**then.registers, "eflags": then.registers["eflags"] | RF}:
            wrong.append(f"registers: {then.registers} became {after.registers}")
        if (after.control["DR6"], after.control["DR7"]) != (DR6_CLEAR, NO_BREAKPOINT):
            wrong.append(f"DR6 {after.control['DR6']:#x}, DR7 {after.control['DR7']:#x}")
        stack = self._rewound.physical(then.registers["esp"]) // 4
        if any(not stack - BELOW <= place < stack for place in changes(before, after.memory)):
            wrong.append(f"memory: {[hex(4 * each) for each in changes(before, after.memory)]}")
        return "; ".join(wrong) or "ignored"

    def _path(self, then: Moment) -> list[int]:
        """The instructions of the handler of a debug exception in ring 0, up to its iret."""
        self._rewound.back(then)
        self._step_as(then.registers["eip"], INT_1)
        found = [self._remote.registers()["eip"]]
        while self.memory[place_of(self.memory, found[-1], self.pae)] != IRET[0]:
            self._remote.step()
            found.append(self._remote.registers()["eip"])
        return found

    def _step_as(self, at: int, code: bytes) -> None:
        """A step, in which other bytes stand there."""
        place = place_of(self.memory, at, self.pae)
        kept = bytes(self.memory[place : place + len(code)])
        self._remote.write(at, code)
        self._remote.step()
        self._remote.write(at, kept)

    def recovers(self, eip: int, stack: int) -> bool:
        """Whether a fault there is the Guest's stack or tables, which the lean Switcher leaves to the Host kernel."""
        if self.switcher != "lean" or stack < L.SWITCHER_BASE:
            return False
        symbol = symbols(self.pae)
        ways = ["native_reflect"] if self.pae else ["reflect", "native_reflect"]
        return any(symbol[f"{way}_may_fault"] <= eip < symbol[f"{way}_is_safe"] for way in ways)
