# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py bench devices``: what is booted on each side, and the rows that come of it."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from cpio_lab import unpack

from lguest_py.bench import catalogue, devices
from lguest_py.bench.device_disk import BYTES
from lguest_py.bench.native import Workload, arguments
from lguest_py.errors import ImageError, LguestError, UsageError
from lguest_py.hardware import Disk
from lguest_py.kernels import stock as stock_kernels
from lguest_py.kernels.stock import Kernel
from lguest_py.measurements.row import CYCLES

NAMES = ("disk-latency", "disk-read", "disk-write")


class Boots:
    """Takes the place of both machines; the program there measures what it is asked for."""

    def __init__(self) -> None:
        self.guest: list[Workload] = []
        self.native: list[Workload] = []
        self.there: list[int] = []  # the size of the disk's file during each boot
        self.leaves_out = ""

    def _printed(self, work: Workload, factor: int) -> str:
        found = re.search(r"/bin/measure-devices ([^\"]*)", work.words)
        assert found
        (disk,) = work.devices
        assert isinstance(disk, Disk)
        self.there.append(Path(disk.path).stat().st_size)
        names = [name for name in found[1].split() if name != self.leaves_out]
        lines = [f"BENCH {name} {factor * 1000 + 20}*3 {factor * 1000 + 40}*2" for name in names]
        return "\n".join(["BENCH clock 20*9", *lines, "BENCH done", "lguest-py: exit status 0", ""])

    def run_guest(self, work: Workload, make: object, seconds: float, switcher: str) -> tuple[str, SimpleNamespace]:
        self.guest.append(work)
        return self._printed(work, 2), SimpleNamespace(tsc_khz=2_000_000)

    def run_native(self, work: Workload, seconds: float, accel: str) -> str:
        self.native.append(work)
        return self._printed(work, 1)


@pytest.fixture
def boots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Boots:
    boots = Boots()
    monkeypatch.setattr(devices, "run_guest", boots.run_guest)
    monkeypatch.setattr(devices, "run_native", boots.run_native)
    monkeypatch.setattr(devices, "make_initrd", lambda path, image, modules: path.write_bytes(b""))
    return boots


def test_both_sides_boot_alike_with_their_own_disk(boots: Boots) -> None:
    rows = devices.devices_rows(Path("kernel"), "tcg", "lean", ["disk-write", "disk-latency"])
    assert [(row.name, row.where, row.switcher, min(row.samples)) for row in rows] == [
        ("disk-latency", "guest", "lean", 2000),
        ("disk-write", "guest", "lean", 2000),
        ("disk-latency", "native", "", 1000),
        ("disk-write", "native", "", 1000),
    ]
    assert {(row.group, row.unit, row.tsc_khz) for row in rows} == {("devices", CYCLES, 2_000_000)}
    (guest,), (native,) = boots.guest, boots.native
    assert (guest.kernel, guest.words, guest.memory) == (native.kernel, native.words, native.memory)
    assert "modprobe -q virtio_pci; modprobe -q virtio_blk; /bin/measure-devices disk-latency disk-write" in guest.words
    assert boots.there == [BYTES, BYTES]
    (disk,) = guest.devices
    assert isinstance(disk, Disk)
    assert f"file={disk.path},format=raw,if=virtio,cache=writeback" in arguments("qemu", native, False)
    assert not Path(disk.path).exists()


def test_what_was_not_measured_is_told(boots: Boots) -> None:
    boots.leaves_out = "disk-read"
    with pytest.raises(LguestError, match=r"disk-read was not measured \(guest\)"):
        devices.devices_rows(Path("kernel"), "tcg", "lean", NAMES)


def test_an_unknown_row_is_refused(boots: Boots) -> None:
    with pytest.raises(UsageError, match="there is no device's row 'disk'"):
        devices.devices_rows(Path("kernel"), "tcg", "lean", ["disk"])
    assert not boots.guest


def test_one_word_names_them_all() -> None:
    assert set(catalogue.select(["devices"], False)["devices"]) >= set(NAMES)
    assert list(catalogue.select(["devices"], False)) == ["devices"]
    assert catalogue.select(["disk-read"], False) == {"devices": ["disk-read"]}


def test_the_initrd_needs_a_fetched_busybox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock_kernels, "find", lambda name: None)
    with pytest.raises(ImageError, match="run lguest-py fetch debian-6"):
        devices.make_initrd(tmp_path / "initrd", Path("kernel"), ())


@pytest.mark.parametrize("fetched", [True, False])
def test_the_initrd_has_the_modules_of_a_fetched_kernel_only(tmp_path: Path, stock: Kernel, fetched: bool) -> None:
    image = stock.kernel if fetched else tmp_path / "bzImage"
    devices.make_initrd(tmp_path / "initrd", image, ("virtio_blk",))
    names = set(unpack((tmp_path / "initrd").read_bytes()))
    assert "bin/measure-devices" in names
    assert any(name.endswith("virtio_blk.ko") for name in names) is fetched
