# SPDX-License-Identifier: GPL-2.0-or-later
"""Plot a measurement: the cost of each step of a world switch and of work in Linux, and each row's distribution.

It needs matplotlib, an optional dependency.  The same record gives the same SVG.  Read next: table.py, stats.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lguest_py.errors import LguestError, UsageError
from lguest_py.files.outputs import writing
from lguest_py.measurements.record import Record
from lguest_py.measurements.row import HOST_INSTRUCTIONS, SWITCHER_INSTRUCTIONS, Row
from lguest_py.measurements.stats import stats
from lguest_py.measurements.table import heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES: Final = (".svg", ".png")
COLUMNS: Final = 3  # distributions side by side
BINS: Final = 40  # of a histogram
WHOLE: Final = ("null-switch", "floor")  # rows shown next to the steps
TIMES: Final[Mapping[str, int | tuple[str, int]]] = {  # step: times per round trip, or (count, occurrences per step)
    "step-stack": 2,
    **dict.fromkeys(("step-cr3", "step-refill"), ("cr3_loads", 1)),
    **dict.fromkeys(("step-gdt", "step-idt", "step-tss"), ("table_loads", 3)),
    "step-segments": ("segment_loads", 4),
}
OTHER: Final = "give another place (--plot)"
OUTLIER: Final = 3  # interquartile ranges above the third quartile


def check(path: str) -> None:
    """Check before measuring.  Raises UsageError for another file type, LguestError without matplotlib."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot {path}: give a name that ends in {' or '.join(SUFFIXES)}")
    try:
        import matplotlib.figure  # noqa: F401 - whether it is there
    except ImportError:
        raise LguestError("--plot needs matplotlib: pip install 'lguest-py[plot]'") from None


def occurrences(step: str, counts: Mapping[str, int]) -> float:
    """How often a world switch with these counts does ``step``; 1 without counts."""
    if not counts:
        return 1
    times = TIMES.get(step, 1)
    return times if isinstance(times, int) else counts.get(times[0], 0) / times[1]


