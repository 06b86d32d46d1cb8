# SPDX-License-Identifier: GPL-2.0-or-later
"""The Host kernel that waits for the answer to a NOTIFY in the Guest's place: mailbox.c, await_answer().

Read before: test_pci_interrupts.py.
"""

from __future__ import annotations

import time

import pytest
from hostile_code import RAM_END, store
from hostile_lab import PERSONALITIES
from interrupt_lab import Interruptible, out_byte
from pci_lab import PciMachine, run_program

from lguest_py.images.image import Personality
from lguest_py.shared_memory import _layouts as L

LONG_POLL = 60_000_000  # microseconds: longer than any test
SECONDS = 30.0  # a limit
RAN_ON = 0x3F0000  # the program writes here what it has done


def wait_until_it_looks(machine: PciMachine) -> None:
    until = time.monotonic() + SECONDS
    while not machine.mailbox["polling"]:
        assert time.monotonic() < until, "the Host kernel does not look"


def without_a_clock(personality: Personality) -> Interruptible:
    program = Interruptible(personality)
    if personality == "native":
        program.raw(out_byte(0x43, 0x30))  # it would end a look
    return program


def notify(program: Interruptible, queue: int = 0) -> None:
    program.store(L.BAR_NOTIFY + 4 * queue, queue, 2)


@PERSONALITIES
def test_a_guest_that_was_idle_after_one_notify_gets_the_next_answer_at_once(
    engine_name: str, personality: Personality
) -> None:
    """It needs not become idle for it: the interrupt is pending after the NOTIFY."""

    def kicked(machine: PciMachine, record: int) -> None:
        wait_until_it_looks(machine)
        machine.count("irq_raised")

    program = without_a_clock(personality)
    notify(program)
    program.wait()
    for _ in range(3):
        notify(program)
        program.opened()
    program.tell(0)
    done = run_program(engine_name, program, more=program.handler, kicked=kicked, polls=LONG_POLL)
    assert done.results == [4]


@PERSONALITIES
@pytest.mark.parametrize("before", [0, 2], ids=["not yet idle", "two before it was idle"])
def test_a_guest_with_more_to_do_is_not_held_up(engine_name: str, personality: Personality, before: int) -> None:
    """It runs on after the NOTIFY, which is answered only when it did."""
    machines: list[PciMachine] = []
    ran_on: list[int] = []

    def kicked(machine: PciMachine, record: int) -> None:
        if record & 0xFFFF == 9:
            base = machine._plan.guest_base
            memory = machine.engine.memory[base : base + RAM_END]
            until = time.monotonic() + SECONDS
            while not (there := int.from_bytes(memory[RAN_ON : RAN_ON + 4], "little")) and time.monotonic() < until:
                time.sleep(0.001)
            ran_on.append(there)
        elif record & 0xFFFF == before - 1:  # the last one before it is idle
            wait_until_it_looks(machine)
        else:
            return
        machine.count("irq_raised")
        machine.wake()

    program = without_a_clock(personality)
    for queue in range(before):
        notify(program, queue)
    if before:
        program.wait()
    notify(program, 9)
    program.raw(store(RAN_ON, 1))
    program.wait()
    program.tell(0)
    done = run_program(engine_name, program, more=program.handler, kicked=kicked, polls=LONG_POLL, made=machines.append)
    assert ran_on == [1]
    assert done.results == [2 if before else 1]
