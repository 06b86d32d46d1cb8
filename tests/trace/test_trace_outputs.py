# SPDX-License-Identifier: GPL-2.0-or-later
"""What is made of a trace: lines, JSON, the table, Perfetto's format, the pictures."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from trace_lab import FACTS, exit_record, items, records_block, stack_record, timeline, trace

from lguest_py.errors import UsageError
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory import trace_blocks as blocks
from lguest_py.trace.causes import cause, detail, instruction
from lguest_py.trace.flame import Flame
from lguest_py.trace.names import Names, from_file
from lguest_py.trace.perfetto import Perfetto
from lguest_py.trace.picture import Picture
from lguest_py.trace.stream import Switch
from lguest_py.trace.table import Counts, Table, lines
from lguest_py.trace.text import Json, Output, Text, duration

MAP = b"c0001000 T start_kernel\nc0001200 t page_work\nc0001300 D data\nc0002000 T other\n"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def names(tmp_path: Path) -> Names:
    file = tmp_path / "System.map"
    file.write_bytes(MAP)
    return Names(lambda: from_file(str(file)))


def fed(output: Output, data: bytes) -> None:
    for each in items(data):
        output.take(each)
    output.end()


def one(vector: int, **more: int) -> Switch:
    (found,) = (each for each in items(trace(exit_record(1000, 1001, vector, **more))) if isinstance(each, Switch))  # type: ignore[arg-type]
    return found


CALL = exit_record(1000, 1500, L.HYPERCALL_VECTOR, eax=L.LHCALL_NEW_PGTABLE, data=(0x1000, 2, 3, 4))
FAULT = exit_record(4_501_500, 4_502_500, 14, cs=0x73, eip=0x8048000, data=(6, 0x1234, 0, 0), fast_paths=3)
WORK = trace(CALL, FAULT, exit_record(4_503_000, 4_504_000, 14, idle=4_502_900, fast_paths=3))


@pytest.mark.parametrize(
    ("code", "name", "port"),
    [
        ("0f22d8", "mov to cr3", None), ("0f20d0", "mov from cr2", None), ("0f23c0", "mov to dr0", None),
        ("fa9090", "cli", None), ("cf9090", "iret", None), ("2ecf90", "iret", None), ("66ef9090", "out", None),
        ("e46090", "in", 0x60), ("ee9090", "out", None), ("0f0113", "lgdt", None), ("0f013b", "invlpg", None),
        ("0f00d8", "ltr", None), ("cd8090", "int 0x80", None), ("8ed890", "mov to a segment register", None),
        ("0f3090", "wrmsr", None), ("909090", "", None), ("0fff90", "", None), ("666666666666666666", "", None),
    ],
)  # fmt: skip
def test_privileged_instructions_have_names(code: str, name: str, port: int | None) -> None:
    assert instruction(bytes.fromhex(code).ljust(8, b"\x90")[:8]) == (name, port)


def test_no_code_is_no_instruction() -> None:
    assert instruction(b"") == ("", None)
    assert instruction(bytes(8)) == ("", None)


def test_causes_in_words() -> None:
    found = [each for each in items(WORK) if isinstance(each, Switch)]
    causes = ["hypercall NEW_PGTABLE", "page fault, program write", "page fault, kernel read"]
    assert [cause(each) for each in found] == causes
    assert detail(found[0]) == "(0x1000, 0x2, 0x3, 0x4)"
    assert detail(found[1]) == "at 00001234 (write program)"
    assert cause(one(0xF0)) == "timer"
    assert cause(one(13)) == "general protection"
    assert cause(one(L.HYPERCALL_VECTOR, cs=0x73)) == "hypercall"  # a program's: no hypercall was done


def test_lines_for_people(names: Names) -> None:
    written: list[str] = []
    fed(Text(names, written.append), WORK)
    header, call, fault, last = written
    assert header.startswith("#")
    assert call.split() == [
        "0.000000", "500", "ns", "4.5", "ms", "1", "hypercall", "NEW_PGTABLE", "page_work+0x34", "(0x1000,", "0x2,",
        "0x3,", "0x4)",
    ]  # fmt: skip
    assert "08048000  at 00001234 (write program)  [idle 100 ns]  [3 answered by the Switcher before]" in fault
    assert last.split()[3] == "?"


def test_the_lines_tell_what_is_missing(names: Names) -> None:
    written: list[str] = []
    data = trace(exit_record(1000, 1500), exit_record(1700, 1800, lost=1200))
    data += blocks.facts_block({**FACTS, "machine": 2}) + records_block(exit_record(1000, 1001))
    fed(Text(names, written.append), data)
    assert "# 1,200 records lost: who reads was too slow\n" in written
    assert "# the Guest started again: boot 2, times from 0\n" in written


def test_json_lines(names: Names) -> None:
    written: list[str] = []
    fed(Json(names, written.append), WORK)
    facts, call, fault, _ = map(json.loads, written)
    assert facts["facts"]["tsc_khz"] == FACTS["tsc_khz"]
    assert (call["cause"], call["symbol"], call["host_ns"]) == ("hypercall NEW_PGTABLE", "page_work+0x34", 4_500_000)
    assert (fault["ring"], fault["symbol"], fault["idle_ns"], fault["answered"]) == (3, "", 100, 3)


@pytest.mark.parametrize(
    ("ns", "text"),
    [(None, "?"), (0, "0 ns"), (999, "999 ns"), (1000, "1.0 us"), (123_456, "123 us"), (2_000_000_000, "2.0 s"),
     (5_000_000_000_000, "5000 s")],
)  # fmt: skip
def test_durations(ns: int | None, text: str) -> None:
    assert duration(ns) == text


def test_the_table_has_the_costliest_first_and_all_of_the_time() -> None:
    counts = Counts()
    for each in items(WORK):
        counts.add(each)
    shown = lines(counts)
    assert shown[0].startswith("3 world switches in 4.5 ms; time: Guest ")
    assert [line.split("  ")[-1] for line in shown[3:]] == [
        "hypercall NEW_PGTABLE", "page fault, program write", "page fault, kernel read",
    ]  # fmt: skip
    assert counts.costliest()[0][1].total == 4_500_000
    assert sum(each.total for _, each in counts.costliest()) == counts.host_ns
    assert len(lines(counts, 1)) == 4


def test_an_empty_table() -> None:
    assert lines(Counts())[0] == "0 world switches"


def test_the_table_at_a_terminal_is_no_wider_and_gives_it_back() -> None:
    written: list[str] = []
    table = Table(written.append, lambda: (44, 5))
    for each in items(WORK):
        table.take(each)
    table.tick()
    table.tick()  # too soon
    assert len(written) == 2
    shown = written[1].replace("\x1b[H", "").replace("\x1b[J", "").replace("\x1b[K", "").split("\r\n")
    assert shown[2:] == [
        "  switches    total  share cause",
        "         1   4.5 ms 100.0% hypercall NEW_PG",
    ]
    assert max(map(len, shown)) == 43
    table.end()
    assert written[0] == "\x1b[?1049h"
    assert written[2] == "\x1b[?1049l"
    assert "hypercall NEW_PGTABLE" in written[3]


def test_a_perfetto_reader_finds_the_three_tracks(names: Names) -> None:
    file = io.BytesIO()
    event = blocks.block(blocks.EVENTS, blocks.EVENT.pack(4_502_000, 4_502_100, blocks.NOTIFY, 9))
    fed(Perfetto(names, file), WORK + event + records_block(taken=4_503_000))
    found = timeline(file.getvalue())
    assert found.processes == {1: "lguest-py it"}
    assert sorted(found.tracks.values()) == ["Guest", "Host kernel", "Launcher"]
    guest, host, launcher = (found.on(track) for track in ("Guest", "Host kernel", "Launcher"))
    assert [each.name for each in guest] == ["page_work", "a program (ring 3)", "page_work"]
    assert [each.name for each in host] == ["hypercall NEW_PGTABLE", "page fault, program write", "idle"]
    assert (guest[0].begun, guest[0].ended, guest[0].notes) == (0, 500, {"left at": "page_work+0x34"})
    assert guest[1].notes == {"left at": "08048000", "answered by the Switcher": 3}
    assert (host[0].begun, host[0].ended) == (500, 4_500_500)
    assert host[0].notes == {"eip": "c0001234", "detail": "(0x1000, 0x2, 0x3, 0x4)"}
    told = [(each.name, each.ended - each.begun, each.notes) for each in launcher]
    assert told == [("notification", 100, {"number": 9})]


def test_in_perfetto_a_guest_that_starts_again_is_a_process_of_its_own(names: Names) -> None:
    file = io.BytesIO()
    again = blocks.facts_block({**FACTS, "machine": 2}) + records_block(exit_record(1000, 1500, lost=2))
    fed(Perfetto(names, file), WORK + again)
    found = timeline(file.getvalue())
    assert found.processes == {1: "lguest-py it", 2: "lguest-py it, boot 2"}
    assert len(found.tracks) == 6
    assert found.instants == [("Host kernel", "2 records lost")]


def test_the_picture_of_a_boot_can_be_read_aloud() -> None:
    file = io.BytesIO()
    fed(Picture(file), WORK.replace(b'"name": "it"', b'"name": "<i"'))
    root = ElementTree.fromstring(file.getvalue())
    title, about = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert about is not None
    assert title.text == "the Guest on tcg: 3 world switches in 4.5 ms"
    assert "hypercall NEW_PGTABLE, 1 times, 4.5 ms" in (about.text or "")
    assert root.get("aria-labelledby") == "title about"
    shown = [each.text or "" for each in root.iter(f"{SVG}text")]
    assert "1 \u00d7 4.5 ms = 4.5 ms" in shown
    sizes = {int(each.get("font-size") or 0) for each in root.iter(f"{SVG}text")}
    assert min(sizes) >= 15  # on a phone the picture is about half as wide


def test_the_bands_of_the_picture_add_up_to_the_time() -> None:
    picture = Picture(io.BytesIO())
    for each in items(WORK):
        picture.take(each)
    parts, bands = picture._binned(["hypercall NEW_PGTABLE"], 0, 30_000)
    assert sum(parts["guest"]) == pytest.approx(500 + 1000 + 1000)
    assert sum(parts["host"]) == pytest.approx(4_500_400)
    assert sum(bands[0]) == pytest.approx(4_500_000)
    assert max(bands[0]) <= 30_000


@pytest.mark.parametrize("data", [trace(), trace(exit_record(1000, 1000))])
def test_pictures_of_nothing(names: Names, data: bytes) -> None:
    picture, flame = io.BytesIO(), io.BytesIO()
    fed(Picture(picture), data)
    fed(Flame(names, flame, None), data)
    for file in (picture, flame):
        ElementTree.fromstring(file.getvalue())


SAMPLES = trace(
    exit_record(1000, 1500, 0xF0), stack_record(L.TRACE_SAMPLE, 0xC0001210, 0xC0001008),
    exit_record(1600, 1700, 0xF0), stack_record(L.TRACE_SAMPLE, 0xC0001220, 0xC0001008),
    exit_record(1800, 1900, 14), stack_record(L.TRACE_SAMPLE_HOST, 0xC0001210, 0xC0001008),
    exit_record(2000, 2100, 0xF0, cs=0x73), stack_record(L.TRACE_SAMPLE, 0x8048000, ring=3),
    exit_record(2200, 2300, 0xF0), stack_record(L.TRACE_SAMPLE, 0x10),
    exit_record(2400, 1_000_002_500, 0xF0),
)  # fmt: skip


def test_samples_are_folded_and_what_is_not_known_is_counted(names: Names) -> None:
    picture, folded = io.BytesIO(), io.BytesIO()
    flame = Flame(names, picture, folded)
    fed(flame, SAMPLES)
    assert folded.getvalue().decode().splitlines() == [
        "[kernel];[unknown] 1",
        "[kernel];start_kernel;page_work 2",
        "[kernel];start_kernel;page_work;[Host kernel: page fault] 1",
        "[programs] 1",
    ]
    assert flame.summary() == "5 samples, 5 a second of work; 14.3% of the kernel's frames are unknown"
    root = ElementTree.fromstring(picture.getvalue())
    boxes = [each.text for each in root.iter(f"{SVG}title")]
    assert "page_work: 3 of 5 samples, 60.0%" in boxes
    assert "[programs]: 1 of 5 samples, 20.0%" in boxes


def test_a_flame_graphs_boxes_lie_on_their_callers(names: Names) -> None:
    picture = io.BytesIO()
    fed(Flame(names, picture, None), SAMPLES)
    root = ElementTree.fromstring(picture.getvalue())
    places = {}
    for group in root.iter(f"{SVG}g"):
        rect = group.find(f"{SVG}rect")
        assert rect is not None
        places[group.get("data-n")] = tuple(float(rect.get(name) or 0) for name in ("x", "width", "y"))
    for callee, caller in (("page_work", "start_kernel"), ("start_kernel", "[kernel]"), ("[kernel]", "all samples")):
        (x, wide, y), (below, width, bottom) = places[callee], places[caller]
        assert below <= x
        assert x + wide <= below + width + 0.01
        assert y == bottom - 17


@pytest.mark.parametrize("content", [b"nothing here\n", b"\x7fELF", b"\x7fELF" + bytes(100)])
def test_a_file_without_symbols_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="has no symbols"):
        from_file(str(file))


def test_names_of_a_system_map(names: Names) -> None:
    assert names.place(0xC0001234) == "page_work+0x34"
    assert names.function(0xC0001234) == "page_work"
    assert names.place(0xC0000000) == ""
    assert names.place(0xC0001310) == "page_work+0x110"  # data has no name of its own
