# SPDX-License-Identifier: GPL-2.0-or-later
"""Which lines of the Host kernel and the Switchers a command runs on tcg.

``python tools/coverage.py -- pytest --no-sandbox tests/host_kernel``.  QEMU writes down each block that it translates,
which it does when it is about to run it (-d in_asm).  A Guest uses the same addresses, so a block counts only if its
bytes are those of an image.  The lines come from the debug information.  What is printed: the lines reached in each
file, and every line of a protection that was not.  Give the command --no-sandbox, which lguest-py boot has and pytest
here: inside its walls QEMU cannot write.

Read next: tools/build_images.py, which makes the images; tests/tools/test_coverage.py.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
IMAGES: Final = tuple(ROOT / "lguest_py" / "_images" / name for name in ("host_kernel.elf", "host_kernel_pae.elf"))
QEMU: Final = "qemu-system-i386"
SECTIONS: Final = ".text", ".switcher", ".switcher_lean"
RANGES: Final = "0x100000+0x40000,0xffc00000+0x1000"  # where these are
INSTRUCTION: Final = re.compile(r"0x([0-9a-f]{8}):  ((?:[0-9a-f]{2} )+)")
PROTECTION: Final = re.compile(
    r"\b(kill_guest|host_failed|bad_pde|unusual_pte|host_exception)\(|\breturn (false|NULL);"
)
DEFINITION: Final = re.compile(r"^\w|^\s*(\*|/\*)")
Line = tuple[str, int]  # a file, as from the project's folder, and its line


@dataclass
class Code:
    """A section of an image, and its lines."""

    start: int
    data: bytes
    lines: dict[int, set[Line]] = field(default_factory=dict)  # by the address where each begins

    def has(self, address: int, data: bytes) -> bool:
        """Whether these bytes stand there."""
        at = address - self.start
        return at >= 0 and self.data[at : at + len(data)] == data


def load(path: Path) -> list[Code]:
    """The code of an image.  Both Switchers have the same addresses, so each line is put where its file says."""
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as file:
        elf: Any = ELFFile(file)
        found = {name: elf.get_section_by_name(name) for name in SECTIONS}
        codes = {name: Code(each["sh_addr"], each.data()) for name, each in found.items()}
        for unit in elf.get_dwarf_info().iter_CUs():
            program = elf.get_dwarf_info().line_program_for_CU(unit)
            source = unit.get_top_DIE().attributes["DW_AT_name"].value.decode()
            lean = source.endswith("lean.S")
            for address, line in lines_of(program, unit):
                own = ".text" if address < 1 << 31 else ".switcher_lean" if lean else ".switcher"
                codes[own].lines.setdefault(address, set()).add(line)
    return list(codes.values())


def lines_of(program: Any, unit: Any) -> Iterator[tuple[int, Line]]:
    """(address, line) of all rows of a line program."""
    header = program.header
    folders = [each.decode() for each in header["include_directory"]]
    names: list[str] = []
    for entry in header["file_entry"]:
        folder, name = folders[entry["dir_index"]], entry["name"].decode()
        path = Path(folder, name)
        where = path if path.is_absolute() else ROOT / path
        names.append(str(where.relative_to(ROOT)) if where.is_relative_to(ROOT) else str(where))
    for entry in program.get_entries():
        state = entry.state
        if state is not None and not state.end_sequence and state.line:
            yield state.address, (names[state.file], state.line)


def blocks(log: Iterable[str]) -> Iterator[list[tuple[int, bytes]]]:
    """The instructions of each block in a log."""
    block: list[tuple[int, bytes]] = []
    for line in log:
        if found := INSTRUCTION.match(line):
            block.append((int(found[1], 16), bytes.fromhex(found[2])))
        elif line.startswith("---") and block:
            yield block
            block = []
    if block:
        yield block


def reached(codes: Sequence[Code], logs: Iterable[Iterable[str]]) -> set[Line]:
    """The lines of blocks in these logs that are of an image."""
    found: set[Line] = set()
    done: set[tuple[int, bytes]] = set()
    for log in logs:
        for block in blocks(log):
            key = block[0][0], b"".join(data for _, data in block)
            if key in done:
                continue
            done.add(key)
            for code in codes:
                if code.has(*key):
                    for address, _ in block:
                        found |= code.lines.get(address, set())
    return found


def protections(file: str) -> dict[int, str]:
    """The lines of a file that end a Guest, or refuse something."""
    path = ROOT / file
    if not path.is_file():
        return {}
    text = path.read_text().splitlines()
    return {
        number: line.strip()
        for number, line in enumerate(text, 1)
        if PROTECTION.search(line) and not DEFINITION.match(line)
    }


def by_file(lines: Iterable[Line]) -> dict[str, set[int]]:
    """The lines of each file."""
    found: dict[str, set[int]] = {}
    for file, line in lines:
        found.setdefault(file, set()).add(line)
    return found


def report(codes: Sequence[Code], found: set[Line]) -> list[str]:
    """What is printed."""
    all_lines = by_file(line for code in codes for lines in code.lines.values() for line in lines)
    seen: Mapping[str, set[int]] = by_file(found)
    shown, missing, guarded = [], [], 0
    for file, lines in sorted(all_lines.items()):
        hit = seen.get(file, set()) & lines
        shown.append(f"{len(hit):5} of {len(lines):5} lines  {file}")
        for number, text in protections(file).items():
            if number in lines:
                guarded += 1
                if number not in hit:
                    missing.append(f"not reached: {file}:{number}: {text}")
    total, hits = (
        sum(map(len, all_lines.values())),
        sum(len(seen.get(file, set()) & all_lines[file]) for file in all_lines),
    )
    summary = f"{hits} of {total} lines reached; {guarded - len(missing)} of {guarded} lines of protections"
    return [*shown, *missing, summary]


def run(command: Sequence[str], folder: Path) -> int:
    """Run a command whose QEMU writes logs into ``folder``; its exit status."""
    qemu = shutil.which(QEMU)
    if qemu is None:
        raise SystemExit(f"{QEMU} is not installed: apt-get install qemu-system-x86")
    shim = folder / "bin" / QEMU
    shim.parent.mkdir()
    log = shlex.quote(str(folder / "log"))
    shim.write_text(f'#!/bin/sh\nexec {qemu} -d in_asm -dfilter {RANGES} -D {log}.$$ "$@"\n')
    shim.chmod(0o755)
    path = os.pathsep.join([str(shim.parent), str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return subprocess.run([*command], env={**os.environ, "PATH": path}, check=False).returncode


def main(words: Sequence[str] | None = None) -> int:
    """The exit status of the command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="a command that boots Guests on tcg")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        status = run(given.command, folder)
        codes = [code for path in IMAGES for code in load(path)]
        logs = sorted(folder.glob("log.*"))
        opened = (path.open(errors="replace") for path in logs)
        print(*report(codes, reached(codes, opened)), sep="\n")
        if not logs:
            print("no Guest ran on tcg", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
