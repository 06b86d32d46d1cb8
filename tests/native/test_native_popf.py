# SPDX-License-Identifier: GPL-2.0-or-later
"""An unmodified kernel that sets its interrupt flag by popf, as Linux did before 5.12.

The tests count exits, not time.  Read next: popf_kernel.S, host_kernel/native/popf.c.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hostile_lab import SECONDS, harmless, image, run_image
from small_kernel import ended, small_kernel

from lguest_py.images import Image
from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher

SOURCE = Path(__file__).resolve().with_name("popf_kernel.S")
DEBUG, GENERAL = 1, 13
MANY = 20000  # saves and restores of the flag at the end of popf_kernel.S, two traps each
OLD, NEW = "5.11.22", "5.12.0"


@cache
def guest(paging: bool, program: bool, version: str = OLD) -> Image:
    """popf_kernel.S as a Linux of this version."""
    return small_kernel(SOURCE, {"PAGING": paging, "PROGRAM": program}, version=version)


@pytest.mark.parametrize("program", [False, True])
@pytest.mark.parametrize("paging", [False, True])
@pytest.mark.parametrize("switcher", ["lean", "classic"])
def test_each_popf_sets_the_flag(engine_name: str, paging: bool, program: bool, switcher: Switcher) -> None:
    vectors = ended(run_image(engine_name, guest(paging, program), switcher=switcher))
    assert 0 < vectors[DEBUG] < MANY / 2
    assert (vectors[GENERAL] > MANY) == (not program), "once a program has run, the Switcher answers cli and popf"


def test_without_it_the_flag_stays_off(engine_name: str) -> None:
    """So that the test above can fail."""
    run = run_image(engine_name, guest(False, False, NEW))
    assert (run.result.outcome.end, run.result.snapshot.guest["eax"]) == (End.HALTED, 3)


def wild(engine_name: str, seed: int) -> None:
    """A random Guest, as a Linux of that age."""
    switcher: Switcher = "classic" if seed % 2 else "lean"
    guest = replace(image("native", seed, False), version=OLD)
    harmless(run_image(engine_name, guest, b"x" * 3000, SECONDS, switcher=switcher))


@pytest.mark.parametrize("seed", range(3))
def test_random_guests_do_no_harm(engine_name: str, seed: int) -> None:
    wild(engine_name, seed)


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(100, 200, 20))
def test_many_random_guests_do_no_harm(engine_name: str, first: int) -> None:
    for seed in range(first, first + 20):
        wild(engine_name, seed)
