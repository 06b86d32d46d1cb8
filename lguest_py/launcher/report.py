# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of a run's end from a Result: the report on a death, and the statistics of -v.

The reason comes first, then the Guest's registers at its last exit, its code, stack and page tables, then the last
world switches.  What would be long is in the file of --report only.

Read next: report_data.py, report_places.py; result.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lguest_py.launcher.report_places import backtrace_lines, code_lines, host_lines, printable_text, walk_lines
from lguest_py.launcher.result import End, Result
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.mailbox import Exit, Snapshot, vector_name

DEATHS = (
    End.PANICKED,
    End.KILLED,
    End.TRIPLE_FAULT,
    End.RESTART_LOOP,
    End.HALTED,
    End.INTERNAL_ERROR,
    End.MACHINE_FAILED,
)
_DOUBLE_FAULT, _PAGE_FAULT = 8, 14
SHORT_SWITCHES = 8
RING_CALLS = 8  # hypercalls of the ring that are told of one switch, the last ones
DEBUG_LINES = 40  # of the Host kernel's messages, the last ones
_EFLAGS = {0: "CF", 2: "PF", 4: "AF", 6: "ZF", 7: "SF", 8: "TF", 9: "IF", 10: "DF", 11: "OF", 14: "NT", 17: "VM"}
_SENTENCES = {
    End.PANICKED: "the Guest panicked",
    End.KILLED: "the Guest was killed",
    End.TRIPLE_FAULT: "the Guest ended in a triple fault",
    End.RESTART_LOOP: "the Guest keeps restarting",
    End.HALTED: "the Guest halted for good",
    End.INTERNAL_ERROR: "the Host kernel failed",
    End.MACHINE_FAILED: "the machine failed",
    End.TIME_LIMIT: "the time limit ended the Guest",
    End.LEFT: "the Guest was ended",
    End.SIGNAL: "the Guest was ended by a signal",
}


def headline(result: Result) -> str:
    """One line: how the run ended, and why."""
    sentence = _SENTENCES.get(result.outcome.end, f"the Guest {result.outcome.end.value}")
    return f"{sentence}: {result.outcome.reason}" if result.outcome.reason else sentence


@dataclass(frozen=True)
class Report:
    """What is known of a run's end."""

    result: Result

    @property
    def headline(self) -> str:
        """One line: how the run ended, and why."""
        return headline(self.result)

    def text(self) -> str:
        """The report as the terminal shows it, without the headline: lines that end with a newline, or ""."""
        return death(self.result)

    def short(self) -> str:
        """Some twenty lines of it, with the headline: for the failure of a test."""
        return short(self.result)

    def as_dict(self) -> dict[str, Any]:
        """The data of --report FILE (docs/reports.md), which json.dumps takes."""
        from lguest_py.launcher.report_data import report_data

        return report_data(self.result, self.headline)


def _fault(errcode: int) -> str:
    """A page fault's error code in words. Source: Intel SDM vol. 3, 4.7."""
    access = "write" if errcode & 2 else "read"
    who = "user" if errcode & 4 else "kernel"
    return f"{who} {access}, {'protection' if errcode & 1 else 'not present'}"


def _cause(record: Exit) -> str:
    name = vector_name(record.trapnum)
    if record.hypercall:
        return f"{name} {record.hypercall.text}"
    if record.trapnum == _PAGE_FAULT:
        return f"{name} at {record.cr2:08x} ({_fault(record.errcode)})"
    return f"{name}, error code {record.errcode:#x}" if record.errcode else name


def _registers(result: Result) -> Iterator[str]:
    shot, found = result.snapshot, result.postmortem
    r = (found.registers if found else {}) or shot.guest
    ring = r["cs"] & 3
    flags = " ".join(name for bit, name in _EFLAGS.items() if r["eflags"] >> bit & 1)
    if r["trapnum"] == L.TRAP_NONE and not shot.end_kind:
        yield f"Guest registers, in ring {ring}, when it was last entered:"
    else:
        yield f"Guest registers, in ring {ring}, after {vector_name(r['trapnum'])} (error code {r['errcode']:#x}):"
    for names in (("eax", "ebx", "ecx", "edx"), ("esi", "edi", "ebp", "esp")):
        yield "  " + "  ".join(f"{name} {r[name]:08x}" for name in names)
    yield f"  eip {r['eip']:08x}  eflags {r['eflags']:08x} ({flags})"
    yield "  " + "  ".join(f"{name} {r[name] & 0xFFFF:04x}" for name in ("cs", "ss", "ds", "es", "fs", "gs"))
    directory = found.directory if found else shot.guest_directory
    tables = "none yet: virtual equals physical" if directory == L.LINEAR_MAP else f"{directory:08x} (Guest-physical)"
    yield f"  cr2 {found.cr2 if found else shot.guest_cr2:08x}  page directory {tables}"


