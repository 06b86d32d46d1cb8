# SPDX-License-Identifier: GPL-2.0-or-later
"""The native PC's serial port and interrupt controllers, register by register, as their data sheets have them.

Each step of a Guest that the test writes is checked: National's PC16550D and Intel's 8259A.  Read before:
tests/lab/port_guest.py.  Read next: tests/linux/test_bulk_input.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from port_guest import FCR, IER, IIR, LCR, LSR, MCR, MSR, SCR, THR, PortGuest

from lguest_py.shared_memory._layouts import INPUT_BYTES

LOOP, DTR_RTS, OUT2 = 0x10, 0x03, 0x08
NONE, TIMEOUT, EMPTY, RECEIVED, STATUS, MODEM = 0xC1, 0xCC, 0xC2, 0xC4, 0xC6, 0xC0  # with the FIFO on
PIC, PIC_DATA, ELCR = 0x20, 0x21, 0x4D0
REQUESTS, SERVICE, POLL, EOI = 0x0A, 0x0B, 0x0C, 0x20
FOUND = 0x80
TYPED = bytes(range(65, 105))


class Steps(PortGuest):
    """A PortGuest that knows what it should read."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted: list[int] = []

    def see(self, port: int, *values: int) -> None:
        """Reading the port gives these."""
        self.get(port, len(values))
        self.wanted += values

    def pic(self, command: int, *values: int) -> None:
        """So does the interrupt controller after a command."""
        self.put(PIC, command)
        self.see(PIC, *values)

    def begin_pic(self, last: int = 1, mask: int = 0xEE) -> None:
        """Initialise the first controller: base 0x20; the clock and the serial port are open."""
        self.put(PIC, 0x11)
        self.put(PIC_DATA, 0x20, 4, last, mask)

    def begin_clock(self) -> None:
        """Interrupt 0, once, soon."""
        self.put(0x43, 0x30)
        self.put(0x40, 1, 0)
        self.wait()

    def check(self, engine_name: str, typed: bytes = b"") -> None:
        assert self.run(engine_name, typed) == self.wanted


@pytest.fixture
def guest() -> Steps:
    return Steps()


@pytest.mark.parametrize(("control", "level"), [(0x01, 1), (0x41, 4), (0x81, 8), (0xC1, 14)])
def test_bytes_interrupt_from_the_trigger_level_on(engine_name: str, guest: Steps, control: int, level: int) -> None:
    guest.put(FCR, control)
    guest.put(MCR, LOOP)
    guest.put(IER, 1)
    guest.see(IIR, NONE)
    guest.put(THR, *range(level))
    guest.see(IIR, RECEIVED)
    guest.put(THR, 99)
    guest.see(THR, *range(level))
    guest.wait()  # 99 is below the level, but for the lowest
    guest.see(IIR, RECEIVED if level == 1 else TIMEOUT)
    guest.see(THR, 99)
    guest.see(IIR, NONE)
    guest.see(LSR, 0x60)
    guest.check(engine_name)


def test_the_fifo_holds_sixteen_and_what_more_comes_is_an_overrun(engine_name: str, guest: Steps) -> None:
    guest.put(FCR, 0x81)
    guest.put(MCR, LOOP)
    guest.put(THR, *range(17))
    guest.see(LSR, 0x63, 0x61)
    guest.see(THR, *range(16))
    guest.see(LSR, 0x60)
    guest.check(engine_name)


def test_without_the_fifo_there_is_one_byte(engine_name: str, guest: Steps) -> None:
    guest.put(MCR, LOOP)
    guest.put(IER, 1)
    guest.see(IIR, 0x01)
    guest.put(THR, 7)
    guest.see(IIR, 0x04)
    guest.put(THR, 8)  # over the first one
    guest.see(LSR, 0x63)
    guest.see(THR, 8)
    guest.see(LSR, 0x60)
    guest.see(IIR, 0x01)
    guest.check(engine_name)


