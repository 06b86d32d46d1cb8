# SPDX-License-Identifier: GPL-2.0-or-later
"""Row: one result of ``lguest-py bench``, with its name, its place and its samples.

Read next: lguest_py/bench/samples.py for the source of the samples; stats.py for their statistics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

GROUPS: Final = ("switch", "step", "inside", "native-personality", "linux", "boot", "devices", "saved", "wall")
# Names of counts.
HOST_INSTRUCTIONS: Final = "host_instructions"
SWITCHER_INSTRUCTIONS: Final = "switcher_instructions"
# Behind a hypercall's name or "faults": its instructions in the Host kernel, with the entries of the ring.
INSTRUCTIONS_SUFFIX: Final = "_instructions"
PLACES: Final = ("guest", "native", "host", "launcher")
COUNTS: Final = ("cr3_loads", "segment_loads", "table_loads", "page_walks")
INSTRUCTIONS: Final = "instructions"
CYCLES: Final = "cycles"
MICROSECONDS: Final = "microseconds"  # by the clock of a Linux Guest
MILLISECONDS: Final = "milliseconds"  # by the Launcher's clock
UNITS: Final = (INSTRUCTIONS, CYCLES, MICROSECONDS, MILLISECONDS)


@dataclass(frozen=True)
class Row:
    """The samples of one operation, per operation, without the cost of reading the clock.

    ``group``: "switch" is a world switch; "inside" is a fast path within the Guest's page tables; "step" is a part
    of the null world switch, "native-personality" is for Guests that are not paravirtualised, "wall" needs a clock
    that runs while the Launcher does.  ``where``: "guest", "native" (without lguest-py), "host" (the Host kernel
    alone), "launcher".  ``switcher``: "classic", "lean", or "" when it makes no difference.  ``unit``: one of UNITS.
    ``samples``: value -> number of samples.  ``counts``: events per operation, when known (COUNTS, or others).
    ``tsc_khz``: converts cycles to nanoseconds; 0 when unknown.
    """

    name: str
    group: str
    where: str
    switcher: str
    unit: str
    samples: Counter[int]
    counts: Mapping[str, int] = field(default_factory=dict)
    tsc_khz: int = 0

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The identity of a row across runs: name, where, switcher, unit."""
        return self.name, self.where, self.switcher, self.unit
