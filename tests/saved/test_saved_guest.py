# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole Guests that were saved and go on: the tiny one on both buses' forms, Debian's kernel with disks and cards.

Read next: lguest_py/launcher/saving.py.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from lguest_py import Disk, End, Entropy, LguestError, Machine, Share, Vsock
from lguest_py.errors import ImageError, UsageError
from lguest_py.kernels.stock import Kernel
from lguest_py.launcher.vm_memory import Bus, Switcher

PATIENCE = 900.0  # seconds; the carrier is slow
PROMPT = "# "


def passes_its_tests(guest: Machine) -> None:
    """The tiny Guest's own tests."""
    guest.console.sendline("test")
    guest.console.expect(", 0 failed", PATIENCE)
    guest.console.sendline("poweroff")
    assert guest.wait(PATIENCE).outcome.end is End.POWERED_OFF


@pytest.mark.parametrize(
    ("switcher", "bus", "compress"), [("lean", "page", True), ("classic", "pci", False)], ids=["lean", "classic"]
)
def test_the_tiny_guest_goes_on(
    engine_name: Any, switcher: Switcher, bus: Bus, compress: bool, tmp_path: Path
) -> None:
    disk, saved = tmp_path / "disk", tmp_path / "saved"
    disk.write_bytes(bytes(range(256)) * 512)
    devices = Disk(str(disk), overlay=True), Entropy()
    with Machine(engine=engine_name, memory="16M", switcher=switcher, bus=bus, devices=devices) as first:
        first.console.expect("lguest> ", PATIENCE)
        first.console.sendline("echo typed before")
        first.console.expect("\ntyped before", PATIENCE)
        first.save(saved, compress=compress)
        passes_its_tests(first)
    with Machine(saved=saved, engine=engine_name) as second, Machine(saved=saved, engine=engine_name) as third:
        for guest in third, second:
            passes_its_tests(guest)
            assert "typed before" not in guest.console.output
    assert disk.read_bytes() == bytes(range(256)) * 512


def shell(guest: Machine, command: str) -> str:
    """What a command prints at a prompt of busybox."""
    guest.console.sendline(f"{command}; echo done-$((6*7))")
    return str(guest.console.expect(re.compile(r"(.*?)done-42\r\n", re.DOTALL), PATIENCE)[1])


@pytest.mark.nightly("kvm")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kernel", ["debian-6.1-686", "debian-6.1-686-pae"])
def test_a_stock_kernel_goes_on(
    engine_name: Any, kernel: str, stock: Kernel, stock_pae: Kernel, tmp_path: Path
) -> None:
    """With a disk, whose overlay goes along, a sleeping program, a program that computes, and a vsock."""
    disk, saved = tmp_path / "disk", tmp_path / "saved"
    disk.write_bytes(os.urandom(1 << 20))
    devices = Disk(str(disk), overlay=True), Entropy(), Vsock(str(tmp_path / "vsock"))
    with Machine(kernel, engine=engine_name, devices=devices, command_line="quiet") as first:
        first.console.expect(PROMPT, PATIENCE)
        shell(first, "stty -echo; PS1=")
        shell(first, "dd if=/dev/urandom of=/dev/vda bs=64k count=5 seek=3; sync; md5sum /dev/vda >/sum")
        shell(first, "dd if=/dev/zero of=/dev/vda bs=64k count=1 seek=9; sync; md5sum /dev/vda >/sum")
        shell(first, "(sleep 3; echo woke >/woken) & true")
        shell(first, "(i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; echo $i >/counted) & true")
        first.save(saved)
        assert "woke" in shell(first, "wait; cat /woken /counted")
    for _ in range(2):
        with Machine(saved=saved, engine=engine_name) as guest:
            answer = shell(guest, "wait; cat /woken /counted; md5sum /dev/vda; cat /sum")
            woken, counted, now, then = answer.split("\r\n")[:4]
            assert (woken, counted, now) == ("woke", "30000", then)
            assert "WARNING" not in shell(guest, "dmesg")
            assert shell(guest, "dd if=/dev/hwrng bs=8 count=1 2>/dev/null | wc -c").strip() == "8"
            guest.console.sendline("poweroff -f")
            assert guest.wait(PATIENCE).outcome.end is End.POWERED_OFF


@pytest.mark.nightly("kvm")
def test_a_disk_that_was_changed_is_refused(engine_name: Any, tmp_path: Path) -> None:
    disk, saved = tmp_path / "disk", tmp_path / "saved"
    disk.write_bytes(bytes(4096))
    with Machine(engine=engine_name, memory="16M", devices=[Disk(str(disk), readonly=True)]) as guest:
        guest.console.expect("lguest> ", PATIENCE)
        guest.save(saved)
    disk.write_bytes(b"other".ljust(4096))
    with pytest.raises(ImageError, match="was changed since"):
        Machine(saved=saved)
    disk.unlink()
    with pytest.raises(ImageError, match="is not there"):
        Machine(saved=saved)


@pytest.mark.nightly("kvm")
def test_what_cannot_be_saved_says_so_and_the_guest_goes_on(engine_name: Any, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(4096))
    with Machine(engine=engine_name, memory="16M", devices=[Disk(str(disk)), Share(str(tmp_path))]) as guest:
        guest.console.expect("lguest> ", PATIENCE)
        with pytest.raises(LguestError, match="would change after it was saved"):
            guest.save(tmp_path / "saved")
        with pytest.raises(LguestError, match="cannot be written"):
            guest.save(tmp_path / "nowhere" / "saved")
        (tmp_path / "there").touch()
        with pytest.raises(LguestError, match="File exists"):
            guest.save(tmp_path / "there")
        assert not (tmp_path / "saved").exists()
        guest.console.sendline("echo goes on")
        guest.console.expect("\ngoes on", PATIENCE)
    with pytest.raises(LguestError, match="has ended"):
        guest.pause()


@pytest.mark.nightly("kvm")
def test_a_mounted_share_cannot_be_saved(engine_name: Any, tmp_path: Path) -> None:
    with Machine(engine=engine_name, memory="16M", devices=[Share(str(tmp_path))]) as guest:
        guest.console.expect("lguest> ", PATIENCE)
        guest.save(tmp_path / "before")
        guest.console.sendline("ls")
        guest.console.expect("before", PATIENCE)
        guest.console.expect("lguest> ", PATIENCE)
        with pytest.raises(LguestError, match="share host is mounted"):
            guest.save(tmp_path / "after")


def test_a_guest_that_stands_still_does_nothing(engine_name: Any) -> None:
    with Machine(engine=engine_name, memory="16M") as guest:
        guest.console.expect("lguest> ", PATIENCE)
        guest.pause()
        guest.pause()
        guest.console.sendline("echo too early")
        with pytest.raises(LguestError):
            guest.console.expect("too early", 1.0)
        guest.resume()
        guest.console.expect("\ntoo early", PATIENCE)


def test_beside_a_saved_guest_only_how_it_runs_can_be_given(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="beside saved, give only"):
        Machine(saved=tmp_path / "saved", memory="32M")
    with pytest.raises(ImageError, match="cannot be read"):
        Machine(saved=tmp_path / "saved")


@pytest.mark.nightly("kvm")
def test_the_file_is_this_users_alone(engine_name: Any, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    with Machine(engine=engine_name, memory="16M") as guest:
        guest.console.expect("lguest> ", PATIENCE)
        guest.save(saved)
    assert saved.stat().st_mode & 0o777 == 0o600
