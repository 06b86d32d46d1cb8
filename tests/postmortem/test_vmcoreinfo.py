# SPDX-License-Identifier: GPL-2.0-or-later
"""VMCOREINFO in a core: found in the Guest's memory, forged and broken ones too; and drgn, which opens such a core.

Read before: lguest_py/postmortem/vmcoreinfo.py, test_core.py.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import random
import re
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import NoteSegment
from linux_lab import Linux

from lguest_py import End, Machine
from lguest_py.kernels.stock import Kernel
from lguest_py.postmortem import vmcoreinfo as module
from lguest_py.postmortem.core import headers, write_core
from lguest_py.postmortem.memory import Remains
from lguest_py.postmortem.vmcoreinfo import MOST_FOUND, vmcoreinfo
from lguest_py.postmortem.walk import PAGE
from lguest_py.shared_memory import _layouts as L

if TYPE_CHECKING:
    from linux_lab import RealLinux

PATIENCE = 400.0  # seconds; the carrier is slow
NAMES = 0x5000  # where the kernel's version is
needs_drgn = pytest.mark.skipif(not importlib.util.find_spec("drgn"), reason="drgn is not installed")
# The registers' note comes first; of an unknown core drgn says nothing about Linux.
DRGN = """
import drgn, json, sys
program = drgn.Program()
program.set_core_dump(sys.argv[1])
at = int(sys.argv[2], 16)
physical = [program.read(int(each, 16), 16, physical=True).hex() for each in sys.argv[3:]]
linux = drgn.ProgramFlags.IS_LINUX_KERNEL in program.flags
text = program["VMCOREINFO"].string_().decode() if linux else ""
print(json.dumps([linux, str(program.platform.arch), text, program.read(at, 390).hex(), physical]))
"""


def text_of(release: str, names: int = NAMES, more: str = "") -> bytes:
    symbols = f"SYMBOL(init_uts_ns)={names:x}\nSYMBOL(swapper_pg_dir)=c0000000\n"
    return f"OSRELEASE={release}\nPAGESIZE=4096\n{symbols}{more}".encode()


def note(text: bytes, kind: int = 0, count: int | None = None) -> bytes:
    return struct.pack("<3I", 11, len(text) if count is None else count, kind) + b"VMCOREINFO\0\0" + text


def remains_of(parts: dict[int, bytes], pages: int = 8, directory: int = L.LINEAR_MAP) -> Remains:
    """RAM with these in it, a machine's memory around it, and the Guest's version at NAMES."""
    ram = bytearray(pages * PAGE)
    for at, data in {NAMES + 130: b"\0" + b"6.1.0\0", **parts}.items():
        ram[at : at + len(data)] = data
    whole = bytes(PAGE) + ram[: pages * PAGE] + note(text_of("host"))
    return Remains(memoryview(whole), PAGE, pages * PAGE, 0, False, {}, directory, 0, ((0, len(whole)),))


def padded(text: bytes) -> bytes:
    return note(text) + bytes(-len(text) % 4)


@pytest.mark.parametrize("length", range(4))
def test_the_note_of_the_memory_is_in_the_core(length: int) -> None:
    text = text_of("6.1.0", more="N=" + "x" * length + "\n")
    remains = remains_of({0x2004: note(text)})
    assert vmcoreinfo(remains) == padded(text)
    data = headers(remains)
    [segment] = ELFFile(io.BytesIO(data)).iter_segments(type="PT_NOTE")
    assert data[segment["p_offset"] :][: segment["p_filesz"]] == padded(text)


def test_a_memory_without_one_has_none() -> None:
    assert vmcoreinfo(remains_of({})) == b""
    assert vmcoreinfo(remains_of({0x2000: note(text_of("6.1.0"))[:40]})) == b""


GOOD = text_of("6.1.0")


@pytest.mark.parametrize(
    "broken",
    [
        note(GOOD, kind=1),
        note(GOOD, count=0),
        note(GOOD, count=0xFFFFFFFF),
        note(GOOD, count=len(GOOD) + 1),
        note(GOOD.replace(b"4096", b"8192")),
        note(GOOD.replace(b"swapper_pg_dir", b"swapper")),
        note(GOOD.replace(b"OSRELEASE=6", b"OSRELEASE=\x1b")),
        note(GOOD + b"a line without the sign\n"),
        b"\0" + note(GOOD),  # at an odd place
        struct.pack("<I", 12) + note(GOOD)[4:],
    ],
    ids=["type", "empty", "huge", "longer", "page size", "page tables", "control character", "line", "place", "name"],
)
def test_what_is_no_note_is_passed_over(broken: bytes) -> None:
    assert vmcoreinfo(remains_of({0x2000: broken})) == b""
    good = text_of("6.1.0", more="GOOD=1\n")
    assert vmcoreinfo(remains_of({0x2000: broken, 0x3000: note(good)})) == padded(good)


def test_one_at_the_end_of_memory_is_not_read_beyond_it() -> None:
    whole = note(GOOD)
    end = 8 * PAGE - len(whole)
    assert end % 4 == 0 or vmcoreinfo(remains_of({end & ~3: whole}))
    for missing in range(4, len(whole), 4):
        assert vmcoreinfo(remains_of({(end & ~3) + missing: whole[: 8 * PAGE - (end & ~3) - missing]})) == b""


def test_of_several_the_one_that_knows_the_kernel_comes_first() -> None:
    """A file of another kernel's can be in the page cache, below the kernel's own."""
    other, own = text_of("5.10.0"), text_of("6.1.0", more="OWN=1\n")
    assert vmcoreinfo(remains_of({0x2000: note(other), 0x3000: note(own)})) == padded(own)
    assert vmcoreinfo(remains_of({0x2000: note(other), 0x3000: note(text_of("6.1.0", 0xFFFFF000))})) == padded(other)


def test_a_memory_full_of_beginnings_is_searched_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(module, "_text", lambda ram, at: tried.append(at))
    start = note(b"OSRELEASE=\n")
    assert vmcoreinfo(remains_of({0: start * (8 * PAGE // len(start))})) == b""
    assert len(tried) == MOST_FOUND


def test_one_across_two_steps_of_the_search_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEP", 64)
    for at in range(0x2000, 0x2080, 4):
        assert vmcoreinfo(remains_of({at: note(GOOD)})) == padded(GOOD)


def test_one_across_two_ranges_of_touched_memory_is_found() -> None:
    for at in range(0x2FD0, 0x3000, 4):
        remains = remains_of({at: note(GOOD)})
        parts = tuple((PAGE * number, PAGE * (number + 1)) for number in range(9))
        assert vmcoreinfo(replace(remains, touched=parts)) == padded(GOOD)


@pytest.mark.parametrize("seed", range(20))
def test_random_changes_do_no_harm(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(note(text_of("6.1.0")) * 3)
    for _ in range(chance.randrange(1, 6)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    found = vmcoreinfo(remains_of({0x2000: bytes(data)}))
    assert found == b"" or (found.startswith(note(b"", count=0)[:4]) and b"PAGESIZE=4096\n" in found)


def drgn(core: Path, *addresses: int) -> tuple[bool, str, str, bytes, list[bytes]]:
    """What drgn says of a core: Linux or not, the processor, VMCOREINFO, 390 bytes, 16 at each physical."""
    words = [sys.executable, "-c", DRGN, str(core), *map(hex, addresses)]
    environment = {**os.environ, "DEBUGINFOD_URLS": ""}
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, env=environment)
    assert done.returncode == 0, done.stderr
    linux, processor, text, data, physical = json.loads(done.stdout)
    return linux, processor, text, bytes.fromhex(data), [bytes.fromhex(each) for each in physical]


@needs_drgn
def test_drgn_knows_a_core_of_linux(tmp_path: Path) -> None:
    ram = bytearray(8 * PAGE)
    struct.pack_into("<I", ram, PAGE + 4 * 768, 2 * PAGE | 3)
    struct.pack_into("<I", ram, 2 * PAGE + 4 * 1, 5 * PAGE | 3)
    text = text_of("6.1.0", 0xC0001000)
    parts = {PAGE: bytes(ram[PAGE : 3 * PAGE]), 0x4000: note(text)}
    for name, given in (("with", parts), ("without", {PAGE: parts[PAGE]})):
        with open(tmp_path / name, "wb") as file:
            write_core(file.fileno(), remains_of(given, directory=PAGE))
    linux, processor, told, data, [page] = drgn(tmp_path / "with", 0xC0001000, 5 * PAGE + 130)
    assert (linux, processor, told) == (True, "Architecture.I386", text.decode())
    assert data[131:136] == page[1:6] == b"6.1.0"
    assert not drgn(tmp_path / "without", 0xC0001000)[0]


@pytest.mark.nightly
@needs_drgn
def test_drgn_opens_the_core_of_a_linux_that_panicked(engine_name: str, stock: Kernel, tmp_path: Path) -> None:
    path = tmp_path / "core"
    with Machine(
        stock.directory.name,
        engine=engine_name,  # type: ignore[arg-type]
        command_line="quiet",
        core=path,
    ) as machine:
        machine.console.expect("/ # ", PATIENCE)
        machine.console.sendline("cat /sys/kernel/vmcoreinfo; uname -r")
        told = re.compile(r"0x([0-9a-f]+) [0-9a-f]+\r\n(6\.1\.\S+)\r")
        place, release = machine.console.expect(told, PATIENCE).groups()
        machine.console.sendline("echo c >/proc/sysrq-trigger")
        result = machine.wait(PATIENCE)
    assert result.outcome.end is End.PANICKED
    with path.open("rb") as file:
        [segment] = ELFFile(file).iter_segments(type="PT_NOTE")
        assert isinstance(segment, NoteSegment)
        notes = list(segment.iter_notes())
    text = notes[1]["n_descdata"]
    assert [each["n_name"] for each in notes] == ["CORE", "VMCOREINFO"]
    found = dict(line.split("=", 1) for line in text.decode().splitlines())
    assert found["OSRELEASE"] == release
    stext = int(found["SYMBOL(_stext)"], 16)
    linux, processor, shown, names, [start, of_note] = drgn(
        path, int(found["SYMBOL(init_uts_ns)"], 16), stext - 0xC0000000, int(place, 16)
    )
    assert (linux, processor, shown) == (True, "Architecture.I386", text.decode())
    assert f"\0{release}\0".encode() in names
    assert of_note == note(text)[:16]
    assert start == drgn(path, stext)[3][:16]


TASKS = """
import drgn, sys
from drgn.helpers.linux.pid import for_each_task
program = drgn.Program()
program.set_core_dump(sys.argv[1])
program.load_debug_info([sys.argv[2]])
print(program["init_uts_ns"].name.release.string_().decode())
print(*(task.comm.string_().decode() for task in for_each_task(program)))
"""


@needs_drgn
def test_drgn_lists_the_tasks_of_an_lguest_linux_by_its_debug_information(
    engine_name: str, linux: RealLinux, tmp_path: Path
) -> None:
    with linux.vmlinux.open("rb") as file:
        if not ELFFile(file).has_dwarf_info():
            pytest.skip("this vmlinux has no debug information")
    path = tmp_path / "core"
    guest = Linux(engine_name, linux.vmlinux, linux.initrd, "quiet", options=("--core", str(path)))
    try:
        guest.to_the_shell()
        release = guest.ask("cat /proc/sys/kernel/osrelease").strip()
        guest.type(b"echo c >/proc/sysrq-trigger\n")
        assert guest.finish()["end"] == "panicked"
    finally:
        guest.close()
    words = [sys.executable, "-c", TASKS, str(path), str(linux.vmlinux)]
    environment = {**os.environ, "DEBUGINFOD_URLS": ""}
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, env=environment)
    assert done.returncode == 0, done.stderr
    told, tasks = done.stdout.splitlines()
    assert told == release
    assert {"kthreadd", "init"} <= set(tasks.split())
