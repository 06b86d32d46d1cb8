# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py mkinitrd``: make an initrd from a directory, from busybox, or from both, with modules of a kernel.

Read next: lguest_py/kernels/mkinitrd.py, lguest_py/kernels/modules.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lguest_py.cli.boot_options import MakeParser
from lguest_py.errors import ImageError, UsageError

if TYPE_CHECKING:
    from lguest_py.kernels.mkinitrd import Tree
    from lguest_py.kernels.stock import Kernel

USAGE = "lguest-py mkinitrd [DIR] [--kernel KERNEL] [--busybox FILE] [--modules DIR] [--module MODULE] [-o OUTPUT]"
EPILOG = """\
DIR becomes the root; it should have an /init.  With --busybox a root with FILE, a static 32-bit busybox, and an /init
is made: it gives a shell on the console and powers off when that ends; run=COMMAND on the kernel's command line runs
COMMAND instead, and prints its status (boot --guest-status).  With both, DIR's files replace those.  All files belong
to root, and /dev/console is added.

--module MODULE adds a module, with those that it depends on, and the tables by which modprobe finds them.  They come
from --modules DIR, one kernel's as in /lib/modules/RELEASE.  --kernel KERNEL takes the busybox and the modules of a
kernel that was fetched, and adds the drivers for a Guest's devices and ext4:
  lguest-py mkinitrd --kernel debian-6.1-686 --module loop --module zram
  lguest-py boot --initrd initrd debian-6.1-686
"""


def _fetched(name: str) -> Kernel:
    from lguest_py.kernels import stock

    if name not in stock.STOCK:
        raise UsageError(f"--kernel cannot be {name!r}: choose from {', '.join(stock.STOCK)}")
    found = stock.find(name)
    if not found:
        raise ImageError(f"the kernel {name} is not in the cache: run lguest-py fetch {name}")
    return found


def _modules(directory: str, names: list[str], drivers: bool) -> Tree:
    from lguest_py.kernels.modules import Modules

    modules = Modules(directory)
    chosen, built_in = modules.choose([*names, *(modules.drivers if drivers else ())])
    for name in built_in:
        print(f"lguest-py: {name} is built into {modules.release}: it needs no module", file=sys.stderr)
    return modules.tree(chosen)


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    parser = make_parser("lguest-py mkinitrd", USAGE, "Make an initrd.", EPILOG)
    parser.add_argument("directory", metavar="DIR", nargs="?", help="what becomes the root")
    parser.add_argument("--busybox", metavar="FILE", help="a static 32-bit busybox")
    parser.add_argument("--kernel", metavar="KERNEL", help="a fetched kernel, whose busybox and modules to take")
    parser.add_argument("--modules", metavar="DIR", help="where a kernel's modules are, as /lib/modules/RELEASE")
    parser.add_argument(
        "--module", metavar="MODULE", action="append", default=[], help="a module to add; may be repeated"
    )
    parser.add_argument("-o", "--output", metavar="OUTPUT", default="initrd", help="the file to write, or - (initrd)")
    options = parser.parse_args(arguments)
    if options.directory is None and options.busybox is None and options.kernel is None:
        parser.error("neither DIR nor --busybox nor --kernel was given")
    if options.module and options.modules is None and options.kernel is None:
        parser.error("--module does not say of which kernel: give --kernel or --modules too")
    if options.modules is not None and not options.module:
        parser.error("--modules does not say which of them: give --module too")

    from lguest_py.kernels import mkinitrd

    busybox, modules, drivers = options.busybox, options.modules, False
    tree: mkinitrd.Tree = {}
    if options.kernel is not None:
        kernel = _fetched(options.kernel)
        busybox = str(kernel.directory / "busybox") if busybox is None else busybox
        if modules is None:
            found = next(kernel.modules.iterdir(), kernel.modules if options.module else None)
            modules, drivers = str(found) if found else None, True
    if busybox is not None:
        tree |= mkinitrd.busybox_tree(busybox)
    if modules is not None:
        tree |= _modules(modules, options.module, drivers)
    if options.directory is not None:
        tree |= mkinitrd.directory_tree(options.directory, options.output)
    mkinitrd.make_initrd(options.output, tree)
    if "init" not in tree:
        print(f"lguest-py: {options.directory} has no /init: the kernel will find no program to start", file=sys.stderr)
    return 0
