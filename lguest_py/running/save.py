# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py save``: a running Guest to a file.  Read next: named.py, restore.py; lguest_py/launcher/saving.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lguest_py.running import named

if TYPE_CHECKING:
    from lguest_py.cli.boot_options import MakeParser

DESCRIPTION = (
    "Write all of a running Guest to a new file, from which lguest-py restore makes it go on, as often as wanted."
)
EPILOG = """\
The Guest stands still meanwhile, and then goes on.  Its disks are not in the file, but what it wrote to an overlay is.
Without an overlay a disk would change when it goes on, so --stop is needed.  Connections through its network end when
it is restored.  A share must not be mounted.

"""


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    parser = named.parser(make_parser, "save", "[--compress] [--stop]", DESCRIPTION, EPILOG)
    parser.usage = "lguest-py save [--compress] [--stop] NAME FILE"
    parser.add_argument("file", metavar="FILE", help="must not be there yet")
    parser.add_argument("--compress", action="store_true", help="a smaller file, which takes longer to write and read")
    parser.add_argument("--stop", action="store_true", help="end the Guest when it is saved")
    options = parser.parse_args(arguments)
    named.guest(options).save(options.file, compress=options.compress, stop=options.stop)
    return 0
