# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages of the documentation and their fenced blocks (test_docs.py, test_labs.py)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "labs").rglob("*.md")])
FENCE = re.compile(r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One fenced block: its page, its language, its code, and why it is not run."""

    page: str
    language: str
    code: str
    reason: str | None

    @property
    def start(self) -> str:
        """Its first two words, or three where a second block of the page has the same two."""
        words = self.code.split()
        three = words[1:2] in (["mkinitrd"], ["fetch"]) or words[2:3] in (["--console"], ["--vsock"])
        return " ".join(words[: 3 if three else 2])


def blocks() -> list[Block]:
    return [
        Block(str(page.relative_to(ROOT)), match["language"], match["code"], match["reason"])
        for page in PAGES
        for match in FENCE.finditer(page.read_text())
    ]
