# SPDX-License-Identifier: GPL-2.0-or-later
"""Unmodified kernels, many times in a row: to the shell, without a kernel message of trouble, and off by themselves.

The kernels are those that ``lguest-py fetch`` has put into the cache, and with LGUEST_NATIVE=DIR each DIR/NAME/vmlinuz:
other distributions' or your own.  They need a serial port, and the busybox of the fetched kernel.
Read next: tests/linux/test_native_boot.py, which looks closer at one of them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from linux_lab import Linux, at_its_prompt

from lguest_py.images import open_image
from lguest_py.kernels import mkinitrd
from lguest_py.kernels.stock import Kernel

TIMES, TIMES_ON_KVM = 20, 5
PATIENT = 1200.0  # seconds to the shell: the carrier of a busy computer
COMPLAINT = re.compile(r"BUG|WARNING|[Oo]ops|Call Trace|nobody cared|unchecked MSR|soft lockup|\bstall")


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("turn", range(TIMES))
def test_to_the_shell_and_off(engine_name: str, native_kernel: Path, stock: Kernel, tmp_path: Path, turn: int) -> None:
    if engine_name == "kvm" and turn >= TIMES_ON_KVM:
        pytest.skip("the carrier is slow")
    initrd = tmp_path / "initrd"
    mkinitrd.make_initrd(str(initrd), mkinitrd.busybox_tree(str(stock.directory / "busybox")))
    assert open_image(str(native_kernel)).personality == "native"
    guest = Linux(engine_name, native_kernel, initrd, "quiet", console="ttyS0")
    with at_its_prompt(guest, PATIENT):
        assert re.fullmatch(r"[2-9]\.\d+\.\d+\S*\n", guest.ask("uname -r"))
        assert guest.ask("echo $((6 * 7))") == "42\n"
        log = guest.ask("dmesg")
        assert not [line for line in log.splitlines() if COMPLAINT.search(line)]
        data = guest.finish()
    assert (data["end"], data["status"], data["rings"]) == ("powered off", 0, [1, 3])
