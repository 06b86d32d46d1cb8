# SPDX-License-Identifier: GPL-2.0-or-later
"""As test_hostile.py, for native Guests whose page tables have the form of PAE.

Their tables change at random, in halves, with NX, reserved bits, large pages, and addresses from 4 GiB on.
Read before: tests/lab/hostile_pae.py.
"""

from __future__ import annotations

import pytest
from hostile_lab import LONG, SECONDS, harmless, image, image_of, run, run_image
from shadow_model import Modelled

from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher

SEEDS, GROUP = range(8), 20


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_guest_with_pae_does_no_harm(engine_name: str, seed: int) -> None:
    assert not run(engine_name, "native", seed, SECONDS, pae=True).failures


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_a_random_program_does_not_kill_its_kernel_with_pae(engine_name: str, seed: int) -> None:
    done = harmless(run(engine_name, "native", seed, LONG, sane=True, pae=True))
    outcome = done.result.outcome
    assert outcome.end is End.POWERED_OFF or "virtual-8086" in outcome.reason, outcome
    assert done.result.pae


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(len(SEEDS), len(SEEDS) + 10 * GROUP, GROUP))
def test_many_random_guests_with_pae_do_no_harm(engine_name: str, first: int) -> None:
    seeds = range(first, first + GROUP)
    failures = {seed: run(engine_name, "native", seed, SECONDS, pae=True).failures for seed in seeds}
    assert not {seed: found for seed, found in failures.items() if found}


@pytest.mark.parametrize("first", [3000, pytest.param(3010, marks=pytest.mark.nightly)])
def test_random_guests_with_pae_leave_the_books_true(engine_name: str, first: int) -> None:
    before = len(Modelled.seen)
    for seed in range(first, first + 10):
        switcher: Switcher = "classic" if seed % 2 else "lean"
        guest = image("native", seed, False, pae=True)
        harmless(run_image(engine_name, guest, b"x" * 3000, SECONDS, watched=Modelled, switcher=switcher))
    assert len(Modelled.seen) > before, "none ended by itself"


def test_random_guests_with_pae_live_and_reach_their_programs(engine_name: str) -> None:
    runs = [run(engine_name, "native", seed, SECONDS, pae=True).result.snapshot for seed in SEEDS]
    if not any(3 in each.rings and each.switches > 100 for each in runs):  # on a busy machine
        runs = [run(engine_name, "native", seed, 20 * SECONDS, pae=True).result.snapshot for seed in SEEDS]
    assert any(3 in each.rings for each in runs)
    assert max(each.switches for each in runs) > 100
    assert len({vector for each in runs for vector in each.by_vector}) > 5


def test_a_guest_with_pae_that_does_nothing_wrong_powers_off(engine_name: str) -> None:
    done = harmless(run_image(engine_name, image_of("native", b"\x90", pae=True)))
    assert (done.result.outcome.end, done.result.pae) == (End.POWERED_OFF, True)
