# SPDX-License-Identifier: GPL-2.0-or-later
"""Two records next to each other: the steps that both have stand in one row.

Two steps are the same when their source lines are: both Switchers say the same thing in the same words.  The longest
common part is found as ``diff`` finds it; what only one of them does stands alone in its row.
"""

from __future__ import annotations

from difflib import SequenceMatcher

from lguest_py.watch.record import Record, Step

Row = tuple[int | None, int | None]


def _key(step: Step) -> tuple[str, str]:
    """What makes two steps the same; in the Guest and in the Host kernel they are by their place."""
    if step.phase in ("guest", "host"):
        return step.phase, ""
    return step.phase, step.code if step.file or not step.code.startswith("the CPU") else "trap"


def rows(left: Record, right: Record) -> tuple[Row, ...]:
    """The numbers of the steps in each row; None: that side does nothing there."""
    ours, theirs = ([_key(step) for step in record.steps] for record in (left, right))
    found: list[Row] = []
    for kind, start, end, begin, stop in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if kind == "equal":
            found += zip(range(start, end), range(begin, stop), strict=True)
        else:
            found += [(each, None) for each in range(start, end)] + [(None, each) for each in range(begin, stop)]
    return tuple(found)