def _exceptions(shot: Snapshot) -> Iterator[str]:
    yield "exceptions that could not be delivered, the oldest first:"
    for index, fault in enumerate(shot.faults):
        name = vector_name(fault.vector)
        if fault.vector == _PAGE_FAULT:
            name += f" at {fault.cr2:08x} ({_fault(fault.errcode)})"
        elif fault.errcode:
            name += f", error code {fault.errcode:#x}"
        following = shot.faults[index + 1].vector if index + 1 < len(shot.faults) else _DOUBLE_FAULT
        if fault.vector == _DOUBLE_FAULT:
            then = "the triple fault"
        elif following == _DOUBLE_FAULT:
            then = f"{vector_name(fault.raised)}, and the two make a double fault"
        else:
            then = vector_name(fault.raised)
        yield f"  {name}: {fault.why}; then {then}"


def _last_switches(shot: Snapshot, most: int = 64) -> Iterator[str]:
    last = shot.last[-most:]
    yield f"the last {len(last)} of {shot.switches} world switches, the oldest first:"
    before = last[0].tsc
    for record in last:
        ago = record.tsc - before
        since = f"+{ago / shot.tsc_khz * 1000:.1f} us" if shot.tsc_khz else f"+{ago} ticks"
        before = record.tsc
        yield f"  {since:>14}  ring {record.cs & 3}  eip {record.eip:08x}  {_cause(record)}"
        if len(record.ring) > RING_CALLS:
            yield f"{'':18}before it, from the ring: {len(record.ring)} hypercalls, of which the last are"
        for call in record.ring[-RING_CALLS:]:
            yield f"{'':18}before it, from the ring: {call.text}"


def death(result: Result) -> str:
    """The report on a death, without the headline: lines that end with a newline, or ""."""
    shot = result.snapshot
    lines: list[str] = []
    found = result.postmortem
    if (shot.end_kind and shot.guest) or (found and found.registers):
        lines += _registers(result)
    if found:
        lines += [*code_lines(found), *backtrace_lines(found), *walk_lines(found)]
    if shot.end_kind:
        lines += host_lines(shot, found)
    if shot.faults:
        lines += _exceptions(shot)
    if shot.last:
        lines += _last_switches(shot)
    if result.debug_text:
        messages = printable_text(result.debug_text).splitlines()[-DEBUG_LINES:]
        lines += ["messages of the Host kernel:", *("  " + line for line in messages)]
    return "".join(line + "\n" for line in lines)


def short(result: Result) -> str:
    """The headline, and the report with fewer switches and nothing of the Host kernel."""
    shot, found = result.snapshot, result.postmortem
    lines = [headline(result)]
    if found and found.registers:
        lines += [*_registers(result), *code_lines(found), *backtrace_lines(found, 8)]
    if shot.faults:
        lines += _exceptions(shot)
    if shot.last:
        lines += _last_switches(shot, SHORT_SWITCHES)
    return "".join(line + "\n" for line in lines)


def statistics(result: Result) -> str:
    """Times and counts, for -v."""
    data = result.as_dict()
    lines = [
        "seconds: "
        + ", ".join(f"{name} {value:.3f}" for name, value in data["times"].items() if value is not None),
        f"rings seen: {' '.join(map(str, data['rings'])) or 'none'}",
        f"page tables: {data['page_tables']}",
        f"world switches: {data['switches']['total']}",
    ]
    for title in ("by_cause", "hypercalls"):
        counts = sorted(data["switches"][title].items(), key=lambda item: -item[1])
        if counts:
            lines += [f"{title.replace('_', ' ')}:", *(f"  {count:>10}  {name}" for name, count in counts)]
    return "".join(line + "\n" for line in lines)
