# SPDX-License-Identifier: GPL-2.0-or-later
"""The I/O APIC of a native Guest: edges, levels until their end, masks, destinations, and hostile accesses.

Source: Intel 82093AA datasheet.  Read before: tests/lab/devices/apic_lab.py, test_local_apic.py.
"""

from __future__ import annotations

import random

import pytest
from apic_lab import (
    BARS,
    EOI,
    IO_AT,
    IO_ENTRY,
    LDR,
    LEVEL,
    LOCAL_AT,
    LOGICAL,
    LOW,
    MASKED,
    REMOTE_IRR,
    TMR,
    WINDOW,
    ApicProgram,
)
from hostile_code import EAX, le32, mov
from interrupt_lab import out_byte
from pci_lab import BAR, IRQ, LOAD, STORE, PciMachine, Request, run_program

from lguest_py.shared_memory import _layouts as L

pytestmark = pytest.mark.nightly("kvm")
CLOCK_PIN = 2
PULSE = out_byte(0x43, 0x30) + out_byte(0x40, 1) + out_byte(0x40, 0)  # the PIT's output rises soon, and stays high


def results(engine_name: str, program: ApicProgram) -> list[int]:
    """What it kept.  Each read of the function's first register raises its interrupt."""
    machine: list[PciMachine] = []

    def answer(request: Request) -> int:
        machine[0].count("irq_raised")
        return 0

    done = run_program(engine_name, program, more=program.handlers, answer=answer, made=machine.append)
    assert done.powered_off, done.reason
    return done.results


def with_function(*vectors: int, ends: bool = True) -> ApicProgram:
    """With a function's first two pages at BARS."""
    program = ApicProgram(vectors, ends=ends)
    program.map(BAR, BARS, 2)
    return program


RAISE = b"\xa1" + le32(BARS)
TAKE_ISR = b"\x0f\xb6\x05" + le32(BARS + L.BAR_ISR)


def test_its_registers(engine_name: str) -> None:
    program = ApicProgram()
    for number in (0, 1, 2, IO_ENTRY, IO_ENTRY + 47, IO_ENTRY + 48, 0xFF):
        program.get_io(number)
    for number in (0, 1, IO_ENTRY, IO_ENTRY + 1, IO_ENTRY + 48):
        program.put_io(number, 0xFFFFFFFF)
        program.get_io(number)
    program.raw(b"\xa1" + le32(IO_AT))
    program.keep()
    assert results(engine_name, program) == [
        0, 0x170011, 0, MASKED, 0, 0, 0, 0x0F000000, 0x170011, 0x1AFFF, 0xFF000000, 0, IO_ENTRY + 48
    ]  # fmt: skip


def test_an_edge_comes_once(engine_name: str) -> None:
    program = ApicProgram([0x51])
    program.pin(CLOCK_PIN, 0x51)
    program.raw(PULSE)
    program.wait(1)
    program.pause(20_000)
    program.opened()
    program.get_io(IO_ENTRY + 2 * CLOCK_PIN)
    program.seen(1)
    assert results(engine_name, program) == [0x51, 1, 0x51]


def test_an_edge_at_a_masked_pin_is_lost(engine_name: str) -> None:
    program = ApicProgram([0x51])
    program.pin(CLOCK_PIN, MASKED | 0x51)
    program.raw(PULSE)
    program.pause(20_000)
    program.pin(CLOCK_PIN, 0x51)
    program.opened()
    program.seen(0)
    program.raw(PULSE)
    program.wait(1)
    program.seen(1)
    assert results(engine_name, program) == [0, 1, 0x51]


@pytest.mark.parametrize("polarity", [0, LOW])
def test_a_level_comes_again_after_each_end(engine_name: str, polarity: int) -> None:
    """Until the function's interrupt is taken.  No further one comes before the end."""
    program = with_function(0x51, ends=False)
    program.pin(IRQ, LEVEL | polarity | 0x51)
    program.raw(RAISE)
    program.opened()
    program.get_io(IO_ENTRY + 2 * IRQ)
    program.get(TMR + 0x20)
    program.seen(0)
    program.opened()
    program.seen(0)
    program.put(EOI, 0)
    program.opened()
    program.seen(0)
    program.raw(TAKE_ISR)
    program.put(EOI, 0)
    program.opened()
    program.get_io(IO_ENTRY + 2 * IRQ)
    program.seen(2)
    entry = LEVEL | polarity | 0x51
    assert results(engine_name, program) == [entry | REMOTE_IRR, 1 << 17, 1, 1, 2, entry, 2, 0x51, 0x51]


