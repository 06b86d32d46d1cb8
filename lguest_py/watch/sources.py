# SPDX-License-Identifier: GPL-2.0-or-later
"""The Switchers' sources: for an instruction its line, the comment beside it, and the why: the comment above it.

A comment on lines of its own is the why of all instructions under it, up to the next such comment or an empty line.
The data is made with the images (tools/switcher_lines.py), so an installed lguest-py needs no source tree.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from lguest_py.images.symbols import read_symbols
from lguest_py.launcher.vm_memory import HOST_KERNELS, PAGE, built
from lguest_py.postmortem.symbols import SYMBOL
from lguest_py.shared_memory import _layouts as L

LINES: Final = "switcher_lines.json"
LOAD: Final = "switcher_load"  # the symbol of host_kernel.ld: first the classic Switcher's page, then the lean one's
COMMENT = re.compile(r"/\*(.*?)\*/", re.DOTALL)
LABEL = re.compile(r"^([A-Za-z_0-9]+:\s*)+")


@dataclass(frozen=True)
class Line:
    """An instruction's line in a source."""

    file: str
    line: int
    code: str
    note: str
    why: str


def plain(comment: str) -> str:
    """The text of a comment, in one paragraph."""
    lines = (line.strip().removeprefix("*").strip() for line in comment.splitlines())
    return " ".join(filter(None, lines))


@cache
def _data() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(built(LINES).read_text())
    return found


@cache
def _lines_of(file: str) -> tuple[str, ...]:
    return tuple(_data()["files"][file].splitlines())


@cache
def _whys(file: str) -> dict[int, str]:
    """The why that holds on each line, by the line's number."""
    text: str = _data()["files"][file]
    found: dict[int, str] = {}
    own = {}  # the last line of each comment on lines of its own: its text
    inside: set[int] = set()
    for each in COMMENT.finditer(text):
        first = text.count("\n", 0, each.start()) + 1
        last = text.count("\n", 0, each.end()) + 1
        begin = text.rfind("\n", 0, each.start()) + 1
        end = text.find("\n", each.end())
        if not text[begin : each.start()].strip() and not text[each.end() : end].strip():
            own[last] = plain(each[1])
            inside |= set(range(first, last))
    now = ""
    for number, line in enumerate(text.splitlines(), 1):
        if number in own:
            now = own[number]
        elif not line.strip() and number not in inside:
            now = ""
        found[number] = now
    return found


def line_at(file: str, number: int) -> Line:
    """What stands there."""
    text = _lines_of(file)[number - 1]
    note = " ".join(plain(each[1]) for each in COMMENT.finditer(text))
    code = LABEL.sub("", COMMENT.sub("", text).strip())
    return Line(file, number, " ".join(code.split()), note, _whys(file)[number])


def is_pae(memory: memoryview) -> bool:
    """Whether the Host kernel in a machine's memory is the one for page tables of PAE."""
    image = built(HOST_KERNELS[True]).read_bytes()
    return memory[L.HOST_KERNEL_BASE : L.HOST_KERNEL_BASE + len(image)] == image


@cache
def load_address(switcher: str, pae: bool) -> int:
    """Where the Host kernel's image has a Switcher in the machine's memory."""
    name = f"host_kernel{'_pae' if pae else ''}.elf"
    with built(name).open("rb") as file:
        raw = read_symbols(file, name)
    assert raw, name
    place = raw[1].index(f"\0{LOAD}\0".encode()) + 1
    value = next(each[1] for each in SYMBOL.iter_unpack(raw[0]) if each[0] == place)
    return int(value) + PAGE * (switcher == "lean")


@cache
def lines(switcher: str, pae: bool) -> dict[int, tuple[str, int]]:
    """(file, line) of each instruction of a Switcher, by its offset in the Switcher's page."""
    names = list(_data()["files"])
    build = _data()["builds"][f"{switcher}-{'pae' if pae else 'lguest'}"]
    return {offset: (names[file], line) for offset, file, line in build}