def test_the_fifo_can_be_emptied(engine_name: str, guest: Steps) -> None:
    guest.put(MCR, LOOP)
    for empty in (0x03, 0x00, 0x01):  # its reset bit; off, and on again
        guest.put(FCR, 0x01)
        guest.put(THR, 1, 2)
        guest.see(LSR, 0x61)
        guest.put(FCR, 0x41)  # only another level
        guest.see(LSR, 0x61)
        guest.put(FCR, 0x00 if empty == 0x01 else empty)
        guest.put(FCR, empty)
        guest.see(LSR, 0x60)
        guest.see(IIR, 0x01 if empty == 0x00 else NONE)
    guest.check(engine_name)


def test_the_causes_of_an_interrupt_have_an_order(engine_name: str, guest: Steps) -> None:
    guest.put(FCR, 0x01)
    guest.put(MCR, LOOP)
    guest.see(MSR, 0x0B)  # the lines of before fell
    guest.put(THR, *range(17))
    guest.put(MCR, LOOP | DTR_RTS)
    guest.put(IER, 0x0F)
    guest.see(IIR, STATUS, STATUS)
    guest.see(LSR, 0x63)
    guest.see(IIR, RECEIVED)
    guest.see(THR, *range(16))
    guest.see(IIR, EMPTY, MODEM, MODEM)
    guest.see(MSR, 0x33, 0x30)
    guest.see(IIR, NONE)
    guest.check(engine_name)


def test_the_modem_lines_in_loopback(engine_name: str, guest: Steps) -> None:
    guest.see(MSR, 0xB0)
    guest.put(MCR, LOOP | 0x04)
    guest.see(MSR, 0x4B)  # ring begins, of which nobody hears
    guest.put(MCR, LOOP)
    guest.see(MSR, 0x04, 0x00)  # its end
    guest.put(MCR, LOOP | 0x0F)
    guest.see(MSR, 0xFB, 0xF0)
    guest.check(engine_name)


def test_the_transmitter_interrupts_when_it_is_empty(engine_name: str, guest: Steps) -> None:
    guest.put(FCR, 0x01)
    guest.put(IER, 2)
    guest.see(IIR, EMPTY, NONE)
    guest.put(IER, 2)
    guest.see(IIR, NONE)
    guest.put(IER, 0, 2)
    guest.see(IIR, EMPTY, NONE)
    guest.put(THR, 65)
    guest.see(IIR, EMPTY, NONE)
    guest.check(engine_name)


def test_the_divisor_hides_two_registers(engine_name: str, guest: Steps) -> None:
    guest.put(IER, 5)
    guest.put(LCR, 0x83)
    guest.put(THR, 1)
    guest.put(IER, 2)
    guest.see(THR, 1)
    guest.see(IER, 2)
    guest.put(LCR, 3)
    guest.see(IER, 5)
    guest.put(SCR, 0x5A)
    guest.see(SCR, 0x5A)
    guest.check(engine_name)


# --- at the interrupt controller --------------------------------------------------------------------------------------


def test_an_edge_interrupts_once_and_each_byte_sent_is_one(engine_name: str, guest: Steps) -> None:
    guest.begin_pic()
    guest.put(IER, 2)
    guest.pic(REQUESTS, 0)  # OUT2 is the gate
    guest.put(MCR, OUT2)
    guest.pic(REQUESTS, 0x10)
    guest.pic(POLL, FOUND | 4)
    guest.pic(REQUESTS, 0)
    guest.pic(SERVICE, 0x10)
    guest.put(PIC, EOI)
    guest.pic(SERVICE, 0)
    guest.pic(POLL, 0)  # the line is high still
    guest.put(THR, 65)  # it falls, and rises
    guest.pic(REQUESTS, 0x10)
    guest.see(IIR, 0x02)  # it falls: the request is withdrawn
    guest.pic(REQUESTS, 0)
    guest.pic(POLL, 0)
    guest.put(IER, 0, 2)
    guest.pic(POLL, FOUND | 4)
    guest.put(IER, 0, 2)  # an edge while the one before is in service
    guest.pic(REQUESTS, 0x10)
    guest.pic(POLL, 0)
    guest.put(PIC, EOI)
    guest.pic(POLL, FOUND | 4)
    guest.check(engine_name)