def test_a_level_at_a_masked_pin_waits(engine_name: str) -> None:
    program = with_function(0x51)
    program.pin(IRQ, LEVEL | MASKED | 0x51)
    program.raw(RAISE)
    program.opened()
    program.seen(0)
    program.raw(TAKE_ISR)
    program.pin(IRQ, LEVEL | 0x51)
    program.opened()
    program.seen(0)
    program.pin(IRQ, LEVEL | MASKED | 0x51)
    program.raw(RAISE)
    program.handler(0x51, TAKE_ISR + program.end())
    program.pin(IRQ, LEVEL | 0x51)
    program.opened()
    program.seen(1)
    assert results(engine_name, program) == [0, 0, 1, 0x51]


def test_a_pin_that_becomes_edge_triggered_forgets_its_level(engine_name: str) -> None:
    """So a kernel ends an interrupt without its local APIC."""
    program = with_function(0x51, ends=False)
    program.pin(IRQ, LEVEL | 0x51)
    program.raw(RAISE)
    program.opened()
    program.pin(IRQ, MASKED | 0x51)
    program.get_io(IO_ENTRY + 2 * IRQ)
    program.pin(IRQ, LEVEL | 0x51)
    program.get_io(IO_ENTRY + 2 * IRQ)
    entry = LEVEL | 0x51
    assert results(engine_name, program) == [MASKED | 0x51, entry | REMOTE_IRR]


@pytest.mark.parametrize(
    ("low", "high", "arrives"),
    [
        (0x51, 0, True),
        (0x51, 0xFF000000, True),
        (0x51, 0x01000000, False),
        (LOGICAL | 0x51, 0x04000000, True),
        (LOGICAL | 0x51, 0x0B000000, False),
        (0x151, 0, True),  # lowest priority
        (0x451, 0, False),  # NMI
        (0x551, 0, False),  # INIT
        (0x751, 0, False),  # the 8259s come through the local APIC
        (0x00F, 0, False),  # an illegal vector
    ],
)
def test_where_an_interrupt_goes(engine_name: str, low: int, high: int, arrives: bool) -> None:
    program = with_function(0x51)
    program.put(LDR, 0x04000000)
    program.pin(IRQ, low, high)
    program.raw(RAISE)
    program.opened()
    program.seen(0)
    assert results(engine_name, program) == [int(arrives)]


def test_both_controllers_have_the_line(engine_name: str) -> None:
    """As in a PC, where the kernel masks all pins of the one that it does not use."""
    program = with_function(0x51)
    program.handler(0x28 + IRQ, TAKE_ISR + out_byte(0x20, 0x20))
    program.raw(out_byte(0x20, 0x11), out_byte(0x21, 0x28), out_byte(0x21, 4), out_byte(0x21, 1))
    program.raw(out_byte(0x21, 0xFF & ~(1 << IRQ)))
    program.pin(IRQ, 0x51)
    program.raw(RAISE)
    program.opened()
    program.seen(2)
    assert results(engine_name, program) == [2, 0x51, 0x28 + IRQ]


@pytest.mark.parametrize("size", [1, 2])
def test_other_accesses_than_of_a_word_do_nothing(engine_name: str, size: int) -> None:
    program = ApicProgram()
    program.put_io(IO_ENTRY + 7, 0x01000000)
    for offset in (0, 1, 2, 3, WINDOW, WINDOW + 1, WINDOW + 2, 0x40, 0xFFF):
        program.raw(mov(EAX, 0x11111111), STORE[size], le32(IO_AT + offset))
    for offset in (1, 2, 4, WINDOW + 1, WINDOW + 2, WINDOW + 4, 0x40, 0xFFC):
        program.raw(mov(EAX, 0x11111111), STORE[4], le32(IO_AT + offset))
        program.raw(b"\xa1", le32(IO_AT + offset))
    program.raw(b"\xa1" + le32(IO_AT + WINDOW))
    program.keep()
    assert results(engine_name, program) == [0x01000000]


@pytest.mark.parametrize("seed", range(4))
def test_random_accesses_harm_nobody(engine_name: str, seed: int) -> None:
    """To both pages, of any size and value, with interrupts off, then on; the Host kernel's memory is whole."""
    r = random.Random(f"apics {seed}")
    program = with_function()
    for _ in range(600):
        page, known = r.choice(((LOCAL_AT, range(0, 0x400, 16)), (IO_AT, (0, WINDOW))))
        at = page + (r.choice(known) if r.random() < 0.8 else r.randrange(0xFFC))
        size, value = r.choice((1, 2, 4, 4, 4)), r.choice((0, 0xFFFFFFFF, r.getrandbits(32), r.randrange(0x40)))
        program.raw(r.choice((mov(EAX, value) + STORE[size] + le32(at), LOAD[size] + le32(at), RAISE)))
    program.opened()  # a vector without a handler of ours ends the program as any trap does
    assert run_program(engine_name, program, more=program.handlers).snapshot.end_kind == L.END_POWER_OFF
