# SPDX-License-Identifier: GPL-2.0-or-later
"""The local APIC of a native Guest: priorities, its timer, what it sends to itself, and hostile accesses.

Source: Intel SDM vol. 3, chapter 11.  Read before: tests/lab/devices/apic_lab.py.  Read next: test_io_apic.py.
"""

from __future__ import annotations

import pytest
from apic_lab import (
    BY_1,
    COUNT,
    CURRENT,
    DFR,
    DIVIDE,
    ENABLED,
    EOI,
    ERROR,
    ESR,
    ICR,
    ICR_HIGH,
    ID,
    INITIAL,
    IRR,
    ISR,
    LDR,
    LINT0,
    LINT1,
    LOCAL,
    LOCAL_AT,
    LOGICAL,
    MASKED,
    PERIODIC,
    PPR,
    SVR,
    TIMER,
    TMR,
    TPR,
    VERSION,
    ApicProgram,
)
from hostile_code import EAX, le32, mov
from interrupt_lab import out_byte
from pci_lab import STORE, run_program

pytestmark = pytest.mark.nightly("kvm")
KHZ = 100_000  # of the timer's clock


def results(engine_name: str, program: ApicProgram) -> list[int]:
    """What it kept, when it has done all."""
    done = run_program(engine_name, program, more=program.handlers)
    assert done.powered_off, done.reason
    return done.results


def test_its_registers_as_firmware_leaves_them(engine_name: str) -> None:
    program = ApicProgram()
    expected = {
        ID: 0, VERSION: 0x50014, TPR: 0, PPR: 0, LDR: 0, DFR: 0xFFFFFFFF, SVR: 0x1FF, ESR: 0, ICR: 0, TIMER: MASKED,
        LINT0: 0x700, LINT1: 0x400, ERROR: MASKED, INITIAL: 0, CURRENT: 0, DIVIDE: 0,
    }  # fmt: skip
    for register in expected:
        program.get(register)
    program.read_base()
    assert results(engine_name, program) == [*expected.values(), LOCAL | 0x900]


@pytest.mark.parametrize(
    ("register", "kept"),
    [
        (ID, 0xFF000000), (VERSION, 0x50014), (TPR, 0xFF), (LDR, 0xFF000000), (DFR, 0xFFFFFFFF), (SVR, 0x3FF),
        (ESR, 0x80), (ICR_HIGH, 0xFF000000), (TIMER, 0x300FF), (0x330, 0x107FF), (0x340, 0x107FF),
        (LINT0, 0x1A7FF), (LINT1, 0x1A7FF), (ERROR, 0x100FF), (DIVIDE, 0xB),
        (ISR, 0), (TMR, 0), (IRR, 0), (CURRENT, 0), (PPR, 0), (0, 0), (0x40, 0), (0x3F0, 0),
    ],
)  # fmt: skip
def test_which_bits_of_a_register_are_kept(engine_name: str, register: int, kept: int) -> None:
    """Of all ones.  A write to a register that is not there is an error of bit 7."""
    program = ApicProgram()
    program.put(0x3F0, 1)
    program.put(register, 0xFFFFFFFF)
    program.get(register)
    assert results(engine_name, program) == [kept]


def test_the_highest_vector_comes_first_and_the_rest_after_its_end(engine_name: str) -> None:
    program = ApicProgram([0x41, 0x45, 0x63, 0xF1])
    for vector in (0x45, 0x63, 0x41, 0xF1):
        program.send(vector)
    program.get(IRR + 0x20)
    program.get(IRR + 0x70)
    program.seen(0)
    program.opened()
    program.get(IRR + 0x20)
    program.seen(4)
    assert results(engine_name, program) == [0x22, 1 << 17, 0, 0, 4, 0xF1, 0x63, 0x45, 0x41]


def test_without_an_end_only_a_higher_class_interrupts(engine_name: str) -> None:
    program = ApicProgram([0x41, 0x4F, 0x50], ends=False)
    program.send(0x41)
    program.opened()
    program.send(0x4F)  # of the same class
    program.opened()
    program.get(PPR)
    program.send(0x50)
    program.opened()
    for register in (PPR, ISR + 0x20, IRR + 0x20):
        program.get(register)
    program.put(EOI, 0)
    program.opened()
    program.get(PPR)
    program.put(EOI, 0)
    program.opened()
    program.seen(3)
    program.put(EOI, 0)
    program.put(EOI, 0)  # there is nothing to end
    program.get(PPR)
    assert results(engine_name, program) == [0x40, 0x50, 1 << 16 | 2, 1 << 15, 0x40, 3, 0x41, 0x50, 0x4F, 0]


