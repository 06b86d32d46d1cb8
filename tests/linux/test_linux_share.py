# SPDX-License-Identifier: GPL-2.0-or-later
"""A folder of the Host in a Linux: trees both ways, links, modes, renames, large files, a read-only mount.

Read next: tests/lab/devices/share_lab.py, what is done there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import share_lab
from linux_lab import PATIENCE, Linux

if TYPE_CHECKING:
    from linux_lab import RealLinux

    from lguest_py.kernels.stock import Kernel

STOCK = "debian-6.1-686"
AMOUNTS = {"tcg": (16, 300), "kvm": (4, 40)}  # MiB and names: the carrier is slow


def work(guest: Linux, base: Path, command: str, patience: float = PATIENCE) -> None:
    """Let the Guest do all of it, and compare."""
    try:
        guest.to_the_shell()
        mounts, _, rest = command.partition(" && sh ")
        guest.ask(mounts.replace(" && ", " &&\\\n"))  # a line of a terminal is short
        guest.type(f"sh {rest}\n".encode())
        guest.wait_for(re.compile(rb"(SHARE DONE|SHARE FAILED.*)\r\n"), patience)
        assert b"SHARE FAILED" not in guest.shown, guest.text[-3000:]
        guest.to_the_shell()
        guest.ask("cd /; umount /rw; umount /ro")
        share_lab.check(base)
    finally:
        guest.close()


def options(base: Path) -> tuple[str, ...]:
    return ("--share", f"{base}/rw,tag=rw", "--share", f"{base}/rw,tag=ro,readonly", "--memory", "128M")


@pytest.mark.timeout(1200)
def test_an_lguest_linux_works_in_a_share(engine_name: str, linux: RealLinux, tmp_path: Path) -> None:
    command = share_lab.fill(tmp_path, *AMOUNTS[engine_name])
    guest = Linux(engine_name, linux.bzimage, linux.initrd, "quiet", options=options(tmp_path))
    work(guest, tmp_path, command)


@pytest.mark.nightly("kvm")
@pytest.mark.timeout(1200)
def test_an_unmodified_linux_works_in_a_share(engine_name: str, stock: Kernel, tmp_path: Path) -> None:
    command = share_lab.fill(tmp_path, *AMOUNTS[engine_name])
    work(Linux(engine_name, STOCK, None, "quiet", console="ttyS0", options=options(tmp_path)), tmp_path, command)


@pytest.mark.timeout(3600)
@pytest.mark.nightly
@pytest.mark.parametrize(("megabytes", "entries"), [(1024, 10), (1, 10_000)], ids=["a-gigabyte", "many-names"])
def test_large_amounts(engine_name: str, linux: RealLinux, tmp_path: Path, megabytes: int, entries: int) -> None:
    command = share_lab.fill(tmp_path, megabytes, entries)
    guest = Linux(engine_name, linux.bzimage, linux.initrd, "quiet", options=options(tmp_path))
    work(guest, tmp_path, command, 3000)
