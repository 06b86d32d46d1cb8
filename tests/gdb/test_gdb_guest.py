# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb and the tiny Guest, whose ELF has its symbols: what a user does with a program, with a kernel and its programs.

Read next: test_gdb_native.py, tests/lab/gdb_lab.py.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from gdb_lab import Debugged, needs_gdb

from lguest_py import images
from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher, built

pytestmark = needs_gdb
GUEST = built("guest.elf")


def tiny(
    engine: str, folder: Path, command_line: str = "", *, typed: bytes = b"", restart: bool = False
) -> Debugged:
    image = images.open_image(str(GUEST))
    return Debugged(engine, image, folder, command_line=command_line, typed=typed, restart=restart)


def values(lines: list[str]) -> list[str]:
    """What gdb printed for each ``print``."""
    return [match[1] for line in lines if (match := re.match(r"\$\d+ = (.*)", line))]


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize("switcher", ["lean", pytest.param("classic", marks=pytest.mark.nightly)])
def test_a_kernel_and_its_program(engine_name: str, switcher: Switcher, tmp_path: Path) -> None:
    guest = Debugged(
        engine_name, images.open_image(str(GUEST)), tmp_path, switcher=switcher, typed=b"uptime\r"
    )
    lines = guest.gdb(
        "print/x $pc", "print $cr0",
        "break clock_init", "continue", "bt", "next", "finish",
        "print lguest_data.tsc_khz > 1000", "print $cs & 3", "print $cr0 != 0",
        "set var boot_wall_ns = 1234567", "print boot_wall_ns", "print (int)clock_ms() >= 0",
        "tbreak uptime_command", "continue", "bt 1",
        "delete", "detach", symbols=GUEST,
    )  # fmt: skip
    text = "\n".join(lines)
    assert values(lines)[:2] == ["0x100000", "0"], text
    assert "guest_main () at guest_kernel/main/main.c" in text
    assert values(lines)[2:7] == ["1", "1", "1", "1234567", "1"], text
    assert "uptime_command (" in text
    assert guest.gdb("kill")[-1] == "[Inferior 1 (Remote target) killed]"
    assert guest.end().outcome.reason == "gdb's kill"


@pytest.mark.nightly("kvm")
def test_a_program_in_ring_3(engine_name: str, tmp_path: Path) -> None:
    """Breakpoints in a page of a program and single steps there, into its kernel and back."""
    guest = tiny(engine_name, tmp_path, typed=b"run rings\rrun spin\r")
    byte = "gdb.selected_inferior().read_memory(gdb.selected_frame().pc(), 1)[0]"
    at_int = rf'python while {byte} != b"\xcd": gdb.execute("stepi")'
    lines = guest.gdb(
        "break system_call if frame->eip >= (unsigned)program_rings && frame->eip < (unsigned)program_ticker",
        "continue",
        "print/x frame->cs & 3", "tbreak *frame->eip", "continue", "print/x $cs & 3", at_int, "print/x $cs & 3",
        "stepi", "print/x $cs & 3", "info symbol $pc", "print/x *(int *)($esp + 8) & 0x100",
        "delete", "detach", symbols=GUEST,
    )  # fmt: skip
    text = "\n".join(lines)
    assert values(lines) == ["0x3", "0x3", "0x3", "0x1", "0x0"], text
    assert any(line.startswith("trap_system_call in section") for line in lines), text
    guest.runs_on()
    lines = guest.interrupted("print $cs & 3", "kill", symbols=GUEST)
    assert values(lines) in (["3"], ["1"]), lines
    assert any("SIGINT" in line for line in lines)
    assert guest.end().outcome.reason == "gdb's kill"


@pytest.mark.nightly("kvm")
def test_who_goes_and_comes(engine_name: str, tmp_path: Path) -> None:
    """A Guest goes on after detach, and when gdb is killed; its breakpoints are gone then."""
    guest = tiny(engine_name, tmp_path)
    lines = guest.gdb("break schedule", "continue", "bt", "detach", symbols=GUEST)
    assert any(line.startswith("#0  schedule (") for line in lines), lines
    guest.runs_on()
    lines = guest.gdb("break schedule", "continue", "python import os; os.kill(os.getpid(), 9)", symbols=GUEST)
    assert any("Breakpoint 1, schedule" in line for line in lines), lines
    guest.runs_on()
    lines = guest.gdb("x/1xb schedule", "detach", symbols=GUEST)
    assert lines[-2].split()[-1] != "0xcc", lines
    guest.interrupted(symbols=GUEST, before=["break panic"], number=signal.SIGKILL)
    guest.runs_on()
    lines = guest.gdb("x/1xb panic", "kill", symbols=GUEST)
    assert lines[-2].split()[-1] != "0xcc", lines
    assert guest.end().outcome.reason == "gdb's kill"


@pytest.mark.nightly("kvm")
def test_an_end_and_a_restart(engine_name: str, tmp_path: Path) -> None:
    """After a restart the Guest stands at its first instruction again; at its end gdb gets the exit status."""
    guest = tiny(engine_name, tmp_path, "run=reboot", restart=True)
    lines = guest.gdb(
        "break power_restart", "continue", "continue", "print/x $pc", "continue", "bt 1", "delete", "continue",
        "print/x $pc", "kill", symbols=GUEST,
    )  # fmt: skip
    text = "\n".join(lines)
    assert text.count("Breakpoint 1, power_restart") == 2, text
    assert values(lines) == ["0x100000", "0x100000"], text
    guest.end()
    assert sum("the Guest restarts" in line for line in guest.said) == 2
    folder = tmp_path / "second"
    folder.mkdir()
    guest = tiny(engine_name, folder, "run=panic")
    lines = guest.gdb("continue", symbols=GUEST)
    assert lines[-1] == "[Inferior 1 (Remote target) exited with code 03]", lines
    assert guest.end().outcome.end is End.PANICKED


@pytest.mark.nightly("kvm")
def test_its_own_tests_pass_as_ever(engine_name: str, tmp_path: Path) -> None:
    """int3, gates and debug exceptions of its own, while gdb is attached and has breakpoints."""
    guest = tiny(engine_name, tmp_path, "run=test")
    lines = guest.gdb("break panic", "hbreak panic", "continue", symbols=GUEST)
    assert lines[-1] == "[Inferior 1 (Remote target) exited normally]", lines
    assert guest.end().outcome.end is End.POWERED_OFF
    assert re.search(r"(\d+) passed, 0 failed", guest.text), guest.text


@pytest.mark.nightly("kvm")
def test_int3_where_the_gate_is_the_kernels_alone(engine_name: str, tmp_path: Path) -> None:
    """A program's int3 is a general protection fault then, as without gdb."""
    guest = tiny(engine_name, tmp_path, "run=fault breakpoint")
    closed = "call (void)idt_set_gate(3, (void *)trap_stubs[3], 0x8f)"
    lines = guest.gdb("break shell_start", "continue", closed, "continue", symbols=GUEST)
    guest.end()
    assert "general protection" in guest.text, (lines, guest.text)
