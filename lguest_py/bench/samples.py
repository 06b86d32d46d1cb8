# SPDX-License-Identifier: GPL-2.0-or-later
"""Parse the output of a benchmark in a Guest or in the Host kernel: lines on a console, among others.

    BENCH name value*count value*count …    value and number of samples; a repeated name adds samples
    BENCH-COUNTS name cr3_loads=2 …         per operation
    BENCH done                              the last line

The row ``clock`` is the cost of reading the clock, which subtract_clock() subtracts from all others.

Read next: lguest_py/measurements/row.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lguest_py.errors import LguestError

CLOCK: Final = "clock"
_LINE = re.compile(r"\bBENCH(-COUNTS)? (.*)")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.+()/-]*", re.I)
_SAMPLE = re.compile(r"([0-9]{1,19})\*([0-9]{1,19})")
_COUNT = re.compile(r"([a-z][a-z0-9_]*)=([0-9]{1,19})")


@dataclass
class BenchOutput:
    """The samples and the counts by name."""

    samples: dict[str, Counter[int]] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)


def parse(text: str) -> BenchOutput:
    """Read a console's output.

    Other lines are ignored.  Raises LguestError for a line that is broken, and without ``BENCH done``
    (a cut line is both: its last value may look whole).
    """
    printed, rest = BenchOutput(), text.replace("\r", "\n")
    done = False
    for line in rest.split("\n"):
        found = _LINE.search(line)
        if not found or done:
            continue
        name, *words = found[2].split() or [""]
        if found[1] is None and name == "done" and not words:
            done = True
        elif not _NAME.fullmatch(name) or not words:
            raise _broken(line)
        elif found[1]:
            printed.counts.setdefault(name, {}).update(_counts(words, line))
        else:
            printed.samples.setdefault(name, Counter()).update(_samples(words, line))
    if not done:
        last = next((line for line in reversed(rest.split("\n")) if line.strip()), "")
        raise LguestError(f"the measurement is incomplete; the last line: {last.strip()[-80:]!r}")
    return printed


def _broken(line: str) -> LguestError:
    shown = line.strip()
    return LguestError(f"a line of the measurement is broken: {shown[:80]!r}{' …' if len(shown) > 80 else ''}")


def _samples(words: list[str], line: str) -> Counter[int]:
    values: Counter[int] = Counter()
    for word in words:
        found = _SAMPLE.fullmatch(word)
        if not found or found[2] == "0":
            raise _broken(line)
        values[int(found[1])] += int(found[2])
    return values


def _counts(words: list[str], line: str) -> dict[str, int]:
    found = [_COUNT.fullmatch(word) for word in words]
    if not all(found):
        raise _broken(line)
    return {one[1]: int(one[2]) for one in found if one}


def subtract_clock(printed: BenchOutput, operations: Mapping[str, int] | None = None) -> dict[str, Counter[int]]:
    """The samples of all but the clock, less the least that reading the clock costs (never below 0).

    ``operations``: by name, how many operations one sample holds; the values are then per operation, rounded.
    Raises LguestError when the clock's own row is missing.
    """
    clock = printed.samples.get(CLOCK)
    if not clock:
        raise LguestError(f"the measurement has no row {CLOCK!r}: what reading the clock costs")
    cost, rows = min(clock), {}
    for name, samples in printed.samples.items():
        if name != CLOCK:
            per = (operations or {}).get(name, 1)
            rows[name] = Counter[int]()
            for value, count in samples.items():
                rows[name][round(max(0, value - cost) / per)] += count
    return rows
