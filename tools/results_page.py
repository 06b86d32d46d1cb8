# SPDX-License-Identifier: GPL-2.0-or-later
"""Draw results/RESULTS.md from the measurements there: ``python tools/results_page.py``.

A column a machine, a line a row; each cell is the median.  The same files give the same page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lguest_py.measurements.record import Record, read
from lguest_py.measurements.row import Row
from lguest_py.measurements.stats import nanoseconds, stats
from lguest_py.measurements.table import GROUP_TITLES, format_counts

RESULTS = Path(__file__).resolve().parent.parent / "results"
PAGE = "RESULTS.md"
NOT_ONE = "instructions.json"  # what CI keeps; tools/keep_instructions.py
HEAD = """\
<!-- SPDX-License-Identifier: GPL-2.0-or-later -->
# What a world switch costs, machine by machine

Drawn by `python tools/results_page.py` from the files beside it; [README.md](README.md) tells how to add one.
Each cell is the median. Times on an emulated processor say nothing about a real one.
"""


def records(directory: Path) -> dict[str, Record]:
    """File name without suffix -> measurement.  Raises UsageError for a file that is none."""
    files = sorted(file for file in directory.glob("*.json") if file.name != NOT_ONE)
    return {file.stem: read(str(file)) for file in files}


def escape(text: str) -> str:
    """``text`` as Markdown shows it, in a table too: the files are others'."""
    return re.sub(r"[\\`*_\[\]<>|#&$~]", lambda sign: f"&#{ord(sign[0])};", text)


def _table(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    head, *rest = lines
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for line in rest:
        yield "| " + " | ".join(line) + " |"


def _machines(found: dict[str, Record]) -> Iterator[str]:
    lines = [["measurement", "processor", "flavour", "engine", "QEMU", "Linux", "lguest-py"]]
    for name, record in found.items():
        on = record.environment
        words = (on.cpu, on.flavour, on.engine, on.qemu, on.kernel, f"{on.version} {on.commit}")
        lines.append([f"[{escape(name)}]({name}.json)", *map(escape, words)])
    yield from _table(lines)


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    median = stats(row.samples).median
    time = nanoseconds(median, row)
    return str(median) if time is None else f"{median} ({time:.0f} ns)"


def _block(group: str, unit: str, found: dict[str, Record]) -> Iterator[str]:
    rows = {
        name: {row.key: row for row in record.rows if (row.group, row.unit) == (group, unit)}
        for name, record in found.items()
    }
    columns = [name for name in found if rows[name]]
    keys = dict.fromkeys(key for name in columns for key in rows[name])
    if not keys:
        return
    yield f"\n## {GROUP_TITLES[group][0].upper()}{GROUP_TITLES[group][1:]}: {unit}\n"
    lines = [["name", "where", "Switcher", "per operation", *map(escape, columns)]]
    for key in keys:
        cells = [rows[name].get(key) for name in columns]
        counts = next((told for row in cells if row and (told := format_counts(row))), "")
        lines.append([*map(escape, (key[0], key[1], key[2], counts)), *map(_cell, cells)])
    yield from _table(lines)


def page(directory: Path = RESULTS) -> str:
    """The page for the measurements in ``directory``."""
    found = records(directory)
    lines = [*HEAD.splitlines(), ""]
    lines += _machines(found) if found else ["No measurement is here yet."]
    units = sorted({row.unit for record in found.values() for row in record.rows})
    for group in GROUP_TITLES:
        for unit in units:
            lines += _block(group, unit, found)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (RESULTS / PAGE).write_text(page())
