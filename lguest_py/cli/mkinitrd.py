# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py mkinitrd``: make an initrd from a directory, from busybox, or from both.

Read next: lguest_py/kernels/mkinitrd.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lguest_py.cli.boot import MakeParser

SUMMARY = "make an initrd from a directory, or from a busybox"
USAGE = "lguest-py mkinitrd [DIR] [--busybox FILE] [-o OUTPUT]"
EPILOG = """\
DIR becomes the root; it should have an /init.  With --busybox a root with FILE, a static 32-bit busybox, and an /init
is made: it gives a shell on the console and powers off when that ends; run=COMMAND on the kernel's command line runs
COMMAND instead, and tells its status (boot --guest-status).  With both, DIR is laid over it.  All files belong to root,
and /dev/console is there.
"""


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """The verb.  Returns the exit status; raises LguestError."""
    parser = make_parser("lguest-py mkinitrd", USAGE, "Make an initrd.", EPILOG)
    parser.add_argument("directory", metavar="DIR", nargs="?", help="what becomes the root")
    parser.add_argument("--busybox", metavar="FILE", help="a static 32-bit busybox")
    parser.add_argument("-o", "--output", metavar="OUTPUT", default="initrd", help="the file to write (initrd)")
    options = parser.parse_args(arguments)
    if options.directory is None and options.busybox is None:
        parser.error("neither DIR nor --busybox was given")

    from lguest_py.kernels import mkinitrd

    tree: mkinitrd.Tree = {}
    if options.busybox is not None:
        tree |= mkinitrd.busybox_tree(options.busybox)
    if options.directory is not None:
        tree |= mkinitrd.directory_tree(options.directory)
    mkinitrd.make_initrd(options.output, tree)
    if "init" not in tree:
        print(f"lguest-py: {options.directory} has no /init: a kernel finds no program to start there", file=sys.stderr)
    return 0
