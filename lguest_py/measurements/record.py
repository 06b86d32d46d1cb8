# SPDX-License-Identifier: GPL-2.0-or-later
"""Record: a measurement with every sample, as one line of JSON for a run of ``lguest-py bench``.

Files come from other people too (--compare, results/), so every field is validated.
Read next: table.py, compare.py, plot.py, which present it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from lguest_py.errors import ImageError, UsageError
from lguest_py.files.inputs import open_regular, printable
from lguest_py.measurements.environment import Environment
from lguest_py.measurements.row import GROUPS, PLACES, UNITS, Row
from lguest_py.measurements.stats import nanoseconds, stats

SCHEMA: Final = 1
SWITCHERS: Final = ("classic", "lean", "")
MAX_FILE: Final = 64 << 20  # bytes of a file
MAX_NUMBER: Final = 1 << 63  # of any number in a file
MAX_TEXT: Final = 200  # characters of any text in a file
ADVICE: Final = "give what bench --json wrote"
NS_STATISTICS: Final = ("min", "median", "p99")


@dataclass(frozen=True)
class Record:
    """One measurement.  ``date``: UTC, ISO 8601, or "" in an export."""

    environment: Environment
    rows: tuple[Row, ...]
    date: str = ""


def row_as_dict(row: Row) -> dict[str, Any]:
    """The row's JSON: ``samples`` as [value, count] in ascending order, the statistics, and ``ns`` for times."""
    statistics: dict[str, Any] = asdict(stats(row.samples))
    times = {name: round(time, 1) for name in NS_STATISTICS if (time := nanoseconds(statistics[name], row)) is not None}
    data: dict[str, Any] = {
        **{name: getattr(row, name) for name in ("name", "group", "where", "switcher", "unit")},
        **statistics,
        **({"ns": times} if times else {}),
        "counts": dict(sorted(row.counts.items())),
        "tsc_khz": row.tsc_khz,
        "samples": sorted([value, count] for value, count in row.samples.items()),
    }
    return data


def as_dict(record: Record) -> dict[str, Any]:
    """The record's JSON."""
    date = {"date": record.date} if record.date else {}
    return {"schema": SCHEMA, **date, **asdict(record.environment), "rows": [row_as_dict(row) for row in record.rows]}


def _text(data: Mapping[str, Any], name: str, allowed: tuple[str, ...] = ()) -> str:
    value = data[name]
    if not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
        raise ValueError(f"{name} is no text")
    if allowed and value not in allowed:
        raise ValueError(f"{name} is {value!r}")
    return value


def _number(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MAX_NUMBER:
        raise ValueError(f"{name} is no number")
    return value


def _row(data: Mapping[str, Any]) -> Row:
    samples = Counter[int]()
    for value, count in data["samples"]:
        samples[_number(value, "a value")] += _number(count, "a count")
    if not +samples:
        raise ValueError(f"the row {data['name']!r} has no sample")
    counts = {str(name)[:MAX_TEXT]: _number(count, "a count") for name, count in data["counts"].items()}
    if not all(name.isidentifier() for name in counts):
        raise ValueError("a count has no name")
    return Row(
        _text(data, "name"),
        _text(data, "group", GROUPS),
        _text(data, "where", PLACES),
        _text(data, "switcher", SWITCHERS),
        _text(data, "unit", UNITS),
        +samples,
        counts,
        _number(data["tsc_khz"], "tsc_khz"),
    )


def from_dict(data: object) -> Record:
    """The reverse of as_dict().  Raises ValueError, KeyError, TypeError or AttributeError for other data."""
    if not isinstance(data, dict):
        raise ValueError("it is no object")
    if data["schema"] != SCHEMA:
        raise ValueError(f"its schema is {data['schema']!r}, not {SCHEMA}")
    environment = Environment(**{field.name: _text(data, field.name) for field in fields(Environment)})
    rows = tuple(_row(row) for row in data["rows"])
    if len({row.key for row in rows}) != len(rows):
        raise ValueError("a row is there twice")
    return Record(environment, rows, _text(data, "date") if "date" in data else "")


def read(path: str) -> Record:
    """The last line of a file that ``bench --json`` or ``--export`` wrote.  Raises UsageError."""
    name = printable(path)
    try:
        file, size = open_regular(path, ADVICE)
    except ImageError as error:
        raise UsageError(str(error)) from None
    with file:
        if size > MAX_FILE:
            raise UsageError(f"{name} is larger than any measurement ({size >> 20} MB): {ADVICE}")
        content = file.read(MAX_FILE)
    try:
        text = content.decode()
        return from_dict(json.loads(text if text.startswith("{\n") else text.strip().rpartition("\n")[2]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:100]
        raise UsageError(f"{name} is not what bench --json writes ({why})") from None
