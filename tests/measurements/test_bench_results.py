# SPDX-License-Identifier: GPL-2.0-or-later
"""results/: every file there is a measurement without a name in it, and the page shows what is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import results_page
from bench_lab import ENVIRONMENT, every_kind, record, row

from lguest_py.measurements import export


def test_the_page_is_up_to_date() -> None:
    drawn = (results_page.RESULTS / results_page.PAGE).read_text()
    assert drawn == results_page.page(), "run: python tools/results_page.py"


def test_what_is_there_is_anonymous() -> None:
    found = results_page.records(results_page.RESULTS)
    for name, measured in found.items():
        assert export.text(measured) == (results_page.RESULTS / f"{name}.json").read_text()
        assert not measured.date


def test_each_row_is_a_line_and_each_machine_a_column(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(export.text(every_kind()))
    real = record(
        row("null-switch", 900), environment=replace(ENVIRONMENT, cpu="Real | <b>CPU</b>", flavour="VT-x", engine="kvm")
    )
    (tmp_path / "a.json").write_text(export.text(real))
    (tmp_path / "instructions.json").write_text("{}")
    page = results_page.page(tmp_path)
    assert page == results_page.page(tmp_path)
    assert "| [a](a.json) | Real &#124; &#60;b&#62;CPU&#60;/b&#62; | VT-x | kvm | 7.2.22 | 6.1.0 |" in page
    assert "| name | where | Switcher | per operation | a | b |" in page
    assert "| null-switch | guest | classic | CR3 2, walks 14 | 900 (450 ns) | 150 (75 ns) |" in page
    assert "| null-switch | guest | lean | CR3 2 |  | 81 (40 ns) |" in page
    assert "## Answered inside the Guest's page tables: no world switch: cycles" in page
    assert "| boot-to-init | guest | classic |  | 28000000 |" in page


def test_no_measurement_is_said(tmp_path: Path) -> None:
    assert "No measurement is here yet." in results_page.page(tmp_path)