def _steps(axes: Axes, rows: Sequence[Row]) -> None:
    """A stacked bar of the steps for each Switcher, and a bar for the whole switch above it (medians)."""
    steps = [row for row in rows if row.group == "step"]
    whole = [row for row in rows if row.name in WHOLE and row.unit == steps[0].unit]
    counts = {row.switcher: row.counts for row in whole if row.name == WHOLE[0]} or {"": {}}
    kinds = [" ".join(filter(None, ("steps", switcher))) for switcher in counts]
    ends = [0.0] * len(kinds)
    for name in dict.fromkeys(row.name for row in steps):
        medians = {row.switcher: stats(row.samples).median for row in steps if row.name == name}
        widths = [medians.get(one, medians.get("", 0)) * occurrences(name, of) for one, of in counts.items()]
        axes.barh(kinds, widths, left=ends, label=name)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    for row in whole:
        label = " ".join(filter(None, (row.name, row.switcher)))
        axes.barh(label, stats(row.samples).median, color="lightgrey", edgecolor="black")
    axes.set_title("the null world switch, and its steps alone, as often as it does them (medians)", fontsize=9)
    axes.set_xlabel(steps[0].unit, fontsize=7)
    axes.legend(fontsize=7, ncols=9, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    axes.tick_params(labelsize=7)


def _attributed(record: Record) -> list[tuple[Row, Row]]:
    """Rows in Linux whose instructions are counted by component, each with its native row."""
    native = {row.name: row for row in record.rows if (row.group, row.where) == ("linux", "native")}
    guest = [row for row in record.rows if (row.group, row.where) == ("linux", "guest") and row.name in native]
    known = {row.name for row in guest if HOST_INSTRUCTIONS in row.counts}
    return [(row, native[row.name]) for row in guest if known]


def _parts(axes: Axes, pairs: Sequence[tuple[Row, Row]]) -> None:
    """A stacked bar for each row: its minimum by component, relative to the native minimum."""
    labels = [f"{row.name} {row.switcher}" for row, _ in pairs]
    whole = [min(native.samples) for _, native in pairs]
    host = [row.counts.get(HOST_INSTRUCTIONS, 0) for row, _ in pairs]
    switcher = [row.counts.get(SWITCHER_INSTRUCTIONS, 0) for row, _ in pairs]
    own = [
        max(0, min(row.samples) - one - two - three)
        for (row, _), one, two, three in zip(pairs, whole, host, switcher, strict=True)
    ]
    ends = [0.0] * len(pairs)
    kinds = {"as natively": whole, "the Guest's kernel, more": own, "Switcher": switcher, "Host kernel": host}
    for (kind, counts), colour in zip(kinds.items(), ("lightgrey", "tab:olive", "tab:orange", "tab:red"), strict=True):
        widths = [count / native for count, native in zip(counts, whole, strict=True)]
        axes.barh(labels, widths, left=ends, label=kind, color=colour)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_title("work in Linux, and where its instructions go (minima; 1: natively)", fontsize=9)
    axes.legend(fontsize=7, ncols=4, loc="upper right")
    axes.tick_params(labelsize=7)


def _distribution(axes: Axes, row: Row) -> None:
    """A histogram of shares with a line at the median.  The title counts the outliers above it."""
    from matplotlib.ticker import MaxNLocator

    of = stats(row.samples)
    end = min(of.p99, of.q3 + OUTLIER * of.interquartile_range)
    shown = {value: count for value, count in row.samples.items() if value <= end}
    width = max(1, -(-(end - of.min + 1) // BINS))
    edges = [edge - 0.5 for edge in range(of.min, end + width + 1, width)]  # each value is in the middle of its bin
    axes.hist(list(shown), bins=edges, weights=[count / of.n for count in shown.values()])
    axes.set_xlim(edges[0] - 1, edges[-1] + 1)
    axes.axvline(of.median, color="black", linewidth=0.8)
    where = " ".join(filter(None, (row.where, row.switcher)))
    above = 1 - sum(shown.values()) / of.n
    axes.set_title(f"{row.name} ({where})" + (f", {above:.1%} above" if above else ""), fontsize=8)
    axes.set_xlabel(row.unit, fontsize=7)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.tick_params(labelsize=6)


def _figure(record: Record, distributions: bool = True) -> Figure:
    from matplotlib.figure import Figure

    steps = [row for row in record.rows if row.group == "step"]
    pairs = _attributed(record)
    high = [3.0] * bool(steps) + [0.16 * len(pairs) + 1.0] * bool(pairs)  # inches
    shown = record.rows if distributions else ()
    heights = [*high, *[2.0] * -(-len(shown) // COLUMNS)]
    figure = Figure(figsize=(11, sum(heights) + 0.5), layout="constrained")
    figure.suptitle(heading(record), fontsize=8)
    grid = figure.add_gridspec(len(heights), COLUMNS, height_ratios=heights)
    if steps:
        _steps(figure.add_subplot(grid[0, :]), record.rows)
    if pairs:
        _parts(figure.add_subplot(grid[bool(steps), :]), pairs)
    for i, row in enumerate(shown):
        _distribution(figure.add_subplot(grid[len(high) + i // COLUMNS, i % COLUMNS]), row)
    return figure


def draw(record: Record, path: str, distributions: bool = True) -> None:
    """Write the plot to ``path``; ``distributions``: with those of the rows.  Raises LguestError when that fails."""
    check(path)
    import matplotlib as mpl

    options: dict[str, Any] = {"metadata": {"Date": None}} if path.lower().endswith(".svg") else {}
    kind = Path(path).suffix.lower().removeprefix(".")
    with mpl.rc_context({"svg.hashsalt": "lguest-py", "text.parse_math": False}), writing(path, OTHER) as file:
        _figure(record, distributions).savefig(file, format=kind, **options)
