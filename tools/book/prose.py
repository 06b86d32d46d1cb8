# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of a comment as HTML: paragraphs, lists, what is indented as it stands, names of code and links to files.

Read next: page.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape

Link = Callable[[str], str | None]  # the address of a file that a text names; None: no such file
ITEM = re.compile(r"- |\d+\. ")
SIGNATURE = re.compile(
    r"(?P<code>(?:extern |static |const )*(?:struct )?\w+ \**\w+(?:\([^)]*\)|\[\w*\]);?)(?P<rest>: .+)?$", re.S
)
TOKEN = re.compile(
    r"``(?P<double>[^`]+)``|`(?P<single>[^`\n]+)`"
    r"|(?<![\w/])(?P<file>[\w-]+(?:/[\w.-]+)*\.(?:c|h|S|py|md|toml|ld))(?![\w/])"
    r"|(?P<call>\b\w+(?:\.\w+)*\((?!s\))\w*\))|(?P<option>(?<![\w-])--[a-z][a-z-]+)"
    r"|(?P<name>\b(?:[A-Za-z]\w*[.>-]+)*\w*[a-zA-Z0-9]_\w*(?:\.\w+)*\b)"
)


def inline(text: str, link: Link) -> str:
    """One paragraph."""
    parts, end = [], 0
    for match in TOKEN.finditer(text):
        parts.append(escape(text[end : match.start()]))
        end = match.end()
        words = next(group for group in match.groups() if group is not None)
        code = f"<code>{escape(words)}</code>"
        address = link(words) if re.fullmatch(r"[\w./-]+", words) else None
        parts.append(f'<a href="{escape(address)}">{code}</a>' if address else code)
    return " ".join("".join([*parts, escape(text[end:])]).split())


def _blocks(text: str) -> list[list[str]]:
    """Lines that belong together: an empty line parts them, and so does a change of indentation."""
    blocks: list[list[str]] = [[]]
    verbatim = False
    for line in text.expandtabs(8).split("\n"):
        indented = line.startswith("    ") or (verbatim and not line.strip())
        is_item = bool(ITEM.match(line))
        in_list = bool(blocks[-1]) and bool(ITEM.match(blocks[-1][0]))
        if in_list and line.startswith("  ") and line.strip():
            indented = False
        if (not line.strip() and not verbatim) or indented != verbatim or is_item:
            blocks.append([])
        verbatim = indented
        if line.strip() or verbatim:
            blocks[-1].append(line.rstrip())
    return [block for block in blocks if any(line.strip() for line in block)]


def _as_it_stands(lines: list[str]) -> str:
    while not lines[-1].strip():
        lines.pop()
    margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return '<pre class="figure">' + escape("\n".join(line[margin:] for line in lines)) + "</pre>"


def html(text: str, link: Link) -> str:
    """A whole comment."""
    parts: list[str] = []
    items: list[str] = []
    for block in [*_blocks(text), [""]]:
        body = " ".join(line.strip() for line in block)
        if ITEM.match(body):
            items.append(f"<li>{inline(ITEM.sub('', body, count=1), link)}</li>")
            continue
        if items:
            parts.append("<ul>" + "".join(items) + "</ul>")
            items = []
        if not body:
            continue
        if block[0].startswith("    "):
            parts.append(_as_it_stands(block))
        elif match := SIGNATURE.match(body):
            rest = inline(match["rest"] or "", link)
            parts.append(f'<p class="signature"><code>{escape(match["code"])}</code>{rest}</p>')
        else:
            parts.append(f"<p>{inline(body, link)}</p>")
    return "\n".join(parts)
