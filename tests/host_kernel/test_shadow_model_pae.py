# SPDX-License-Identifier: GPL-2.0-or-later
"""As test_shadow_model.py, for a Guest with PAE: after a load of CR3 it sees its mappings, and the books stay true.

Read before: tests/lab/pae_churn_lab.py.
"""

from __future__ import annotations

import pytest
from pae_churn_lab import churn

from lguest_py.launcher.vm_memory import Switcher


@pytest.mark.parametrize(("seed", "switcher"), [(1, "lean"), (2, "classic")])
def test_churn_with_pae(engine_name: str, seed: int, switcher: Switcher) -> None:
    churn(engine_name, switcher, seed, 800)


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(10, 50, 10))
def test_much_churn_with_pae(engine_name: str, first: int) -> None:
    for seed in range(first, first + 10):
        churn(engine_name, "classic" if seed % 2 else "lean", seed, 2500)
