# SPDX-License-Identifier: GPL-2.0-or-later
"""A trace as text, a line for each world switch, or as JSON.

Read before: causes.py.  Read next: table.py, the counts of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from lguest_py.shared_memory.mailbox import vector_name
from lguest_py.trace.causes import cause, detail
from lguest_py.trace.names import Names
from lguest_py.trace.stream import Facts, Item, Lost, Switch

HEADER = "#    time/s    Guest ran  Host kernel ran  ring  cause and place"


class Output(Protocol):
    """What becomes of a trace."""

    def take(self, item: Item) -> None:
        """One more item."""

    def end(self) -> None:
        """There are no more."""


def duration(ns: int | None) -> str:
    """In three or four digits, as people read it."""
    if ns is None:
        return "?"
    if ns < 1_000:
        return f"{ns} ns"
    for unit, size in (("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)):
        if ns < 1000 * size or unit == "s":
            return f"{ns / size:.{1 if ns < 100 * size else 0}f} {unit}"
    return ""


def shown(text: str) -> str:
    """It without what a picture or a terminal cannot show."""
    return "".join(each if each.isprintable() else "?" for each in text)


def guest_name(facts: Mapping[str, Any]) -> str:
    """What it is called in pictures: a Linux by its version, else by its file."""
    name = facts.get("version") or os.path.basename(str(facts.get("image") or "")) or "the Guest"
    return shown(str(name).split(" ")[0] if facts.get("version") else str(name))


class Text:
    """Lines for people."""

    def __init__(self, names: Names, write: Callable[[str], object]) -> None:
        self._names, self._write = names, write
        write(HEADER + "\n")

    def take(self, item: Item) -> None:
        """See Output."""
        if isinstance(item, Switch):
            self._switch(item)
        elif isinstance(item, Lost):
            self._write(f"# {item.records:,} records lost: who reads was too slow\n")
        elif isinstance(item, Facts) and item.machine > 1:
            self._write(f"# the Guest started again: boot {item.machine}, times from 0\n")

    def _switch(self, one: Switch) -> None:
        place = self._names.place(one.eip) if one.ring == 1 else ""
        words = [cause(one), f"{place or format(one.eip, '08x')}", detail(one)]
        if one.idle_ns:
            words.append(f"[idle {duration(one.idle_ns)}]")
        if one.answered:
            words.append(f"[{one.answered} answered by the Switcher before]")
        if one.lost:
            self._write(f"# {one.lost:,} records lost: who reads was too slow\n")
        line = "  ".join(filter(None, words))
        at = one.at_ns / 1e9
        self._write(f"{at:12.6f}  {duration(one.guest_ns):>9}  {duration(one.host_ns):>15}  {one.ring:>4}  {line}\n")

    def end(self) -> None:
        """See Output."""


class Json:
    """A JSON object a line; docs/trace.md has the keys."""

    def __init__(self, names: Names, write: Callable[[str], object]) -> None:
        self._names, self._write = names, write

    def take(self, item: Item) -> None:
        """See Output."""
        found: dict[str, Any] = {}
        if isinstance(item, Facts):
            found = {"facts": item.values}
        elif isinstance(item, Lost):
            found = {"lost": item.records}
        elif isinstance(item, Switch):
            found = {
                "at_ns": item.at_ns,
                "guest_ns": item.guest_ns,
                "host_ns": item.host_ns,
                "idle_ns": item.idle_ns,
                "cause": cause(item),
                "detail": detail(item),
                "vector": item.vector,
                "vector_name": vector_name(item.vector),
                "ring": item.ring,
                "cs": item.cs,
                "eip": item.eip,
                "symbol": self._names.place(item.eip) if item.ring == 1 else "",
                "eax": item.eax,
                "directory": item.directory,
                "data": item.data,
                "answered": item.answered,
                "lost": item.lost,
            }
        if found:
            self._write(json.dumps(found) + "\n")

    def end(self) -> None:
        """See Output."""
