# SPDX-License-Identifier: GPL-2.0-or-later
"""The ELF core: its form, its holes, hostile page tables, and gdb, which opens it."""

from __future__ import annotations

import io
import os
import random
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

import lguest_py
from lguest_py.launcher.vm_memory import built
from lguest_py.postmortem import core
from lguest_py.postmortem.core import MOST_RUNS, PT_GUEST_RAM, headers, write_core
from lguest_py.postmortem.memory import Remains
from lguest_py.postmortem.walk import PAGE
from lguest_py.shared_memory import _layouts as L

REGISTERS = {name: 0x100 + number for number, name in enumerate(core.REGISTERS)} | {"trapnum": 14, "esp": 0xC0001000}
needs_gdb = pytest.mark.skipif(not shutil.which("gdb"), reason="gdb is not installed")
BASE = 4 * PAGE  # of the Guest's memory in the machine's


def machine(ram: bytes, directory: int = L.LINEAR_MAP, pae: bool = False) -> Remains:
    whole = b"\xee" * BASE + ram + b"\xdd" * PAGE
    return Remains(memoryview(whole), BASE, len(ram), PAGE, pae, REGISTERS, directory, 0, ((0, len(whole)),))


def written(path: Path, remains: Remains) -> bytes:
    with open(path, "wb") as file:
        write_core(file.fileno(), remains)
    return path.read_bytes()


def segments(data: bytes) -> list[tuple[int, int, int, int]]:
    """(vaddr, paddr, size, offset) of each PT_LOAD."""
    found = ELFFile(io.BytesIO(data)).iter_segments(type="PT_LOAD")
    return [(each["p_vaddr"], each["p_paddr"], each["p_filesz"], each["p_offset"]) for each in found]


def test_without_page_tables_virtual_is_physical(tmp_path: Path) -> None:
    ram = random.Random(1).randbytes(8 * PAGE)
    data = written(tmp_path / "core", machine(ram))
    [(virtual, physical, size, offset)] = segments(data)
    assert (virtual, physical, size) == (0, 0, len(ram))
    assert data[offset:] == ram  # and nothing of the Host's, before or behind


def test_the_registers_are_in_a_note() -> None:
    data = headers(machine(bytes(PAGE)))
    [segment] = ELFFile(io.BytesIO(data)).iter_segments(type="PT_NOTE")
    at = segment["p_offset"]
    name_bytes, status_bytes, kind = struct.unpack_from("<3I", data, at)
    assert (name_bytes, status_bytes, kind, data[at + 12 : at + 17]) == (5, 144, 1, b"CORE\0")
    status = data[at + 20 : at + 20 + status_bytes]
    assert struct.unpack_from("<17I", status, 72) == tuple(
        0xFFFFFFFF if name == "orig_eax" else REGISTERS[name] & (0xFFFF if name in core.SELECTORS else 0xFFFFFFFF)
        for name in core.REGISTERS
    )
    assert struct.unpack_from("<H", status, 12) == (11,)


@pytest.mark.parametrize("pae", [False, True])
def test_segments_are_as_the_page_tables_say(tmp_path: Path, pae: bool) -> None:
    ram = bytearray(8 * PAGE)
    if pae:
        struct.pack_into("<Q", ram, PAGE + 24, 2 * PAGE | 1)
        struct.pack_into("<Q", ram, 2 * PAGE, 3 * PAGE | 3)
        struct.pack_into("<3Q", ram, 3 * PAGE, 5 * PAGE | 1, 6 * PAGE | 1, 9 * PAGE | 1)
    else:
        struct.pack_into("<I", ram, PAGE + 4 * 768, 3 * PAGE | 3)
        struct.pack_into("<3I", ram, 3 * PAGE, 5 * PAGE | 1, 6 * PAGE | 1, 9 * PAGE | 1)  # the last is no RAM
    ram[5 * PAGE : 5 * PAGE + 4] = b"five"
    data = written(tmp_path / "core", machine(bytes(ram), PAGE, pae))
    [(virtual, physical, size, offset)] = segments(data)
    assert (virtual, physical, size) == (0xC0000000, 5 * PAGE, 2 * PAGE)
    assert data[offset : offset + 4] == b"five"
    [whole] = [each for each in ELFFile(io.BytesIO(data)).iter_segments() if str(each["p_type"]) == str(PT_GUEST_RAM)]
    assert data[whole["p_offset"] :] == bytes(ram)


