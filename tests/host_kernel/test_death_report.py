# SPDX-License-Identifier: GPL-2.0-or-later
"""The report on deaths of real Guests: of both personalities, with both forms of page tables, on both engines.

Read before: tests/host_kernel/test_six_ends.py; docs/reports.md.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from linux_lab import Linux
from native_code import BASE, POWER_OFF, SPIN, SWITCH_FOREVER, UD2, kernel, say

import lguest_py
from lguest_py import End, Machine, Result
from lguest_py.kernels.stock import Kernel
from lguest_py.postmortem.postmortem import AddressWalk, Postmortem

DIRECTORY, TABLE, HIGH = 0x200000, 0x201000, 0xF0000000
End_ = Callable[..., Result]


@pytest.fixture
def end(engine_name: str) -> End_:
    def run(image: str | None = None, **options: Any) -> Result:
        with Machine(image, engine=engine_name, on_reboot="exit", **options) as guest:  # type: ignore[arg-type]
            return guest.wait(300)

    return run


def found(result: Result) -> Postmortem:
    assert result.postmortem
    return result.postmortem


def walks(result: Result) -> dict[str, AddressWalk]:
    return {walk.what: walk for walk in found(result).walks}


def store(at: int, value: int) -> bytes:
    """mov dword [at], value"""
    return b"\xc7\x05" + struct.pack("<II", at, value)


def control(number: int, value: int) -> bytes:
    """mov eax, value; mov crN, eax"""
    return b"\xb8" + struct.pack("<I", value) + b"\x0f\x22" + bytes([0xC0 | number << 3])


PSE, PAE, PG_WP_PE = 0x10, 0x20, 0x80010001
LOW = 0x83  # a large page at 0, writable
TWO_LEVELS = (
    store(DIRECTORY, LOW) + store(DIRECTORY + 4 * (HIGH >> 22), TABLE | 3) + store(TABLE, 0x180003)
    + control(4, PSE) + control(3, DIRECTORY) + control(0, PG_WP_PE)
)  # fmt: skip
THREE_LEVELS = (
    store(DIRECTORY, TABLE | 1) + store(DIRECTORY + 24, (TABLE + 0x1000) | 1) + store(TABLE, LOW)
    + store(TABLE + 8, 0x200083) + store(TABLE + 0x1000 + 8 * (HIGH >> 21 & 511), (TABLE + 0x2000) | 3)
    + store(TABLE + 0x2000, 0x180003) + control(4, PAE) + control(3, DIRECTORY) + control(0, PG_WP_PE)
)  # fmt: skip
READ = b"\xa1" + struct.pack("<I", HIGH + 0x10)  # mov eax, [HIGH + 0x10]: mapped
READ_BAD = b"\xa1" + struct.pack("<I", HIGH + 0x1010)  # not mapped


@pytest.mark.parametrize(("code", "levels", "page"), [(TWO_LEVELS, 2, 4 << 20), (THREE_LEVELS, 3, 2 << 20)])
def test_the_address_of_a_page_fault_is_walked(end: End_, tmp_path: Path, code: bytes, levels: int, page: int) -> None:
    """Through page tables of both forms: where nothing is, and the code, in a large page."""
    result = end(kernel(tmp_path / "kernel", say(b"up\r\n") + code + READ + READ_BAD), memory="16M")
    assert result.outcome.end is End.TRIPLE_FAULT
    fault, eip = walks(result)["cr2"], walks(result)["eip"]
    assert (fault.guest.address, fault.guest.physical, fault.guest.why) == (HIGH + 0x1010, None, "not present")
    assert [level.entry for level in fault.guest.levels][-1] == 0
    assert len(fault.guest.levels) == levels
    assert (eip.guest.physical, eip.guest.page) == (eip.guest.address, page)
    assert eip.shadow
    assert eip.shadow.physical == found(result).guest_base + eip.guest.address
    assert found(result).pae is (levels == 3)
    assert f"page tables for cr2 {HIGH + 0x1010:08x}:" in result.report().text()
    code_there = found(result).code
    assert code_there
    assert code_there.data[code_there.address - code_there.start :].startswith(READ_BAD)


def test_the_backtrace_of_a_guest_with_symbols(end: End_) -> None:
    result = end(command_line="run=fault call-gate")
    names = [frame.symbol.partition("+")[0] for frame in found(result).backtrace]
    assert names[0] == "call_gate"
    assert names.index("fault_command") < names.index("run") < names.index("shell")
    host = [frame.symbol.partition("+")[0] for frame in found(result).host_backtrace]
    assert {"run", "host_main"} <= set(host)
    there = found(result).code
    assert there
    assert there.data[there.address - there.start :].startswith(b"\xcd\x1f")  # the int, not what follows it
    calls = result.report().as_dict()["hypercalls"]
    assert calls[-1]["name"] == "LOAD_GDT_ENTRY"
    assert calls[-1]["arguments"][0] == 20


def test_an_exception_of_a_native_guest(end: End_, tmp_path: Path) -> None:
    result = end(kernel(tmp_path / "kernel", say(b"up\r\n") + UD2))
    assert found(result).registers["eip"] == BASE + 5 + len(say(b"up\r\n"))
    assert "page directory none yet" in result.report().text()
    pytest.importorskip("iced_x86")
    assert re.search(r"^  => [0-9a-f]{8}  0f 0b +ud2$", result.report().text(), re.M)


@pytest.mark.parametrize("code", [SPIN, SWITCH_FOREVER])
def test_a_guest_that_is_ended_from_outside_has_registers_too(engine_name: str, tmp_path: Path, code: bytes) -> None:
    with Machine(kernel(tmp_path / "kernel", say(b"up\r\n") + code), engine=engine_name) as guest:  # type: ignore[arg-type]
        guest.console.expect("up", 300)
        guest.close()
        result = guest.wait(300)
    assert BASE < found(result).registers["eip"] < BASE + 0x100
    assert found(result).shadow_directory
    assert "Guest registers, in ring 1, " in result.report().text()
    json.dumps(result.report().as_dict())


def test_an_ordinary_end_costs_nothing(end: End_, tmp_path: Path) -> None:
    result = end(kernel(tmp_path / "kernel", POWER_OFF))
    assert result.postmortem is None
    assert isinstance(result.report(), lguest_py.Report)
    assert result.report().as_dict()["guest"] is None


def test_a_linux_without_symbols_has_those_of_its_kallsyms(engine_name: str, stock: Kernel, tmp_path: Path) -> None:
    words = "quiet", 'run="echo c > /proc/sysrq-trigger"'
    guest = Linux(
        engine_name, "debian-6.1-686", None, *words, console="ttyS0", options=("--report", str(tmp_path / "r"))
    )
    try:
        assert guest.finish()["end"] == "panicked"
    finally:
        guest.close()
    data = json.loads((tmp_path / "r").read_text())
    names = [(frame["symbol"] or "").partition("+")[0] for frame in data["guest"]["backtrace"]]
    assert names[:2] == ["panic", "sysrq_handle_crash"]
    assert "write_sysrq_trigger" in names
    assert "Kernel panic - not syncing: sysrq triggered crash" in data["console"]
