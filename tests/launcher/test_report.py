# SPDX-License-Identifier: GPL-2.0-or-later
"""What is told of an end: the report, the counts, the JSON object, the mailbox they come from."""

from __future__ import annotations

import random
from typing import Any

import pytest

from lguest_py.launcher import report
from lguest_py.launcher.result import End, Outcome, Result, Times, reported_status
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View
from lguest_py.shared_memory.mailbox import Mailbox, Snapshot, hypercall_name, vector_name

REGISTERS = list(L.REGISTERS.fields)

class Box:
    """A mailbox with 100 switches in it."""

    def __init__(self, switches: int = 100) -> None:
        memory = memoryview(bytearray(L.MAILBOX_ADDRESS + L.MAILBOX.size))
        self.view = View(memory, L.MAILBOX_ADDRESS, L.MAILBOX)
        self.mailbox = Mailbox(memory)
        self.view["switches"] = switches
        self.view["switch_head"] = switches & 0xFFFFFFFF
        self.view["tsc_khz"] = 1_000_000
        self.view["rings_seen"] = 0b1010
        self.view["by_vector", 14] = 60
        self.view["by_vector", L.HYPERCALL_VECTOR] = 40
        self.view["by_hypercall", L.LHCALL_SET_PTE] = 40
        for n in range(max(0, switches - 64), switches):
            self.record(n % 64, tsc=n * 1000, eip=n & 0xFFFFFFFF, cs=0x61, trapnum=14, errcode=6, cr2=0xBAD000)
        guest = self.view.sub("guest", L.REGISTERS)
        for n, name in enumerate(L.REGISTERS.fields):
            guest[name] = 0x1000 + n
        guest["cs"], guest["eflags"], guest["trapnum"] = 0x73, 0x10246, 14

    def record(self, slot: int, **values: int) -> None:
        record = self.view.sub("last", L.SWITCH_RECORD, slot)
        for name, value in values.items():
            record[name] = value

    def arguments(self, slot: int, *values: int) -> None:
        record = self.view.sub("arguments", L.CALL_ARGUMENTS, slot)
        for name, value in zip(L.CALL_ARGUMENTS.fields, values, strict=True):
            record[name] = value

    def ring(self, cursor: int, switches: int, number: int) -> None:
        """An entry of the ring was done; its arguments tell which one it was."""
        record = self.view.sub("ring", L.RING_RECORD, cursor % 64)
        values = (switches & 0xFFFFFFFF, number, cursor, 2, 3, 4)
        for name, value in zip(L.RING_RECORD.fields, values, strict=True):
            record[name] = value


def result(snapshot: Snapshot, end: End = End.KILLED, **more: Any) -> Result:
    return Result(Outcome(end, "wrote where it may not"), "tcg", Times(0.1, 0.2, 0.3, 1.5), snapshot, **more)


HEADS = [0, 1, 2, 62, 63, 64, 65, 100, 0xFFFFFFFF, 1 << 32, (1 << 32) + 1, (1 << 32) + 3, (5 << 32) + 64]
HEADS += [random.Random(seed).randrange(1 << 40) for seed in range(20)]


