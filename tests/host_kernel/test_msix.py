# SPDX-License-Identifier: GPL-2.0-or-later
"""MSI-X of a PCI function: messages to the local APIC, masks, and the line that is silent meanwhile.

Source: PCI Local Bus 3.0, 6.8.2.  Read before: tests/lab/devices/apic_lab.py, test_io_apic.py.
"""

from __future__ import annotations

import pytest
from apic_lab import BARS, ESR, IRR, LDR, LEVEL, LOCAL, ApicProgram
from hostile_code import EAX, le32, mov, store
from pci_lab import BAR, IRQ, LOAD, MEMORY, SLOT, STORE, Function, PciMachine, Request, run_program

from lguest_py.shared_memory import _layouts as L

pytestmark = pytest.mark.nightly("kvm")
CAPABILITY, MASK_ALL, ENABLE = 0x40, 0x40000000, 0x80000000
TABLE, PENDING = BARS + L.BAR_MSIX_TABLE, BARS + L.BAR_MSIX_PENDING
QUEUE, CONFIG, BOTH = 0, 4, 8  # offsets of registers whose reads raise an interrupt of these
QUEUE_VECTOR, CONFIG_VECTOR = 1, 0


class MsixProgram(ApicProgram):
    """With vector 0x51 for the queues and 0x61 for the configuration, which the Launcher is said to know."""

    def __init__(self, *, masked: int = 0) -> None:
        super().__init__([0x51, 0x61])
        self.map(BAR, BARS, 4)
        self.entry(QUEUE_VECTOR, 0x51, masked)
        self.entry(CONFIG_VECTOR, 0x61, masked)

    def entry(self, number: int, data: int, masked: int = 0, address: int = LOCAL) -> None:
        """Write an entry of the table."""
        for at, value in ((0, address), (4, 0), (8, data), (12, masked)):
            self.raw(store(TABLE + 16 * number + at, value))

    def control(self, value: int) -> None:
        """Write the capability's control register."""
        self.configure(SLOT, CAPABILITY, value)

    def cause(self, register: int) -> None:
        """Let the function raise an interrupt, and let that come."""
        self.raw(b"\xa1" + le32(BARS + register))
        self.opened()

    def look(self, address: int, size: int = 4) -> None:
        """Read a register and keep it."""
        self.raw(mov(EAX, 0), LOAD[size], le32(address))
        self.keep()


def results(engine_name: str, program: ApicProgram, function: Function | None = None) -> list[int]:
    """What it kept."""
    machine: list[PciMachine] = []

    def answer(request: Request) -> int:
        machine[0].mailbox["vectors", SLOT] = 1 << QUEUE_VECTOR | 1 << CONFIG_VECTOR + L.MSIX_CONFIG
        if request.value is None and request.offset in (QUEUE, BOTH):
            machine[0].count("irq_raised")
        if request.value is None and request.offset in (CONFIG, BOTH):
            machine[0].count("config_raised")
        return 0

    functions = [function or Function(msix=CAPABILITY)]
    done = run_program(engine_name, program, functions, more=program.handlers, answer=answer, made=machine.append)
    assert done.powered_off, done.reason
    return done.results


def test_each_cause_has_its_vector_and_the_line_is_silent(engine_name: str) -> None:
    program = MsixProgram()
    program.pin(IRQ, LEVEL | 0x71)
    program.control(ENABLE)
    for register in (QUEUE, CONFIG, BOTH):
        program.cause(register)
    program.seen(4)
    program.look(BARS + L.BAR_ISR, 1)
    program.look(PENDING)
    assert results(engine_name, program) == [4, 0x51, 0x61, 0x61, 0x51, 0, 0]


def test_before_it_is_enabled_there_is_the_line(engine_name: str) -> None:
    program = MsixProgram()
    program.pin(IRQ, 0x51)
    program.cause(QUEUE)
    program.look(BARS + L.BAR_ISR, 1)
    program.control(ENABLE)
    program.control(0)
    program.cause(CONFIG)
    program.look(BARS + L.BAR_ISR, 1)
    program.seen(2)
    assert results(engine_name, program) == [L.ISR_QUEUE, L.ISR_CONFIG, 2, 0x51, 0x51]


