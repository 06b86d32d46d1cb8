# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py fetch`` where the cache cannot be written (lguest_py/kernels/apt.py, fetch.py)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from archive_lab import NAME, Archive, archive, pytestmark, refused

from lguest_py.kernels import apt

__all__ = ["archive", "pytestmark"]


def test_apt_that_waits_on_a_full_disk_is_ended(
    archive: Archive, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "tools/apt-get"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 100000\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(apt, "CHECK_INTERVAL", 0.05)
    pid = tmp_path / "pid"
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: SimpleNamespace(free=0 if pid.exists() and pid.read_text() else 1 << 30)
    )
    error = refused(capsys)
    assert "No space left on device" in error
    assert "make room" in error
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_cache_that_may_not_be_written_is_not_told_to_make_room(
    archive: Archive, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    error = refused(capsys, NAME)
    assert "Not a directory" in error
    assert "make room" not in error
    assert "set XDG_CACHE_HOME" in error
