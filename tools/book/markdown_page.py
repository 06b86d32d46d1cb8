# SPDX-License-Identifier: GPL-2.0-or-later
"""A Markdown page as HTML: headings with the anchors that links use, code in colours, links to other pages' addresses.

Read next: site.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from book.highlight import highlight
from markdown_it import MarkdownIt
from markdown_it.token import Token

Point = Callable[[str], tuple[str, str | None]]  # link -> (address, what needs a page for it)
LANGUAGES = {"python": ".py", "sh": ".sh"}


def anchor(text: str) -> str:
    """That of a heading, as the usual viewers of Markdown make it."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


class Markdown:
    """One page."""

    def __init__(self, text: str) -> None:
        self._parser = MarkdownIt("commonmark", {"html": True, "highlight": _code}).enable("table")
        self._tokens = self._parser.parse(text)
        self.title = ""
        seen: dict[str, int] = {}
        for at, token in enumerate(self._tokens):
            if token.type != "heading_open":
                continue
            words = "".join(each.content for each in self._tokens[at + 1].children or ())
            self.title = self.title or words
            name = anchor(words)
            number = seen.get(name, 0)
            seen[name] = number + 1
            token.attrSet("id", f"{name}-{number}" if number else name)

    def _all(self) -> list[Token]:
        return [each for token in self._tokens for each in (token, *(token.children or ()))]

    def point(self, point: Point) -> set[str]:
        """Change each link and picture.  Returns what needs a page."""
        wanted = set()
        for token in self._all():
            for key in ("href", "src"):
                if value := token.attrGet(key):
                    address, needs = point(str(value))
                    token.attrSet(key, address)
                    wanted |= {needs} if needs else set()
        return wanted

    def html(self) -> str:
        """The page's body, without comments."""
        text = self._parser.renderer.render(self._tokens, self._parser.options, {})
        return re.sub(r"<!--.*?-->\n?", "", text, flags=re.S)


def _code(text: str, language: str, attributes: str) -> str:
    return "\n".join(highlight(LANGUAGES.get(language, ""), text)) + "\n"
