# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py resume``.  Read next: named.py; lguest_py/control/commands.py, what it does there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lguest_py.running import named

if TYPE_CHECKING:
    from lguest_py.cli.boot_options import MakeParser

DESCRIPTION = "Let a Guest go on that lguest-py pause stopped."


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    options = named.parser(make_parser, "resume", "", DESCRIPTION).parse_args(arguments)
    named.guest(options).resume()
    return 0
