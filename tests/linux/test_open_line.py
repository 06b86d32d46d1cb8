# SPDX-License-Identifier: GPL-2.0-or-later
"""``run=`` of a command whose output ends within a line: its status is told all the same.

Read next: lguest_py/kernels/mkinitrd.py (INIT).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lguest_py.cli import main
from lguest_py.kernels import mkinitrd
from lguest_py.kernels.stock import Kernel


@pytest.mark.nightly("kvm")
def test_the_status_is_told_behind_an_open_line(
    engine_name: str, stock: Kernel, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    initrd = str(tmp_path / "initrd")
    mkinitrd.make_initrd(initrd, mkinitrd.busybox_tree(str(stock.directory / "busybox")))
    options = ["--engine", engine_name, "--guest-status", "--initrd", initrd]
    assert main(["boot", *options, "debian-6.1-686", "quiet", "run=printf open; exit 9"]) == 9
    assert "open\r\nlguest-py: exit status 9\r\n" in capfd.readouterr().out