def test_the_task_priority_holds_back(engine_name: str) -> None:
    program = ApicProgram([0x51, 0x61])
    program.put(TPR, 0x55)
    program.send(0x51)
    program.opened()
    program.get(PPR)
    program.send(0x61)
    program.opened()
    program.seen(1)
    program.put(TPR, 0x4F)
    program.opened()
    program.seen(2)
    assert results(engine_name, program) == [0x55, 1, 0x61, 2, 0x61, 0x51]


@pytest.mark.parametrize(
    ("command", "high", "arrives"),
    [
        (0x40000 | 0x41, 0, True),
        (0x80000 | 0x41, 0, True),  # all
        (0xC0000 | 0x41, 0, False),  # all others
        (0x41, 0, True),
        (0x141, 0, True),  # lowest priority
        (0x41, 0x01000000, False),
        (0x41, 0xFF000000, True),
        (LOGICAL | 0x41, 0x02000000, True),
        (LOGICAL | 0x41, 0x05000000, False),
        (0x4500, 0, False),  # INIT to itself
        (0x44500, 0, False),
        (0xC4500, 0, False),
        (0xC0600 | 0x10, 0, False),  # startup
        (0x40200, 0, False),  # SMI
        (0x40400, 0, False),  # NMI
    ],
)
def test_what_it_sends(engine_name: str, command: int, high: int, arrives: bool) -> None:
    program = ApicProgram([0x41])
    program.put(LDR, 0x02000000)
    program.put(ICR_HIGH, high)
    program.put(ICR, command)
    program.opened()
    program.seen(1)
    program.get(ICR)
    assert results(engine_name, program) == [int(arrives), 0x41 * arrives, command]


def test_illegal_vectors_are_errors(engine_name: str) -> None:
    program = ApicProgram([0x71])
    program.put(ERROR, 0x71)
    program.send(0xF)
    program.get(ESR)
    program.put(ESR, 0)
    program.get(ESR)
    program.put(ESR, 0)
    program.get(ESR)
    program.opened()
    program.seen(1)
    program.put(TIMER, 3)
    program.put(INITIAL, 1)
    program.wait(2)
    program.put(ESR, 0)
    program.get(ESR)
    assert results(engine_name, program) == [0, 0x20, 0, 1, 0x71, 0x40]


def test_switched_off_by_software_it_takes_nothing(engine_name: str) -> None:
    program = ApicProgram([0x41, 0x51, 0x61])
    program.put(TIMER, 0x61)
    program.send(0x41)
    program.put(SVR, 0xFF)
    program.send(0x51)
    program.opened()
    program.put(TIMER, 0x61)
    for register in (TIMER, LINT0):
        program.get(register)
    program.seen(0)
    program.put(SVR, ENABLED | 0xFF)
    program.opened()
    program.seen(1)
    assert results(engine_name, program) == [MASKED | 0x61, MASKED | 0x700, 0, 1, 0x41]


def test_the_timer_once(engine_name: str) -> None:
    program = ApicProgram([0x61])
    program.put(DIVIDE, BY_1)
    program.put(TIMER, 0x61)
    program.put(INITIAL, 10 * KHZ)
    program.get(CURRENT)
    program.wait(1)
    program.get(CURRENT)
    program.pause(25_000)
    program.opened()
    program.seen(1)
    first, *rest = results(engine_name, program)
    assert 0 < first <= 10 * KHZ
    assert rest == [0, 1, 0x61]


def test_the_timer_again_and_again(engine_name: str) -> None:
    program = ApicProgram([0x61])
    program.put(DIVIDE, BY_1)
    program.put(TIMER, PERIODIC | 0x61)
    program.put(INITIAL, 2 * KHZ)
    program.wait(5)
    program.get(CURRENT)
    program.put(INITIAL, 0)
    program.opened()  # one may have come before
    program.raw(mov(EAX, 0), b"\xa3" + le32(COUNT))
    program.get(CURRENT)
    program.pause(10_000)
    program.opened()
    program.seen(0)
    current, stopped, count = results(engine_name, program)
    assert 0 < current <= 2 * KHZ
    assert (stopped, count) == (0, 0)


