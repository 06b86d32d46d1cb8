# SPDX-License-Identifier: GPL-2.0-or-later
"""Print a measurement: a table for each group of rows; rows with a native counterpart show both and their ratio.

Read next: stats.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lguest_py.measurements.record import Record
from lguest_py.measurements.row import INSTRUCTIONS_SUFFIX, Row
from lguest_py.measurements.stats import nanoseconds, stats

GROUP_TITLES = {
    "switch": "world switch or more: the Guest's page tables are left",
    "step": "steps of the null world switch, each alone",
    "inside": "answered inside the Guest's page tables: no world switch",
    "native-personality": "an unmodified kernel's privileged instructions",
    "wall": "with the Launcher, by the clock alone",
    "linux": "in Linux, in a Guest and natively",
    "boot": "boot to init",
    "devices": "devices in Linux, in a Guest and natively with QEMU's own",
    "saved": "a Guest that was saved, against one that boots",
}
COUNT_LABELS = {
    "cr3_loads": "CR3",
    "segment_loads": "segments",
    "table_loads": "tables",
    "page_walks": "walks",
    "answered": "answered inside",
    "filled": "faults filled",
    "reflected": "faults reflected",
    "faults_instructions": "behind page faults",
    "host_instructions": "in the Host kernel",
    "switcher_instructions": "in the Switcher",
}


def columns(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines in aligned columns: text to the left, numbers to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    right = [i > 0 and all(_is_number(line[i]) for line in lines[1:]) for i in range(len(widths))]
    for line in lines:
        cells = zip(line, widths, right, strict=True)
        yield "  " + "  ".join(f"{cell:>{w}}" if r else f"{cell:<{w}}" for cell, w, r in cells).rstrip()


def _is_number(text: str) -> bool:
    return not text.strip("-") or text.replace(".", "", 1).isdecimal()


def format_counts(row: Row) -> str:
    """Counts per operation: "CR3 2, walks 14"; "set_pte 2 (464)" adds the instructions in the Host kernel."""
    words = []
    for name, count in row.counts.items():
        kind = name.removesuffix(INSTRUCTIONS_SUFFIX)
        if name in COUNT_LABELS or kind == name:
            more = f" ({row.counts[name + INSTRUCTIONS_SUFFIX]})" if name + INSTRUCTIONS_SUFFIX in row.counts else ""
            words.append(f"{COUNT_LABELS.get(name, name)} {count}{more}")
        elif kind not in row.counts:  # less than half of one
            words.append(f"{kind} ({count})")
    return ", ".join(words)


def time(value: float, row: Row) -> str:
    """Nanoseconds; "-" when unknown."""
    found = nanoseconds(value, row)
    return "-" if found is None else f"{found:.0f}"


def _without_empty(lines: list[list[str]]) -> list[list[str]]:
    """Remove empty columns."""
    columns_used = [i for i in range(len(lines[0])) if any(line[i] not in ("", "-") for line in lines[1:])]
    return [[line[i] for i in columns_used] for line in lines]


def listing(rows: Sequence[Row]) -> Iterator[str]:
    """A table with a line for each row."""
    lines = [["name", "switcher", "min", "q1", "median", "q3", "p99", "max", "n", "ns (median)", "per operation"]]
    for row in rows:
        of = stats(row.samples)
        values = map(str, (of.min, of.q1, of.median, of.q3, of.p99, of.max, of.n))
        lines.append([row.name, row.switcher, *values, time(of.median, row), format_counts(row)])
    yield from columns(_without_empty(lines))


def ratio(guest: int, native: int) -> str:
    """The Guest's value relative to the native one: "2.05"; "-" when that is 0."""
    return f"{guest / native:.2f}" if native else "-"


def comparison(rows: Sequence[Row]) -> Iterator[str]:
    """A table with a line for each name and Switcher: minimum and median in the Guest, natively, and their ratio."""
    native = {row.name: stats(row.samples) for row in rows if row.where == "native"}
    guest = [row for row in rows if row.where != "native"]
    pairs = ["Guest min", "median", "ns (median)", "native min", "median", "ratio min", "median"]
    lines = [["name", "switcher", *pairs, "per operation"]]
    for row in guest:
        of, twin = stats(row.samples), native.get(row.name)
        values = [str(of.min), str(of.median), time(of.median, row)]
        if twin:
            values += [str(twin.min), str(twin.median), ratio(of.min, twin.min), ratio(of.median, twin.median)]
        lines.append([row.name, row.switcher, *values, *[""] * (len(pairs) - len(values)), format_counts(row)])
    for name in sorted(native.keys() - {row.name for row in guest}):
        lines.append([name, "", "", "", "", str(native[name].min), str(native[name].median), "", "", ""])
    yield from columns(_without_empty(lines))


def heading(record: Record) -> str:
    """The environment, on one line."""
    environment = record.environment
    words = [f"engine {environment.engine} ({environment.flavour})", environment.cpu]
    words += [f"QEMU {environment.qemu}"] if environment.qemu and environment.engine == "tcg" else []
    words += [f"Linux {environment.kernel}"] if environment.kernel else []
    return ", ".join([*words, f"lguest-py {environment.version} (commit {environment.commit})"])


def table(record: Record) -> str:
    """The whole text."""
    lines = [heading(record)]
    for group, told in GROUP_TITLES.items():
        for unit in sorted({row.unit for row in record.rows if row.group == group}):
            rows = [row for row in record.rows if (row.group, row.unit) == (group, unit)]
            twins = any(row.where == "native" for row in rows)
            lines += ["", f"{told} ({unit})", *(comparison(rows) if twins else listing(rows))]
    return "\n".join(lines) + "\n"
