# SPDX-License-Identifier: GPL-2.0-or-later
"""Where ``lguest-py mkinitrd`` writes to: into its own DIR, to a terminal; and a file that no Guest has room for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cpio_lab import unpack

from lguest_py.cli import main
from lguest_py.errors import UsageError
from lguest_py.kernels import mkinitrd


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with an init."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "init").write_text("#!/bin/sh\n")
    return root


def test_an_initrd_made_in_its_own_directory_is_the_same_each_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert main(["mkinitrd", "."]) == 0
    first = (root / "initrd").read_bytes()
    assert main(["mkinitrd", "."]) == 0
    assert (root / "initrd").read_bytes() == first
    assert "initrd" not in unpack(first)


def test_an_initrd_that_the_shell_opened_in_its_own_directory_is_not_in_itself(root: Path) -> None:
    command = [sys.executable, "-m", "lguest_py", "mkinitrd", str(root), "-o", "-"]
    with (root / "made").open("wb") as made:
        subprocess.run(command, check=True, stdout=made, timeout=60)
    assert set(unpack((root / "made").read_bytes())) == {"dev", "dev/console", "dev/null", "init"}


def test_what_no_guest_has_room_for_is_refused_before_it_is_read(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.truncate(root / "init", mkinitrd.LARGEST + 1)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is read"))
    assert main(["mkinitrd", str(root), "-o", str(root.parent / "out")]) == 2
    assert "init has more than 1024M" in capsys.readouterr().err


def test_a_terminal_gets_no_archive() -> None:
    master, terminal = os.openpty()
    try:
        with pytest.raises(UsageError, match="is a terminal"):
            mkinitrd.make_initrd(f"/dev/fd/{terminal}", {})
        os.set_blocking(master, False)
        with pytest.raises(BlockingIOError):
            os.read(master, 1)
    finally:
        os.close(master)
        os.close(terminal)
