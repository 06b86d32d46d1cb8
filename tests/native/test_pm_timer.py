# SPDX-License-Identifier: GPL-2.0-or-later
"""The ACPI PM timer of a native Guest.

Source: ACPI specification 4.8.3.3.  Read before: tests/lab/devices/apic_lab.py.
"""

from __future__ import annotations

from apic_lab import ApicProgram
from hostile_code import EAX, EDX, mov
from pci_lab import IN, OUT, run_program

from lguest_py.shared_memory import _layouts as L

HZ = 3579545


def test_it_counts_at_its_rate(engine_name: str) -> None:
    """The PIT says how long it ran at least, and the time stamps how long at most.  A write changes nothing."""
    program = ApicProgram()
    for _ in range(2):
        program.raw(mov(EDX, L.ACPI_PM_TIMER), mov(EAX, 0), OUT[4], IN[4])
        program.keep()
        program.raw(b"\x0f\x31")
        program.keep()
        program.pause(20_000)
    first, start, second, end = run_program(engine_name, program).results
    ticks = (second - first) % 2**32
    assert ticks >= HZ // 50
    assert HZ / 4.1e9 < ticks / ((end - start) % 2**32) < HZ / 0.5e9


def test_its_bytes_can_be_read(engine_name: str) -> None:
    """The highest one changes each 4.7 seconds."""
    program = ApicProgram()
    program.raw(mov(EDX, L.ACPI_PM_TIMER), IN[4])
    program.keep()
    program.raw(mov(EDX, L.ACPI_PM_TIMER + 3), mov(EAX, 0), IN[1])
    program.keep()
    whole, byte = run_program(engine_name, program).results
    assert byte in (whole >> 24, (whole >> 24) + 1)
