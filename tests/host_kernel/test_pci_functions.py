# SPDX-License-Identifier: GPL-2.0-or-later
"""The PCI bus as a Guest sees it: configuration space, BAR 0, the window, in both personalities.

Sources: PCI Local Bus 3.0, 3.2.2.3.2 and 6.2.5.1; virtio 1.2, 4.1.4.  Read before: tests/lab/devices/pci_lab.py.
"""

from __future__ import annotations

import pytest
from hostile_code import EAX, EDX, le32, mov
from hostile_lab import PERSONALITIES
from pci_lab import (
    BAR_REGISTER,
    COMMAND,
    DATA_PORT,
    EMERGENCY,
    ENABLE,
    IN,
    MEMORY,
    OUT,
    SLOT,
    WINDOW,
    WINDOW_BASE,
    WINDOW_BYTES,
    Function,
    Program,
    Request,
    run_program,
)

from lguest_py.images.image import Personality
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L

ONES = 0xFFFFFFFF
BOTH_SWITCHERS = pytest.mark.parametrize("switcher", ["lean", "classic"])


def echo(request: Request) -> int:
    """A register that tells its offset."""
    return 0xA5000000 | request.offset


@PERSONALITIES
def test_configuration_space(engine_name: str, personality: Personality) -> None:
    program = Program(personality)
    expected = []
    for register, size, value in ((0, 4, 0x10431AF4), (0, 2, 0x1AF4), (2, 2, 0x1043), (1, 1, 0x1A), (3, 1, 0x10)):
        program.config(SLOT, register, size)
        expected.append(value)
    program.config(SLOT + 1, 0)  # there is nothing
    program.config(SLOT + 1, 2, 2)
    program.config(SLOT, 0, extra=1 << 16)  # bus 1
    program.config(SLOT, 0, extra=1 << 8)  # function 1
    expected += [ONES, 0xFFFF, ONES, ONES]
    program.raw(mov(EAX, ENABLE | 0x1234), mov(EDX, 0xCF8), OUT[4], mov(EAX, 0), IN[4])
    program.keep()
    program.raw(mov(EAX, 0), OUT[2], mov(EAX, 0), IN[4])  # only a write of four bytes changes it
    program.keep()
    expected += [ENABLE | 0x1234, ENABLE | 0x1234]
    program.raw(mov(EAX, SLOT << 11), OUT[4], mov(EDX, DATA_PORT), IN[4])  # not enabled
    program.keep()
    expected += [ONES]
    for port in (DATA_PORT + 1, DATA_PORT + 3):  # beyond the data register
        program.address(SLOT, 0)
        program.raw(mov(EDX, port), mov(EAX, 0), IN[4])
        program.keep()
        expected += [ONES]
    assert run_program(engine_name, program).results == expected


@PERSONALITIES
def test_only_what_is_writable_changes(engine_name: str, personality: Personality) -> None:
    program = Program(personality)
    for register, value, size in ((0, ONES, 4), (COMMAND, 0xFFFF, 2), (0x3C, 0x2A, 1), (0x3D, 0x55, 1), (0x41, 7, 1)):
        program.configure(SLOT, register, value, size)
    for register in (0, COMMAND, 0x3C, 0x40):
        program.config(SLOT, register)
    done = run_program(engine_name, program)
    assert done.results == [0x10431AF4, 0x406, 0x2A, 0]


@BOTH_SWITCHERS
@PERSONALITIES
def test_a_bar_is_sized_and_moved(engine_name: str, personality: Personality, switcher: Switcher) -> None:
    moved = WINDOW_BASE + 0x40000
    program = Program(personality)
    program.map()
    program.load(0)
    program.configure(SLOT, BAR_REGISTER, ONES)
    program.config(SLOT, BAR_REGISTER)
    program.configure(SLOT, BAR_REGISTER, moved)
    program.config(SLOT, BAR_REGISTER)
    program.load(0)
    program.map(moved)
    program.load(0)
    expected = [0xA5000000, ONES & ~(L.BAR_BYTES - 1), moved, ONES, 0xA5000000]
    assert run_program(engine_name, program, answer=echo, switcher=switcher).results == expected


@PERSONALITIES
def test_a_bar_that_is_switched_off(engine_name: str, personality: Personality) -> None:
    program = Program(personality)
    program.map()
    program.configure(SLOT, COMMAND, 0, 2)
    program.load(0)
    program.store(L.BAR_NOTIFY, 0)
    program.configure(SLOT, COMMAND, MEMORY, 2)
    program.load(0)
    done = run_program(engine_name, program, answer=echo)
    assert done.results == [ONES, 0xA5000000]
    assert not done.notified


@pytest.mark.parametrize(
    "place", [0, 0x300000, WINDOW_BASE - L.BAR_BYTES, WINDOW_BASE + WINDOW_BYTES, 0xFFFFC000, WINDOW_BASE + 0xFC000]
)
@PERSONALITIES
def test_a_bar_elsewhere_is_not_decoded(engine_name: str, personality: Personality, place: int) -> None:
    """It is then not where it was, and memory below it is memory still."""
    program = Program(personality)
    program.map()
    program.configure(SLOT, BAR_REGISTER, place)
    program.load(0)
    program.raw(mov(EAX, 0x12345678), b"\xa3" + le32(0x300000), mov(EAX, 0), b"\xa1" + le32(0x300000))
    program.keep()
    inside = WINDOW_BASE <= place <= WINDOW_BASE + WINDOW_BYTES - L.BAR_BYTES
    if inside:
        program.map(place)
        program.load(0)
    done = run_program(engine_name, program, answer=echo)
    assert done.results == [ONES, 0x12345678] + [0xA5000000] * inside
    assert len(done.requests) == inside


