# SPDX-License-Identifier: GPL-2.0-or-later
"""What the pictures of these pages are drawn with: boxes, text and arrows, as SVG.

Read next: rooms.py (the rooms, and who may use whom), lives.py (the lives of a page fault, a hypercall and a byte).
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

FONT = "font-family='sans-serif' fill='#1b1b1b'"


def box(left: int, top: int, width: int, height: int, colour: str) -> str:
    """A filled rectangle."""
    shape = f"x='{left}' y='{top}' width='{width}' height='{height}' rx='6'"
    return f"<rect {shape} fill='{colour}' stroke='#555555'/>"


def text(left: int, top: int, words: str, size: int = 14, weight: str = "normal", anchor: str = "start") -> str:
    """A line of text at ``left``, which is its start, middle or end; ``top`` is its baseline."""
    place = f"x='{left}' y='{top}'" + ("" if anchor == "start" else f" text-anchor='{anchor}'")
    return f"<text {place} font-size='{size}' font-weight='{weight}' {FONT}>{escape(words)}</text>"


def line(x1: int, y1: int, x2: int, y2: int) -> str:
    """A thin line."""
    return f"<line x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}' stroke='#999999' stroke-dasharray='3 3'/>"


def arrow(x1: int, y1: int, x2: int, y2: int) -> str:
    """A line with a head at its end."""
    ends = f"x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}'"
    return f"<line {ends} stroke='#333333' stroke-width='1.6' marker-end='url(#head)'/>"


def page(width: int, height: int, title: str, script: str, parts: Iterable[str]) -> str:
    """The whole SVG document; ``script`` is the file in docs/pictures that draws it."""
    head = "id='head' markerWidth='8' markerHeight='8' refX='7' refY='4' orient='auto'"
    return "\n".join([
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}'>",
        f"<!-- SPDX-License-Identifier: GPL-2.0-or-later; drawn by docs/pictures/{script} -->",
        f"<title>{escape(title)}</title>",
        f"<defs><marker {head}><path d='M0,0 L8,4 L0,8 z' fill='#333333'/></marker></defs>",
        f"<rect width='{width}' height='{height}' fill='#ffffff'/>",
        *parts,
        "</svg>",
    ]) + "\n"  # fmt: skip
