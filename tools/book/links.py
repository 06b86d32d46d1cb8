# SPDX-License-Identifier: GPL-2.0-or-later
"""Check the pages of a site: each link of theirs leads to a page of it, and to an anchor there; nothing is loaded from
elsewhere, and no anchor is there twice.

Read next: site.py.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from html import unescape
from urllib.parse import unquote, urlsplit

TAG = re.compile(r"<(\w+)\b([^>]*)>")
ATTRIBUTE = re.compile(r"""\b(id|href|src)=(?:"([^"]*)"|'([^']*)')""")


class _Page:
    """The anchors and links of a page of ours, in which a < or > is always of a tag."""

    def __init__(self, text: str) -> None:
        self.anchors: list[str] = []
        self.links: list[tuple[str, str]] = []  # what for, address
        for tag, attributes in TAG.findall(text):
            for name, double, single in ATTRIBUTE.findall(attributes):
                value = unescape(double or single)
                if name == "id":
                    self.anchors.append(value)
                else:
                    self.links.append(("load" if name == "src" or tag == "link" else "link", value))


def problems(pages: Mapping[str, bytes]) -> Iterator[str]:
    """Each in one line."""
    readers: dict[str, _Page] = {}
    for place, content in pages.items():
        if place.endswith((".html", ".svg")):
            readers[place] = _Page(content.decode("utf-8"))
    for place, reader in readers.items():
        known = set(reader.anchors)
        if len(known) < len(reader.anchors):
            twice = next(each for each in reader.anchors if reader.anchors.count(each) > 1)
            yield f"{place}: the anchor {twice!r} is there twice"
        for kind, link in dict.fromkeys(reader.links):
            parts = urlsplit(link)
            if parts.scheme == "data" or (kind == "link" and parts.scheme in ("http", "https", "mailto")):
                continue
            if parts.scheme or parts.netloc:
                yield f"{place}: it loads {link}"
                continue
            target = (
                posixpath.normpath(posixpath.join(posixpath.dirname(place), unquote(parts.path)))
                if parts.path
                else place
            )
            if target not in pages:
                yield f"{place}: {link} leads nowhere"
            elif parts.fragment and target in readers and unquote(parts.fragment) not in readers[target].anchors:
                yield f"{place}: {link} leads to no place in {target}"
    for place, content in pages.items():
        if place.endswith((".css", ".html")) and (
            found := re.search(rb"url\(\s*['\"]?(?!#|data:)[^)]*\)|@import", content)
        ):
            yield f"{place}: it loads {found[0].decode()}"
