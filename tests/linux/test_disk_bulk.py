# SPDX-License-Identifier: GPL-2.0-or-later
"""Much data in and out by disk: what a Linux reads is what the Host's file has, and what it writes gets there."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest
from crash_lab import Life, make_initrd

from lguest_py.kernels.stock import Kernel

MIB = 1 << 20
MODULES = ("virtio_pci", "virtio_blk")
SCRIPT = (
    "modprobe virtio_pci; modprobe virtio_blk; dd if=/dev/vda of=/dev/vdb bs=1M && md5sum /dev/vda /dev/vdb && sync"
)


def copied(engine: str, stock: Kernel, folder: Path, mib: int) -> None:
    initrd = make_initrd(folder / "initrd", stock.directory / "busybox", stock.modules, MODULES)
    source, target = folder / "source.img", folder / "target.img"
    content = hashlib.md5()
    with source.open("wb") as file:
        for _ in range(mib):
            piece = os.urandom(MIB)
            content.update(piece)
            file.write(piece)
    with target.open("wb") as file:
        file.truncate(mib * MIB)
    life = Life(engine, stock.kernel, initrd, f"{source},readonly", SCRIPT, "ttyS0", f"--disk={target}")
    assert life.finish() == 0, life.text[-2000:]
    wanted = content.hexdigest()
    assert re.findall(r"^([0-9a-f]{32})  /dev/vd", life.text, re.M) == [wanted, wanted], life.text[-2000:]
    with target.open("rb") as file:
        assert hashlib.file_digest(file, "md5").hexdigest() == wanted


@pytest.mark.nightly("kvm")
def test_debian_copies_a_disk(engine_name: str, stock: Kernel, tmp_path: Path) -> None:
    copied(engine_name, stock, tmp_path, 32)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_debian_copies_a_gibibyte(engine_name: str, stock: Kernel, tmp_path: Path) -> None:
    copied(engine_name, stock, tmp_path, 1024)
