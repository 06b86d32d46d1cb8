# SPDX-License-Identifier: GPL-2.0-or-later
"""--report and --core of a Launcher that gave up root's rights: opened before, written after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lguest_py.launcher.vm_memory import built

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_both_files_are_written_by_one_who_could_not_open_them(engine_name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    files = tmp_path / "r", tmp_path / "c"
    options = ["--engine", engine_name, "-u", "nobody", "-c", str(tmp_path / "empty"), "--timeout", "300"]
    done = subprocess.run(
        [sys.executable, "-m", "lguest_py", "boot", *options, "--report", files[0], "--core", files[1],
         str(built("guest.elf")), "run=fault call-gate"],
        cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    data = json.loads(files[0].read_text())
    assert data["guest"]["backtrace"][0]["symbol"].startswith("call_gate+")
    assert [frame for frame in data["host"]["backtrace"] if (frame["symbol"] or "").startswith("run+")]
    assert files[1].read_bytes()[:4] == b"\x7fELF"
    assert os.listdir(tmp_path / "empty") == []
