# SPDX-License-Identifier: GPL-2.0-or-later
"""The book as one HTML page, which needs nothing from elsewhere: chapters, prose, code, contents at the side.

Read next: order.py, what is in it; prose.py and highlight.py, its text and its code; style.css, its look.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from book.highlight import highlight
from book.order import Entry, files, left_out, resolve
from book.prose import html as prose
from book.prose import inline

HERE = Path(__file__).parent
COPIED = (".svg", ".png", ".json")  # and no page is made of them
TITLE = "lguest-py: the book"
INTRODUCTION = """\
<p>These are the sources of lguest-py {version} in the order in which to read them: {files} files, {lines:,} lines, in
{chapters} chapters. The text is the files' own comments. Each file says at its top which one is next, so the book can
also be read in an editor. Not shown are licence lines, includes and imports. The number of a line leads to it in its
file.</p>
<p>For a short way through, from the command line to the first instruction in ring 1, there is
<a href="docs/tour.html">the tour</a>.</p>"""


def address(path: str) -> str:
    """Where the page of a file is, from the root."""
    if path == "README.md":
        return "index.html"
    return path if path.endswith(COPIED) else path.removesuffix(".md") + ".html"


def head(title: str, style: str | None = None, beside: bool = True) -> str:
    """The start of any page; ``style`` is the address of the style sheet, None: it is in the page.

    ``beside``: contents follow, which stand beside the text where there is room.
    """
    sheet = (
        f'<link rel="stylesheet" href="{style}">' if style else f"<style>\n{(HERE / 'style.css').read_text()}</style>"
    )
    beside_it = ' class="beside"' if beside else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">\n{sheet}\n</head>\n<body{beside_it}>\n'
        f'<a class="skip" href="#text">Skip to the text</a>\n'
    )


class Links:
    """Addresses of files and their lines: pages beside the book, or below ``base``."""

    def __init__(self, root: Path, base: str | None, inside: set[str]) -> None:
        self.root = root
        self.base = base.rstrip("/") if base else None
        self.inside = inside
        self.wanted: set[str] = set(inside)  # the files that need a page of their own
        self.by_name: dict[tuple[str, str], list[str]] = {}
        for path in files(root):
            self.by_name.setdefault((path.split("/")[0], Path(path).name), []).append(path)

    def source(self, path: str, line: int = 0) -> str:
        """A file, and a line of it."""
        self.wanted.add(path)
        place = f"#L{line}" if line else ""
        return f"{self.base}/{path}{place}" if self.base else f"{address(path)}{place}"

    def find(self, origin: str, name: str) -> str | None:
        """What a comment in ``origin`` means by ``name``: in the book if it is there."""
        path = resolve(self.root, origin, name)
        if not path:
            same = self.by_name.get((origin.split("/")[0], name), [])
            path = same[0] if len(same) == 1 else None
        if not path:
            return None
        if path in self.inside:
            return f"#{path}"
        return address(path) if path.endswith(".md") else self.source(path)


@dataclass(frozen=True)
class Chapter:
    """One chapter: its place, from 1."""

    number: int
    title: str
    text: str
    entries: tuple[Entry, ...]

    @property
    def id(self) -> str:
        """Its anchor."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")

    @property
    def lines(self) -> int:
        """Of all its files."""
        return sum(len(entry.cut.lines) for entry in self.entries)


def chapters(order: list[Entry]) -> list[Chapter]:
    """The reading order by chapters; the first file begins one."""
    starts = [number for number, entry in enumerate(order) if entry.chapter]
    found = []
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(order)], strict=True), 1):
        title, text = order[start].chapter or ("", "")
        found.append(Chapter(number, title, text, tuple(order[start:end])))
    return found


def _contents(found: list[Chapter]) -> Iterator[str]:
    yield '<nav aria-label="Contents">\n<p class="title"><a href="#text">The book</a></p>\n<ul>'
    for chapter in found:
        link = f'<a href="#{chapter.id}">{chapter.number}. {escape(chapter.title)}</a>'
        yield f"<li><details><summary>{link}</summary>\n<ol>"
        for entry in chapter.entries:
            folder, _, name = entry.path.rpartition("/")
            room = f"<small>{folder.split('/')[-1]}</small>"
            yield f'<li><a href="#{entry.path}" title="{entry.path}">{name} {room}</a></li>'
        yield "</ol></details></li>"
    yield '<li><a href="#left-out">What is left out</a></li>'
    yield '<li><a href="index.html">All pages</a></li>\n</ul>\n</nav>'


