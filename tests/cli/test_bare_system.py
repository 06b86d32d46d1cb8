# SPDX-License-Identifier: GPL-2.0-or-later
"""A system without /proc, /sys, /dev, or a directory that can be written: it works, or says what to mount."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lguest_py.engines import ram
from lguest_py.engines.ram import Ram
from lguest_py.errors import EngineError
from lguest_py.launcher.vm_memory import built

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("/dev/shm", "/tmp", "/var/tmp")
READ_ONLY = "; ".join(f"mount -t tmpfs -o ro none {place}" for place in PLACES)


def boot(engine: str, prepare: str) -> subprocess.CompletedProcess[str]:
    """Boot the tiny Guest in a mount namespace that was prepared so."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("only root can take a system's mounts away, with unshare(1)")
    guest = f"{sys.executable} -m lguest_py boot --quiet --guest-status --engine {engine} {built('guest.elf')}"
    script = f"set -e; cd {ROOT}; {prepare}; exec {guest} 'run=echo lguest-py: exit status 7'"
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "TMPDIR")}
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=400, check=False,
    )  # fmt: skip


BARE = f"mkdir -p /var/tmp; {READ_ONLY}; umount -l /sys || true; umount -l /proc"


@pytest.mark.nightly("kvm")
def test_without_a_directory_to_write_sys_or_home(engine_name: str) -> None:
    done = boot(engine_name, f"mkdir -p /var/tmp; {READ_ONLY}; umount -l /sys || true")
    assert (done.returncode, done.stderr) == (7, "")


def test_without_proc(engine_name: str) -> None:
    before = set(os.listdir("/dev/shm"))
    done = boot(engine_name, "umount -l /proc")
    assert (done.returncode, done.stderr) == (7, "")
    assert set(os.listdir("/dev/shm")) == before


@pytest.mark.nightly("kvm")
def test_without_proc_and_without_room(engine_name: str) -> None:
    done = boot(engine_name, BARE)
    if engine_name == "kvm":
        assert (done.returncode, done.stderr) == (7, "")
    else:
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert done.stderr.endswith(", /tmp, /var/tmp: mount -t proc proc /proc\n")


def in_directories(monkeypatch: pytest.MonkeyPatch, *directories: Path) -> None:
    monkeypatch.setattr(Ram, "_memfd", staticmethod(lambda size, by_descriptor: None))
    monkeypatch.setattr(ram, "SHARED", str(directories[0]))
    monkeypatch.setenv("TMPDIR", str(directories[-1]))


def test_ram_in_a_directory_is_shared_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_directories(monkeypatch, tmp_path / "none", tmp_path)
    made = Ram(8192)
    with open(made.name, "r+b") as other:
        made.opened()
        assert not list(tmp_path.iterdir())
        made.map[5000] = 7
        assert os.pread(other.fileno(), 1, 5000) == b"\x07"
    made.map.close()
    made.close()
    not_opened = Ram(4096)
    not_opened.map.close()
    not_opened.close()
    assert not list(tmp_path.iterdir())


def test_a_directory_without_room_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_directories(monkeypatch, tmp_path)
    before = os.listdir("/proc/self/fd")

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(EngineError, match=r"there is no /proc, and no room in .*: mount -t proc proc /proc$"):
        Ram(4096)
    assert not list(tmp_path.iterdir())
    assert os.listdir("/proc/self/fd") == before
