# SPDX-License-Identifier: GPL-2.0-or-later
"""A flame graph as an SVG of its own: a box can be pointed at for its name, and clicked to see it over the whole width.

Without a script that runs (in an <img>, on paper) it is the same picture, without these two.
Read before: flame.py.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html import escape
from zlib import crc32

WIDTH, ROW, LETTER = 1200, 17, 6.6  # pixels; of a letter of FONT
TOP, BOTTOM = 80, 12
NARROWEST = 0.4  # a box that would be less is left out
FONT = "font-family='sans-serif' font-size='12'"
HOST, PROGRAM, UNKNOWN = "#b9c4d0", "#cfd8c4", "#dddddd"

# A click on a box: what is not above or below it is hidden, and the rest is drawn over the whole width.
SCRIPT = """\
const all = [...document.querySelectorAll('g.box')], width = WIDTH;
function show(x, w) {
  for (const g of all) {
    const left = (+g.dataset.x - x) * width / w, wide = g.dataset.w * width / w, rect = g.querySelector('rect');
    const from = Math.max(left, 0), to = Math.min(left + wide, width), text = g.querySelector('text');
    g.style.display = to - from < 0.4 ? 'none' : '';
    rect.setAttribute('x', from);
    rect.setAttribute('width', Math.max(to - from, 0));
    text.setAttribute('x', from + 3);
    const room = Math.floor((to - from - 6) / 6.6), name = g.dataset.n;
    text.textContent = room < 3 ? '' : name.length <= room ? name : name.slice(0, room - 1) + '…';
  }
}
for (const g of all) {
  const zoom = () => show(+g.dataset.x, +g.dataset.w);
  g.addEventListener('click', zoom);
  g.addEventListener('keydown', (event) => { if (event.key === 'Enter') zoom(); });
}
document.addEventListener('keydown', (event) => { if (event.key === 'Escape') show(0, width); });
"""


@dataclass
class _Box:
    """A function where others called it; ``count``: samples with it."""

    count: int = 0
    callees: dict[str, _Box] = field(default_factory=dict)


def _tree(stacks: Counter[tuple[str, ...]]) -> _Box:
    root = _Box()
    for stack, count in stacks.items():
        root.count += count
        box = root
        for name in stack:
            box = box.callees.setdefault(name, _Box())
            box.count += count
    return root


def _depth(box: _Box) -> int:
    deepest, here = 0, [(box, 0)]
    while here:
        each, level = here.pop()
        deepest = max(deepest, level)
        here += [(callee, level + 1) for callee in each.callees.values()]
    return deepest


def _colour(name: str) -> str:
    """Always the same for a name: warm, but for what is no function of the kernel."""
    if name.startswith("[Host"):
        return HOST
    if name.startswith("["):
        return PROGRAM if name != "[unknown]" else UNKNOWN
    mixed = crc32(name.encode())
    return f"#{225 + mixed % 30:02x}{120 + (mixed >> 8) % 90:02x}{60 + (mixed >> 16) % 40:02x}"


def _shown(name: str, width: float) -> str:
    room = int((width - 6) / LETTER)
    if room < 3:
        return ""
    return name if len(name) <= room else name[: room - 1] + "…"


def _boxes(root: _Box, height: int) -> list[str]:
    parts: list[str] = []
    unit = WIDTH / max(root.count, 1)
    waiting: list[tuple[str, _Box, float, int]] = [("all samples", root, 0.0, 0)]
    while waiting:
        name, box, left, level = waiting.pop()
        width = box.count * unit
        if width < NARROWEST:
            continue
        top = height - BOTTOM - (level + 1) * ROW
        share = f"{name}: {box.count:,} of {root.count:,} samples, {100 * box.count / max(root.count, 1):.1f}%"
        place = f"data-x='{left:.2f}' data-w='{width:.2f}' data-n='{escape(name)}'"
        parts.append(
            f"<g class='box' tabindex='0' {place}><title>{escape(share)}</title>"
            f"<rect x='{left:.2f}' y='{top}' width='{width:.2f}' height='{ROW - 1}' rx='1' fill='{_colour(name)}'/>"
            f"<text x='{left + 3:.2f}' y='{top + 12}' {FONT}>{escape(_shown(name, width))}</text></g>"
        )
        for callee in sorted(box.callees):
            waiting.append((callee, box.callees[callee], left, level + 1))
            left += box.callees[callee].count * unit
    return parts


def draw(stacks: Counter[tuple[str, ...]], title: str, summary: str) -> str:
    """The picture."""
    root = _tree(stacks)
    height = TOP + BOTTOM + (_depth(root) + 1) * ROW
    head = f"Where {title} was"
    about = f"A flame graph. {summary}. A box is a function, the functions above it are those that it called."
    return "\n".join([
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}' "
        "role='img' aria-labelledby='title about'>",
        f"<title id='title'>{escape(head)}</title>",
        f"<desc id='about'>{escape(about)}</desc>",
        f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>",
        f"<text x='8' y='32' font-family='sans-serif' font-size='28' font-weight='bold'>{escape(head)}</text>",
        f"<text x='8' y='64' font-family='sans-serif' font-size='24'>{escape(summary)}</text>",
        *_boxes(root, height),
        "<style>g.box { cursor: pointer } g.box:hover rect, g.box:focus rect { stroke: #000000 }</style>",
        f"<script><![CDATA[\n{SCRIPT.replace('WIDTH', str(WIDTH))}]]></script>",
        "</svg>",
    ]) + "\n"  # fmt: skip
