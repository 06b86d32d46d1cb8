# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py fetch``: get a distribution's kernel or system into the cache, to be booted by its name.

Read next: lguest_py/kernels/fetch.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lguest_py.cli.boot_options import MakeParser

# As in lguest_py/kernels/stock.py, which takes long to import.
NAMES = ("debian-6.1-686", "debian-6.1-686-pae", "debian-6.1-rt-686-pae", "debian-12-i386")
USAGE = "lguest-py fetch [--again] NAME"
EPILOG = """\
names:
  debian-6.1-686          Debian 12's linux-image-6.1.0-…-686 (32 bits, no PAE), with an initrd of its busybox-static
  debian-6.1-686-pae      the same with PAE: three-level page tables and NX
  debian-6.1-rt-686-pae   the same with PAE and PREEMPT_RT
  debian-12-i386          a Debian 12 on a root disk of 4 GiB (0.5 GB of which are taken), with the first kernel; made
                          with mmdebstrap, which needs root or user namespaces, in some minutes

The packages come through apt from the mirrors that this machine is configured for, and apt checks them; neither root
nor a change to the system is needed.  LGUEST_STOCK_DEB=FILE[:FILE] names local packages instead: the kernel's and then,
if apt is not to get it either, busybox-static's.  All goes into ${XDG_CACHE_HOME:-~/.cache}/lguest-py/kernels.
A root disk that another version of lguest-py made otherwise is made anew.
Then: lguest-py boot NAME
"""


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    parser = make_parser("lguest-py fetch", USAGE, "Get a distribution's kernel or system into the cache.", EPILOG)
    parser.add_argument("name", metavar="NAME", choices=NAMES, help="the kernel or system")
    parser.add_argument("--again", action="store_true", help="fetch it even if it is in the cache")
    options = parser.parse_args(arguments)

    from lguest_py.kernels import fetch

    kernel = fetch.fetch(options.name, lambda text: print(f"lguest-py: {text}", file=sys.stderr), again=options.again)
    print(f"kernel {kernel.kernel}\ninitrd {kernel.initrd}")
    if kernel.root:
        print(f"root disk {kernel.root}")
    for line in kernel.licences:
        print(line)
    return 0
