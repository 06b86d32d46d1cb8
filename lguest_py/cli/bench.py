# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py bench``: measure, beside the same thing without us.

Read next: lguest_py/bench/boot.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lguest_py.cli.boot import MakeParser

SUMMARY = "measure what a Guest costs"
USAGE = "lguest-py bench [options] [NAME …]"
NAMES = {"boot": "a distribution's kernel to its init, by its own clock, in a Guest and natively in the same emulator"}
KERNEL = "debian-6.1-686"
EPILOG = "NAME:\n" + "".join(f"  {name:<10} {about}\n" for name, about in NAMES.items())


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """The verb.  Returns the exit status; raises LguestError."""
    parser = make_parser("lguest-py bench", USAGE, "Measure what a Guest costs.", EPILOG)
    parser.add_argument("names", metavar="NAME", nargs="*", choices=[*NAMES, []], help="what to measure (all)")
    parser.add_argument("--engine", choices=("auto", "kvm", "tcg"), default="tcg", help="what runs the Guest (tcg)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args(arguments)

    import json

    from lguest_py import stock
    from lguest_py.bench.boot import boot_times
    from lguest_py.progress import Progress

    found = stock.resolve(KERNEL)
    assert found
    with Progress("booting a kernel twice"):
        times = boot_times(found, options.engine)
    if options.json:
        row = {**vars(times), "ratio": round(times.ratio, 3)}
        print(json.dumps({"boot": row}))
    else:
        print(
            f"{times.kernel}, seconds to init: Guest ({options.engine}) {times.guest:.2f}, "
            f"native {times.native:.2f}, ratio {times.ratio:.2f}; {times.switches} world switches"
        )
    sys.stdout.flush()
    return 0