def test_what_waits_at_the_line_does_not_come_by_it_later(engine_name: str) -> None:
    """A kernel that takes MSI-X while the line is high: the line falls."""
    program = MsixProgram()
    program.cause(QUEUE)
    program.control(ENABLE)
    program.pin(IRQ, LEVEL | 0x61)
    program.opened()
    program.seen(0)
    assert results(engine_name, program) == [0]


def test_a_masked_vector_waits(engine_name: str) -> None:
    program = MsixProgram(masked=1)
    program.control(ENABLE)
    program.cause(QUEUE)
    program.cause(QUEUE)
    program.look(PENDING)
    program.seen(0)
    program.raw(store(TABLE + 16 * QUEUE_VECTOR + 12, 0))
    program.look(PENDING)
    program.opened()
    program.seen(1)
    assert results(engine_name, program) == [1 << QUEUE_VECTOR, 0, 0, 1, 0x51]


def test_a_masked_function_waits(engine_name: str) -> None:
    program = MsixProgram()
    program.control(ENABLE | MASK_ALL)
    program.cause(BOTH)
    program.look(PENDING)
    program.seen(0)
    program.control(ENABLE)
    program.opened()
    program.seen(2)
    assert results(engine_name, program) == [3, 0, 2, 0x61, 0x51]


def test_a_reset_of_the_device_forgets_what_waits(engine_name: str) -> None:
    program = MsixProgram(masked=1)
    program.control(ENABLE)
    program.cause(BOTH)
    program.raw(mov(EAX, 0), STORE[1], le32(BARS + 20))  # device_status
    program.look(PENDING)
    assert results(engine_name, program) == [0]


@pytest.mark.parametrize(
    ("address", "data", "arrives"),
    [
        (LOCAL, 0x151, True),  # lowest priority
        (LOCAL, 0x8051, True),  # a level is an edge
        (LOCAL | 0xFF000, 0x51, True),
        (LOCAL | 0x1000, 0x51, False),  # another processor
        (LOCAL | 4 | 0x6000, 0x51, True),  # logical
        (LOCAL | 4 | 0x9000, 0x51, False),
        (LOCAL, 0x451, False),  # NMI
        (0xFEF00000, 0x51, False),
        (0x320000, 0x51, False),  # memory
        (BAR, 0x51, False),
    ],
)
def test_where_a_message_goes(engine_name: str, address: int, data: int, arrives: bool) -> None:
    program = MsixProgram()
    program.put(LDR, 0x02000000)
    program.entry(QUEUE_VECTOR, data, address=address)
    program.control(ENABLE)
    program.cause(QUEUE)
    program.seen(0)
    program.raw(store(0x32E000, 0), b"\xa1" + le32(0x32E000))
    assert results(engine_name, program) == [int(arrives)]


def test_an_illegal_vector_is_an_error(engine_name: str) -> None:
    program = MsixProgram()
    program.entry(QUEUE_VECTOR, 0xF)
    program.control(ENABLE)
    program.cause(QUEUE)
    program.put(ESR, 0)
    program.get(ESR)
    program.get(IRR)
    assert results(engine_name, program) == [0x40, 0]


def test_other_accesses_to_the_table_do_nothing(engine_name: str) -> None:
    program = MsixProgram()
    for size, offset in ((1, 0), (2, 8), (4, 2), (4, 5), (4, 32), (4, 0x400), (4, 0x7FC)):
        program.raw(mov(EAX, 0x11111111), STORE[size], le32(TABLE + 16 + offset))
    for size, offset in ((1, 0), (2, 8), (4, 32), (4, 0x7EC), (4, -20)):
        program.look(TABLE + offset, size)
    for offset in range(0, 32, 4):
        program.look(TABLE + offset)
    program.raw(mov(EAX, 0x11111111), STORE[4], le32(TABLE + 12))
    program.look(TABLE + 12)
    table = [LOCAL, 0, 0x61, 0, LOCAL, 0, 0x51, 0]
    assert results(engine_name, program) == [0, 0, 0, 0, 0, *table, 1]


def test_a_function_without_the_capability_has_no_table(engine_name: str) -> None:
    program = MsixProgram()
    program.look(TABLE)
    program.look(TABLE + 12)
    program.control(ENABLE)
    program.cause(QUEUE)
    program.look(BARS + L.BAR_ISR, 1)
    assert results(engine_name, program, Function(command=MEMORY)) == [0, 1, L.ISR_QUEUE]
