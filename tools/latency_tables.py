# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of docs/latency.md, as Markdown: tools/latency_page.py puts them there.

Read next: tools/latency_goals.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import latency_goals as goal

from lguest_py.bench.linux import BENCHMARKS
from lguest_py.bench.micro import MICRO
from lguest_py.bench.profile import COUNT_NAMES
from lguest_py.measurements.plot import occurrences
from lguest_py.measurements.record import Record
from lguest_py.measurements.row import COUNTS, HOST_INSTRUCTIONS, SWITCHER_INSTRUCTIONS, Row
from lguest_py.measurements.stats import nanoseconds, stats
from lguest_py.measurements.table import format_counts

BOTH = ("classic", "lean")


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Words to the left, all columns but the first to the right where they hold numbers only."""
    right = [i > 0 and all(not line[i].strip("-") or line[i][0].isdigit() for line in lines) for i in range(len(head))]
    rule = "|" + "".join(" ---: |" if each else " --- |" for each in right)
    return "\n".join([_line(head), rule, *map(_line, lines)]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def row_of(record: Record, name: str, switcher: str = "", where: str = "") -> Row | None:
    """The row of this name; with any Switcher where it does not matter."""
    found = (row for row in record.rows if row.name == name and where in ("", row.where))
    return next((row for row in found if row.switcher in (switcher, "")), None)


def names(record: Record, group: str) -> list[str]:
    """Of the rows of a group, each once."""
    return list(dict.fromkeys(row.name for row in record.rows if row.group == group))


def _least(row: Row | None) -> str:
    return str(min(row.samples)) if row else "-"


def _ns(row: Row | None) -> str:
    time = nanoseconds(min(row.samples), row) if row else None
    return "-" if time is None else f"{time:.0f}"


def measured(files: Mapping[str, str], found: Mapping[str, Record]) -> str:
    """Which files, and on what."""
    lines = []
    for name, record in found.items():
        on = record.environment
        words = (on.engine, on.flavour, on.cpu, on.qemu, on.kernel or "-", on.commit)
        lines.append([name, f"[{files[name]}.json](../results/{files[name]}.json)", *words])
    return table(["measurement", "file", "engine", "flavour", "processor below", "QEMU", "Linux", "commit"], lines)


def steps(counted: Record, timed: Record) -> str:
    """Each step: what it is, its instructions, its time emulated, how often there and back on each Switcher."""
    whole = {switcher: row_of(counted, "null-switch", switcher) for switcher in BOTH}
    lines = []
    for name in names(counted, "step"):
        times = [f"{occurrences(name, row.counts):g}" if row else "-" for row in whole.values()]
        lines.append([name, MICRO[name], _least(row_of(counted, name)), _ns(row_of(timed, name)), *times])
    return table(["step", "what", "instructions", "ns emulated", "times, classic", "times, lean"], lines)


def micro(counted: Record, timed: Record, wanted: Sequence[str]) -> str:
    """The least instructions and the least emulated time on both Switchers, and what is loaded on the way."""
    lines = []
    for name in wanted:
        rows = [row_of(counted, name, switcher) for switcher in BOTH]
        times = [_ns(row_of(timed, name, switcher)) for switcher in BOTH]
        loads = [format_counts(row) for row in rows if row and row.counts]
        if len(loads) == 2 and loads[0] != loads[1]:
            loads = [f"{switcher}: {text}" for switcher, text in zip(BOTH, loads, strict=True)]
        lines.append([name, MICRO[name], *map(_least, rows), *times, "; ".join(dict.fromkeys(loads))])
    return table(["row", "what", "classic", "lean", "ns emulated, classic", "lean", "beside it"], lines)


def wall(timed: Record) -> str:
    """The rows that only a wall clock can tell."""
    rows = [row for row in timed.rows if row.group == "wall"]
    values = [(row, min(row.samples), stats(row.samples).median) for row in rows]
    lines = [[row.name, MICRO[row.name], _micro(least, row), _micro(median, row)] for row, least, median in values]
    return table(["row", "what", "least", "median"], lines)


def _micro(value: int, row: Row) -> str:
    time = nanoseconds(value, row)
    return "-" if time is None else f"{time / 1e6:.0f} ms" if time >= 1e7 else f"{time / 1e3:.1f} us"


def verdict(value: float, reach: float, aim: float) -> str:
    """Against two upper bounds."""
    value = round(value, 2)
    return "aim" if value <= aim else "goal" if value <= reach else "missed"


def goals(counted: Record, timed: Record, linux: Record) -> str:
    """What has no native twin."""
    lines = []

    def add(what: str, original: str, value: float, shown: str, bounds: tuple[float, float]) -> None:
        lines.append([what, original, *(f"{bound:g}" if bound < 1e4 else f"{bound / 1e6:g}M" for bound in bounds),
                      shown, verdict(value, *bounds)])  # fmt: skip

    for each in goal.COUNTED:
        if row := row_of(counted, each.name, each.switcher):
            value = min(row.samples)
            add(f"{each.name}, {each.switcher}: instructions", str(each.original or "-"), value, str(value),
                (each.goal, each.aim))  # fmt: skip
    for switcher, bounds in goal.HYPERCALL_IN_FLOORS.items():
        floor, call = row_of(timed, "floor"), row_of(timed, "hypercall-bare", switcher)
        if floor and call:
            floors, original = min(call.samples) / min(floor.samples), f"about {goal.ORIGINAL_IN_FLOORS}"
            add(f"hypercall-bare, {switcher}: time, in units of floor", original, floors, f"{floors:.2f}", bounds)
    boots = [row_of(linux, name, "lean") for name in ("boot-to-init", "boot-to-init-without-lpj")]
    if boots[0] and boots[1]:
        first, second = (min(row.samples) for row in boots if row)
        bounds = (goal.BOOT.goal, goal.BOOT.aim)
        add("boot-to-init: instructions", f"{goal.BOOT.original or 0:,}", first, f"{first:,}", bounds)
        lines.append(["the same without `lpj=`", f"{goal.WITHOUT_LPJ:,}", "as with it", "as with it", f"{second:,}",
                      "aim" if second <= first * 1.01 else "missed"])  # fmt: skip
    if prompt := row_of(timed, "prompt"):
        value = min(prompt.samples)
        add("prompt: milliseconds, the least", "-", value, str(value), (goal.PROMPT.goal, goal.PROMPT.aim))
    return table(["row", "the original, mended", "goal", "aim", "here", "reached"], lines)


def _ratio(record: Record, name: str, switcher: str) -> float | None:
    guest, native = row_of(record, name, switcher, "guest"), row_of(record, name, "", "native")
    return min(guest.samples) / min(native.samples) if guest and native else None


def goals_linux(linux: Record, timed: Record) -> str:
    """Ratios to native: instructions, then time."""
    lines = []
    for name, of in goal.LINUX.items():
        classic, lean = (_ratio(linux, name, switcher) for switcher in BOTH)
        time = _ratio(timed, name, "lean")
        if classic is None or lean is None or time is None:
            continue
        lines.append([
            name, BENCHMARKS[name], f"{of.original:g}", f"{of.goal:g}", f"{of.aim:g}", f"{classic:.2f}", f"{lean:.2f}",
            verdict(lean, of.goal, of.aim), f"{of.original_wall:g}", f"{of.goal_wall:g}", f"{time:.2f}",
            "goal" if round(time, 2) <= of.goal_wall else "missed",
        ])  # fmt: skip
    head = ["row", "what", "the original, mended", "goal", "aim", "classic", "lean", "lean reached"]
    return table([*head, "time: the original, mended", "goal", "lean", "reached"], lines)


def times(linux: Record, timed: Record) -> str:
    """What a row takes more than natively, and what its world switches are of that."""
    lines, floor = [], row_of(timed, "floor")
    for guest, native in _lean(linux):
        ns = [nanoseconds(min(row.samples), row) for row in (native, guest, floor) if row]
        if len(ns) == 3 and all(ns):
            twin, whole, each = (value or 0 for value in ns)
            switches = guest.counts.get("switches", 0)
            cells = (f"{value:.0f}" for value in (twin, whole, whole - twin, switches, switches * each))
            lines.append([guest.name, *cells])
    head = ["row", "native, ns", "Guest, lean, ns", "added", "world switches", "these at `floor`, ns"]
    return table(head, lines)


def _lean(linux: Record) -> Iterator[tuple[Row, Row]]:
    for name in names(linux, "linux"):
        guest, native = row_of(linux, name, "lean", "guest"), row_of(linux, name, "", "native")
        if guest and native:
            yield guest, native


def parts(linux: Record) -> str:
    """Where a row's instructions go; the last column: what would be left if all of ours cost nothing."""
    lines = []
    for guest, native in _lean(linux):
        whole, host, switcher = (
            min(guest.samples),
            guest.counts.get(HOST_INSTRUCTIONS, 0),
            guest.counts.get(SWITCHER_INSTRUCTIONS, 0),
        )
        own, twin = whole - host - switcher, min(native.samples)
        lines.append([guest.name, str(twin), str(whole), str(own), str(switcher), str(host), f"{own / twin:.2f}"])
    head = ["row", "native", "Guest, lean", "of it the Guest's own", "Switcher", "Host kernel", "own / native"]
    return table(head, lines)


def causes(linux: Record) -> str:
    """How often a row enters the Host kernel, and for what: hypercalls with what is behind them."""
    lines = []
    for guest, _ in _lean(linux):
        counts = guest.counts
        told = {*COUNT_NAMES.values()} | {*COUNTS, HOST_INSTRUCTIONS, SWITCHER_INSTRUCTIONS}
        calls = {name: count for name, count in counts.items() if name not in told}
        kinds = format_counts(
            Row(guest.name, guest.group, guest.where, guest.switcher, guest.unit, guest.samples, calls)
        )
        faults = counts.get("filled", 0) + counts.get("reflected", 0)
        cells = [str(counts.get(name, 0)) for name in ("switches", "answered")]
        lines.append([guest.name, *cells, str(faults), kinds or "-"])
    head = ["row", "world switches", "answered inside", "faults", "hypercalls (instructions in the Host kernel)"]
    return table(head, lines)
