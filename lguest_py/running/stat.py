# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py stat``: what a running Guest is and has done.  Read next: named.py; docs/running.md."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lguest_py.running import named

if TYPE_CHECKING:
    from lguest_py.cli.boot_options import MakeParser

DESCRIPTION = "Show what a running Guest is, and what it has done until now."


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    text = str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The text, a line for each fact; counts are indented below what they are of."""
    for key, value in found.items():
        name = key.replace("_", " ")
        if isinstance(value, Mapping):
            yield f"{name}:"
            for each, count in sorted(value.items(), key=lambda pair: -pair[1]):
                yield f"  {count:>12,}  {_shown(each)}"
        elif isinstance(value, list):
            yield f"{name}:"
            for each in value:
                yield f"  {_shown(each)}"
        else:
            yield f"{name}: {_shown(value)}"


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    parser = named.parser(make_parser, "stat", "[--json]", DESCRIPTION)
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    options = parser.parse_args(arguments)
    found = named.guest(options).stat()
    if options.json:
        import json

        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines(found))
    return 0
