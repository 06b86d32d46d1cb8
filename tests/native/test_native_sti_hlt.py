# SPDX-License-Identifier: GPL-2.0-or-later
"""No interrupt comes between a native kernel's sti and hlt, although the Switcher alone sets the flag.

Read next: sti_hlt_kernel.S.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile_lab import run_image
from small_kernel import ended, small_kernel

from lguest_py.launcher.vm_memory import Switcher

SOURCE = Path(__file__).resolve().with_name("sti_hlt_kernel.S")
ROUNDS = 128
SECONDS = 40.0  # of a kernel that sleeps for ever


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize("switcher", ["lean", "classic"])
def test_no_interrupt_comes_between_sti_and_hlt(engine_name: str, switcher: Switcher) -> None:
    image = small_kernel(SOURCE, {"ROUNDS": ROUNDS, "MOST_TICKS": 64})
    vectors = ended(run_image(engine_name, image, seconds=SECONDS, switcher=switcher))
    assert vectors[14] >= ROUNDS, "the page of the hlt was not absent each time"
    assert vectors[13] < 12 * ROUNDS + 100
