# SPDX-License-Identifier: GPL-2.0-or-later
"""Recorder: waits for a cause and steps through what follows, until the Guest goes on.

The Guest runs at full speed up to the trap: only then it is known which instruction caused it.  What the Guest had
before it is what the CPU has pushed, and all other registers, which a trap does not change.  Then each instruction of
the Switcher is a step.  The Host kernel's C code runs at full speed again, as one step, until it enters the Guest.

A cause is found where its gate leads, in the Switcher or, for a direct gate, in the Guest's own kernel.
Read before: record.py, lguest_py/engines/stepping.py.  Read next: stacks.py, machine.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from lguest_py.engines.stepping import MachineGoneError, State, Stepper
from lguest_py.errors import EngineError
from lguest_py.postmortem.code import code_around
from lguest_py.postmortem.walk import PAGE, Tables
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View
from lguest_py.shared_memory.mailbox import Hypercall, vector_name
from lguest_py.watch import sources
from lguest_py.watch.causes import Cause
from lguest_py.watch.record import Change, Owner, Phase, Record, Step
from lguest_py.watch.stacks import END, FRAME, Labels, picture, words_of
from lguest_py.watch.words import told

SLICE: Final = 0.25  # seconds between two looks at where the gates lead
EARLY: Final = 0.1  # the same, before the first program
MOST: Final = 4000  # steps
NEAR: Final = 64  # bytes on either side of esp
CR4_PAE: Final = 0x20
INT, INT3, INTO = 0xCD, 0xCC, 0xCE
NOT_TOLD: Final = ("gdt_limit", "idt_limit")
GUEST_WHY: Final = (
    "The Guest ran at full speed up to this instruction.  Its registers are what the CPU pushed at the trap that "
    "follows, and those that a trap leaves alone."
)
TRAP_WHY: Final = (
    "The CPU looks the vector up in the IDT and finds a gate.  It leads to another ring, so the CPU takes that ring's "
    "stack from the TSS, pushes there what it needs for the way back, and clears the trap flag.  An interrupt gate "
    "clears the interrupt flag as well."
)
HOST_WHY: Final = (
    "Here is the Host kernel's C code (host_kernel/core/run.c), which is not stepped: it handles the exit, injects "
    "interrupts that are due, makes the frame safe and calls the Switcher again."
)
HANDLER_WHY: Final = (
    "The Host kernel's handler for an interrupt of the machine (host_kernel/machine/interrupt.c), which is not "
    "stepped: it tells the interrupt controller, and returns to the Switcher."
)
DIRECT_ON_KVM: Final = (
    "its gate leads past the Switcher to the Guest's own kernel, where the kvm engine cannot stop: give --engine tcg"
)
GONE: Final = "the Host kernel did not enter the Guest again: the Guest has ended"
LATE: Final = "the Host kernel did not enter the Guest again in the time that was given (--timeout)"


@dataclass
class Wanted:
    """What is to be recorded.  ``ring``: only from there, or None; ``skip``: so many of them go by first."""

    cause: Cause
    ring: int | None
    skip: int
    switcher: str
    engine: str
    image: str


class Recorder:
    """One machine's.  ``deadline`` is of time.monotonic()."""

    def __init__(self, stepper: Stepper, memory: memoryview, wanted: Wanted, deadline: float) -> None:
        self._cpu, self._memory, self._wanted, self._deadline = stepper, memory, wanted, deadline
        self._mailbox = View(memory, L.MAILBOX_ADDRESS, L.MAILBOX)
        self._labels = Labels()
        self._steps: list[Step] = []
        self._before: dict[int, int] = {}  # words of stacks, before the present step
        self._pae = sources.is_pae(memory)
        self._lines = sources.lines(wanted.switcher, self._pae)
        irets = (at for at, place in self._lines.items() if sources.line_at(*place).code == "iret")
        self._ends = [L.SWITCHER_BASE, *(L.SWITCHER_BASE + at for at in irets)]
        self._load = sources.load_address(wanted.switcher, self._pae)

    def record(self, began: Callable[[], None] = lambda: None) -> Record | None:
        """The record; None: the cause did not come in time.  Raises MachineGoneError.

        ``began`` is called when it has come.
        """
        now = self._find()
        if now is None:
            return None
        began()
        vector, state = now
        cause = self._trap(vector, state)
        end = ""
        try:
            end = self._follow()
        except MachineGoneError:
            end = GONE
        steps = self._named()
        wanted = self._wanted
        return Record(cause, wanted.switcher, wanted.engine, wanted.image, steps, end)

    # --- to the trap ----------------------------------------------------------------------------------------

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _places(self, addresses: Iterable[int]) -> dict[int, int]:
        """With where they are in memory, as far as they are the Switcher's; 0 for others."""
        return {at: self._load + at - L.SWITCHER_BASE if self._in_switcher(at) else 0 for at in addresses}

    def _gates(self) -> dict[int, int]:
        """Where the gates of the cause lead now: address -> vector."""
        at = self._mailbox["state_at"]
        found = {}
        for vector in self._wanted.cause.vectors:
            gate = at + L.LGUEST_STATE.fields["idt"][0] + 8 * vector
            raw = bytes(self._memory[gate : gate + 8])
            address = int.from_bytes(raw[:2] + raw[6:], "little")
            if address and raw[5] & 0x80:
                found[address] = vector
        return found

    def _find(self) -> tuple[int, State] | None:
        """Run until the cause comes: its vector, and the state at the first instruction of its handler."""
        skip = self._wanted.skip
        if not self._cpu.run_to(self._places([L.SWITCHER_BASE]), max(self._left(), 0)):
            return None
        while self._left() > 0:
            if not self._has_programs():
                self._cpu.run_to({}, EARLY)
                continue
            gates = self._gates()
            if self._wanted.engine == "kvm" and not all(map(self._in_switcher, gates)):
                raise EngineError(f"{self._wanted.cause.name}: {DIRECT_ON_KVM}")
            if not self._cpu.run_to(self._places(gates), min(SLICE, max(self._left(), 0.001))):
                continue
            here = self._cpu.general()
            vector = gates.get(here["eip"])
            if vector is not None and self._may_be(vector, here):
                in_switcher = self._in_switcher(here["eip"])
                state = self._cpu.state() if not skip or not in_switcher else here
                if state is here or self._is_it(vector, state):
                    if not skip:
                        return vector, state
                    skip -= 1
            if vector is not None and self._cpu.anywhere and self._in_switcher(here["eip"]):
                # On to where the trap ends: to step from a stop is slow, and no stop is to be passed on the way.
                self._cpu.run_to(self._places(self._ends), max(self._left(), 0.001))
        return None

    def _has_programs(self) -> bool:
        """Whether the ring that is wanted was seen; asked for programs of an unmodified kernel.

        It traps some hundred thousand times before its first program, and to stop at each would take minutes.
        """
        native = View(self._memory, L.MACHINE_ADDRESS, L.MACHINE)["personality"] == L.PERSONALITY_NATIVE
        return self._wanted.ring != 3 or not native or bool(self._mailbox["rings_seen"] >> 3 & 1)

    def _may_be(self, vector: int, here: State) -> bool:
        """Whether it is the cause, as far as the Switcher's stack tells: most are not, and this is quick."""
        call, ring = self._wanted.cause.call, self._wanted.ring
        if call is not None and here["eax"] != call:
            return False
        if not self._in_switcher(here["eip"]):
            return True
        place = self._mailbox["frame_at"] + here["esp"] - FRAME + 4 * (1 + self._pushes_error(vector))
        pushed = self._memory[place] & 3 if 0 <= place < len(self._memory) else 0
        return pushed != 0 if ring is None else pushed == ring

    @staticmethod
    def _pushes_error(vector: int) -> int:
        return L.ERROR_CODE_VECTORS >> vector & 1 if vector < 32 else 0

    def _is_it(self, vector: int, state: State) -> bool:
        pushed = self._pushed(vector, state)
        if self._wanted.ring not in (None, pushed.get("cs", 0) & 3):
            return False
        return bool(pushed.get("cs", 0) & 3) and (state["cs"] & 3) <= (pushed["cs"] & 3)

    def _pushed(self, vector: int, state: State) -> dict[str, int]:
        """What the CPU pushed at the trap, as far as it is mapped."""
        names = ["errcode"] * self._pushes_error(vector) + ["eip", "cs", "eflags", "esp", "ss"]
        tables = self._tables(state)
        words = [self._word(tables, state["esp"] + 4 * index) for index in range(len(names))]
        return {name: word for name, word in zip(names, words, strict=True) if word is not None}

    def _tables(self, state: State) -> Tables:
        return Tables(self._memory, state["cr3"], bool(state["cr4"] & CR4_PAE))

    @staticmethod
    def _word(tables: Tables, address: int) -> int | None:
        physical = tables.walk(address).physical
        if physical is None or physical + 4 > len(tables.memory):
            return None
        return int.from_bytes(tables.memory[physical : physical + 4], "little")

    def _trap(self, vector: int, state: State) -> str:
        """Add the Guest's instruction and the trap.  Returns the cause in words."""
        pushed, tables = self._pushed(vector, state), self._tables(state)
        before = dict(state)
        for name in ("eip", "cs", "eflags"):
            before[name] = pushed[name]
        crosses = pushed["cs"] & 3 != state["cs"] & 3
        if crosses:
            before["esp"], before["ss"] = pushed["esp"], pushed["ss"]
        else:
            before["esp"] = state["esp"] + 4 * (len(pushed) - 2)
        back = self._software_int(tables, pushed["eip"], vector)
        before["eip"] -= back
        cause = self._cause(vector, state, pushed)
        outside = vector >= 32 and not back
        code = self._disassembled(tables, before["eip"])
        who = {1: "kernel", 3: "program"}.get(pushed["cs"] & 3, "kernel")
        did = f"The Guest's {who} is about to execute {code}."
        if outside:
            did = f"The Guest's {who} is interrupted before {code}."
        labels = self._labels
        self._add("guest", code, "", GUEST_WHY, "", 0, before["eip"], before, before, did)
        labels.trap(state["esp"], "errcode" in pushed, crosses)
        phase: Phase = "guest" if state["cs"] & 3 else "exit"
        words = ", ".join(name for name in reversed(pushed) if crosses or name not in ("esp", "ss"))
        leads = "the Guest's own kernel" if state["cs"] & 3 else "the Switcher"
        told = f"The CPU pushed {words}, and went where gate {vector:#x} leads: to {leads}, in ring {state['cs'] & 3}."
        if vector == 14:
            told += f"  CR2 has the address of the access, {state['cr2']:#010x}."
        where = f"the CPU takes vector {vector:#x} ({vector_name(vector)})"
        self._add(phase, where, "", TRAP_WHY, "", 0, before["eip"], before, state, told)
        return cause

    def _cause(self, vector: int, state: State, pushed: State) -> str:
        if vector == L.HYPERCALL_VECTOR:
            names = "ebx", "ecx", "edx", "esi"
            return "hypercall " + Hypercall(state["eax"], tuple(state[name] for name in names)).text  # type: ignore[arg-type]
        text = vector_name(vector)
        if vector == 14:
            text += f" at {state['cr2']:#010x}"
        if "errcode" in pushed:
            text += f", error code {pushed['errcode']:#x}"
        if vector == 0x80:
            text += f" {state['eax']}"
        return f"{text}, in ring {pushed['cs'] & 3}"

    def _software_int(self, tables: Tables, eip: int, vector: int) -> int:
        """How long the instruction is that ended at eip, if it raised the vector; 0: it was not an int."""
        low = self._word(tables, eip - 4)
        if low is None:
            return 0
        last, one_before = low >> 24, low >> 16 & 0xFF
        if one_before == INT and last == vector:
            return 2
        return int((last, vector) in ((INT3, 3), (INTO, 4)))

    @staticmethod
    def _disassembled(tables: Tables, eip: int) -> str:
        found = code_around(tables, eip, eip)
        if found is None:
            return "the instruction there, whose page is not mapped"
        for each in found.instructions:
            if each.address == eip:
                return " ".join(each.text.split())
        return "bytes " + found.data[eip - found.start :][:4].hex(" ") + " …"

    # --- the Switcher ---------------------------------------------------------------------------------------

    def _follow(self) -> str:
        """Step on to the Guest; why it was not reached, or ""."""
        while len(self._steps) < MOST:
            last = self._steps[-1]
            if last.ring:
                return ""
            state = last.state
            if self._in_switcher(state["eip"]):
                self._step(state)
            elif not self._host(state):
                return LATE
        return f"more than {MOST} steps"

    @staticmethod
    def _in_switcher(address: int) -> bool:
        return L.SWITCHER_BASE <= address < L.SWITCHER_BASE + PAGE

    def _step(self, state: State) -> None:
        place = self._lines.get(state["eip"] - L.SWITCHER_BASE)
        line = sources.line_at(*place) if place else sources.Line("", 0, "(not a line of the sources)", "", "")
        self._cpu.step()
        now = self._cpu.state()
        for at, value in self._words(now).items():
            if self._before.get(at, value) != value:
                self._labels.stored(at)
        self._labels.executed(line.code, state, now)
        phase: Phase = "entry" if any(step.phase == "host" for step in self._steps) else "exit"
        if self._steps[-1].phase == "host" and state["eip"] != L.SWITCHER_BASE:
            phase = "exit"  # the handler of an interrupt has returned
        elif self._steps[-1].phase in ("exit", "entry"):
            phase = self._steps[-1].phase
        did = self._did(line.code, state, now)
        self._add(phase, line.code, line.note, line.why, line.file, line.line, state["eip"], state, now, did)

    def _did(self, code: str, before: State, now: State) -> str:
        offset = before["eip"] - L.SWITCHER_BASE
        following = min((each for each in self._lines if each > offset), default=0) + L.SWITCHER_BASE
        return told(code, before, now, following, self._word(self._tables(now), now["esp"]))

    def _host(self, state: State) -> bool:
        """Let the Host kernel's C code run; False: it took too long."""
        back = self._word(self._tables(state), state["esp"]) or 0
        called = self._in_switcher(back)
        places = [L.SWITCHER_BASE, back] if called else [L.SWITCHER_BASE]
        if not self._cpu.run_to(self._places(places), max(self._left(), 1.0)):
            return False
        now = self._cpu.state()
        if not called:
            self._labels.host_frame()
            self._labels.called(now["esp"])
        why = HANDLER_WHY if called else HOST_WHY
        code = "the handler of the interrupt" if called else "the Host kernel works"
        did = "It returned to the Switcher." if called else "It calls the Switcher: the Guest shall go on."
        self._add("host", code, "", why, "", 0, state["eip"], state, now, did)
        return True

    # --- steps ----------------------------------------------------------------------------------------------

    def _add(
        self, phase: Phase, code: str, note: str, why: str, file: str, line: int, eip: int,
        before: State, after: State, did: str,
    ) -> None:  # fmt: skip
        names = [name for name in after if name not in NOT_TOLD and name != "eip"]
        changes = tuple(Change(name, before[name], after[name]) for name in names if before[name] != after[name])
        stack, frame = picture(self._tables(after), self._labels, after, self._before)
        self._before = self._words(after)
        self._labels.begin()
        owners = self._owners(after)
        self._steps.append(
            Step(phase, code, note, why, file, line, eip, dict(after), changes, did, owners, stack, frame)
        )

    def _words(self, state: State) -> dict[int, int]:
        """The words of the Switcher's stack page, and those around esp where that is elsewhere."""
        tables = self._tables(state)
        found = dict(words_of(tables, END, END - PAGE))
        if state["esp"] not in found:
            found |= words_of(tables, min(state["esp"] + NEAR, (1 << 32) - 4), max(state["esp"] - NEAR, 0))
        return found

    def _owners(self, state: State) -> dict[str, Owner]:
        """Whose page tables, descriptor tables and TSS the CPU has."""
        host = View(self._memory, self._mailbox["state_at"], L.LGUEST_STATE)["host_cr3"]
        found: dict[str, Owner] = {"cr3": "Host" if state["cr3"] == host else "Guest"}
        for name, address in (("gdt", state["gdt"]), ("idt", state["idt"]), ("tss", state["tss"])):
            own: Owner = "both" if self._wanted.switcher == "lean" else "Guest"
            found[name] = own if address >= L.SWITCHER_BASE else "Host"
        return found

    def _named(self) -> tuple[Step, ...]:
        """The steps; where none has the Host's page tables, those of the Switcher are a fast path."""
        steps = self._steps
        if any(step.owners["cr3"] == "Host" for step in steps):
            return tuple(steps)
        return tuple(replace(step, phase="fast") if step.phase == "exit" else step for step in steps)
