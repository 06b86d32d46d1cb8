# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot the Guest of lab 6, and show what a successful attack leaves: the text of the machine's debug port.

Run it: python labs/06-break-out/show.py [ENGINE], after ``python labs/exercise.py 6`` (which builds the Guest).
Read next: README.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from lguest_py import LguestError, Machine
from lguest_py.launcher import report

KERNEL = Path(__file__).resolve().parents[2] / "build" / "lab-06" / "lab-06.elf"
ENGINES: dict[str, Literal["auto", "kvm", "tcg"]] = {"auto": "auto", "kvm": "kvm", "tcg": "tcg"}


def main(arguments: list[str]) -> int:
    """Boot it on the engine named, if one is; the exit status is 0 however the Guest ended."""
    engine = ENGINES.get(arguments[0] if arguments else "auto")
    if engine is None:
        print(f"{arguments[0]}: give one of {', '.join(ENGINES)}, or nothing", file=sys.stderr)
        return 2
    try:
        with Machine(KERNEL, memory="16M", engine=engine, timeout=120) as guest:
            result = guest.wait()
    except LguestError as error:
        print(error, file=sys.stderr)
        return 1
    print(guest.console.output, end="")
    print(f"debug port: {result.debug_text!r}")
    print(f"end: {report.headline(result)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
