# SPDX-License-Identifier: GPL-2.0-or-later
"""What is recorded is what takes place: both Switchers, both ways, on both engines, whatever the cause."""

from __future__ import annotations

import pytest
from hostile_lab import SWITCHERS, symbols
from linux_lab import RealLinux
from watch_lab import recorded

from lguest_py.errors import LguestError, UsageError
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L
from lguest_py.watch import sources
from lguest_py.watch.machine import CauseError
from lguest_py.watch.record import Record
from lguest_py.watch.stacks import FRAME

GENERAL = ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp")
TRIES = 8  # machines, until one has no interrupt pending right then
IRETS = {"lean": "switcher_lean_iret", "classic": "switcher_iret"}


def owners(record: Record, phase: str) -> list[str]:
    """The order in which a way changes whose tables they are."""
    steps = [step for step in record.steps if step.phase == phase]
    before = record.steps[record.steps.index(steps[0]) - 1]
    found = []
    for step in steps:
        found += [name for name in step.owners if step.owners[name] != before.owners[name]]
        before = step
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine_name", ["tcg", "kvm"])
@SWITCHERS
def test_a_round_trip(engine_name: str, switcher: Switcher) -> None:
    found = recorded(engine_name, "SET_PTE", switcher)
    first, trap, last = found.steps[0], found.steps[1], found.steps[-1]
    assert found.cause.startswith("hypercall SET_PTE (")
    assert not found.end
    assert (first.ring, trap.ring, last.ring) == (1, 0, 1)
    assert first.code == "int $0x1F" or first.code.startswith("bytes cd 1f")
    assert last.state["eip"] == first.eip + 2
    assert {name: last.state[name] for name in GENERAL} == {name: first.state[name] for name in GENERAL}

    exits = [step for step in found.steps if step.phase == "exit" and step.file]
    saved = next(step for step in exits if step.code == "movl %esp, %eax")  # all are on the stack then
    words = {word.label: word.value for word in saved.stack.words}
    assert saved.state["esp"] == FRAME
    assert words == {name: first.state[name] for name in L.REGISTERS.fields if name in first.state} | {
        "trapnum": L.HYPERCALL_VECTOR, "errcode": 0, "eip": first.eip + 2}  # fmt: skip

    by = {word.label: word.by for word in saved.stack.words}
    assert [name for name in by if by[name] == "CPU"] == ["ss", "esp", "eflags", "cs", "eip"]
    assert {by[name] for name in (*GENERAL, "es", "ds", "fs", "gs", "trapnum", "errcode")} == {"Switcher"}
    for step in exits:
        if step.code.startswith("push"):
            assert [word.address for word in step.stack.words if word.new] == [step.state["esp"]]

    entry = [step.eip for step in found.steps if step.phase == "entry"]
    way = sorted(sources.lines(switcher, False))
    end = symbols()[IRETS[switcher]]
    assert entry == [L.SWITCHER_BASE + at for at in way if L.SWITCHER_BASE + at <= end]
    if switcher == "classic":
        assert owners(found, "exit") == ["cr3", "gdt", "idt", "tss"]
        assert owners(found, "entry") == ["gdt", "idt", "tss", "cr3"]
    else:
        assert owners(found, "exit") == owners(found, "entry") == ["cr3"]
        assert {step.owners[name] for step in found.steps for name in ("gdt", "idt", "tss")} == {"both"}
    assert all(step.why for step in found.steps)


