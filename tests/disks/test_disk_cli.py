# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py boot --disk`` with what is no disk: one line, the right status, and no machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lguest_py.disks.opening import open_disk
from lguest_py.hardware import Disk

ROOT = Path(__file__).resolve().parents[2]


def boot(engine: str, *disks: object) -> subprocess.CompletedProcess[str]:
    options = [f"--disk={disk}" for disk in disks]
    command = [sys.executable, "-m", "lguest_py", "boot", "--quiet", "--engine", engine, "--timeout", "300", *options]
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400)


def make_image(path: Path) -> None:
    path.write_bytes(bytes(4096))


def make_qcow2_header(path: Path) -> None:
    path.write_bytes(b"QFI\xfb\0\0\0\3" + bytes(4096))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: None, "does not exist: give an image file (truncate -s 1G FILE makes an empty one)"),
        (Path.mkdir, "is a directory: give an image file"),
        (os.mkfifo, "is a FIFO: give an image file"),
        (Path.touch, "is empty: give it a size first (truncate -s 1G FILE)"),
        (make_qcow2_header, "add format=qcow2 if it is one, or format=raw for a disk with these bytes"),
    ],
)
def test_what_is_no_disk(tmp_path: Path, make: Callable[[Path], object], text: str) -> None:
    make(tmp_path / "disk")
    done = boot("tcg", tmp_path / "disk")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"lguest-py: disk {tmp_path / 'disk'} ") or "qcow2" in text
    assert text in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_disk_in_use(tmp_path: Path) -> None:
    make_image(tmp_path / "disk")
    disk = open_disk(Disk(str(tmp_path / "disk")), print)
    done = boot("tcg", tmp_path / "disk")
    disk.close()
    assert done.returncode == 1
    assert "is in use by another program or disk" in done.stderr
    assert done.stderr.count("\n") == 1
