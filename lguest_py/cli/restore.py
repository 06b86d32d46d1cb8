# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py restore``: a Guest goes on that was saved.  Read next: save.py, boot.py; lguest_py/launcher/saving.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lguest_py.cli.boot_options import parse_restore

if TYPE_CHECKING:
    from lguest_py.cli.boot_options import MakeParser

DESCRIPTION = "Let a Guest go on from a file of lguest-py save, on either engine."
EPILOG = """\
Several Guests may go on from one file, also at the same time.  Each has an overlay over its disks, whose files must be
as they were.  The Guest's clock goes on from where it was saved.  When it reboots, the run ends.

The keys and the exit status are those of lguest-py boot; the status is 2 for a file that cannot be used.
"""


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    options = parse_restore(make_parser, arguments, DESCRIPTION, EPILOG)

    from lguest_py.cli.boot import run_with

    return run_with(options)