@pytest.mark.parametrize("engine_name", ["tcg"])
@pytest.mark.parametrize(
    ("on", "ring", "phases"),
    [
        ("syscall", 3, ["guest"]),  # the gate leads to the Guest's kernel
        ("general-protection", 1, ["guest", "exit", "host", "entry"]),
        ("device-not-available", 3, ["guest", "exit", "host", "entry"]),
        ("page_fault", 1, ["guest", "exit", "host", "entry"]),
        ("timer", 1, ["guest", "exit", "host", "exit", "host", "entry"]),  # the handler, and the rest
    ],
)
@pytest.mark.parametrize("switcher", ["lean", pytest.param("classic", marks=pytest.mark.nightly)])
def test_each_cause(engine_name: str, on: str, ring: int, phases: list[str], switcher: Switcher) -> None:
    line = "run=bench" if on == "timer" else ""  # an idle one is seldom interrupted
    found = recorded(engine_name, on, switcher, None, line, ring)
    seen = [step.phase for step in found.steps]
    assert [phase for number, phase in enumerate(seen) if not number or seen[number - 1] != phase] == phases
    assert found.steps[0].ring == ring
    assert not found.end


@pytest.mark.parametrize("engine_name", ["tcg"])
@SWITCHERS
def test_a_programs_page_fault_is_reflected_by_the_lean_switcher_only(engine_name: str, switcher: Switcher) -> None:
    for _ in range(TRIES):
        found = recorded(engine_name, "fault", switcher, ring=3)
        pending = [step.did for step in found.steps if step.code == "cmpl $0, %cs:STATE(interrupt_pending)"]
        if pending[-1:] != ["They differ."]:  # else the Host kernel must inject an interrupt
            break
    assert found.switched == (switcher == "classic")
    last = found.steps[-1]
    assert (found.steps[0].ring, last.ring) == (3, 1)
    if switcher == "lean":
        assert {step.phase for step in found.steps} == {"guest", "fast"}
        assert "switcher/reflect.h" in {step.file for step in found.steps}
        found_there = [(word.label, word.by) for word in last.stack.words]
        assert found_there == [(name, "Switcher") for name in ("ss", "esp", "eflags", "cs", "eip", "errcode")]
        values = {word.label: word.value for word in last.stack.words}
        assert values == {name: found.steps[0].state[name] for name in ("ss", "esp", "eflags", "cs", "eip")} | {
            "errcode": 4}  # fmt: skip


@pytest.mark.parametrize("engine_name", ["tcg"])
def test_a_guest_that_is_not_entered_again(engine_name: str) -> None:
    found = recorded(engine_name, "SHUTDOWN", "lean", None, "run=poweroff")
    assert "the Guest has ended" in found.end
    assert found.switched
    assert found.steps[-1].ring == 0


@pytest.mark.parametrize("engine_name", ["tcg"])
def test_a_cause_that_does_not_come(engine_name: str) -> None:
    with pytest.raises(CauseError, match=r"no divide-error came before the Guest ended.*powered off"):
        recorded(engine_name, "divide-error", "lean", None, "run=poweroff")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine_name", ["kvm"])
def test_what_kvm_cannot_record_is_named(engine_name: str) -> None:
    with pytest.raises(LguestError, match="give --engine tcg"):
        recorded(engine_name, "syscall", "lean")


@pytest.mark.parametrize("engine_name", ["tcg"])
def test_a_real_lguest_linux(engine_name: str, linux: RealLinux) -> None:
    given = str(linux.bzimage), "console=hvc0", None, str(linux.initrd)
    found = recorded(engine_name, "SET_PTE", "classic", *given)
    assert found.switched
    assert owners(found, "entry") == ["gdt", "idt", "tss", "cr3"]
    program = recorded(engine_name, "syscall", "lean", *given)
    assert (program.steps[0].ring, program.steps[-1].ring, program.switched) == (3, 1, False)


@pytest.mark.parametrize("engine_name", ["tcg"])
def test_an_unmodified_kernel(engine_name: str, stock: object) -> None:
    with pytest.raises(UsageError, match="makes no hypercalls"):
        recorded(engine_name, "hypercall", "lean", "debian-6.1-686")
    found = recorded(engine_name, "fault", "classic", "debian-6.1-686")
    assert found.switched
    assert owners(found, "exit") == ["cr3", "gdt", "idt", "tss"]
    assert all(step.why for step in found.steps)