def test_loopback_closes_the_gate(engine_name: str, guest: Steps) -> None:
    guest.begin_pic()
    guest.put(IER, 2)
    guest.put(MCR, OUT2 | LOOP)
    guest.pic(REQUESTS, 0)
    guest.put(MCR, OUT2)
    guest.pic(REQUESTS, 0x10)
    guest.check(engine_name)


def test_a_masked_edge_is_kept(engine_name: str, guest: Steps) -> None:
    guest.begin_pic(mask=0xFF)
    guest.put(MCR, OUT2)
    guest.put(IER, 2)
    guest.pic(POLL, 0)
    guest.put(PIC_DATA, 0xEF)
    guest.pic(POLL, FOUND | 4)
    guest.check(engine_name)


def test_a_level_interrupts_as_long_as_it_lasts(engine_name: str, guest: Steps) -> None:
    guest.begin_pic()
    guest.put(MCR, OUT2)
    guest.put(IER, 2)
    guest.pic(POLL, FOUND | 4)
    guest.put(PIC, EOI)
    guest.put(ELCR, 0xFF)
    guest.see(ELCR, 0xF8)  # the clock, the keyboard and the second controller are never so
    guest.put(ELCR + 1, 0xFF)
    guest.see(ELCR + 1, 0xDE)
    guest.pic(POLL, FOUND | 4)
    guest.pic(REQUESTS, 0x10)
    guest.put(PIC, EOI)
    guest.begin_pic()
    guest.pic(POLL, FOUND | 4)
    guest.put(PIC, EOI)
    guest.see(IIR, 0x02)
    guest.pic(POLL, 0)
    guest.check(engine_name)


def test_initialisation_forgets_edges(engine_name: str, guest: Steps) -> None:
    guest.begin_pic()
    guest.put(MCR, OUT2)
    guest.put(IER, 2)
    guest.pic(REQUESTS, 0x10)
    guest.begin_pic()
    guest.pic(REQUESTS, 0)
    guest.put(IER, 0, 2)
    guest.pic(REQUESTS, 0x10)
    guest.check(engine_name)


def both(guest: Steps, last: int = 1) -> None:
    """The clock and the serial port request."""
    guest.begin_pic(last)
    guest.put(MCR, OUT2)
    guest.put(IER, 2)
    guest.begin_clock()
    guest.pic(REQUESTS, 0x11)


def test_the_lower_number_is_first_and_keeps_the_other_back(engine_name: str, guest: Steps) -> None:
    both(guest)
    guest.pic(POLL, FOUND)
    guest.pic(POLL, 0)
    guest.put(PIC, EOI)
    guest.pic(POLL, FOUND | 4)
    guest.put(PIC, 0x63)  # the end of another one
    guest.pic(SERVICE, 0x10)
    guest.put(PIC, 0x64)
    guest.pic(SERVICE, 0)
    guest.check(engine_name)


def test_priorities_rotate(engine_name: str, guest: Steps) -> None:
    both(guest)
    guest.put(PIC, 0xC3)  # 3 is lowest, so 4 is highest
    guest.pic(POLL, FOUND | 4)
    guest.pic(POLL, 0)
    guest.put(PIC, 0xA0)  # its end, and it is lowest now
    guest.put(IER, 0, 2)
    guest.pic(POLL, FOUND)
    guest.put(PIC, EOI)
    guest.pic(POLL, FOUND | 4)
    guest.put(PIC, 0xE4)  # a certain one's end, the same way
    guest.pic(SERVICE, 0)
    guest.check(engine_name)


def test_an_automatic_end(engine_name: str, guest: Steps) -> None:
    both(guest, last=3)
    guest.pic(POLL, FOUND)
    guest.pic(SERVICE, 0)
    guest.pic(POLL, FOUND | 4)
    guest.check(engine_name)


