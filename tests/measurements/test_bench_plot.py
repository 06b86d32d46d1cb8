# SPDX-License-Identifier: GPL-2.0-or-later
"""The picture: it names each row, it is the same each time, and without matplotlib one line says what to do."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
from bench_lab import ENVIRONMENT, every_kind, record, row
from matplotlib.patches import Rectangle

from lguest_py.errors import LguestError, UsageError
from lguest_py.measurements import plot
from lguest_py.measurements.record import Record
from lguest_py.measurements.row import Row


def drawn(measured: Record, file: Path) -> list[str]:
    """The SVG's texts, which stand in comments before their letters' shapes."""
    plot.draw(measured, str(file))
    builder = ElementTree.TreeBuilder(insert_comments=True)
    root = ElementTree.parse(file, ElementTree.XMLParser(target=builder)).getroot()
    return [(each.text or "").strip() for each in root.iter() if not isinstance(each.tag, str)]


def test_every_row_is_drawn_and_each_time_alike(tmp_path: Path) -> None:
    texts = drawn(every_kind(), tmp_path / "one.svg")
    for each in every_kind().rows:
        name = f"{each.name} ({' '.join(filter(None, (each.where, each.switcher)))})"
        assert [text for text in texts if text.startswith(name)]
    assert [text for text in texts if text.startswith("the null world switch, and its steps")]
    assert {"steps classic", "steps lean", "step-gdt", "null-switch lean"} <= set(texts)
    drawn(every_kind(), tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def bars(*rows: Row) -> list[tuple[int, int]]:
    """Where each bar of the steps starts, and how long it is; not those of no length."""
    axes = plot._figure(record(*rows)).axes[0]
    found = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    return sorted((round(bar.get_x()), round(bar.get_width())) for bar in found if bar.get_width())


def test_steps_lie_one_on_the_other() -> None:
    steps = [row(f"step-{name}", cost, group="step", switcher="") for name, cost in (("tss", 10), ("cr3", 90))]
    assert bars(*steps) == [(0, 10), (10, 90)]
    counts = {"cr3_loads": 2, "table_loads": 6, "segment_loads": 8}
    classic = row("null-switch", 220, where="host", counts=counts)
    assert bars(*steps, classic) == [(0, 20), (0, 220), (20, 180)]
    lean = row("null-switch", 190, where="host", switcher="lean", counts={"cr3_loads": 2})
    assert bars(*steps, classic, lean) == sorted([(0, 20), (0, 220), (20, 180), (0, 180), (0, 190)])
    more = [row("step-segments", 5, group="step", switcher=""), row("step-stack", 1, group="step", switcher="")]
    assert bars(*more, classic) == [(0, 10), (0, 220), (10, 2)]


def test_where_the_work_in_linux_goes() -> None:
    native = row("fork", 1000, group="linux", where="native", switcher="")
    counts = {"switches": 3, "host_instructions": 400, "switcher_instructions": 100}
    lean = row("fork", 1600, group="linux", switcher="lean", counts=counts)
    quick = row("call", 110, group="linux", switcher="lean")
    twin = row("call", 100, group="linux", where="native", switcher="")
    axes = plot._figure(record(native, lean, quick, twin), distributions=False).axes
    assert len(axes) == 1
    found = [bar for bar in axes[0].patches if isinstance(bar, Rectangle) and bar.get_width()]
    fork = [bar for bar in found if round(bar.get_y() + bar.get_height() / 2) == 0]
    assert [round(bar.get_x(), 3) for bar in fork] == [0, 1, 1.1, 1.2]
    assert [round(bar.get_width(), 3) for bar in fork] == [1, 0.1, 0.1, 0.4]
    assert len(plot._figure(record(native, row("fork", 1600, group="linux"))).axes) == 2  # nothing known: distributions


def test_what_lies_far_above_is_counted_in_the_title() -> None:
    figure = plot._figure(record(row("fork", *[100] * 60, *[101] * 60, *[1_000_000] * 5)))
    (axes,) = figure.axes
    heights = [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]
    assert [height for height in heights if height] == [60 / 125, 60 / 125]
    assert axes.get_title() == "fork (guest classic), 4.0% above"
    (axes,) = plot._figure(record(row("fork", 1, 2, 3))).axes
    assert axes.get_title() == "fork (guest classic)"


def test_no_name_is_taken_for_a_formula(tmp_path: Path) -> None:
    odd = record(row("fork", 1), environment=replace(ENVIRONMENT, cpu=r"$\frac{"))
    assert any(r"$\frac{" in text for text in drawn(odd, tmp_path / "odd.svg"))


def test_png(tmp_path: Path) -> None:
    plot.draw(record(row("fork", 1, 2)), str(tmp_path / "it.png"))
    assert (tmp_path / "it.png").read_bytes().startswith(b"\x89PNG")


def test_errors_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"it\.pdf: give a name that ends in \.svg or \.png"):
        plot.check("it.pdf")
    with pytest.raises(LguestError, match="cannot be written"):
        plot.draw(record(row("fork", 1)), str(tmp_path / "none" / "it.png"))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(LguestError, match=r"needs matplotlib: pip install 'lguest-py\[plot\]'"):
        plot.check("it.svg")
