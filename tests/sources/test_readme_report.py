# SPDX-License-Identifier: GPL-2.0-or-later
"""The README's Guest that dies: its report is as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from lguest_py import Machine

README = Path(__file__).resolve().parents[2] / "README.md"
SECTIONS = re.compile(r"^(?! )(?:Guest registers.*|code:|backtrace:|Host kernel at|the last 64 of)", re.M)


def test_the_example_is_true_and_has_24_lines(engine_name: str) -> None:
    part = README.read_text().partition("\n## A Guest that dies\n")[2].partition("\n## ")[0]
    command, shown = re.findall(r"^```\w+\n(.*?)^```$", part, re.M | re.S)
    assert len(command.splitlines()) + len(shown.splitlines()) == 24
    words = re.search(r'"(run=[^"]*)"', command)
    assert words
    with Machine(engine=engine_name, command_line=words[1]) as guest:  # type: ignore[arg-type]
        report = guest.wait(300).report()
    assert shown.splitlines()[0] == f"lguest-py: {report.headline}"
    assert SECTIONS.findall(shown) == SECTIONS.findall(report.text())
    for name in re.findall(r"^  [0-9a-f]{8}  (\w+)\+", shown, re.M):
        assert re.search(rf"^  [0-9a-f]{{8}}  {name}\+", report.text(), re.M), name
    last = "hypercall LOAD_GDT_ENTRY (0x14, 0x500000, 0xec00, 0x0)"
    assert [each.splitlines()[-1].endswith(last) for each in (report.text(), shown)] == [True, True]
