# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py stop``.  Read next: running.py; lguest_py/control/commands.py, what it does there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lguest_py.cli import running

if TYPE_CHECKING:
    from lguest_py.cli.boot_options import MakeParser

DESCRIPTION = "End a running Guest at once, as a power cut does, and wait for the end of its process."


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    options = running.parser(make_parser, "stop", "", DESCRIPTION).parse_args(arguments)
    running.guest(options).stop()
    return 0
