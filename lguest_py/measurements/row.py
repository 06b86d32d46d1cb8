# SPDX-License-Identifier: GPL-2.0-or-later
"""One result of ``lguest-py bench``: what was measured, where, and how often each value came.

Read next: samples.py, where the values come from; stats.py, what is told of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

GROUPS: Final = ("switch", "step", "inside", "native-personality", "linux", "boot", "wall")
# Names of counts.
IN_HOST: Final = "host_instructions"
IN_SWITCHER: Final = "switcher_instructions"
OF: Final = "_instructions"  # behind a hypercall's name, or "faults": in the Host kernel, with what was in the ring
WHERES: Final = ("guest", "native", "host", "launcher")
COUNTS: Final = ("cr3_loads", "segment_loads", "table_loads", "page_walks")
INSTRUCTIONS: Final = "instructions"
CYCLES: Final = "cycles"
MICROSECONDS: Final = "microseconds"  # by a Linux's own clock
MILLISECONDS: Final = "milliseconds"  # by ours
UNITS: Final = (INSTRUCTIONS, CYCLES, MICROSECONDS, MILLISECONDS)


@dataclass(frozen=True)
class Row:
    """The samples of one operation, per operation, the clock's own cost subtracted.

    ``group``: "switch" leaves the Guest's page tables, "inside" does not and so is no world switch; "step" is a part
    of the null world switch, "native-personality" is for Guests that are not paravirtualised, "wall" needs a clock
    that runs while the Launcher does.  ``where``: "guest", "native" (the twin without us), "host" (the Host kernel
    alone), "launcher".  ``switcher``: "classic", "lean", or "" where it does not matter.  ``unit``: one of UNITS.
    ``samples``: value -> how often.  ``counts``: per operation, where known (COUNTS, or others).
    ``tsc_khz``: makes nanoseconds of cycles; 0 where nobody knows.
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
        """What makes two rows of two runs the same row: name, where, switcher, unit."""
        return self.name, self.where, self.switcher, self.unit
