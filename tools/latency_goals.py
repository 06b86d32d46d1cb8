# SPDX-License-Identifier: GPL-2.0-or-later
"""What docs/latency.md holds the measurements against: the original lguest with its host bug mended, and our goals.

The original's figures were taken once, before this project began, in the same emulator with the same kernel (3.18.24,
64 MB); no command of ours repeats them.  Ratios are to the same kernel without a Host, in the same run.
Read before: tools/latency_tables.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Ratios:
    """Instructions and wall clock; None: nothing was set."""

    original: float
    original_wall: float
    goal: float
    goal_wall: float
    aim: float


LINUX: Final = {
    "fork": Ratios(3.7, 4.85, 2.0, 2.4, 1.5),
    "exec": Ratios(3.1, 4.4, 1.8, 2.2, 1.4),
    "anonymous-fault": Ratios(2.2, 9.1, 1.5, 3.6, 1.3),
    "cow": Ratios(2.7, 11.6, 1.7, 4.6, 1.4),
    "munmap": Ratios(2.5, 4.7, 1.6, 2.4, 1.25),
    "mprotect": Ratios(25, 8.2, 3, 3.3, 2),
    "mmap+touch+munmap": Ratios(10.8, 6.75, 2, 2.7, 1.5),
    "pipe": Ratios(1.6, 1.64, 1.3, 1.4, 1.15),
    "int-syscall": Ratios(1.13, 1.08, 1.13, 1.08, 1.05),
}


@dataclass(frozen=True)
class Goal:
    """``original``: None where nobody measured it."""

    name: str
    switcher: str
    original: int | None
    goal: int
    aim: int


COUNTED: Final = (
    Goal("null-switch", "classic", None, 150, 110),
    Goal("null-switch", "lean", None, 80, 50),
    Goal("hypercall", "classic", 493, 250, 180),
    Goal("hypercall", "lean", 493, 120, 40),
    Goal("flush-user", "lean", 19_700, 2_000, 1_000),
    Goal("flush-all", "lean", 121_000, 8_000, 4_000),
)
BOOT: Final = Goal("boot-to-init", "lean", 32_700_000, 28_000_000, 22_000_000)
WITHOUT_LPJ: Final = 151_700_000  # the original's; the goal is: as with it
HYPERCALL_IN_FLOORS: Final = {"classic": (1.2, 1.05), "lean": (0.15, 0.1)}  # goal, aim; the original about:
ORIGINAL_IN_FLOORS: Final = 1.6
PROMPT: Final = Goal("prompt", "", None, 500, 250)  # milliseconds