def numbers(box: Box) -> list[int]:
    """Of the records that are told."""
    return [record.tsc // 1000 for record in box.mailbox.snapshot().last]


@pytest.mark.parametrize("switches", HEADS)
def test_the_last_switches_come_oldest_first(switches: int) -> None:
    box = Box(switches)
    box.view["end_kind"] = L.END_KILLED  # the machine ended by itself: every record is whole
    assert numbers(box) == list(range(max(0, switches - 64), switches))


@pytest.mark.parametrize("switches", HEADS)
def test_stopped_behind_a_switch_the_record_that_may_be_half_written_is_left_out(switches: int) -> None:
    """The Host kernel moves the head before or behind the record's words, as its compiler likes."""
    box = Box(switches)
    if switches:
        box.record((switches - 1) % 64, tsc=(switches - 65) * 1000 if switches > 64 else 0)  # not written yet
    assert numbers(box) == list(range(max(0, switches - 64), max(0, switches - 1)))


@pytest.mark.parametrize("switches", HEADS)
def test_stopped_in_the_guest_the_record_that_comes_next_is_left_out(switches: int) -> None:
    """The Host kernel counts a switch when the Guest is entered, and records it when it left."""
    box = Box(switches)
    box.view["switches"] = switches + 1
    box.record(switches % 64, tsc=switches * 1000)  # written already, and the head not moved yet
    assert numbers(box) == list(range(max(0, switches - 63), switches))


@pytest.mark.parametrize("switches", HEADS)
@pytest.mark.parametrize("entered", [0, 1])
def test_no_time_in_the_report_runs_backwards(switches: int, entered: int) -> None:
    box = Box(switches)
    box.view["switches"] = switches + entered
    if switches + entered:
        box.record((switches - 1 + entered) % 64, tsc=(switches - 1 + entered) * 1000)
    text = report.death(result(box.mailbox.snapshot()))
    assert "+-" not in text
    times = [switch["us"] for switch in result(box.mailbox.snapshot()).as_dict()["death"]["last_switches"]]
    assert times == sorted(set(times))


def test_a_death_is_told_with_registers_and_the_way_there() -> None:
    box = Box()
    box.view["end_kind"] = L.END_KILLED
    box.view["guest_cr2"] = 0xBAD000
    box.view["guest_directory"] = 0x501000
    box.record(99 % 64, tsc=99_000, trapnum=L.HYPERCALL_VECTOR, eax=L.LHCALL_SET_PTE, errcode=0)
    box.arguments(99 % 64, 1, 0x22, 0x333, 0x4444)
    text = report.death(result(box.mailbox.snapshot(), debug_text="one\ntwo\n"))
    assert "in ring 3, after page fault" in text
    for name in ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp", "eip"):
        assert f"{name} {0x1000 + list(L.REGISTERS.fields).index(name):08x}" in text
    assert "(PF ZF IF)" in text
    assert "cr2 00bad000  page directory 00501000" in text
    assert "the last 64 of 100 world switches" in text
    assert "+1.0 us  ring 1  eip 00000062  page fault at 00bad000 (user write, not present)" in text
    assert text.splitlines()[-4].endswith("hypercall SET_PTE (0x1, 0x22, 0x333, 0x4444)")
    assert text.endswith("messages of the Host kernel:\n  one\n  two\n")


def test_the_linear_map_has_no_directory() -> None:
    box = Box()
    box.view["end_kind"] = L.END_KILLED
    box.view["guest_directory"] = 0xFFFFFFFF
    assert "none yet" in report.death(result(box.mailbox.snapshot()))


def test_a_death_before_the_first_switch_is_told_without_them() -> None:
    assert report.death(result(Snapshot())) == ""


def test_registers_are_told_only_when_the_host_kernel_left_them() -> None:
    assert "eax" not in report.death(result(Box().mailbox.snapshot()))


@pytest.mark.parametrize("end", list(End))
def test_every_end_has_a_headline(end: End) -> None:
    line = report.headline(result(Snapshot(), end))
    assert line.endswith(": wrote where it may not")
    assert "\n" not in line


def test_the_json_object() -> None:
    assert result(Box().mailbox.snapshot(), restarts=2).as_dict() == {
        "end": "killed",
        "reason": "wrote where it may not",
        "status": 3,
        "guest_status": None,
        "engine": "tcg",
        "restarts": 2,
        "page_tables": "two-level",
        "times": {"engine": 0.1, "host_kernel": 0.2, "guest": 0.3, "total": 1.5},
        "rings": [1, 3],
        "switches": {
            "total": 100,
            "by_cause": {"page fault": 60, "hypercall": 40},
            "hypercalls": {"SET_PTE": 40},
        },
        "interrupts_delivered": 0,
        "page_faults": {"filled": 0, "reflected": 0},
        "death": {
            "registers": None,
            "exceptions": [],
            "last_switches": [
                {
                    "us": n * 1.0,
                    "ring": 1,
                    "eip": n + 36,
                    "cause": "page fault",
                    "error_code": 6,
                    "address": 0xBAD000,
                    "hypercall": None,
                }
                for n in range(63)
            ],
            "debug_text": "",
        },
    }


def test_the_json_object_has_what_the_report_tells() -> None:
    box = Box()
    box.view["end_kind"] = L.END_TRIPLE_FAULT
    box.view["guest_cr2"] = 0xBAD000
    fault(box, 0, vector=14, errcode=2, cr2=0xBAD000, failed=L.FAILED_NOT_PRESENT, raised=11)
    death = result(box.mailbox.snapshot(), End.TRIPLE_FAULT, debug_text="one\n").as_dict()["death"]
    assert (death["registers"]["eip"], death["registers"]["cr2"]) == (0x1000 + REGISTERS.index("eip"), 0xBAD000)
    assert (len(death["last_switches"]), death["debug_text"]) == (64, "one\n")
    assert [(each["name"], each["cr2"], each["why"]) for each in death["exceptions"]] == [
        ("page fault", 0xBAD000, "its gate is not present")
    ]
    assert result(box.mailbox.snapshot(), End.POWERED_OFF).as_dict()["death"] is None


def fault(box: Box, slot: int, **values: int) -> None:
    record = box.view.sub("faults", L.FAULT_RECORD, slot)
    for name, value in values.items():
        record[name] = value
    box.view["fault_count"] = slot + 1


def test_a_triple_fault_is_told_step_by_step() -> None:
    box = Box()
    box.view["end_kind"] = L.END_TRIPLE_FAULT
    fault(box, 0, vector=6, failed=L.FAILED_NOT_PRESENT, raised=11)
    fault(box, 1, vector=11, errcode=0x33, failed=L.FAILED_STACK, where=0xBAD000, raised=14)
    fault(box, 2, vector=14, errcode=2, cr2=0xBAD000, failed=L.FAILED_STACK, where=0xBAD004, raised=14)
    fault(box, 3, vector=8, failed=L.FAILED_IDT_LIMIT, raised=13)
    lines = report.death(result(box.mailbox.snapshot(), End.TRIPLE_FAULT)).splitlines()
    start = lines.index("exceptions that could not be delivered, the oldest first:") + 1
    assert lines[start : start + 4] == [
        "  invalid opcode: its gate is not present; then segment not present",
        "  segment not present, error code 0x33: its stack cannot be written at 00bad000; then page fault",
        "  page fault at 00bad000 (kernel write, not present): its stack cannot be written at 00bad004; "
        "then page fault, and the two make a double fault",
        "  double fault: its gate lies beyond the IDT; then the triple fault",
    ]


def test_counts_for_the_curious() -> None:
    text = report.statistics(result(Box().mailbox.snapshot()))
    assert "total 1.500" in text
    assert "world switches: 100" in text
    assert text.index("60  page fault") < text.index("40  hypercall")


def test_names() -> None:
    assert [vector_name(n) for n in (0, 13, 14, 0x1F, 0xF0, 0xF1, 0x21)] == [
        "divide error",
        "general protection",
        "page fault",
        "hypercall",
        "timer",
        "doorbell",
        "vector 0x21",
    ]
    assert hypercall_name(0) == "FLUSH_ASYNC"
    assert hypercall_name(1) == "LGUEST_INIT"
    assert hypercall_name(3) == "hypercall 3"


@pytest.mark.parametrize(
    ("output", "status"),
    [
        (b"lguest-py: exit status 0\n", 0),
        (b"x\r\nlguest-py: exit status 255\r\n[  1.0] reboot: Power down\r\n", 255),
        (b"lguest-py: exit status 1\nlguest-py: exit status 2\n", 2),
        (b"lguest-py: exit status 256\n", None),
        (b"lguest-py: exit status -1\n", None),
        (b"lguest-py: exit status 1 or 2\n", None),
        (b"echo lguest-py: exit status 1\n", None),
        (b"", None),
    ],
)
def test_the_status_that_a_guest_tells(output: bytes, status: int | None) -> None:
    assert reported_status(output) == status


def test_the_guests_status_counts_only_when_asked_for_and_after_a_good_end() -> None:
    def status(end: End, told: int | None, obey: bool) -> int:
        return result(Snapshot(), end, guest_status=told, obey_guest=obey).status

    assert status(End.POWERED_OFF, 7, False) == 0
    assert status(End.POWERED_OFF, 7, True) == 7
    assert status(End.RESTARTED, 0, True) == 0
    assert status(End.POWERED_OFF, None, True) == 3
    assert status(End.TIME_LIMIT, 0, True) == 4


RING_CASES = pytest.mark.parametrize("switches", [3, 64, 100, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, (7 << 32) + 5])


def ring_box(switches: int, drains: list[tuple[int, int]]) -> tuple[Box, list[tuple[int, int]]]:
    """All exits are hypercalls.  ``drains``: how many switches ago, and how many entries.  Returns these too."""
    box, cursor = Box(switches), 60
    told: list[tuple[int, int]] = []
    for n in range(max(0, switches - 64), switches):
        box.record(n % 64, trapnum=L.HYPERCALL_VECTOR, eax=L.LHCALL_TS)
        box.arguments(n % 64, n & 0xFFFF, 0, 0, 0)
    for ago, count in drains:
        for _ in range(count):
            box.ring(cursor, switches - ago, L.LHCALL_SET_PTE)
            told.append((ago, cursor))
            cursor += 1
        box.view["ring_cursor"] = cursor % 64
    return box, told


def some(told: list[tuple[int, int]], switches: int) -> list[tuple[int, int]]:
    """What the records can tell: the last 64, and not those of a switch whose number is 0, which means none."""
    return [each for each in told[-64:] if (switches - each[0]) & 0xFFFFFFFF]


def told_ring(box: Box) -> list[tuple[int, int]]:
    last = box.mailbox.snapshot().last
    return [(len(last) - 1 - n, call.arguments[0]) for n, each in enumerate(last) for call in each.ring]


@RING_CASES
@pytest.mark.parametrize(
    "drains", [[(2, 1)], [(2, 3), (1, 5), (0, 2)], [(1, 64)], [(0, 64)], [(2, 40), (1, 40)], [(2, 64), (0, 1)], []]
)
def test_the_rings_hypercalls_are_told_with_their_switch(switches: int, drains: list[tuple[int, int]]) -> None:
    box, told = ring_box(switches, drains)
    box.view["end_kind"] = L.END_KILLED
    assert told_ring(box) == some(told, switches)


@RING_CASES
@pytest.mark.parametrize("before", [[], [(1, 7)], [(1, 64)], [(2, 63)]])
@pytest.mark.parametrize("done", [1, 2, 63, 64])
def test_killed_by_one_of_the_ring_those_until_it_are_told(
    switches: int, before: list[tuple[int, int]], done: int
) -> None:
    box, told = ring_box(switches, [*before, (0, done)])
    box.view["end_kind"] = L.END_KILLED
    box.view["ring_cursor"] = 60 + sum(count for _, count in before) & 63  # where the drain began
    assert told_ring(box) == some(told, switches)


@RING_CASES
def test_stopped_in_a_drain_the_record_that_may_be_half_written_is_left_out(switches: int) -> None:
    box, told = ring_box(switches, [(1, 64), (0, 5)])
    box.view["ring_cursor"] = 60  # as before the drain
    half = (60 + 64 + 5) % 64  # comes next, and has the number of the switch before still
    box.view.sub("ring", L.RING_RECORD, half)["nr"] = 99
    calls = [call for each in box.mailbox.snapshot().last for call in each.ring]
    left = told[6:64] if (switches - 1) & 0xFFFFFFFF else []
    assert [(call.number, call.arguments[0]) for call in calls] == [(L.LHCALL_SET_PTE, cursor) for _, cursor in left]


def test_hypercalls_in_the_text_and_as_data() -> None:
    box, _ = ring_box(100, [(0, 10)])
    box.view["end_kind"] = L.END_KILLED
    ended = result(box.mailbox.snapshot())
    lines = report.death(ended).splitlines()
    assert lines[-9] == f"{'':18}before it, from the ring: 10 hypercalls, of which the last are"
    assert lines[-1] == f"{'':18}before it, from the ring: SET_PTE (0x45, 0x2, 0x3, 0x4)"
    assert lines[-10].endswith("hypercall TS (0x63, 0x0, 0x0, 0x0)")
    calls = ended.report().as_dict()["hypercalls"]
    assert len(calls) == 64 + 10
    assert calls[-2] == {"eip": 0x63, "number": 14, "name": "SET_PTE", "arguments": [0x45, 2, 3, 4], "ring": True}
    assert calls[-1] == {"eip": 0x63, "number": 8, "name": "TS", "arguments": [0x63, 0, 0, 0], "ring": False}
