# SPDX-License-Identifier: GPL-2.0-or-later
"""Profile of a benchmark: parse the output of the profiling Host kernel (host_kernel/profile/), lines of

    PROFILE number name=value …    number: the row's, in the order in which the program prints them

on the console.  It runs in a separate boot, because counting costs instructions, which would distort the samples.

Read next: linux.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from lguest_py.bench.samples import CLOCK, BenchOutput
from lguest_py.errors import LguestError
from lguest_py.measurements.row import HOST_INSTRUCTIONS, INSTRUCTIONS_SUFFIX, SWITCHER_INSTRUCTIONS
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.mailbox import hypercall_name

HOST_KERNEL: Final = "host_profile.bin"
ROUNDS: Final = 10  # samples, of which the shortest is printed
COUNT_NAMES: Final = {  # printed name -> name in a Row's counts
    "switches": "switches",
    "answered": "answered",
    "filled": "filled",
    "reflected": "reflected",
    "delivered": "interrupts",
}
_LINE = re.compile(r"PROFILE ([0-9]{1,3})((?: [a-z0-9_]+=[0-9]{1,10})+)$", re.M)


def counts_of(text: str, printed: BenchOutput, counted: bool) -> dict[str, dict[str, int]]:
    """Name -> per operation: world switches, what the Switcher answered, faults filled and reflected, interrupts,
    hypercalls by kind; ``counted``: also the instructions in the Host kernel and in the Switcher.

    Rounded; what is less than half of one is left out.  Raises LguestError where nothing was told.
    """
    told = {int(found[1]): dict(_pairs(found[2])) for found in _LINE.finditer(text.replace("\r", ""))}
    rows = {name: told.get(index, {}) for index, name in enumerate(printed.samples)}
    clock = rows.get(CLOCK, {}).get("ticks")
    if not clock:
        raise LguestError("the profiling Host kernel printed nothing: try again, and report it if it stays so")
    return {
        name: _of(row, printed.counts.get(name, {}).get("operations", 1), clock if counted else 0)
        for name, row in rows.items()
        if name != CLOCK
    }


def _pairs(text: str) -> Iterator[tuple[str, int]]:
    for word in text.split():
        name, _, value = word.partition("=")
        yield name, int(value)


def _of(row: Mapping[str, int], operations: int, per_switch: int) -> dict[str, int]:
    """``per_switch``: instructions in the Switcher, as between two marks with nothing between them; 0: not counted."""
    found = {ours: row.get(theirs, 0) for theirs, ours in COUNT_NAMES.items()}
    calls = [number for number in range(L.HYPERCALL_COUNT) if f"call{number}" in row]
    found |= {_call(number): row[f"call{number}"] for number in calls}
    if per_switch:
        found["faults" + INSTRUCTIONS_SUFFIX] = row.get("fault_ticks", 0)
        found |= {_call(number) + INSTRUCTIONS_SUFFIX: row.get(f"ticks{number}", 0) for number in calls}
        found |= {SWITCHER_INSTRUCTIONS: row.get("switches", 0) * per_switch, HOST_INSTRUCTIONS: row.get("host", 0)}
    rounded = {name: (2 * count + operations) // (2 * operations) for name, count in found.items()}
    return {name: count for name, count in rounded.items() if count}


def _call(number: int) -> str:
    name = hypercall_name(number).lower()
    return name if name.isidentifier() else f"call_{number}"
