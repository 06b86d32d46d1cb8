# SPDX-License-Identifier: GPL-2.0-or-later
"""Stores of an unmodified kernel to the page that holds its GDT and IDT: correct, and rarely single-stepped.

The tests count exits, not time.  Read next: busy_gdt.S, host_kernel/native/write_protect.c.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hostile_lab import run_image
from small_kernel import ended, small_kernel

from lguest_py.images import Image
from lguest_py.launcher.vm_memory import Switcher

SOURCE = Path(__file__).resolve().with_name("busy_gdt.S")
DEBUG, PAGE_FAULT = 1, 14
STEPS = 63  # before a page is opened: STORES_TO_UNPROTECT of write_protect.c, less the one that opens it
CLOSED = 3  # times, by a load of what was hidden


@cache
def guest(paging: bool, writes: bool, changes: int = 1) -> Image:
    """tests/native/busy_gdt.S as a kernel that knows nothing of lguest."""
    return small_kernel(SOURCE, {"PAGING": paging, "WRITES": writes, "CHANGES": changes})


@pytest.mark.parametrize("paging", [False, True])
@pytest.mark.parametrize("switcher", ["lean", "classic"])
def test_a_stack_in_the_gdts_page_is_not_stepped(engine_name: str, paging: bool, switcher: Switcher) -> None:
    vectors = ended(run_image(engine_name, guest(paging, writes=False), switcher=switcher))
    assert 0 < vectors[DEBUG] <= STEPS * (CLOSED + 1)
    assert vectors[PAGE_FAULT] < 1000


@pytest.mark.parametrize("paging", [False, True])
@pytest.mark.parametrize("switcher", ["lean", "classic"])
def test_tables_in_such_a_page_that_change_are_followed(engine_name: str, paging: bool, switcher: Switcher) -> None:
    """From then on each store beside them is stepped: some descriptor in a register might be changed by the next."""
    vectors = ended(run_image(engine_name, guest(paging, writes=True), switcher=switcher))
    assert 500 < vectors[DEBUG] < 5000


@pytest.mark.parametrize("switcher", ["lean", "classic"])
def test_three_descriptors_that_are_stored_together_are_one_trap(engine_name: str, switcher: Switcher) -> None:
    """A change of tasks; the zeroes before them are stepped, six in one instruction."""
    one, more = (
        ended(run_image(engine_name, guest(True, writes=True, changes=changes), switcher=switcher))
        for changes in (1, 101)
    )
    stepped = (more[DEBUG] - one[DEBUG]) / 100
    assert (more[PAGE_FAULT] - one[PAGE_FAULT]) / 100 <= stepped + 1.1
