# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py bench boot``: a stock kernel's time to init, in a Guest and natively."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from lguest_py.bench import boot
from lguest_py.bench.boot import _microseconds
from lguest_py.bench.native import Workload, run_native
from lguest_py.engines import Choice
from lguest_py.engines.tcg import TcgEngine
from lguest_py.errors import LguestError, NoEngineError
from lguest_py.kernels.stock import Kernel
from lguest_py.measurements.row import INSTRUCTIONS, MICROSECONDS, Row


@pytest.mark.nightly
def test_it_tells_both_times(engine_name: str, stock: Kernel) -> None:
    command = [sys.executable, "-m", "lguest_py", "bench", "boot", "--engine", engine_name, "--json"]
    done = subprocess.run([*command, "--switcher", "classic"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    data = json.loads(done.stdout)
    guest, native = data["rows"]
    assert data["kernel"].startswith("6.")
    assert (guest["where"], native["where"]) == ("guest", "native")
    assert guest["unit"] == native["unit"] == "microseconds"
    assert guest["min"] > 500_000
    assert native["min"] > 500_000
    assert guest["counts"]["switches"] > 10_000


def test_the_time_is_the_kernels_own() -> None:
    assert _microseconds("x\r\n[    3.250001] Run /init as init process\r\n", "") == 3_250_001
    with pytest.raises(LguestError, match="natively does not have the start of init"):
        _microseconds("[    3.25] Run it\n", "natively")


@pytest.mark.parametrize(("counted", "unit", "times"), [(False, MICROSECONDS, 1), (True, INSTRUCTIONS, 1000)])
def test_the_rows_of_a_boot(monkeypatch: pytest.MonkeyPatch, counted: bool, unit: str, times: int) -> None:
    def native(twin: Workload, counted: bool, *, accel: str) -> str:
        assert (twin.kernel, twin.initrd, accel) == ("k", "i", "tcg")
        return "[    2.000000] Run /init as init process\n"

    snapshot = SimpleNamespace(switches=7)
    monkeypatch.setattr(boot, "choose", lambda engine, counted: Choice(TcgEngine, engine, ""))
    monkeypatch.setattr(boot, "run_native", native)
    monkeypatch.setattr(boot, "run_guest", lambda *_, **__: ("[    5.000000] Run /init as init process\r\n", snapshot))
    assert boot.boot_rows(Path("k"), Path("i"), "tcg", "lean", counted) == [
        Row("boot", "boot", "guest", "lean", unit, Counter([5_000_000 * times]), {"switches": 7}),
        Row("boot", "boot", "native", "", unit, Counter([2_000_000 * times])),
    ]


def test_a_native_run_that_ends_early_says_why(tmp_path: Path) -> None:
    with pytest.raises(LguestError, match=r"ended early, with .*no-kernel"):
        run_native(Workload(str(tmp_path / "no-kernel"), str(tmp_path / "no-initrd"), ""))


def test_a_native_run_has_a_time_limit(tmp_path: Path) -> None:
    setup = bytearray(4096)
    setup[0x1F1] = 1  # sectors behind the first
    setup[0x200:0x208] = b"\xeb\xfe" + b"HdrS" + b"\x00\x02"  # it spins; the boot protocol is 2.00
    idle = tmp_path / "idle"
    idle.write_bytes(setup)
    with pytest.raises(LguestError, match="the native run was not finished after 1 seconds"):
        run_native(Workload(str(idle), str(idle), ""), seconds=1)


def test_without_qemu_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lguest_py.bench.native.find_qemu", lambda: None)
    with pytest.raises(NoEngineError, match="apt-get install qemu-system-x86"):
        run_native(Workload("", "", ""))
