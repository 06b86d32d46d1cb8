# SPDX-License-Identifier: GPL-2.0-or-later
"""Each instruction of both Switchers, in both builds, has its line in the sources, and a why beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from window_lab import instructions

from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L
from lguest_py.watch import sources

ROOT = Path(__file__).resolve().parents[2]
BUILDS = [pytest.param(*each, id="-".join(map(str, each))) for each in (
    ("lean", False), ("lean", True), ("classic", False), ("classic", True))]  # fmt: skip
OTHER_NAMES = {"jz": "je", "jnz": "jne", "movzbl": "movzx", "pushal": "pushad", "popal": "popad"}


@pytest.mark.parametrize(("switcher", "pae"), BUILDS)
def test_each_instruction_has_its_line(switcher: Switcher, pae: bool) -> None:
    """The assembler's notes are about the very instructions that are in the image."""
    from iced_x86 import Decoder, Formatter, FormatterSyntax

    formatter = Formatter(FormatterSyntax.NASM)
    code, lines = instructions(switcher, pae), sources.lines(switcher, pae)
    assert {at - L.SWITCHER_BASE for at in code} == lines.keys()
    for address, data in code.items():
        here = sources.line_at(*lines[address - L.SWITCHER_BASE])
        name = here.code.split()[0]
        known = OTHER_NAMES.get(name, name)
        shown = formatter.format_mnemonic(Decoder(32, data, ip=address).decode())
        assert known.startswith(shown), (here, shown)


@pytest.mark.parametrize(("switcher", "pae"), BUILDS)
def test_each_instruction_has_a_why(switcher: Switcher, pae: bool) -> None:
    places = {sources.lines(switcher, pae)[offset] for offset in sources.lines(switcher, pae)}
    without = [f"{here.file}:{here.line}: {here.code}" for place in places if not (here := sources.line_at(*place)).why]
    assert not without


def test_a_why_holds_up_to_the_next_comment_or_an_empty_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "/* one */\n\tpushl %eax\t/* beside */\n\tpopl %eax\n\t/*\n\t * two\n\t * lines\n\t */\n1:\tret\n\n\tnop\n"
    monkeypatch.setattr(sources, "_data", lambda: {"files": {"some.S": text}})
    caches = sources._whys, sources._lines_of
    for each in caches:
        each.cache_clear()
    try:
        found = [sources.line_at("some.S", number) for number in (2, 3, 8, 10)]
    finally:
        for each in caches:
            each.cache_clear()
    assert [(each.code, each.note, each.why) for each in found] == [
        ("pushl %eax", "beside", "one"),
        ("popl %eax", "", "one"),
        ("ret", "", "two lines"),
        ("nop", "", ""),
    ]


def test_the_sources_that_are_shipped_are_these() -> None:
    files = sources._data()["files"]
    assert files == {name: (ROOT / name).read_text() for name in files}
    both = {name for name in files if re.search(r"(lean|switcher)\.S$", name)}
    assert both == {"switcher/lean.S", "switcher/switcher.S"}
