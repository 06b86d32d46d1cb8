# SPDX-License-Identifier: GPL-2.0-or-later
"""For tests of the walls: what this machine has of them, and what a Launcher must still be able to do behind them.

Read next: wall_climber.py, what is tried.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lguest_py.sandbox import landlock, seccomp

ROOT = Path(__file__).resolve().parents[3]


needs_landlock = pytest.mark.skipif(not landlock.refers(), reason=f"no Landlock of Linux 5.19: {landlock.version()}")


def no_seccomp() -> str:
    try:
        seccomp.Filter().close()
    except seccomp.UnavailableError as error:
        return str(error)
    return ""


needs_seccomp = pytest.mark.skipif(bool(no_seccomp()), reason=no_seccomp())
# What a Launcher must still be able to do; names of wall_climber.py.
STILL = {
    *("a thread", "signal itself", "write to the disk", "import a module", "a pair of sockets"),
    "memory for the next boot",
}
IN_SHARES = {"read in the share", "make in the share", "move in the share", "read in the readonly share"}


def succeeded(found: dict[str, int]) -> set[str]:
    return {name for name, number in found.items() if not number}
