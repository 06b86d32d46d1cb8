# SPDX-License-Identifier: GPL-2.0-or-later
"""Lab 4, an interrupt: run ``pytest labs/04-interrupt``."""

from __future__ import annotations

from exercise import Boot, boot_guest, end_of, must_answer, must_power_off, not_yet, number_after

from lguest_py.launcher.result import End
from lguest_py.shared_memory import _layouts as L

LAB = "04-interrupt"
GUEST, HANDLER = "labs/04-interrupt/guest.c", "labs/04-interrupt/handler.S"
TICKS = 10
REGISTERS = "", "eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "the carry flag"


def test_1_a_gate_for_the_clock(lguest: Boot) -> None:
    _, result = boot_guest(lguest, LAB)
    if not result.snapshot.interrupts_delivered:
        not_yet(
            "the Host kernel has an interrupt of the clock for this Guest, and no gate to inject it through: "
            f"set_clock_gate() in {GUEST}"
        )


def test_2_a_handler(lguest: Boot) -> None:
    output, result = boot_guest(lguest, LAB)
    if result.outcome.end is not End.POWERED_OFF:
        not_yet(f"{end_of(result)}. Did clock_entry in {HANDLER} return with the stack as it found it?")
    must_answer(output, "the first tick reaches clock_tick()", f"clock_entry in {HANDLER} must call it")


def test_3_sleep_until_it_comes(lguest: Boot) -> None:
    output, result = boot_guest(lguest, LAB)
    must_power_off(result)
    enable = f"Who sets lguest_data.irq_enabled again, after the Host kernel cleared it? See {HANDLER}"
    must_answer(output, "ticks come while the Guest waits", enable)
    halts = result.snapshot.by_hypercall.get(L.LHCALL_HALT, 0)
    if halts < TICKS - 1:
        not_yet(
            f"the Guest halted {halts} times for {TICKS} ticks, so it waited with the processor busy: "
            f"wait_for_tick() in {GUEST}"
        )


def test_4_what_was_interrupted_notices_nothing(lguest: Boot) -> None:
    output, result = boot_guest(lguest, LAB)
    must_power_off(result)
    must_answer(
        output, "ticks come while the Guest works",
        f"HALT enables interrupts, and so must {HANDLER}: lguest_data.irq_enabled between noirq_start and iret",
    )  # fmt: skip
    changed = number_after(output, "register changed:")
    if changed:
        not_yet(f"an interrupt changed {REGISTERS[changed]} of what it interrupted: save it first in {HANDLER}")
    ticks, delivered = number_after(output, "ticks:"), result.snapshot.interrupts_delivered
    if ticks != delivered:
        not_yet(f"the Host kernel injected {delivered} interrupts, and the Guest counted {ticks}: one each")
