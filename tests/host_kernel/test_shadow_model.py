# SPDX-License-Identifier: GPL-2.0-or-later
"""Random changes of page tables keep the Host kernel's bookkeeping correct; after a flush the Guest sees its mappings.

Page directories (more than there are shadows for), tables and entries change at random, with and without a hypercall;
with PAE, where there are no hypercalls, with and without a load of CR3 or an invlpg.
Read before: shadow_model.py, script_lab.py, pae_churn_lab.py.
"""

from __future__ import annotations

import pytest
from churn_lab import churn
from hostile_lab import PERSONALITIES, SECONDS, harmless, image, run_image
from pae_churn_lab import churn as pae_churn
from shadow_model import Modelled

from lguest_py.images.image import Personality
from lguest_py.launcher.vm_memory import Switcher


@pytest.mark.parametrize(("seed", "switcher"), [(1, "lean"), (2, "classic")])
def test_churn(engine_name: str, seed: int, switcher: Switcher) -> None:
    churn(engine_name, switcher, seed, 800)


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(10, 50, 10))
def test_much_churn(engine_name: str, first: int) -> None:
    for seed in range(first, first + 10):
        churn(engine_name, "classic" if seed % 2 else "lean", seed, 8000)


@pytest.mark.nightly
@PERSONALITIES
@pytest.mark.parametrize("first", range(2000, 2100, 20))
def test_random_guests_leave_the_books_true(engine_name: str, personality: Personality, first: int) -> None:
    before = len(Modelled.seen)
    for seed in range(first, first + 20):
        guest = image(personality, seed, False)
        switcher: Switcher = "classic" if seed % 2 else "lean"
        harmless(run_image(engine_name, guest, b"x" * 3000, SECONDS, watched=Modelled, switcher=switcher))
    assert len(Modelled.seen) > before, "none ended by itself"


@pytest.mark.parametrize(("seed", "switcher"), [(1, "lean"), (2, "classic")])
def test_churn_with_pae(engine_name: str, seed: int, switcher: Switcher) -> None:
    pae_churn(engine_name, switcher, seed, 800)


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(10, 50, 10))
def test_much_churn_with_pae(engine_name: str, first: int) -> None:
    for seed in range(first, first + 10):
        pae_churn(engine_name, "classic" if seed % 2 else "lean", seed, 2500)


@pytest.mark.parametrize("first", [3000, pytest.param(3010, marks=pytest.mark.nightly)])
def test_random_guests_with_pae_leave_the_books_true(engine_name: str, first: int) -> None:
    before = len(Modelled.seen)
    for seed in range(first, first + 10):
        switcher: Switcher = "classic" if seed % 2 else "lean"
        guest = image("native", seed, False, pae=True)
        harmless(run_image(engine_name, guest, b"x" * 3000, SECONDS, watched=Modelled, switcher=switcher))
    assert len(Modelled.seen) > before, "none ended by itself"
