# SPDX-License-Identifier: GPL-2.0-or-later
"""Lab 2, a hypercall of your own: run ``pytest labs/02-hypercall``."""

from __future__ import annotations

import re

from exercise import ROOT, Boot, boot_guest, build_tree, end_of, must_answer, must_power_off, not_yet, number_after, run

from lguest_py.launcher.result import End

LAB = "02-hypercall"
NUMBERS, WORK = "switcher/layouts/lguest_abi.h", "host_kernel/lguest/hypercalls.c"
COMMANDS = "guest_kernel/main/commands.c"
NUMBER = 20  # the first that lguest does not have
CALLS = PAGES = 100
FEW = 1000  # world switches for the last lines on the console, and for interrupts meanwhile


def must_have_a_number() -> None:
    found = re.search(r"^#define LHCALL_SWITCHES\s+(\d+)", (ROOT / NUMBERS).read_text(), re.M)
    if not found:
        not_yet(f"there is no line '#define LHCALL_SWITCHES {NUMBER}' in {NUMBERS}")
    if int(found[1]) != NUMBER:
        not_yet(f"LHCALL_SWITCHES is {found[1]} in {NUMBERS}: the first number that lguest does not have is {NUMBER}")
    build_tree()


def test_1_a_number() -> None:
    must_have_a_number()


def test_2_the_number_of_world_switches(lguest: Boot) -> None:
    must_have_a_number()
    output, result = boot_guest(lguest, LAB)
    if f"unknown hypercall {NUMBER}" in result.outcome.reason:
        not_yet(f"{end_of(result)}. hypercall() in {WORK} has no case for LHCALL_SWITCHES")
    must_power_off(result)
    if not number_after(output, "first:"):
        not_yet("the Guest's word is still 0: its physical addresses begin at the Host kernel's machine.guest_base")
    if (calls := number_after(output, "calls later:")) < CALLS:
        not_yet(f"the Guest made {CALLS} hypercalls, each a world switch, and the number grew by {calls}")
    if (faults := number_after(output, "page faults later:")) < PAGES:
        not_yet(f"the Guest touched {PAGES} new pages, each a world switch, and the number grew by {faults}")
    must_answer(output, "nothing beside the word was written", "The word is a u32, and mailbox->switches a u64")
    last, switches = number_after(output, "last:"), result.snapshot.switches
    if not last <= switches <= last + FEW:
        not_yet(f"the last number was {last}, and the Host kernel counted {switches} world switches in all")


def test_3_an_address_that_is_not_the_guests(lguest: Boot) -> None:
    must_have_a_number()
    for where, what in (
        ("far", "0xfffffffe, far beyond the Guest's memory"),
        ("edge", "the last two bytes of the Guest's memory"),
    ):
        output, result = boot_guest(lguest, LAB, command_line=where)
        if "last:" not in output:
            not_yet(f"first the hypercall itself: {end_of(result)}")
        if result.outcome.end is not End.KILLED:
            not_yet(
                f"the Guest named {what}, for a word of 4 bytes, and the Host kernel wrote there, where the Guest has "
                f"no memory ({end_of(result)}). See guest_physical() in host_kernel/memory/guest_physical.h"
            )


def test_4_a_command_of_the_tiny_guest(lguest: Boot) -> None:
    must_have_a_number()
    output, result = run(lguest, None, command_line="run=switches")
    if "no command switches" in output:
        not_yet(f"the tiny Guest has no command 'switches': commands[] in {COMMANDS}")
    must_power_off(result)
    found = re.search(r"(\d+) world switches", output)
    if not found:
        not_yet("the command 'switches' should print 'N world switches': see the console below")
    if not 0 < int(found[1]) <= result.snapshot.switches:
        not_yet(
            f"the tiny Guest says {found[1]}, and the Host kernel counted {result.snapshot.switches}. The Host kernel "
            "takes physical addresses: physical() in guest_kernel/cpu/hypercall.h"
        )
