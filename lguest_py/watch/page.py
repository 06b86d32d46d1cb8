# SPDX-License-Identifier: GPL-2.0-or-later
"""A record as one page that needs nothing else: no network, no other file, and for its text no script either.

page.js shows the data; it puts text into the page as text only, and the page forbids itself every connection.
Read next: page.html, page.js, page.css.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from lguest_py.watch.beside import rows
from lguest_py.watch.record import PHASES, Record
from lguest_py.watch.text import plain, title

HERE = Path(__file__).resolve().parent


def _embedded(data: Any) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def page(records: Sequence[Record]) -> str:
    """The page of one record, or of two next to each other."""
    data: dict[str, Any] = {"records": [record.as_dict() for record in records], "phases": PHASES}
    for record, given in zip(records, data["records"], strict=True):
        given["summary"] = record.summary
    if len(records) == 2:
        data["rows"] = rows(*records)
    whole, *parts = ((HERE / f"page.{kind}").read_text() for kind in ("html", "css", "js"))
    text = "\n".join(plain(record) for record in records)
    values = {
        "title": escape(title(records[0]) if len(records) == 1 else f"{records[0].cause}: both Switchers"),
        "css": parts[0],
        "js": parts[1],
        "data": _embedded(data),
        "text": escape(text),
    }
    for name, value in values.items():
        head, mark, tail = whole.partition(f"@{name.upper()}@")
        assert mark, name
        whole = head + value.replace("@", "&#64;") + tail if name in ("title", "text") else head + value + tail
    return whole
