# SPDX-License-Identifier: GPL-2.0-or-later
"""Lab 1, a null switch: run ``pytest labs/01-null-switch``."""

from __future__ import annotations

from itertools import pairwise

from exercise import Boot, boot_guest, must_power_off, not_yet, number_after

from lguest_py.shared_memory import _layouts as L

LAB, FILE = "01-null-switch", "labs/01-null-switch/guest.c"
ROUNDS = 1000
MUCH = 20  # times as long: not the same thing was measured


def test_1_a_hypercall_that_reaches_the_host_kernel(lguest: Boot) -> None:
    _, result = boot_guest(lguest, LAB)
    must_power_off(result)
    calls, switches = result.snapshot.by_hypercall, result.snapshot.switches
    others = {number: count for number, count in calls.items() if number != L.LHCALL_SEND_INTERRUPTS}
    ordinary = {L.LHCALL_LGUEST_INIT, L.LHCALL_NOTIFY, L.LHCALL_SHUTDOWN, L.LHCALL_FLUSH_ASYNC}
    if strange := sorted(set(others) - ordinary):
        where = "host_kernel/lguest/hypercalls.c"
        not_yet(f"hypercall {strange[0]} gives the Host kernel work to do: find one without, in {where}")
    if not calls.get(L.LHCALL_SEND_INTERRUPTS):
        not_yet(
            f"the Host kernel saw no null hypercall in {switches} world switches. Is null_switch() in {FILE} empty?"
            ' If it is not: the Switcher answered your hypercall by itself; read "hypercall:" in switcher/lean.S'
        )


def test_2_the_fastest_of_a_thousand(lguest: Boot) -> None:
    output, result = boot_guest(lguest, LAB)
    must_power_off(result)
    ticks = number_after(output, "null switch:")
    count = result.snapshot.by_hypercall.get(L.LHCALL_SEND_INTERRUPTS, 0)
    if not ticks:
        not_yet(f"the Guest says 0 ticks: fastest_null_switch() in {FILE} measures nothing")
    if count < ROUNDS:
        not_yet(f"the Host kernel counted {count} null switches, and {ROUNDS} are to be measured")
    null = L.HYPERCALL_VECTOR, L.LHCALL_SEND_INTERRUPTS
    exits = [(each.tsc, (each.trapnum, each.eax) == null) for each in result.snapshot.last]
    rounds = [later - tsc for (tsc, one), (later, other) in pairwise(exits) if one and other]
    if not rounds:
        not_yet("the null switches are not one after the other: print nothing between them")
    if ticks > min(rounds):
        not_yet(
            f"the Guest says {ticks} ticks, but the Host kernel saw null switches that came {min(rounds)} ticks after "
            "each other: print the least, not the sum or the last"
        )
    if ticks * MUCH < min(rounds):
        not_yet(
            f"the Guest says {ticks} ticks, but the Host kernel saw no two null switches closer than {min(rounds)} "
            "ticks: call null_switch() between the two reads of the TSC"
        )
