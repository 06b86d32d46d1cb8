# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py ps``: the Guests of this user that run.  Read next: named.py; lguest_py/control/client.py."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lguest_py.cli.boot_options import MakeParser

COLUMNS = ("NAME", "PID", "STATE", "TIME", "MEMORY", "ENGINE", "IMAGE")
EPILOG = """\
A Guest has the name that boot --name gave it, or the number of its process.  TIME is how long it has run.
One whose process is stopped gives no answer.
With --json each line is what lguest-py stat --json prints of one Guest.
"""


def _time(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _row(found: Mapping[str, Any]) -> tuple[str, ...]:
    from lguest_py.files.inputs import printable

    first = str(found["name"]), str(found.get("pid", "-")), str(found["state"])
    if "seconds" not in found:
        return (*first, *("-",) * (len(COLUMNS) - len(first)))
    memory = f"{found['memory'] >> 20}M"
    return *first, _time(found["seconds"]), memory, str(found["engine"]), printable(str(found["image"]))


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    parser = make_parser("lguest-py ps", "lguest-py ps [--json]", "Show this user's Guests that run.", EPILOG)
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    options = parser.parse_args(arguments)

    from lguest_py.control.client import running

    found = running()
    if options.json:
        import json

        sys.stdout.writelines(json.dumps(each) + "\n" for each in found)
        return 0
    rows = [COLUMNS, *map(_row, found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
    return 0
