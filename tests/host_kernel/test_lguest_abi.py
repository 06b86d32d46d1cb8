# SPDX-License-Identifier: GPL-2.0-or-later
"""The forms of struct lguest_data (machine.abi): what the Host kernel reads of each at LGUEST_INIT."""

from __future__ import annotations

from dataclasses import replace

import pytest
from abi_lab import LAYOUTS, data_of, int_at
from hostile_code import DATA, EAX, EBX, ECX, EDX, PLACES, gate, le32, mov, push, store
from interrupt_lab import COUNT, Interruptible, keep_isr
from pci_lab import CODE, MMIO, RESULTS, Done, PciMachine, Program, Request, image_for

from lguest_py.shared_memory import _layouts as L

WHERE = RESULTS + 0x5000  # of the interrupted instruction
CALLED = 0x36C000  # the handler of a system call
FORMS = pytest.mark.parametrize("abi", LAYOUTS, ids=["old", "first", "second"])


def run(engine_name: str, program: Program, abi: int, data: bytes, more: dict[int, bytes], user: bytes = b"") -> Done:
    """Run it; each access to a register raises the interrupt."""
    machine: list[PciMachine] = []

    def answer(request: Request) -> int:
        machine[0].count("irq_raised")
        return 0

    image = replace(image_for(program, user, {DATA: data, **more}), expects_tables=abi == L.LGUEST_DATA_0)
    machine.append(PciMachine(engine_name, image, answer=answer, abi=abi))
    done = machine[0].run(results=program.kept, memory=True)
    assert not done.wrong
    return done


@pytest.mark.parametrize("closed", [False, True])
@FORMS
def test_no_interrupt_in_the_window(engine_name: str, abi: int, closed: bool) -> None:
    """At the instruction of an interrupt's return it waits, and comes behind it."""
    keep_where = b"\x8b\x44\x24\x20\xa3" + le32(WHERE)  # the first above what pushal kept
    program = Interruptible("lguest", keep_where + keep_isr(MMIO))
    program.load(0)
    program.raw(store(DATA, L.GUEST_IF), mov(EAX, L.LHCALL_SEND_INTERRUPTS), b"\xcd\x1f")
    here = CODE + len(program.code)
    loop = b"\x90\x83\x3d" + le32(COUNT) + b"\x00\x74\xf7"  # nop; until it came
    program.raw(loop, store(DATA, 0))
    window = (here, here + 1) if closed else (0, 0)
    done = run(engine_name, program, abi, data_of(abi, window=window), program.handler)
    assert done.powered_off, done.reason
    assert int_at(done, COUNT) == 1
    where = int_at(done, WHERE)
    if closed:
        assert here < where < here + len(loop)
    else:
        assert where == here


@FORMS
def test_the_system_call_goes_direct(engine_name: str, abi: int) -> None:
    program = Program("lguest")
    leads = gate(CALLED, L.GUEST_CS, 0xEF)
    program.raw(mov(EAX, L.LHCALL_LOAD_IDT_ENTRY), mov(EBX, 0x80))
    program.raw(mov(ECX, leads & 0xFFFFFFFF), mov(EDX, leads >> 32), b"\xcd\x1f")
    program.raw(push(0x7B, PLACES["USER_STACK"], 2, 0x73, PLACES["USER_SLOTS"]) + b"\xcf")
    end = mov(EAX, L.GUEST_DS) + b"\x8e\xd8" + store(WHERE, 7) + store(PLACES["BUDGET"], 1) + b"\x0f\x0b"
    done = run(engine_name, program, abi, data_of(abi), {CALLED: end}, b"\xcd\x80")
    assert done.powered_off, done.reason
    assert int_at(done, WHERE) == 7
    assert 0x80 not in done.snapshot.by_vector


@FORMS
def test_a_bad_kernel_address(engine_name: str, abi: int) -> None:
    done = run(engine_name, Program("lguest"), abi, data_of(abi, 0xFFC00001), {})
    assert done.reason == "bad kernel address 0xffc00001 in lguest_data"