def excerpt(entry: Entry, code: tuple[int, ...], lines: tuple[str, ...], links: Links, anchor: bool) -> str:
    """Lines of a file, each with its number."""
    first, last = code[0], code[-1]
    told = f"{first}-{last}" if last > first else str(first)
    name = Path(entry.path).name
    row = "".join(
        f'<a class="n" href="{links.source(entry.path, number)}" tabindex="-1" aria-hidden="true">{number}</a>'
        f"{lines[number - 1]}\n"
        for number in code
    )
    place = f'id="{entry.path}:{first}" ' if anchor else ""
    return (
        f'<div class="code"><a {place}class="place" href="{links.source(entry.path, first)}" '
        f'aria-label="{name}, lines {told}">{name} {told}</a><pre><code>{row}</code></pre></div>'
    )


def _article(entry: Entry, links: Links, onward: str) -> Iterator[str]:
    def link(name: str) -> str | None:
        return links.find(entry.path, name)

    folder, _, name = entry.path.rpartition("/")
    lines = highlight(Path(entry.path).suffix, "\n".join(entry.cut.lines))
    yield f'<article id="{entry.path}" aria-labelledby="{entry.path}:name">'
    shown = f'<a class="file" href="{links.source(entry.path)}">{folder}/<wbr><b>{name}</b></a>'
    yield f'<h3 id="{entry.path}:name">{shown}</h3>'
    for number, section in enumerate(entry.cut.sections):
        text = section.prose if number else entry.text
        if text:
            yield f'<div class="prose">{prose(text, link)}</div>'
        if not number:
            if entry.picture:
                picture = (links.root / entry.picture).read_text(encoding="utf-8")
                yield f"<figure>{svg(picture, entry.picture)}</figure>"
            yield from (f'<p class="aside">{kind}: {inline(words, link)}</p>' for kind, words in entry.asides)
        if section.code:
            yield excerpt(entry, section.code, lines, links, anchor=True)
    yield f'<p class="onward">{onward}</p>\n</article>'


def svg(text: str, name: str) -> str:
    """A picture of ours, to stand in a page: its ids are its own, and its title is what a screen reader says."""
    text = re.sub(r"<\?xml.*?\?>|<!--.*?-->\s*|<!DOCTYPE[^>]*>", "", text, flags=re.S).strip()
    title = re.search(r"<title>(.*?)</title>", text, re.S)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{title[1] if title else name}" ', 1)
    prefix = re.sub(r"\W+", "-", Path(name).stem)
    text = re.sub(r"""\bid=(['"])""", rf"id=\1{prefix}-", text)
    return re.sub(r"""(url\(|\bhref=['"])#""", rf"\1#{prefix}-", text)


def _left_out(links: Links) -> Iterator[str]:
    yield '<section class="chapter" id="left-out" aria-labelledby="left-out-title">'
    yield '<h2 id="left-out-title">What is left out</h2>\n<p>These files are not in the book.</p>'
    reasons: dict[str, list[str]] = {}
    for pattern, reason in left_out():
        reasons.setdefault(reason, []).append(pattern)
    for reason, patterns in reasons.items():

        def one(pattern: str) -> str:
            shown = f"<code>{escape(pattern)}</code>"
            return shown if "*" in pattern else f'<a href="{links.source(pattern)}">{shown}</a>'

        yield f'<div class="prose"><p>{escape(reason)}</p>\n<p class="aside">{", ".join(map(one, patterns))}</p></div>'
    yield "</section>"


def _onward(order: list[Entry], number: int) -> str:
    parts = []
    for word, at in (("Before", number - 1), ("Next", number + 1)):
        if 0 <= at < len(order):
            parts.append(f'<span>{word}: <a href="#{order[at].path}">{order[at].path}</a></span>')
    return "\n".join(parts)


def page(order: list[Entry], links: Links, version: str) -> str:
    """The page."""
    found = chapters(order)
    lines = sum(chapter.lines for chapter in found)
    parts = [head(TITLE), *_contents(found), '<main id="text" tabindex="-1">', f"<h1>{TITLE}</h1>"]
    parts.append(INTRODUCTION.format(version=escape(version), files=len(order), lines=lines, chapters=len(found)))
    number = 0
    for chapter in found:
        parts.append(
            f'<section class="chapter" id="{chapter.id}" aria-labelledby="{chapter.id}-title">\n'
            f'<h2 id="{chapter.id}-title"><small>Chapter {chapter.number}</small> {escape(chapter.title)}</h2>\n'
            f'<p class="opening">{inline(chapter.text, lambda name: None)}</p>\n'
            f'<p class="count">{len(chapter.entries)} files, {chapter.lines:,} lines</p>'
        )
        for entry in chapter.entries:
            parts += _article(entry, links, _onward(order, number))
            number += 1
        parts.append("</section>")
    parts += _left_out(links)
    parts.append(f"</main>\n<script>\n{(HERE / 'contents.js').read_text()}</script>\n</body>\n</html>\n")
    return "\n".join(parts)
