# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/coverage.py: which lines of the Host kernel a command ran, and which protections it did not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).resolve().parents[2]
LOG = """----------------
IN:
0x00100000:  fa                       cli
0x00100001:  bc 00 b4 11 00           movl     $0x11b400, %esp

----------------
IN:
0x00100001:  bc 00 b4 11 00           movl     $0x11b400, %esp
"""
CODE = coverage.Code(0x100000, b"\xfa\xbc\x00\xb4\x11\x00", {0x100000: {("a.S", 1)}, 0x100001: {("a.S", 2)}})


def test_blocks_are_read() -> None:
    first, second = coverage.blocks(LOG.splitlines())
    assert first == [(0x100000, b"\xfa"), (0x100001, b"\xbc\x00\xb4\x11\x00")]
    assert second == first[1:]


def test_what_has_other_bytes_is_a_guest() -> None:
    other = LOG.replace("fa ", "fb ")
    assert coverage.reached([CODE], [LOG.splitlines()]) == {("a.S", 1), ("a.S", 2)}
    assert coverage.reached([CODE], [other.splitlines()]) == {("a.S", 2)}


def test_protections_are_named() -> None:
    found = coverage.protections("host_kernel/machine/misplaced_frame.c")
    assert any("kill_guest" in each for each in found.values())
    assert not any(each.startswith("static") for each in found.values())
    assert coverage.protections("no/such/file.c") == {}


@pytest.mark.parametrize("engine", ["tcg"])
def test_the_lines_of_a_boot(engine: str) -> None:
    """All that the tool prints, for a Guest that is killed by one protection."""
    image = ROOT / "lguest_py" / "_images" / "guest.elf"
    boot = ["lguest-py", "boot", "--quiet", "--no-sandbox", "--engine", engine]
    command = [*boot, str(image), "run=fault bad-hypercall"]
    tool = [sys.executable, str(ROOT / "tools" / "coverage.py"), "--", *command]
    done = subprocess.run(tool, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert "lines of protections" in lines[-1], done
    main = next(each for each in lines if each.endswith("host_kernel/core/main.c"))
    assert int(main.split()[0]) > 10
    assert any(each.startswith("not reached: host_kernel/core/main.c") and "unknown Switcher" in each for each in lines)
    assert next(each for each in lines if each.endswith("host_kernel/native/iret.c")).split()[0] == "0"
    reached = "not reached: host_kernel/lguest/hypercalls.c"
    assert not any(each.startswith(reached) and "unknown hypercall" in each for each in lines), done
