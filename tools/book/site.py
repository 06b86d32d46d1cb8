# SPDX-License-Identifier: GPL-2.0-or-later
"""All pages of the documentation: the book, each Markdown page, the sources and folders that they lead to.

A page has the place of its file, with .html behind the name, so that the links between files stay as they are;
README.md is index.html.
Read next: page.py for the book, markdown_page.py; links.py, which checks what was made.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path, PurePosixPath

from book.highlight import highlight
from book.markdown_page import Markdown
from book.order import reading_order
from book.page import COPIED, HERE, Links, address, head, page

NOT_OURS = ("build", "dist")
CLOSED_ON_A_PHONE = 'document.querySelector("nav details").open = matchMedia("(min-width: 64rem)").matches'


def back(path: str) -> str:
    """From a page to the root."""
    return "../" * (len(PurePosixPath(path).parts) - 1)


def markdown(root: Path) -> Iterator[str]:
    """Every Markdown page, in the order of the list of pages: the README, docs/, those beside it, all others."""
    yield "README.md"
    inside = [path for path in sorted(root.iterdir()) if path.is_dir() and path.name not in NOT_OURS]
    folders = [path for path in inside if not path.name.startswith(".") and path.name != "docs"]
    beside = [path for path in sorted(root.glob("*.md")) if path.name != "README.md"]
    for paths in (sorted((root / "docs").rglob("*.md")), beside, *(sorted(folder.rglob("*.md")) for folder in folders)):
        yield from (path.relative_to(root).as_posix() for path in paths)


class Site:
    """Makes the pages of the tree at ``root``: ``pages`` has each by its place."""

    def __init__(self, root: Path, base: str | None, version: str) -> None:
        self.root = root
        self.base = base.rstrip("/") if base else None
        self.version = version
        self.pages: dict[str, bytes] = {}

    def build(self) -> None:
        """Make all.  Raises BookError, and OSError for a file that cannot be read."""
        order = reading_order(self.root)
        links = Links(self.root, self.base, {entry.path for entry in order})
        self._put("style.css", (HERE / "style.css").read_text(encoding="utf-8"))
        self._put("book.html", page(order, links, self.version))
        names = list(markdown(self.root))
        texts = {name: Markdown((self.root / name).read_text(encoding="utf-8")) for name in names}
        titles = {name: text.title or name for name, text in texts.items()}
        found: set[str] = set()
        for name, text in texts.items():
            found |= text.point(lambda link, name=name: self._lead(name, link))  # type: ignore[misc]
            self._put(address(name), self._framed(name, text.title or name, text.html(), titles))
        sources = sorted(
            (links.wanted if not self.base else set()) | {each for each in found if (self.root / each).is_file()}
        )
        for folder in sorted(each for each in found if (self.root / each).is_dir()):
            self._put(f"{folder}/index.html", self._folder(folder, titles, set(sources)))
        for source in sources:
            if source.endswith(COPIED):
                self.pages[source] = (self.root / source).read_bytes()
            elif source not in texts:
                self._put(address(source), self._source(source))

    def _put(self, place: str, text: str) -> None:
        self.pages[place] = text.encode("utf-8")

    def _lead(self, origin: str, link: str) -> tuple[str, str | None]:
        """(the address of what a page links to, the file or folder that needs a page for it)."""
        place, mark, anchor = link.partition("#")
        if not place or ":" in place:
            return link, None
        path = (self.root / origin).parent / place
        try:
            name = path.resolve().relative_to(self.root.resolve()).as_posix()
        except ValueError:
            return link, None  # links.py says that it leads nowhere
        if path.is_dir():
            if self.base:
                return f"{self.base}/{name}", None
            return back(origin) + f"{name}/index.html", name
        if self.base and not name.endswith((".md", *COPIED)):
            return f"{self.base}/{name}{mark}{anchor}", None
        return back(origin) + address(name) + mark + anchor, None if name.endswith(".md") else name

    def _framed(self, name: str, title: str, body: str, titles: dict[str, str]) -> str:
        up = back(name)
        rows = [f'<li><a href="{up}book.html">The book: the sources in reading order</a></li>']
        for each, told in titles.items():
            here = ' aria-current="page"' if each == name else ""
            rows.append(f'<li><a href="{up}{address(each)}"{here}>{escape(told)}</a></li>')
        menu = (
            f'<nav aria-label="Pages">\n<details open><summary>Pages</summary>\n<ul>{"".join(rows)}</ul>\n'
            f"</details>\n</nav>\n<script>{CLOSED_ON_A_PHONE}</script>"
        )
        start = head(f"{title} - lguest-py" if title != "lguest-py" else title, f"{up}style.css")
        return f'{start}{menu}\n<main id="text" tabindex="-1">\n{body}\n</main>\n</body>\n</html>\n'

    def _source(self, name: str) -> str:
        lines = highlight(Path(name).suffix, (self.root / name).read_text(encoding="utf-8"))
        rows = "".join(
            f'<a class="n" id="L{number}" href="#L{number}" tabindex="-1" aria-hidden="true">{number}</a>{line}\n'
            for number, line in enumerate(lines, 1)
        )
        up = back(name)
        start = head(f"{name} - lguest-py", f"{up}style.css", beside=False)
        return (
            f'{start}<main id="text" tabindex="-1" class="source">\n'
            f'<p class="aside"><a href="{up}index.html">lguest-py</a>, <a href="{up}book.html">the book</a></p>\n'
            f"<h1>{escape(name)}</h1>\n<pre><code>{rows}</code></pre>\n</main>\n</body>\n</html>\n"
        )

    def _folder(self, name: str, titles: dict[str, str], sources: set[str]) -> str:
        rows = []
        for path in sorted((self.root / name).iterdir()):
            if path.name.startswith((".", "_")) or path.suffix == ".pyc":
                continue
            each = path.relative_to(self.root).as_posix()
            shown = f"<code>{escape(path.name)}{'/' if path.is_dir() else ''}</code>"
            if each in titles or each in sources:
                shown = f'<a href="{back(name + "/x")}{address(each)}">{shown}</a>'
            rows.append(f"<li>{shown}</li>")
        return self._framed(f"{name}/index", name, f"<h1>{escape(name)}</h1>\n<ul>{''.join(rows)}</ul>", titles)