@BOTH_SWITCHERS
@PERSONALITIES
def test_registers_of_every_width(engine_name: str, personality: Personality, switcher: Switcher) -> None:
    program = Program(personality)
    program.map()
    requests, expected = [], []
    for page in (L.BAR_COMMON, L.BAR_DEVICE):
        for size, offset in ((1, 0x14), (2, 0x16), (4, 0x20), (1, 0xFFF), (2, 0xFFE), (4, 0xFFC), (1, 3)):
            program.load(page + offset, size)
            program.store(page + offset, 0xCAFE0081 + offset, size)
            mask = (1 << 8 * size) - 1
            requests += [
                Request(SLOT, page + offset, size, None),
                Request(SLOT, page + offset, size, 0xCAFE0081 + offset & mask),
            ]
            expected.append((0xA5000000 | page + offset) & mask)
    done = run_program(engine_name, program, answer=echo, switcher=switcher)
    assert done.requests == requests
    assert done.results == expected


@PERSONALITIES
def test_a_misaligned_access_is_done_by_bytes(engine_name: str, personality: Personality) -> None:
    """One that crosses pages has each byte where it belongs: memory, or another page of the BAR."""
    program = Program(personality)
    program.map()
    program.load(1, 4)
    program.load(L.BAR_ISR - 2, 4)
    program.store(0x13, 0x44332211, 2)
    done = run_program(engine_name, program, answer=lambda request: request.offset & 0xFF)
    assert done.results == [0x04030201, 0x0000FFFE]
    assert [request.size for request in done.requests] == [1] * 8
    assert [(each.offset, each.value) for each in done.requests[-2:]] == [(0x13, 0x11), (0x14, 0x22)]


@pytest.mark.parametrize("polls", [0, 200])
@PERSONALITIES
def test_a_notify_is_one_record_and_no_wait(engine_name: str, personality: Personality, polls: int) -> None:
    program = Program(personality)
    program.map()
    for size, queue in ((2, 0), (4, 1), (1, 2), (2, 1023)):
        program.store(L.BAR_NOTIFY + 4 * queue, queue, size)
    program.load(L.BAR_NOTIFY)
    program.load(L.BAR_ISR, 4)
    done = run_program(engine_name, program, polls=polls)
    assert done.notified == [L.NOTIFY_PCI | SLOT << 16 | queue for queue in (0, 1, 2, 1023)]
    assert done.results == [0, 0]
    assert not done.requests


# --- the window of configuration space --------------------------------------------------------------------------------


def through_window(program: Program, offset: int, length: int, value: int | None, bar: int = 0) -> None:
    """Reach BAR 0 as virtio 1.2, 4.1.4.9 has it."""
    program.configure(SLOT, WINDOW + 4, bar, 1)
    program.configure(SLOT, WINDOW + 8, offset)
    program.configure(SLOT, WINDOW + 12, length)
    if value is None:
        program.config(SLOT, WINDOW + 16)
    else:
        program.configure(SLOT, WINDOW + 16, value)


@PERSONALITIES
def test_registers_through_the_window(engine_name: str, personality: Personality) -> None:
    """The BAR need not even be switched on."""
    program = Program(personality)
    through_window(program, 0x14, 1, None)
    through_window(program, L.BAR_DEVICE + 4, 4, None)
    through_window(program, 0x16, 2, 0x12345678)
    through_window(program, L.BAR_NOTIFY + 4 * 5, 2, 0)
    done = run_program(engine_name, program, [Function(command=0)], answer=echo)
    assert done.results == [0xA5000014, 0xA5002004]
    assert done.requests[2:] == [Request(SLOT, 0x16, 2, 0x5678)]
    assert done.notified == [L.NOTIFY_PCI | SLOT << 16 | 5]


@PERSONALITIES
def test_the_early_console_needs_no_launcher(engine_name: str, personality: Personality) -> None:
    program = Program(personality)
    for letter in b"early\n":
        through_window(program, EMERGENCY, 4, letter)
    done = run_program(engine_name, program)
    assert done.text == b"early\n"
    assert not done.requests


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize(
    ("offset", "length", "bar"),
    [
        (0, 0, 0),
        (0, 3, 0),
        (0, 8, 0),
        (0, ONES, 0),
        (1, 2, 0),
        (2, 4, 0),
        (L.BAR_BYTES, 4, 0),
        (ONES, 1, 0),
        (0xFFFFFFFC, 4, 0),
        (0x80000000, 4, 0),
        (0, 4, 1),
        (0, 4, 255),
    ],
)
@PERSONALITIES
def test_a_window_that_is_not_valid(
    engine_name: str, personality: Personality, offset: int, length: int, bar: int
) -> None:
    """What is written reaches nothing, and the machine goes on."""
    program = Program(personality)
    through_window(program, offset, length, 0x41414141, bar)
    through_window(program, offset, length, None, bar)
    through_window(program, 0, 4, None)
    done = run_program(engine_name, program, answer=echo)
    assert done.requests == [Request(SLOT, 0, 4, None)]
    assert done.results[1] == 0xA5000000
    assert not done.text