@pytest.mark.parametrize(("value", "by"), [(0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (10, 128), (11, 1)])
def test_the_timer_is_divided(engine_name: str, value: int, by: int) -> None:
    """The PIT says how long it ran at least, and the time stamps how long at most."""
    program = ApicProgram()
    program.put(DIVIDE, value)
    program.put(INITIAL, 0xFFFFFFFF)
    for _ in range(2):
        program.get(CURRENT)
        program.raw(b"\x0f\x31")  # after the first read, and after the second one: a little more than between them
        program.keep()
        program.pause(20_000)
    first, start, second, end = results(engine_name, program)
    ticks = (first - second) * by
    assert ticks >= 20 * KHZ - by
    assert 1 / 40 < ticks / ((end - start) % 2**32) < 1 / 5  # a TSC of 0.5 to 4 GHz


def test_a_masked_timer_counts_and_says_nothing(engine_name: str) -> None:
    program = ApicProgram([0x61])
    program.put(TIMER, MASKED | 0x61)
    program.put(INITIAL, KHZ)
    program.pause(20_000)
    program.get(CURRENT)
    program.put(TIMER, 0x61)
    program.opened()
    program.seen(0)
    program.put(INITIAL, KHZ)
    program.wait(1)
    program.seen(1)
    assert results(engine_name, program) == [0, 0, 1, 0x61]


def test_the_shortest_period_leaves_time_to_run(engine_name: str) -> None:
    """It is less than a world switch takes: the program goes on none the less."""
    program = ApicProgram([0x61])
    program.put(DIVIDE, BY_1)
    program.put(TIMER, PERIODIC | 0x61)
    program.put(INITIAL, 1)
    program.put(TPR, 0xF0)  # the timer's exits come, and no interrupt
    program.raw(mov(1, 100_000), b"\xfb\xe2\xfe\xfa")  # sti; loop; cli
    program.put(TPR, 0)
    program.opened()
    program.put(TIMER, MASKED)
    program.seen(1)
    count, vector = results(engine_name, program)
    assert count >= 1
    assert vector == 0x61


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("offset", [0, 1, 2])
def test_other_accesses_than_of_a_word_do_nothing(engine_name: str, size: int, offset: int) -> None:
    program = ApicProgram([0x41])
    program.map(LOCAL, LOCAL_AT + 0x2000, 2)  # and the page behind it, where nothing is
    for register in (TPR, SVR, EOI, ICR, TIMER, INITIAL, DIVIDE):
        program.raw(mov(EAX, 0x41414141), STORE[size], le32(LOCAL_AT + register + offset))
    for register in (TPR + 4, SVR + 1, SVR + 8, ICR + 2, 0x404, 0xFFC, 0x1FFF):
        program.raw(b"\xa1", le32(LOCAL_AT + 0x2000 + register))
        program.raw(mov(EAX, 0x41414141), STORE[4], le32(LOCAL_AT + 0x2000 + register))
    program.raw(mov(EAX, 0), b"\xa0" if size == 1 else b"\x66\xa1", le32(LOCAL_AT + SVR + offset))
    program.keep()
    program.opened()
    program.seen(0)
    for register in (TPR, SVR, ICR, TIMER, INITIAL, DIVIDE):
        program.get(register)
    assert results(engine_name, program) == [0, 0, 0, 0x1FF, 0, MASKED, 0, 0]


def test_the_8259s_come_through_lint0(engine_name: str) -> None:
    """In virtual wire mode, whatever the task priority; and directly when the local APIC is off."""
    program = ApicProgram()
    mask_timer = out_byte(0x43, 0x30) + out_byte(0x40, 1) + out_byte(0x40, 0)
    program.handler(0x20, out_byte(0x20, 0x20))
    program.raw(out_byte(0x20, 0x11), out_byte(0x21, 0x20), out_byte(0x21, 4), out_byte(0x21, 1), out_byte(0x21, 0xFE))
    program.put(TPR, 0xFF)
    program.raw(mask_timer)
    program.wait(1)
    program.put(LINT0, MASKED | 0x700)
    program.raw(mask_timer)
    program.pause(20_000)
    program.opened()
    program.seen(0)
    program.put(LINT0, 0x700)
    program.opened()
    program.seen(0)
    program.put(LINT0, MASKED)
    program.write_base(LOCAL | 0x100)
    program.raw(mask_timer)
    program.wait(3)
    program.get(SVR)
    program.write_base(LOCAL | 0x900)
    for register in (SVR, LINT0):
        program.get(register)
    assert results(engine_name, program) == [1, 2, 0xFFFFFFFF, 0xFF, MASKED]


@pytest.mark.parametrize("value", [0xFEE00D00, 0xFEF00900, 0xFEE00800, 0xFEE00900 | 1])
def test_it_cannot_be_moved(engine_name: str, value: int) -> None:
    program = ApicProgram([13], ends=False)
    fault = next(iter(program.handlers))
    program.handlers[fault] = b"\xff\x05" + le32(COUNT) + b"\x83\xc4\x04\x83\x04\x24\x02\xcf"  # the error code; wrmsr
    program.write_base(value)
    program.seen(0)
    program.read_base()
    assert results(engine_name, program) == [1, LOCAL | 0x900]
