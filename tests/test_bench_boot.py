# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py bench boot``: a stock kernel's time to init, in a Guest and natively."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lguest_py.bench.boot import _seconds
from lguest_py.bench.native import Twin, run_native
from lguest_py.errors import LguestError, NoEngineError
from lguest_py.stock import Kernel


@pytest.mark.nightly
def test_it_tells_both_times(engine_name: str, stock: Kernel) -> None:
    command = [sys.executable, "-m", "lguest_py", "bench", "boot", "--engine", engine_name, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    row = json.loads(done.stdout)["boot"]
    assert row["kernel"] == stock.package
    assert row["guest"] > 0.5
    assert row["native"] > 0.5
    assert row["ratio"] == round(row["guest"] / row["native"], 3)
    assert row["switches"] > 10_000


def test_the_time_is_the_kernels_own() -> None:
    assert _seconds("x\r\n[    3.250000] Run /init as init process\r\n", "") == 3.25
    with pytest.raises(LguestError, match="natively does not tell when init was started"):
        _seconds("[    3.25] Run it\n", "natively")


def test_a_native_run_that_ends_early_says_why(tmp_path: Path) -> None:
    with pytest.raises(LguestError, match=r"ended early, with .*no-kernel"):
        run_native(Twin(str(tmp_path / "no-kernel"), str(tmp_path / "no-initrd"), ""))


def test_a_native_run_has_a_time_limit(tmp_path: Path) -> None:
    setup = bytearray(4096)
    setup[0x1F1] = 1  # sectors behind the first
    setup[0x200:0x208] = b"\xeb\xfe" + b"HdrS" + b"\x00\x02"  # it spins; the boot protocol is 2.00
    idle = tmp_path / "idle"
    idle.write_bytes(setup)
    with pytest.raises(LguestError, match="the native run was not over after 1 seconds"):
        run_native(Twin(str(idle), str(idle), ""), seconds=1)


def test_without_qemu_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lguest_py.bench.native.find_qemu", lambda: None)
    with pytest.raises(NoEngineError, match="apt-get install qemu-system-x86"):
        run_native(Twin("", "", ""))
