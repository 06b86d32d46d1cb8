# SPDX-License-Identifier: GPL-2.0-or-later
"""A measurement as JSON, as an export, as a table; what is no measurement is refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_lab import ENVIRONMENT, every_kind, record, row

from lguest_py.errors import UsageError
from lguest_py.measurements import environment, export, table
from lguest_py.measurements.record import SCHEMA, as_dict, from_dict, read
from lguest_py.measurements.row import INSTRUCTIONS


def line(**changes: Any) -> str:
    """A line of JSON with something changed."""
    return json.dumps({**as_dict(every_kind()), **changes})


def test_there_and_back() -> None:
    assert from_dict(json.loads(line())) == every_kind()


def test_what_the_line_holds() -> None:
    data = as_dict(record(row("fork", 200, 100, 100, counts={"cr3_loads": 2})))
    assert data == {
        "schema": SCHEMA, "date": "2026-01-02T03:04:05+00:00", "version": "0.1.0", "commit": "0123456789ab",
        "engine": "tcg", "flavour": "emulated", "cpu": "Some CPU", "qemu": "7.2.22", "kernel": "6.1.0-50-686",
        "rows": [{
            "name": "fork", "group": "switch", "where": "guest", "switcher": "classic", "unit": "cycles",
            "n": 3, "min": 100, "q1": 100, "median": 100, "q3": 200, "p99": 200, "max": 200,
            "ns": {"min": 50.0, "median": 50.0, "p99": 100.0},
            "counts": {"cr3_loads": 2}, "tsc_khz": 2_000_000, "samples": [[100, 2], [200, 1]],
        }],
    }  # fmt: skip
    assert "ns" not in as_dict(record(row("fork", 1, unit=INSTRUCTIONS)))["rows"][0]


def test_the_last_of_many_lines_is_read(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_text(line(commit="older") + "\n" + line() + "\n\n")
    assert read(str(file)) == every_kind()


def test_an_export_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "export"
    file.write_text(export.text(every_kind()))
    assert read(str(file)) == export.anonymous(every_kind())


ROW = as_dict(every_kind())["rows"][0]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is empty"), ("{", ""), ("[]", "no object"), ("null", ""), ("[" * 100_000, ""), ("\xff\xfe", ""),
        ("{}", "no 'schema'"), (line(schema=2), "schema is 2"), (line(cpu=5), "cpu"), (line(cpu="a\nb"), "cpu"),
        (line(rows=5), ""), (line(rows=[{}]), "no 'samples'"), (line(rows=[ROW, ROW]), "twice"),
        (line(rows=[{**ROW, "samples": []}]), "no sample"), (line(rows=[{**ROW, "samples": [[1, 0]]}]), "no sample"),
        (line(rows=[{**ROW, "samples": [[-1, 1]]}]), "value"), (line(rows=[{**ROW, "samples": [[1.5, 1]]}]), "value"),
        (line(rows=[{**ROW, "samples": [[True, 1]]}]), "value"), (line(rows=[{**ROW, "samples": [[1, 2, 3]]}]), ""),
        (line(rows=[{**ROW, "group": "x"}]), "group"), (line(rows=[{**ROW, "where": "x"}]), "where"),
        (line(rows=[{**ROW, "unit": "x"}]), "unit"), (line(rows=[{**ROW, "switcher": "x"}]), "switcher"),
        (line(rows=[{**ROW, "counts": []}]), ""), (line(rows=[{**ROW, "counts": {"a b": 1}}]), "count"),
        (line(rows=[{**ROW, "tsc_khz": -1}]), "tsc_khz"), (line(rows=[{**ROW, "name": "x" * 999}]), "name"),
    ],
)  # fmt: skip
def test_what_is_no_measurement(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "other"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        read(str(file))
    assert str(file) in str(caught.value)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read(str(tmp_path / "none"))


def test_an_export_does_not_tell_whose_it_is() -> None:
    mine = every_kind()
    told = replace(mine.environment, kernel="6.1.176-pc-of-me+ (me@home)")
    text = export.text(replace(mine, environment=told, rows=(row("mine", 1, tsc_khz=2_595_123), *mine.rows[1:])))
    data = json.loads(text)
    assert set(data) == {"schema", "version", "commit", "engine", "flavour", "cpu", "qemu", "kernel", "rows"}
    assert data["kernel"] == "6.1.176"
    assert data["rows"][0]["tsc_khz"] == 2_595_000
    for word in ("2026", "me@home", "pc-of-me"):
        assert word not in text
    assert export.text(from_dict(data)) == text


def test_the_table_tells_every_row_in_its_block() -> None:
    text = table.table(every_kind())
    heading, *blocks = text.split("\n\n")
    assert heading.startswith("engine tcg (emulated), Some CPU, QEMU 7.2.22, Linux 6.1.0-50-686, lguest-py 0.1.0")
    assert len(blocks) == 7
    by_first = {block.partition(":")[0].partition(" (")[0]: block for block in blocks}
    inside = by_first["answered inside the Guest's page tables"]
    assert "no world switch" in inside
    assert "reflect" in inside
    assert "reflect" not in by_first["world switch or more"]
    assert "CR3 2, walks 14" in by_first["world switch or more"]
    assert by_first["world switch or more"].splitlines()[2].split()[:10] == [
        *("null-switch", "classic", "150", "150", "150", "160", "160", "160", "3", "75")
    ]


def test_linux_is_beside_its_native_twin() -> None:
    text = table.table(every_kind())
    block = next(block for block in text.split("\n\n") if block.startswith("in Linux"))
    assert [line.split() for line in block.splitlines()[2:]] == [
        ["fork", "classic", "2000", "2100", "1050", "1000", "1000", "2.00", "2.10"],
        ["fork", "lean", "1500", "1600", "800", "1000", "1000", "1.50", "1.60"],
    ]


def test_a_guest_without_twin_and_a_twin_without_guest() -> None:
    rows = [row("only", 7, group="linux", where="native", switcher=""), row("fork", 9, group="linux")]
    told = [line.split() for line in table.comparison(rows)]
    assert told[1:] == [["fork", "classic", "9", "9", "4"], ["only", "7", "7"]]
    assert table.ratio(5, 0) == "-"


@pytest.mark.parametrize(
    ("engine", "kvm", "cpu", "flavour"),
    [
        ("tcg", "kvm_intel", "Xeon", "emulated"), ("kvm", "kvm_intel", "Xeon", "VT-x"),
        ("kvm", "kvm_amd", "EPYC", "SVM"), ("kvm", "nested kvm_intel", "Xeon", "nested VT-x"),
        ("kvm", "nested kvm_amd", "EPYC", "nested SVM"),
        ("kvm", "nested kvm_amd", "QEMU TCG CPU version 2.5+", "emulated SVM"), ("kvm", "PVM", "Xeon", "PVM"),
    ],
)  # fmt: skip
def test_flavours(engine: str, kvm: str, cpu: str, flavour: str) -> None:
    assert environment.flavour(engine, kvm, cpu) == flavour


def test_the_processors_name(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("vendor_id\t: X\nmodel name\t: A  CPU \u00ae @ 3 GHz " + "x" * 200 + "\n")
    assert environment.cpu_model(str(file)).startswith("A CPU ? @ 3 GHz x")
    assert len(environment.cpu_model(str(file))) == environment.MAX_CPU_NAME
    assert environment.cpu_model(str(tmp_path / "none"))


def test_icount_is_the_emulators() -> None:
    with pytest.raises(UsageError, match="--icount needs --engine tcg"):
        environment.describe("kvm", True, ())
    assert ENVIRONMENT.version
