# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb and a Linux: a distribution's without symbols, and one with them, of which Linux's own lx-ps lists the tasks.

Read next: test_gdb_native.py.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from gdb_lab import MIB, Debugged
from linux_lab import RealLinux

from lguest_py import images
from lguest_py.kernels.stock import Kernel


def symbol(lines: list[str], name: str) -> str:
    return next(match[1] for line in lines if (match := re.fullmatch(rf"(0x\w+) {name}", line)))


@pytest.mark.nightly("kvm")
def test_a_stock_kernel(engine_name: str, stock: Kernel, tmp_path: Path) -> None:
    """A breakpoint by address, before its first instruction, and steps."""
    image = images.open_image(str(stock.kernel))
    guest = Debugged(engine_name, image, tmp_path, memory=96 * MIB, initrd=str(stock.initrd))
    steps = ["stepi"] * 60
    lines = guest.gdb(
        "print/x $cs", *steps[:20], "print $cr0 >> 31 & 1",
        "tbreak *0xc1000000", "monitor sym start_kernel", "detach",
    )  # fmt: skip
    assert "$1 = 0x11" in lines, lines
    place = symbol(lines, "start_kernel")
    lines = guest.gdb(f"tbreak *{place}", "continue", "x/1i $pc", "print $cs & 3", *steps, "monitor pt $pc", "kill")
    assert any("Temporary breakpoint 1, " in line for line in lines), lines
    assert "$1 = 1" in lines
    assert guest.end().outcome.reason == "gdb's kill"


@pytest.mark.nightly
def test_a_kernel_with_symbols(engine_name: str, linux: RealLinux, tmp_path: Path) -> None:
    """Where LGUEST_GDB_SCRIPTS is Linux's scripts/gdb, its lx-ps works, too."""
    image = images.open_image(str(linux.bzimage))
    guest = Debugged(engine_name, image, tmp_path, memory=64 * MIB, initrd=str(linux.initrd))
    scripts = os.environ.get("LGUEST_GDB_SCRIPTS")
    path = f"python import sys; sys.path.insert(0, {scripts!r}); import linux.utils, linux.tasks"
    lines = guest.gdb(
        "break start_kernel", "continue", "bt", "delete", "break do_exit", "continue", "bt",
        *([path, "lx-ps"] if scripts else []), "kill", symbols=linux.vmlinux,
    )  # fmt: skip
    text = "\n".join(lines)
    assert "Breakpoint 1, start_kernel ()" in text, text
    assert " in i386_start_kernel ()" in text
    assert "Breakpoint 2, do_exit (" in text
    assert not scripts or re.search(r"^0x\w+\s+2\s+kthreadd$", text, re.M), text
    assert guest.end().outcome.reason == "gdb's kill"
