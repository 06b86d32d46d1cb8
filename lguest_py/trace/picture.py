# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole boot as one picture: who had the processor, second by second, and which causes cost most.

The upper band shows for each moment the shares of the Guest, the Host kernel and idling.  Below it each of the
costliest causes has a band: how dark it is says how much of that moment the Host kernel took for it.  The picture is
as wide as a page of text, so that its letters can be read on a phone, too.
Read before: table.py.
"""

from __future__ import annotations

from array import array
from html import escape
from typing import BinaryIO

from lguest_py.trace.causes import cause
from lguest_py.trace.stream import Facts, Item, Switch
from lguest_py.trace.table import Count, Counts
from lguest_py.trace.text import duration, guest_name, shown

WIDTH, MARGIN = 640, 12
LEFT = MARGIN
SPAN = WIDTH - 2 * MARGIN
BINS = 154  # moments, of four pixels each
SHARES, BAND = 110, 24  # heights
SHOWN = 8  # causes
FONT = "font-family='sans-serif' fill='#1b1b1b'"
GUEST, HOST, IDLE, DARK = "#4f86c6", "#d1495b", "#e4e4e4", "#8c1c2e"


def _text(left: float, top: float, words: str, size: int = 16, more: str = "") -> str:
    return f"<text x='{left:g}' y='{top:g}' font-size='{size}' {FONT} {more}>{escape(words)}</text>"


def _rect(left: float, top: float, width: float, height: float, fill: str, more: str = "") -> str:
    return f"<rect x='{left:.2f}' y='{top:.2f}' width='{width:.2f}' height='{height:.2f}' fill='{fill}' {more}/>"


def _spread(bins: list[float], begun: float, ended: float, step: float) -> None:
    """Add the time between two moments to the bins that it lies in."""
    at = max(begun, 0.0)
    while at < ended:
        place = min(int(at / step), len(bins) - 1)
        edge = (place + 1) * step if place < len(bins) - 1 else ended
        upto = min(ended, edge)
        if upto <= at:
            break
        bins[place] += upto - at
        at = upto


class Picture:
    """An Output that draws to ``file`` at its end.  Of a Guest that started again it shows the last boot."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._facts: Facts | None = None
        self._begin()

    def _begin(self) -> None:
        self.counts = Counts()
        self._causes: dict[str, int] = {}
        self._at, self._guest, self._host, self._idle = (array("q") for _ in range(4))
        self._cause = array("H")

    def take(self, item: Item) -> None:
        """See Output."""
        if isinstance(item, Facts):
            if self._facts and item.machine != self._facts.machine:
                self._begin()
            self._facts = item
        self.counts.add(item)
        if isinstance(item, Switch):
            self._at.append(item.at_ns)
            self._guest.append(item.guest_ns)
            self._host.append(item.host_ns or 0)
            self._idle.append(item.idle_ns or 0)
            self._cause.append(self._causes.setdefault(cause(item), len(self._causes) & 0xFFFF))

    def _binned(self, chosen: list[str], begun: int, step: float) -> tuple[dict[str, list[float]], list[list[float]]]:
        """Time in each bin: of Guest, Host kernel and idling, and of each chosen cause."""
        parts: dict[str, list[float]] = {name: [0.0] * BINS for name in ("guest", "host", "idle")}
        numbers = {self._causes[name]: place for place, name in enumerate(chosen)}
        bands = [[0.0] * BINS for _ in chosen]
        for at, guest, host, idle, number in zip(
            self._at, self._guest, self._host, self._idle, self._cause, strict=True
        ):
            here = at - begun
            _spread(parts["guest"], here - guest, here, step)
            _spread(parts["host"], here, here + host, step)
            _spread(parts["idle"], here + host, here + host + idle, step)
            if number in numbers:
                _spread(bands[numbers[number]], here, here + host, step)
        return parts, bands

    def draw(self) -> str:
        """The picture."""
        counts, facts = self.counts, self._facts.values if self._facts else {}
        first = self._at[0] - self._guest[0] if self._at else 0
        last = self._at[-1] + self._host[-1] + self._idle[-1] if self._at else 1
        step = max(last - first, 1) / BINS
        costliest = counts.costliest()[:SHOWN]
        parts, bands = self._binned([name for name, _ in costliest], first, step)
        what = guest_name(facts)
        whole = max(counts.guest_ns + counts.host_ns + counts.idle_ns, 1)
        shares = [100 * each / whole for each in (counts.guest_ns, counts.host_ns, counts.idle_ns)]
        where = shown(str(facts.get("engine", "an engine")))
        title = f"{what} on {where}: {counts.number:,} world switches in {duration(last - first)}"
        about = (
            f"Time from left to right. The Guest ran for {shares[0]:.0f}% of it, the Host kernel for {shares[1]:.0f}%, "
            f"and {shares[2]:.0f}% was idle. The costliest causes: "
            + "; ".join(f"{name}, {each.number:,} times, {duration(each.total)}" for name, each in costliest)
        )
        rows = [_text(MARGIN, 28, title, 18, "font-weight='bold'"), *self._legend(shares)]
        top = 64
        rows += self._shares(parts, top, step)
        top += SHARES
        rows += self._axis(top, last - first)
        top += 34
        rows.append(_text(MARGIN, top + 12, "Costliest causes, by the Host kernel's time", 16, "font-weight='bold'"))
        top += 26
        for (name, each), band in zip(costliest, bands, strict=True):
            rows += self._band(name, each, band, top, step)
            top += BAND + 26
        if counts.lost:
            rows.append(_text(MARGIN, top + 14, f"{counts.lost:,} records were lost and are not shown"))
            top += 22
        height = top + 8
        return "\n".join([
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' "
            f"height='{height}' role='img' aria-labelledby='title about'>",
            f"<title id='title'>{escape(title)}</title>",
            f"<desc id='about'>{escape(about)}</desc>",
            f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>",
            *rows,
            "</svg>",
        ]) + "\n"  # fmt: skip

    def _legend(self, shares: list[float]) -> list[str]:
        found, left = [], MARGIN
        for name, colour, share in zip(("Guest", "Host kernel", "idle"), (GUEST, HOST, IDLE), shares, strict=True):
            words = f"{name} {share:.0f}%"
            found += [_rect(left, 40, 14, 14, colour, "stroke='#555555'"), _text(left + 20, 53, words)]
            left += 20 + 9 * len(words) + 24
        return found

    def _shares(self, parts: dict[str, list[float]], top: int, step: float) -> list[str]:
        found, wide = [_rect(LEFT, top, SPAN, SHARES, "#f6f6f6", "stroke='#999999'")], SPAN / BINS
        for place in range(BINS):
            at = float(top + SHARES)
            for name, colour in (("guest", GUEST), ("host", HOST), ("idle", IDLE)):
                high = min(parts[name][place] / step, 1.0) * SHARES
                if high >= 0.1:
                    found.append(_rect(LEFT + place * wide, at - high, wide + 0.2, high, colour))
                    at -= high
        return found

    def _axis(self, top: int, length: int) -> list[str]:
        found = []
        for part in range(5):
            at = LEFT + SPAN * part / 4
            anchor = "start" if not part else "end" if part == 4 else "middle"
            found.append(f"<line x1='{at:g}' y1='{top}' x2='{at:g}' y2='{top + 5}' stroke='#555555'/>")
            words = duration(length * part // 4) if part else "0"
            found.append(_text(at, top + 20, words, 15, f"text-anchor='{anchor}'"))
        return found

    def _band(self, name: str, each: Count, band: list[float], top: int, step: float) -> list[str]:
        mean = duration(each.total // max(each.number, 1))
        words = f"{each.number:,} \u00d7 {mean} = {duration(each.total)}"
        found = [
            _text(MARGIN, top + 15, name),
            _text(WIDTH - MARGIN, top + 15, words, 16, "text-anchor='end'"),
            _rect(LEFT, top + 21, SPAN, BAND - 6, "#f6f6f6", "stroke='#cccccc'"),
        ]
        highest, wide = max(max(band), 1.0), SPAN / BINS
        for place, value in enumerate(band):
            if value:
                dark = 0.15 + 0.85 * (value / highest) ** 0.5
                found.append(_rect(LEFT + place * wide, top + 21, wide + 0.2, BAND - 6, DARK, f"opacity='{dark:.2f}'"))
        return found

    def end(self) -> None:
        """See Output."""
        self._file.write(self.draw().encode())
