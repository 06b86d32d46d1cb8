# SPDX-License-Identifier: GPL-2.0-or-later
"""Put the figures into docs/latency.md, and draw its pictures: ``python tools/latency_page.py``.

Every figure stands between two lines, ``<!-- figures: NAME -->`` and ``<!-- end -->``; what is between them comes from
the measurements in results/ (FILES) and from the goals below, and the same files give the same page.

Read next: tools/latency_tables.py, the tables; tools/measure.py, which makes the files.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

import latency_tables as tables

from lguest_py.measurements.record import Record, read

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "latency.md"
PICTURES_PLACE: Final = PAGE.parent / "pictures"
FILES: Final = {  # what a table calls it -> the measurement
    "counted": "tcg-icount",
    "timed": "tcg",
    "counted in Linux": "tcg-icount-linux",
    "timed in Linux": "tcg-linux",
}
PLACE: Final = re.compile(r"(?<=^<!-- figures: )([a-z-]+)( -->\n)(.*?)(?=^<!-- end -->$)", re.M | re.S)
PICTURES: Final[Mapping[str, tuple[str, tuple[str, ...], bool]]] = {  # measurement, rows (none: all), distributions
    "latency-steps.svg": ("counted", ("step-", "null-switch", "floor"), False),
    "latency-steps-emulated.svg": ("timed", ("step-", "null-switch", "floor"), False),
    "latency-distributions.svg": ("timed", ("null-switch", "hypercall-switch", "fault-reflected"), True),
    "latency-linux.svg": ("counted in Linux", (), False),
}
Records = Mapping[str, Record]


def records() -> dict[str, Record]:
    """The measurements.  Raises UsageError where one is missing or broken."""
    return {name: read(str(ROOT / "results" / f"{file}.json")) for name, file in FILES.items()}


def blocks(found: Records) -> dict[str, Callable[[], str]]:
    """What stands between the markers, by name."""
    counted, timed, linux, timed_linux = found.values()
    return {
        "measured": lambda: tables.measured(FILES, found),
        "steps": lambda: tables.steps(counted, timed),
        "switch": lambda: tables.micro(
            counted, timed, ("floor", "null-switch", "hypercall-bare", "interrupt", "timer-lateness")
        ),
        "hypercalls": lambda: tables.micro(counted, timed, ("hypercall-switch", "hypercall", "ring-1", "ring-64")),
        "faults": lambda: tables.micro(
            counted, timed, ("system-call", "fault-reflected", "fault-reflected-inside", "fault-filled", "fpu-trap")
        ),
        "flushes": lambda: tables.micro(
            counted, timed, ("flush-user", "flush-all", "directory-cached", "directory-stale", "directory-new")
        ),
        "native": lambda: tables.micro(counted, timed, tuple(tables.names(counted, "native-personality"))),
        "wall": lambda: tables.wall(timed),
        "goals": lambda: tables.goals(counted, timed, linux),
        "goals-linux": lambda: tables.goals_linux(linux, timed_linux),
        "times": lambda: tables.times(timed_linux, timed),
        "parts": lambda: tables.parts(linux),
        "causes": lambda: tables.causes(linux),
    }


def page(text: str, found: Records) -> str:
    """The page with its figures.  Raises KeyError for a name that nothing is known of."""
    known = blocks(found)
    return PLACE.sub(lambda place: f"{place[1]}{place[2]}\n{known[place[1]]()}\n", text)


def picture(name: str, found: Records) -> tuple[Record, bool]:
    """What is to be seen in it, and whether with distributions."""
    source, starts, distributions = PICTURES[name]
    rows = tuple(row for row in found[source].rows if not starts or row.name.startswith(starts))
    return replace(found[source], rows=rows), distributions


def main() -> int:
    """Write them."""
    from lguest_py.measurements import plot

    found = records()
    PAGE.write_text(page(PAGE.read_text(), found))
    for name in PICTURES:
        shown, distributions = picture(name, found)
        plot.draw(shown, str(PICTURES_PLACE / name), distributions)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
