# SPDX-License-Identifier: GPL-2.0-or-later
"""The initrd of a fetched kernel: it has the drivers for a Guest's devices, and what mount and udhcpc need."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from archive_lab import KERNEL, Archive, archive, pytestmark
from cpio_lab import unpack
from module_lab import module

from lguest_py.cli import main
from lguest_py.kernels import mkinitrd, modules, stock

__all__ = ["archive", "pytestmark"]
NAME = "debian-6.1-686"
RELEASE = "6.1.0-60-686"
FILES = {
    "drivers/virtio/virtio_pci.ko": module("depends=virtio"),
    "drivers/virtio/virtio.ko": module("depends="),
    "drivers/char/hw_random/virtio-rng.ko": module("depends=virtio", "alias=virtio:d00000004v*"),
    "fs/ext4/ext4.ko": module("alias=fs-ext4", "depends="),
    "fs/xfs/xfs.ko": module("alias=fs-xfs", "depends="),
    "drivers/block/loop.ko": module("depends="),
}


@pytest.fixture
def fetched(archive: Archive) -> stock.Kernel:
    """A kernel with some modules, in an empty cache."""
    files = {f"lib/modules/{RELEASE}/kernel/{name}": data for name, data in FILES.items()}
    doc = {f"usr/share/doc/{KERNEL.format(60)}/copyright": b"GPL-2"}
    archive.add(KERNEL.format(60), {f"boot/vmlinuz-{RELEASE}": b"kernel", **doc, **files})
    assert main(["fetch", NAME]) == 0
    found = stock.find(NAME)
    assert found
    return found


def names(initrd: Path) -> set[str]:
    """The modules in an initrd."""
    return {Path(name).name for name in unpack(initrd.read_bytes()) if name.endswith(".ko")}


WANTED = {"virtio_pci.ko", "virtio.ko", "virtio-rng.ko", "ext4.ko"}


def test_a_fetched_kernels_initrd_has_its_drivers(fetched: stock.Kernel) -> None:
    members = unpack(fetched.initrd.read_bytes())
    assert names(fetched.initrd) == WANTED
    aliases = members[f"lib/modules/{RELEASE}/modules.alias"].data.decode().splitlines()
    assert set(aliases) == {"alias virtio:d00000004v* virtio_rng", "alias fs-ext4 ext4"}
    assert members["etc/filesystems"].data == b"ext4\n"
    assert members["etc/udhcpc/default.script"].mode == 0o100755
    assert "mnt" in members


def test_another_list_of_drivers_is_another_edition(fetched: stock.Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stock.resolve(NAME) == fetched
    monkeypatch.setattr(modules, "DRIVERS", ("virtio_pci", "xfs"))
    found = stock.resolve(NAME)
    assert found
    assert found.edition != fetched.edition
    assert names(found.initrd) == {"virtio_pci.ko", "virtio.ko", "xfs.ko"}


def test_mkinitrd_of_a_fetched_kernel_has_them_beside_the_named_ones(fetched: stock.Kernel, tmp_path: Path) -> None:
    for words, more in (((), set()), (("--module", "loop"), {"loop.ko"})):
        assert main(["mkinitrd", "--kernel", NAME, *words, "-o", str(tmp_path / "out")]) == 0
        assert names(tmp_path / "out") == WANTED | more
        table = unpack((tmp_path / "out").read_bytes())[f"lib/modules/{RELEASE}/modules.dep"].data.decode()
        assert {Path(line.partition(":")[0]).name for line in table.splitlines()} == WANTED | more


def test_the_script_of_dhcp_can_be_read_by_a_shell() -> None:
    subprocess.run(["sh", "-n"], input=mkinitrd.DHCP.encode(), check=True)