def test_it_is_sparse(tmp_path: Path) -> None:
    ram = bytearray(64 << 20)
    ram[40 << 20] = 1
    written(tmp_path / "core", machine(bytes(ram)))
    facts = os.stat(tmp_path / "core")
    assert facts.st_size > 64 << 20
    assert facts.st_blocks * 512 < 1 << 20


def test_what_the_file_held_before_is_gone(tmp_path: Path) -> None:
    (tmp_path / "core").write_bytes(b"\xff" * (1 << 20))
    remains = machine(bytes(16 * PAGE))
    with open(tmp_path / "core", "r+b") as file:
        write_core(file.fileno(), remains)
    data = (tmp_path / "core").read_bytes()
    assert data == headers(remains) + bytes(16 * PAGE)


def test_hostile_page_tables_get_a_bounded_number_of_segments() -> None:
    """A million pages, none of which is the neighbour of the one before; eip's is among the segments."""
    ram = bytearray(8 * PAGE)
    struct.pack_into("<1024I", ram, PAGE, *[2 * PAGE | 1] * 1024)
    struct.pack_into("<1024I", ram, 2 * PAGE, *[(5 + number % 2 * 2) * PAGE | 1 for number in range(1024)])
    remains = machine(bytes(ram), PAGE)
    remains.registers.update(eip=0xDEADB123)
    found = segments(headers(remains))
    assert len(found) == MOST_RUNS
    assert any(virtual == 0xDEADB000 for virtual, *_ in found)
    assert len(headers(remains)) < 1 << 20


@pytest.mark.parametrize("seed", range(6))
def test_random_memory_is_a_core_that_a_reader_accepts(seed: int) -> None:
    chance = random.Random(seed)
    ram = chance.randbytes(16 * PAGE)
    remains = machine(ram, chance.randrange(1 << 32), pae=seed % 2 == 0)
    data = headers(remains)
    assert len(data) % PAGE == 0
    for _, physical, size, offset in segments(data):
        assert size > 0
        assert physical + size <= len(ram)
        assert offset == len(data) + physical


# --- the real thing -------------------------------------------------------------------------------------------------


def gdb(path: Path, *commands: str) -> str:
    words = [word for command in commands for word in ("-ex", command)]
    done = subprocess.run(
        ["gdb", "-nx", "-batch", *words, str(built("guest.elf")), str(path)],
        capture_output=True, text=True, timeout=300, env={**os.environ, "DEBUGINFOD_URLS": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_gdb
def test_gdb_opens_the_core_of_a_guest_that_was_killed(engine_name: str, tmp_path: Path) -> None:
    path = tmp_path / "core"
    with lguest_py.Machine(
        engine=engine_name,  # type: ignore[arg-type]
        command_line="run=fault call-gate",
        core=path,
    ) as guest:
        result = guest.wait(300)
    assert result.postmortem
    registers = result.postmortem.registers
    said = gdb(path, "info registers", "x/4i $eip", "bt", "x/s &digits", "info symbol $eip")
    for name in ("eax", "ebx", "edx", "edi", "ebp", "esp", "eip", "eflags", "cs", "ss"):
        wide = registers[name] & (0xFFFF if name in core.SELECTORS else 0xFFFFFFFF)
        assert f"\n{name:<15}{wide:#x} " in "\n" + said
    assert f"=> {registers['eip']:#x} <call_gate+" in said
    frames = re.findall(r"^#\d+ +(?:0x\w+ in )?(\w+) \(", said, re.M)
    assert [name for name in frames if name in ("call_gate", "fault_command", "run", "shell")][-4:] == [
        *("call_gate", "fault_command", "run", "shell")
    ]
    assert "call_gate + " in said
    assert os.stat(path).st_blocks * 512 < 8 << 20
