# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py cache``: show the contents of the user's cache folder, or delete them.

Read next: lguest_py/files/caches.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lguest_py.cli.boot_options import MakeParser

USAGE = "lguest-py cache [clear]"
EPILOG = """\
The folder is ${XDG_CACHE_HOME:-~/.cache}/lguest-py.  What is deleted is downloaded or made again when it is needed.
"""


def amount(size: int) -> str:
    """``size`` bytes as text: "12.3 MB"."""
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 1000**power:
            return f"{size / 1000**power:.1f} {unit}"
    return f"{size} B"


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    parser = make_parser("lguest-py cache", USAGE, "Show or delete what was kept in the cache folder.", EPILOG)
    parser.add_argument("action", nargs="?", choices=("clear",), metavar="clear", help="delete everything there")
    options = parser.parse_args(arguments)

    from lguest_py.files import caches

    found = caches.entries()
    total = sum(entry.size for entry in found)
    if options.action == "clear":
        for entry in found:
            caches.remove(entry.path)
        print(f"{caches.folder()}: {amount(total)} deleted")
        return 0
    print(f"{caches.folder()}: {amount(total) if found else 'empty'}")
    for entry in found:
        sys.stdout.write(f"  {amount(entry.size):>9}  {entry.path.name:<10} {entry.about}".rstrip() + "\n")
    return 0
