# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernels with PAE, unmodified, in ring 1: to the shell, with NX, and many times in a row.

Read before: test_native_boot.py.
"""

from __future__ import annotations

import re
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from imagewriter import EXECUTE, READ, WRITE, ElfFile, Part
from linux_lab import Linux

from lguest_py.kernels import mkinitrd
from lguest_py.kernels.stock import Kernel

PAE, RT = "debian-6.1-686-pae", "debian-6.1-rt-686-pae"
TEXT, DATA = 0x08048000, 0x0804A000
GNU_STACK = 0x6474E551  # without it Linux makes all that is readable executable
EXIT_7 = b"\xb8\x01\x00\x00\x00\xbb\x07\x00\x00\x00\xcd\x80"
SEGMENTATION_FAULT = 128 + 11


def jumper(may: int) -> mkinitrd.Entry:
    """A program that jumps into its data, which ends it with 7.  ``may``: what it may do with its data and its stack."""
    start = 52 + 3 * 32  # of the first part in the file; in memory each has the same place in its page
    jump = b"\xb8" + struct.pack("<I", DATA + start + 7) + b"\xff\xe0"
    text = Part(TEXT + start, jump, flags=READ | EXECUTE)
    data = Part(DATA + start + len(jump), EXIT_7, flags=may)
    parts = text, data, Part(0, b"", flags=may, kind=GNU_STACK)
    return mkinitrd.Entry(stat.S_IFREG | 0o755, ElfFile(parts).bytes)


@pytest.fixture(scope="module")
def initrd(stock_pae: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shell, and programs that run their data: with and without the right to."""
    tree = mkinitrd.busybox_tree(str(stock_pae.directory / "busybox"))
    tree["bin/runs-data"] = jumper(READ | WRITE)
    tree["bin/may-run-data"] = jumper(READ | WRITE | EXECUTE)
    path = tmp_path_factory.mktemp("pae") / "initrd"
    mkinitrd.make_initrd(str(path), tree)
    return path


@pytest.fixture
def boot(engine_name: str) -> Iterator[Callable[..., Linux]]:
    guests: list[Linux] = []

    def start(name: str, *words: str, initrd: Path | None = None, options: tuple[str, ...] = ()) -> Linux:
        guests.append(Linux(engine_name, name, initrd, "quiet", *words, console="ttyS0", options=options))
        return guests[-1]

    yield start
    for guest in guests:
        guest.close()


def complaints(log: str) -> list[str]:
    """What of a kernel's log is none of its usual lines."""
    bad = re.compile(r"BUG|WARNING|[Oo]ops|Call Trace|ACPI (?:BIOS )?(?:Error|Warning)|nobody cared|insecure W\+X")
    return [line for line in log.splitlines() if bad.search(line)]


def test_a_kernel_with_pae_to_its_shell_and_nx_in_it(
    boot: Callable[..., Linux], stock_pae: Kernel, initrd: Path
) -> None:
    guest = boot(PAE, initrd=initrd)
    guest.to_the_shell()
    (release,) = stock_pae.modules.iterdir()
    assert guest.ask("uname -r") == f"{release.name}\n"
    assert release.name.endswith("-686-pae")
    log = guest.ask("dmesg")
    assert "NX (Execute Disable) protection: active" in log
    assert "Checked W+X mappings: passed, no W+X pages found." in log
    assert not complaints(log)
    guest.ask("may-run-data", status=7)
    guest.ask("runs-data", status=SEGMENTATION_FAULT)
    guest.type(b"exit\n")
    data = guest.finish()
    assert (data["end"], data["status"], data["rings"]) == ("powered off", 0, [1, 3])
    assert (data["page_tables"], data["restarts"]) == ("PAE", 0)


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize("switcher", ["classic", "lean"])
def test_a_kernel_with_pae_and_preempt_rt(boot: Callable[..., Linux], stock_rt: Kernel, switcher: str) -> None:
    guest = boot(RT, 'run="uname -v"', options=("--switcher", switcher))
    data = guest.finish()
    assert "PREEMPT_RT" in guest.text
    assert (data["end"], data["status"], data["page_tables"]) == ("powered off", 0, "PAE")


@pytest.mark.nightly
@pytest.mark.parametrize("name", [PAE, RT])
@pytest.mark.parametrize("turn", range(20))
def test_many_boots(
    boot: Callable[..., Linux], stock_pae: Kernel, stock_rt: Kernel, engine_name: str, name: str, turn: int
) -> None:
    if engine_name == "kvm" and turn >= 5:
        pytest.skip("the carrier is slow")
    words = [] if turn % 2 else ["nopti"]
    guest = boot(name, 'run="cat /proc/meminfo; dmesg"', *words, options=("--memory", f"{96 + 8 * turn}M"))
    data = guest.finish()
    assert (data["end"], data["status"], data["page_tables"]) == ("powered off", 0, "PAE")
    assert "MemTotal:" in guest.text
    assert not complaints(guest.text)
