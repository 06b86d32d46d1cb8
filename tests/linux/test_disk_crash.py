# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk whose Launcher is killed while a Linux writes to it: every synced byte is there, and ext4 is without fault.

Kernels: Debian's with its own modules, and every lguest kernel in the folders that LGUEST_KERNELS names (with colons
between them; each has a bzImage with ext4 and virtio_blk built in).
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import crash_lab
import pytest
from crash_lab import Life, check_image, make_image, make_initrd, numbers_in, script

from lguest_py.kernels.stock import Kernel

TIMES = {"tcg": 50, "kvm": 10}
MODULES = ("virtio_pci", "virtio_blk", "ext4")
FOLDERS = [Path(name) for name in os.environ.get("LGUEST_KERNELS", "").split(":") if name]

pytestmark = pytest.mark.skipif(bool(crash_lab.missing()), reason=f"not installed: {crash_lab.missing()}")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make_image(tmp_path / "disk.img")


@pytest.fixture
def debian_initrd(tmp_path: Path, stock: Kernel) -> Path:
    return make_initrd(tmp_path / "initrd", stock.directory / "busybox", stock.modules, MODULES)


@pytest.mark.nightly("kvm")
def test_debian_writes_what_the_host_then_finds(
    engine_name: str, stock: Kernel, debian_initrd: Path, image: Path
) -> None:
    life = Life(engine_name, stock.kernel, debian_initrd, str(image), script(MODULES, 0, 20), "ttyS0")
    assert life.finish() == 0, life.text[-2000:]
    assert life.synced == 20
    check_image(image)
    assert numbers_in(image) == 20


@pytest.mark.nightly("kvm")
def test_debian_finds_on_qcow2_what_was_synced_before_a_kill(
    engine_name: str, stock: Kernel, debian_initrd: Path, image: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", image, disk], check=True, timeout=60)
    life = Life(engine_name, stock.kernel, debian_initrd, str(disk), script(MODULES, 0), "ttyS0")
    life.read(time.monotonic() + crash_lab.TO_MOUNT, re.compile(rb"SYNCED 10\r?\n"))
    assert life.synced >= 10, life.text[-2000:]
    life.kill()
    again = Life(engine_name, stock.kernel, debian_initrd, str(disk), script(MODULES, life.synced, 3), "ttyS0")
    assert again.finish() == 0, again.text[-2000:]
    assert again.synced >= life.synced + 3


@pytest.mark.nightly("tcg", "kvm")
@pytest.mark.timeout(4 * 3600)
def test_debian_loses_nothing_when_the_launcher_is_killed(
    engine_name: str, stock: Kernel, debian_initrd: Path, image: Path
) -> None:
    times = TIMES[engine_name]
    assert crash_lab.crash(engine_name, stock.kernel, debian_initrd, image, MODULES, times, "ttyS0") > times


@pytest.mark.nightly("tcg", "kvm")
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_lguest_kernels_lose_nothing_when_the_launcher_is_killed(
    engine_name: str, stock: Kernel, image: Path, tmp_path: Path, folder: Path
) -> None:
    initrd = make_initrd(tmp_path / "initrd", stock.directory / "busybox", None)
    times = TIMES[engine_name]
    assert (
        crash_lab.crash(engine_name, folder / "bzImage", initrd, image, (), times, "hvc0", host_replays=False) > times
    )
