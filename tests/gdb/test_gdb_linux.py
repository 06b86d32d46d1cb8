# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb and a Linux: a distribution's without symbols, and one with them, of which Linux's own lx-ps lists the tasks.

Read next: test_gdb_native.py.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from gdb_lab import MIB, Debugged, needs_gdb
from linux_lab import RealLinux

from lguest_py import images
from lguest_py.kernels.stock import Kernel

pytestmark = needs_gdb


@pytest.mark.nightly("kvm")
def test_a_stock_kernel(engine_name: str, stock: Kernel, tmp_path: Path) -> None:
    """A breakpoint by address, before its first instruction, and steps."""
    image = images.open_image(str(stock.kernel))
    guest = Debugged(engine_name, image, tmp_path, memory=96 * MIB, initrd=str(stock.initrd))
    steps = ["stepi"] * 30
    by_name = 'gdb.execute("tbreak *" + gdb.execute("monitor sym start_kernel", to_string=True).split()[0])'
    lines = guest.gdb(
        "print $cs & 3", *steps, "print $cr0 & 1", f"python {by_name}", "continue", "x/1i $pc", "print $cs & 3",
        "print $cr0 >> 31 & 1", *steps, "monitor pt 0xc1000000", "monitor sym 0xc1000000", "kill",
    )  # fmt: skip
    assert any("Temporary breakpoint 1, " in line for line in lines), lines
    assert [line for line in lines if line.startswith("$")] == ["$1 = 1", "$2 = 1", "$3 = 1", "$4 = 1"]
    assert any(line.startswith("c1000000 is 01000000") for line in lines), lines
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
