# SPDX-License-Identifier: GPL-2.0-or-later
"""Which source line each instruction of a Switcher is from, in a macro too, for ``lguest-py watch``.

The assembler's own line numbers name the line that uses a macro, not the one in it.  So copies of the sources are
assembled in which each instruction notes its address and line in a section that is not loaded.  The object has
the same code as the real one, and a Switcher is a section of its own, so an address there is one in the page.

The result has the sources too: an installed lguest-py has no others.
Read next: lguest_py/watch/sources.py, which reads it.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

VERSION = 1
SOURCES = {"classic": "switcher/switcher.S", "lean": "switcher/lean.S"}
SECTIONS = {"classic": ".switcher", "lean": ".switcher_lean"}
BUILDS = {"lguest": (), "pae": ("-DPAE",)}
PATTERNS = "switcher/*.[Sh]", "switcher/layouts/frame.h"
NOTES = ".lines"
NOTE = struct.Struct("<II")  # address in the section; number of the file << 16 | line
LABELS = re.compile(r"((?:[A-Za-z_0-9]+:\s*)*)(.*)", re.DOTALL)
INSTRUCTION = re.compile(r"[a-z][a-z0-9]*(?:\s|$)")
Compile = Callable[..., Path]


def annotated(text: str, file: int) -> str:
    """The source with a note before each instruction, on the same line; macros are noted where they are defined."""
    lines, in_comment = [], False
    for number, line in enumerate(text.splitlines(), 1):
        code = line if not in_comment else ""
        if not in_comment and not line.startswith("#"):
            labels, rest = LABELS.fullmatch(code.lstrip()).groups()  # type: ignore[union-attr]
            if INSTRUCTION.match(rest):
                note = f'99: .pushsection {NOTES},""; .long 99b, {file << 16 | number}; .popsection; '
                line = f"{labels}{note}{rest}"
        in_comment = line.rfind("/*") > line.rfind("*/") or (in_comment and "*/" not in line)
        lines.append(line)
    return "\n".join(lines) + "\n"


def _notes(built: Path, section: str) -> Iterator[tuple[int, int, int]]:
    """(address in the section, number of the file, line) of each instruction; of one in a macro its own line."""
    from elftools.elf.elffile import ELFFile

    with built.open("rb") as file:
        elf: Any = ELFFile(file)
        code = elf.get_section_index(section)
        data, symbols = elf.get_section_by_name(NOTES).data(), elf.get_section_by_name(".symtab")
        for relocation in elf.get_section_by_name(f".rel{NOTES}").iter_relocations():
            symbol = symbols.get_symbol(relocation["r_info_sym"])
            if symbol["st_shndx"] == code:
                address, line = NOTE.unpack_from(data, relocation["r_offset"])
                yield symbol["st_value"] + address, line >> 16, line & 0xFFFF


def there(root: Path) -> bool:
    """Whether this tree has the Switchers at all."""
    return all((root / source).exists() for source in SOURCES.values())


def write(root: Path, output: Path, compile_source: Compile) -> None:
    """Write them to ``output`` if it is out of date.  ``compile_source`` makes an object, or raises BuildError."""
    names = sorted(str(path.relative_to(root)) for pattern in PATTERNS for path in root.glob(pattern))
    where = root / "build" / "lines"
    texts = [(root / name).read_text() for name in names]
    for number, (name, text) in enumerate(zip(names, texts, strict=True)):
        copy, copied = where / name, annotated(text, number)
        if not copy.exists() or copy.read_text() != copied:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(copied)
    builds: dict[str, Any] = {}
    for switcher, source in SOURCES.items():
        for form, defines in BUILDS.items():
            built = where / f"{switcher}-{form}.o"
            compile_source(where / source, built, f"-I{where.relative_to(root)}", *defines)
            builds[f"{switcher}-{form}"] = sorted(_notes(built, SECTIONS[switcher]))
    made = json.dumps({"version": VERSION, "files": dict(zip(names, texts, strict=True)), "builds": builds})
    if not output.exists() or output.read_text() != made:
        aside = where / f"{output.name}.new"
        aside.write_text(made)
        aside.replace(output)
