# SPDX-License-Identifier: GPL-2.0-or-later
"""Export a measurement for publication, without anything that identifies the machine or its user.

It keeps the schema's number; lguest-py's version and commit; the engine; the flavour; the processor's model
name; QEMU's version; the numbers of the kernel's release ("6.1.0"); and of each row its name, group, place, Switcher,
unit, statistics, samples, counts and the rate of the clock, rounded to 1 MHz (its last digits identify a
machine).  It removes host and user names, paths, the date, the kernel's command line, the rest of its release.

Read next: record.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lguest_py.measurements.record import Record, as_dict
from lguest_py.measurements.row import CYCLES

RELEASE = re.compile(r"[0-9]+(\.[0-9]+){1,2}")


def anonymous(record: Record) -> Record:
    """The record without identifying data."""
    release = RELEASE.match(record.environment.kernel)
    rows = [replace(row, tsc_khz=round(row.tsc_khz, -3) if row.unit == CYCLES else 0) for row in record.rows]
    return Record(replace(record.environment, kernel=release[0] if release else ""), tuple(rows))


def _lines(data: dict[str, Any]) -> Iterator[str]:
    rows = data.pop("rows")
    yield "{"
    for name, value in data.items():
        yield f"  {json.dumps(name)}: {json.dumps(value)},"
    yield '  "rows": ['
    for i, row in enumerate(rows):
        yield f"    {json.dumps(row)}{',' if i + 1 < len(rows) else ''}"
    yield "  ]"
    yield "}"


def text(record: Record) -> str:
    """The file's content: one line per row, so that a diff is easy to read."""
    return "".join(line + "\n" for line in _lines(as_dict(anonymous(record))))
