# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs for running Guests have in common: one argument, NAME.

Read next: ps.py; lguest_py/control/client.py.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lguest_py.cli.boot_options import MakeParser
    from lguest_py.control.client import Running

EPILOG = """\
NAME is that of boot --name, or the number of its process: lguest-py ps shows both.  Only Guests of this user are found.

exit status: 0, or 1 where there is no such Guest, or it cannot do that
"""


def parser(
    make_parser: MakeParser, verb: str, more: str, description: str, epilog: str = ""
) -> argparse.ArgumentParser:
    """A parser for ``verb`` with NAME; ``more`` is what its usage has besides."""
    usage = " ".join(filter(None, (f"lguest-py {verb}", more, "NAME")))
    made = make_parser(f"lguest-py {verb}", usage, description, epilog + EPILOG)
    made.add_argument("name", metavar="NAME", help="the running Guest")
    return made


def guest(options: argparse.Namespace) -> Running:
    """The Guest.  Raises UsageError for what cannot be a name."""
    from lguest_py.control.client import Running

    return Running(options.name)