def test_special_mask_mode_lets_lower_ones_through(engine_name: str, guest: Steps) -> None:
    both(guest)
    guest.pic(POLL, FOUND)
    guest.put(PIC_DATA, 0xEF)
    guest.pic(POLL, 0)
    guest.put(PIC, 0x68)
    guest.pic(POLL, FOUND | 4)
    guest.put(PIC, EOI)  # of one that is not masked
    guest.pic(SERVICE, 0x01)
    guest.put(PIC, 0x48, EOI)
    guest.pic(SERVICE, 0)
    guest.check(engine_name)


# --- input ------------------------------------------------------------------------------------------------------------


def take_burst(guest: Steps, data: Sequence[int]) -> None:
    """Wait for input, stop the line, and read this from a FIFO that holds no more."""
    guest.put(MCR, OUT2 | DTR_RTS)
    guest.until(LSR, 1, 1)
    guest.put(MCR, OUT2)
    guest.see(IIR, RECEIVED)
    guest.see(THR, *data)
    guest.see(LSR, 0x60)
    guest.see(IIR, NONE)


def test_input_comes_by_the_fifo_and_stops_with_rts(engine_name: str, guest: Steps) -> None:
    guest.begin_pic()
    guest.put(FCR, 0xC1)
    guest.put(IER, 1)
    take_burst(guest, TYPED[:16])
    guest.pic(POLL, 0)  # the request went with the last byte
    guest.check(engine_name, TYPED)


def test_each_burst_is_an_edge_and_the_rest_times_out(engine_name: str, guest: Steps) -> None:
    guest.begin_pic(last=3)
    guest.put(FCR, 0xC1)
    guest.put(IER, 1)
    for start in (0, 16):
        guest.put(MCR, OUT2 | DTR_RTS)
        guest.until(LSR, 1, 1)
        guest.put(MCR, OUT2)
        guest.pic(POLL, FOUND | 4)
        guest.see(THR, *TYPED[start : start + 16])
        guest.pic(POLL, 0)
    guest.put(MCR, OUT2 | DTR_RTS)
    guest.until(IIR, 0xFF, TIMEOUT)  # eight, and a Ctrl-D
    guest.pic(POLL, FOUND | 4)
    guest.see(THR, *TYPED[32:])
    guest.check(engine_name, TYPED)


def test_a_driver_that_reads_until_the_port_is_empty_finds_it_so(engine_name: str, guest: Steps) -> None:
    sent = bytes(n % 251 for n in range(INPUT_BYTES - 1))  # all of it is there from the start
    guest.put(FCR, 0x81)
    guest.put(MCR, OUT2 | DTR_RTS)
    guest.put(IER, 1)
    guest.until(LSR, 1, 1)
    guest.drain()
    read = int.from_bytes(guest.run(engine_name, sent), "little")
    assert 16 <= read < len(sent)


def test_a_driver_that_polls_gets_input_too(engine_name: str, guest: Steps) -> None:
    guest.put(FCR, 0x01)
    guest.put(MCR, DTR_RTS)
    for byte in TYPED:
        guest.until(LSR, 1, 1)
        guest.see(THR, byte)
    guest.check(engine_name, TYPED)


def test_input_waits_for_a_driver_that_starts(engine_name: str, guest: Steps) -> None:
    guest.put(FCR, 0x07)
    guest.put(MCR, OUT2 | DTR_RTS)
    guest.wait()
    guest.get(THR)  # as drivers do, to be rid of what lies there
    guest.wanted.append(0)
    guest.see(LSR, 0x60)
    guest.put(FCR, 0x07)
    guest.put(IER, 1)
    guest.until(LSR, 1, 1)
    guest.see(THR, *TYPED[:16])
    guest.check(engine_name, TYPED)


def test_without_the_fifo_input_comes_byte_by_byte(engine_name: str, guest: Steps) -> None:
    guest.put(MCR, OUT2 | DTR_RTS)
    guest.put(IER, 1)
    for byte in TYPED:
        guest.until(LSR, 1, 1)
        guest.see(IIR, 0x04)
        guest.see(THR, byte)
    guest.check(engine_name, TYPED)
