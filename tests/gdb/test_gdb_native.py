# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb and an unmodified kernel: single steps over all that the Host kernel emulates, breakpoints and watchpoints.

Read next: step_kernel.S.
"""

from __future__ import annotations

import re
from pathlib import Path

import kvm_carrier
import pytest
from gdb_lab import Debugged, needs_gdb
from small_kernel import small_kernel

from lguest_py.images import Image
from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher

pytestmark = needs_gdb
SOURCE = Path(__file__).resolve().with_name("step_kernel.S")
IDLE = 24  # the sti before a hlt: both are one step, behind which the kernel sleeps until its handler runs
ORDER = [f"p{number:02}" for number in (*range(1, IDLE + 1), 28, 26, 27, *range(28, 39))]


@pytest.fixture
def kernel(tmp_path: Path) -> tuple[Image, Path]:
    """The kernel, and its ELF for gdb."""
    elf = tmp_path / "step_kernel.elf"
    return small_kernel(SOURCE, {}, keep=elf), elf


def places(lines: list[str]) -> list[str]:
    """The labels at which gdb says that it stands."""
    return [match[1] for line in lines if (match := re.match(r"at0x\w+ <(\w+)>", line))]


@pytest.mark.parametrize("switcher", ["lean", pytest.param("classic", marks=pytest.mark.nightly("kvm"))])
def test_each_step_is_one_instruction(
    engine_name: str, switcher: Switcher, kernel: tuple[Image, Path], tmp_path: Path
) -> None:
    image, elf = kernel
    guest = Debugged(engine_name, image, tmp_path, switcher=switcher)
    one = ["stepi", "echo at", "output/a $pc", r"echo \n"]
    lines = guest.gdb("break ready", "continue", *one * len(ORDER), "print (int)count", "detach", symbols=elf)
    assert places(lines) == ORDER, "\n".join(lines)
    assert "$1 = 1" in lines[-2]
    result = guest.end()
    assert result.outcome.end is End.POWERED_OFF, result.snapshot.guest


def test_breakpoints_in_both_rings(engine_name: str, kernel: tuple[Image, Path], tmp_path: Path) -> None:
    """gdb's int3 is not the kernel's own, which goes to its handler; what gdb reads shows neither."""
    image, elf = kernel
    guest = Debugged(engine_name, image, tmp_path)
    marks = "break *p20", "break *p36", "break *stepped"
    lines = guest.gdb(
        "break *p15", *marks, "continue", "x/1xb &p15", "print/x $cs", "continue", "continue", "print/x $cs",
        "x/1xb &p36", "continue", "print (int)watched", "kill", symbols=elf,
    )  # fmt: skip
    hits = [int(match[1]) for line in lines if (match := re.match(r"Breakpoint (\d+), ", line))]
    assert hits == [1, 2, 3, 4], "\n".join(lines)
    assert [line.split()[-1] for line in lines if re.match(r"0x\w+ <p(15|36)>", line)] == ["0xff", "0x5a"]
    assert [line.split()[-1] for line in lines if line.startswith("$")] == ["0x11", "0x23", "1"]
    assert guest.end().outcome.reason == "gdb's kill"


@pytest.mark.nightly("kvm")
def test_watchpoints(engine_name: str, kernel: tuple[Image, Path], tmp_path: Path) -> None:
    """Where the processor has them; else gdb says why not."""
    image, elf = kernel
    guest = Debugged(engine_name, image, tmp_path)
    lines = guest.gdb(
        "hbreak ready", "continue", "print $pc", "watch *(int *)&watched", "continue", "print $pc", "delete",
        "continue", symbols=elf,
    )  # fmt: skip
    result = guest.end()
    if any("do not go off" in line for line in lines):
        assert kvm_carrier.inside()
        return
    assert "Old value = 0" in lines
    assert "New value = 1" in lines
    assert [line.rpartition("<")[2] for line in lines if line.startswith("$")] == ["ready>", "stepped>"]
    assert lines[-1] == "[Inferior 1 (Remote target) exited normally]"
    assert result.outcome.end is End.POWERED_OFF
