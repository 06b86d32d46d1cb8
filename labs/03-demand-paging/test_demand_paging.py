# SPDX-License-Identifier: GPL-2.0-or-later
"""Lab 3, demand paging: run ``pytest labs/03-demand-paging``."""

from __future__ import annotations

from exercise import Boot, boot_guest, end_of, must_answer, must_power_off, not_yet, number_after

LAB, FILE = "03-demand-paging", "labs/03-demand-paging/demand.c"
TABLES = 4  # page tables for the heap of 16 MiB


def console(lguest: Boot) -> str:
    """What the Guest printed, which powered off."""
    said, result = boot_guest(lguest, LAB)
    if "bad page table entry" in result.outcome.reason:
        not_yet(f"{end_of(result)}. That is what was in the frame before it became a page table: see paging.c")
    must_power_off(result)
    if "faults again" in said:
        not_yet("page_fault() returned true, but the page is not there: see the address below")
    return said


def test_1_a_page_for_an_address(lguest: Boot) -> None:
    output = console(lguest)
    must_answer(output, "a page of the heap can be used", f"page_fault() in {FILE} must map a frame there")
    must_answer(output, "each page is its own", "Does each page get a frame of its own, in the entry of its address?")


def test_2_a_new_page_is_zero(lguest: Boot) -> None:
    output = console(lguest)
    must_answer(output, "a new page is zero", "frame_alloc() gives frames as they were left, with other data in them")


def test_3_no_more_frames_than_needed(lguest: Boot) -> None:
    output = console(lguest)
    used, pages = number_after(output, "frames used:"), number_after(output, "for pages:")
    if used > pages + TABLES:
        not_yet(f"{used} frames were taken for {pages} pages and {TABLES} page tables: one fault asks for one page")


def test_4_what_is_no_demand_is_refused(lguest: Boot) -> None:
    output = console(lguest)
    must_answer(output, "an address outside of the heap is refused", f"compare with HEAP_START and HEAP_END in {FILE}")
    must_answer(
        output, "a write to a read-only page is refused",
        "the page was there, so no new one was asked for: which bit of the error code says that?",
    )  # fmt: skip
