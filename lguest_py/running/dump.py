# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py dump``: a core of a running Guest.  Read next: named.py; lguest_py/postmortem/core.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lguest_py.running import named

if TYPE_CHECKING:
    from lguest_py.cli.boot_options import MakeParser

DESCRIPTION = "Write memory and registers of a running Guest to a new file, as an ELF core for gdb, drgn and crash."
EPILOG = "The Guest stands still meanwhile.  docs/reports.md says what is in the file.\n\n"


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    parser = named.parser(make_parser, "dump", "", DESCRIPTION, EPILOG)
    parser.usage = "lguest-py dump NAME FILE"
    parser.add_argument("file", metavar="FILE", help="must not be there yet")
    options = parser.parse_args(arguments)
    named.guest(options).dump(options.file)
    return 0
