# SPDX-License-Identifier: GPL-2.0-or-later
"""Words that a user gives: which right one a wrong one was meant to be, and lists of them with commas.

Read next: checks.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from lguest_py.errors import UsageError
from lguest_py.files.inputs import printable

_COMMA = "\ud800"  # stands for a comma of a part: half a character, which no text has


def listed(words: Iterable[str], last: str = "or") -> str:
    """ "a", "a or b", "a, b or c"."""
    *first, final = words
    return f"{', '.join(first)} {last} {final}" if first else final


def instead(word: str, right: Collection[str]) -> str:
    """What to give in place of ``word``: the nearest of the right words, or else all of them."""
    import difflib

    near = difflib.get_close_matches(word.lower().replace("_", "-"), right, 1, 0.6)
    return f"did you mean {near[0]}?" if near else f"give {listed(right)}"


def quoted(value: object) -> str:
    """A wrong value for a message, in one line; a long one is cut."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]}…{text[-1]}"


def split(text: str) -> list[str]:
    """The parts between the commas of ``text``; two commas in a row are one comma of a part, as for QEMU."""
    return [part.replace(_COMMA, ",") for part in text.replace(",,", _COMMA).split(",")]


def keys(what: str, parts: Iterable[str], flags: Collection[str], values: Collection[str]) -> dict[str, str | bool]:
    """The options behind the first part of a text: ``flags`` stand alone, ``values`` are KEY=VALUE.  Each at most once.

    Raises UsageError.
    """
    found: dict[str, str | bool] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        right = [*flags, *(f"{name}=" for name in values)]
        if key in found:
            raise UsageError(f"{key} is given twice: give it once")
        if key in flags and equals:
            raise UsageError(f"{key} takes no value: give {key} alone, or leave it out")
        if key in values and not equals:
            raise UsageError(f"{key} lacks its value: give {key}=…")
        if key not in flags and key not in values:
            hint = "" if equals else " (a comma in a name is given twice)"
            raise UsageError(f"{what} has no option {printable(key) or quoted(key)}: {instead(key, right)}{hint}")
        found[key] = value if equals else True
    return found
