# SPDX-License-Identifier: GPL-2.0-or-later
"""The picture of ``lguest-py watch`` in the README: python docs/pictures/watch.py

It records a SET_PTE of the tiny Guest with the classic Switcher and draws the terminal's view at its load of CR3.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from lguest_py.launcher.launcher import prepare
from lguest_py.watch.causes import find
from lguest_py.watch.machine import record
from lguest_py.watch.screen import screen
from lguest_py.watch.steps import Reader

FONT, COMMENT = re.compile(r"@font-face \{.*?\}", re.DOTALL), re.compile(r"<!--.*?-->", re.DOTALL)
LICENCE = "<!-- SPDX-License-Identifier: GPL-2.0-or-later; drawn by docs/pictures/watch.py -->"
WIDTH, HEIGHT = 104, 33
COLOURS = [(40, 38, 36), (232, 111, 92), (120, 190, 120), (226, 180, 80), (100, 150, 230), (190, 140, 220),
           (100, 190, 190), (220, 216, 210)]  # fmt: skip
THEME = TerminalTheme((29, 27, 25), (226, 222, 216), COLOURS)


def draw() -> str:
    """The picture."""
    settings, choice = prepare(None, "tcg", switcher="classic")
    found = record(settings, choice.name, find("SET_PTE"), seconds=60, image="the tiny Guest")
    reader = Reader([found])
    reader.go(next(n for n, step in enumerate(found.steps) if step.phase == "entry" and step.code.endswith("%cr3")))
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="standard")
    for line in screen(reader, WIDTH, HEIGHT):
        console.print(line, overflow="crop", no_wrap=True)
    title = "lguest-py watch --switcher classic --on SET_PTE"
    svg = console.export_svg(title=title, theme=THEME, unique_id="watch")
    svg = FONT.sub("", COMMENT.sub("", svg))  # no font from the network
    svg = svg.replace(">", f">\n{LICENCE}", 1)
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(draw())
