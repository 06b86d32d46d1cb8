# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupts of PCI functions: the ISR, shared lines, and the Host kernel that looks before it halts.

Source: virtio 1.2, 4.1.4.5; PCI Local Bus 3.0, 2.2.6.  Read before: tests/lab/devices/pci_lab.py.
"""

from __future__ import annotations

import time

import pytest
from hostile_code import EAX, EBX, le32, mov
from hostile_lab import PERSONALITIES
from interrupt_lab import COUNT, Interruptible, keep_isr, out_byte
from pci_lab import (
    BAR,
    COMMAND,
    MEMORY,
    MMIO,
    NO_INTERRUPTS,
    SLOT,
    Function,
    PciMachine,
    Request,
    run_program,
)

from lguest_py.images.image import Personality
from lguest_py.shared_memory import _layouts as L

SECOND_SLOT, SECOND_BAR, SECOND_MMIO = 9, BAR + 0x10000, MMIO + 0x8000
LONG_POLL = 60_000_000  # microseconds: longer than any test
PERSONALITIES_AND_POLLS = pytest.mark.parametrize("polls", [0, LONG_POLL], ids=["halts", "looks"])


def raise_by_queue(machine: PciMachine, record: int) -> None:
    """Queue 0 has something; queue 1 is another configuration; queue 2 is both.  If the Host kernel looks, only so."""
    queue = record & 0xFFFF
    if machine.polls:
        until = time.monotonic() + 60
        while not machine.mailbox["polling"]:
            assert time.monotonic() < until
    if queue != 1:
        machine.count("irq_raised")
    if queue != 0:
        machine.count("config_raised")
    if not machine.polls:
        machine.wake()


@PERSONALITIES_AND_POLLS
@PERSONALITIES
@pytest.mark.parametrize("first", [0, 0xFFFFFFFF])
def test_an_answer_to_a_notify(engine_name: str, personality: Personality, polls: int, first: int) -> None:
    """The counters may start anywhere.  While the Host kernel looks, no interrupt of the machine is needed."""
    program = Interruptible(personality)
    queues = (0, 1, 0, 1) if polls else (0, 1, 2, 0)  # two at once cannot be seen at once
    for queue in queues:
        program.store(L.BAR_NOTIFY + 4 * queue, queue, 2)
        program.wait()
    program.tell(4)
    done = run_program(engine_name, program, more=program.handler, kicked=raise_by_queue, polls=polls, first=first)
    assert done.results == [4, *(queue + 1 for queue in queues[:3]), L.ISR_CONFIG if polls else L.ISR_QUEUE]


@PERSONALITIES_AND_POLLS
@PERSONALITIES
def test_an_interrupt_while_a_register_is_answered(engine_name: str, personality: Personality, polls: int) -> None:
    """It is pending from then on; the read of the ISR withdraws it."""
    program = Interruptible(personality)
    program.load(0)
    program.opened()
    program.tell(1)
    program.load(0)
    program.load(L.BAR_ISR, 1)
    program.load(L.BAR_ISR, 1)
    program.opened()
    program.tell(1)
    machine: list[PciMachine] = []

    def answer(request: Request) -> int:
        machine[0].count("irq_raised")
        return 7

    done = run_program(engine_name, program, more=program.handler, answer=answer, made=machine.append, polls=polls)
    assert done.results == [7, 1, L.ISR_QUEUE, 7, L.ISR_QUEUE, 0, 1, L.ISR_QUEUE]


@PERSONALITIES_AND_POLLS
@PERSONALITIES
def test_the_clock_while_no_answer_comes(engine_name: str, personality: Personality, polls: int) -> None:
    """It wakes a Guest whose notify nobody answers, again and again."""
    program = Interruptible(personality, b"\xff\x05" + le32(COUNT), 0)
    if personality == "native":
        program.raw(out_byte(0x43, 0x34), out_byte(0x40, 0), out_byte(0x40, 0x20))  # some 7 ms
    for _ in range(3):
        if personality == "lguest":
            program.raw(mov(EAX, L.LHCALL_SET_CLOCKEVENT), mov(EBX, 3_000_000), b"\xcd\x1f")
        program.store(L.BAR_NOTIFY, 0, 2)
        program.wait()
    program.tell(0)
    (count,) = run_program(engine_name, program, more=program.handler, polls=polls).results
    assert count >= 3  # the timer of a PC repeats


@PERSONALITIES
def test_functions_share_a_line(engine_name: str, personality: Personality) -> None:
    """It stays high until the last one was asked."""
    either = (
        keep_isr(MMIO) + b"\x85\xc0\x75" + bytes([len(keep_isr(SECOND_MMIO))]) + keep_isr(SECOND_MMIO)
    )  # test eax, eax; jnz
    program = Interruptible(personality, either)
    program.map(SECOND_BAR, SECOND_MMIO)
    program.load(0)
    program.opened()
    program.opened()
    program.tell(3)
    machine: list[PciMachine] = []

    def answer(request: Request) -> int:
        machine[0].count("irq_raised")
        machine[0].count("irq_raised", SECOND_SLOT)
        return 0

    functions = [Function(), Function(SECOND_SLOT, SECOND_BAR)]
    done = run_program(engine_name, program, functions, more=program.handler, answer=answer, made=machine.append)
    assert done.results == [0, 3, L.ISR_QUEUE, 0, L.ISR_QUEUE]


@PERSONALITIES
def test_a_function_whose_interrupts_are_off(engine_name: str, personality: Personality) -> None:
    program = Interruptible(personality)
    program.configure(SLOT, COMMAND, MEMORY | NO_INTERRUPTS, 2)
    program.load(0)
    program.opened()
    program.tell(0)
    program.configure(SLOT, COMMAND, MEMORY, 2)
    program.opened()
    program.tell(1)
    machine: list[PciMachine] = []

    def answer(request: Request) -> int:
        machine[0].count("config_raised")
        return 0

    done = run_program(engine_name, program, more=program.handler, answer=answer, made=machine.append)
    assert done.results == [0, 0, 1, L.ISR_CONFIG]


@pytest.mark.parametrize("status", [0, 4])
@PERSONALITIES
def test_a_reset_withdraws_the_interrupt(engine_name: str, personality: Personality, status: int) -> None:
    """What the device raised before is gone with it; another write of its status changes nothing."""
    program = Interruptible(personality)
    program.load(0)
    program.store(20, status, 1)
    program.opened()
    program.tell(0)
    machine: list[PciMachine] = []

    def answer(request: Request) -> int:
        machine[0].count("irq_raised")
        return 0

    done = run_program(engine_name, program, more=program.handler, answer=answer, made=machine.append)
    assert done.results == [0, 1 if status else 0]


@PERSONALITIES
def test_functions_that_are_not_there_raise_nothing(engine_name: str, personality: Personality) -> None:
    program = Interruptible(personality)
    program.load(0)
    program.opened()
    program.tell(0)
    machine: list[PciMachine] = []

    def answer(request: Request) -> int:
        for slot in (0, 1, SLOT + 1, 31):
            machine[0].count("irq_raised", slot)
            machine[0].count("config_raised", slot)
        return 0

    done = run_program(engine_name, program, more=program.handler, answer=answer, made=machine.append)
    assert done.results == [0, 0]
