# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py bench saved``: a Guest that was saved against one that boots."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lguest_py.bench import saved
from lguest_py.kernels.stock import Kernel

BENCH = (sys.executable, "-m", "lguest_py", "bench", "--json", "--switcher", "lean")


def samples(engine: str, *names: str) -> dict[str, int]:
    """Name -> number of samples."""
    done = subprocess.run([*BENCH, "--engine", engine, *names], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)["rows"]
    assert {(row["unit"], row["where"], row["switcher"]) for row in rows} == {("milliseconds", "guest", "lean")}
    assert all(row["min"] > 0 for row in rows)
    return {row["name"]: row["n"] for row in rows}


@pytest.mark.nightly("kvm")
def test_the_tiny_guest_needs_no_other_kernel(
    engine_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert samples(engine_name, "tiny-boot", "tiny-restore") == {
        "tiny-boot": saved.BOOTS,
        "tiny-restore": saved.BOOTS * saved.RESTORES,
    }
    assert samples(engine_name, "tiny-boot") == {"tiny-boot": saved.BOOTS}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("lguest-py-bench")]


@pytest.mark.nightly
def test_all_of_it(engine_name: str, stock: Kernel) -> None:
    assert set(samples(engine_name, "saved")) == set(saved.SAVED)
