# SPDX-License-Identifier: GPL-2.0-or-later
"""The last hypercalls in the report on a death: each with its arguments, made at once or by the asynchronous ring.

Read before: tests/lab/script_lab.py; docs/reports.md.
"""

from __future__ import annotations

from typing import Any

import pytest
from hostile_code import DATA, SCRATCH
from hostile_lab import Run
from script_lab import Script

from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L

SWITCHERS = pytest.mark.parametrize("switcher", ["lean", "classic"])
TS, FLUSH, SEND, PTE = L.LHCALL_TS, L.LHCALL_FLUSH_TLB, L.LHCALL_SEND_INTERRUPTS, L.LHCALL_SET_PTE
UNKNOWN = 77


def calls_of(ran: Run) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = ran.result.report().as_dict()["hypercalls"]
    return data


def words(calls: list[dict[str, Any]]) -> list[tuple[bool, int, int, int, int]]:
    return [(each["ring"], each["number"], *each["arguments"][:3]) for each in calls]


@SWITCHERS
def test_killed_by_a_hypercall(engine_name: str, switcher: Switcher) -> None:
    script = Script()
    script.call(TS, 0, 0x11111111, 0x22222222)
    script.ring([(PTE, 0x700000, 0x33333000, 0x44), (TS, 1, 2, 3)])
    script.call(PTE, 0x700000, 0x55555000, 0x66)
    script.call(UNKNOWN, 0x77, 0x88, 0xFFFFFFFF)
    ran = script.run(engine_name, switcher, dies=True)
    calls = calls_of(ran)
    assert words(calls)[-6:] == [
        (False, TS, 0, 0x11111111, 0x22222222),
        (True, PTE, 0x700000, 0x33333000, 0x44),
        (True, TS, 1, 2, 3),
        (False, L.LHCALL_FLUSH_ASYNC, *words(calls)[-3][2:]),
        (False, PTE, 0x700000, 0x55555000, 0x66),
        (False, UNKNOWN, 0x77, 0x88, 0xFFFFFFFF),
    ]
    registers = ran.result.snapshot.guest
    assert calls[-1]["arguments"][3] == registers["esi"] != 0
    assert [each["eip"] for each in calls[-3:]] == [registers["eip"]] * 3  # one int does all of this Guest's
    text = ran.result.report().text()
    assert f"hypercall hypercall {UNKNOWN} (0x77, 0x88, 0xffffffff, {registers['esi']:#x})" in text
    assert "before it, from the ring: SET_PTE (0x700000, 0x33333000, 0x44, 0x0)" in text


@SWITCHERS
@pytest.mark.parametrize("earlier", [0, 1, 60, 64])
def test_killed_by_one_of_the_ring(engine_name: str, switcher: Switcher, earlier: int) -> None:
    """The ring's end lies among them."""
    script = Script()
    if earlier:
        script.ring([(TS, 1, n, 0xEA) for n in range(earlier)])
    script.ring([(SEND, n, n + 1, n + 2) for n in range(9)] + [(UNKNOWN, 5, 6, 7), (TS, 0, 0, 0)])
    calls = words(calls_of(script.run(engine_name, switcher, dies=True)))
    ring = [each for each in calls if each[0]]
    kept = min(earlier, 64 - 10)
    assert ring[-10:] == [(True, SEND, n, n + 1, n + 2) for n in range(9)] + [(True, UNKNOWN, 5, 6, 7)]
    assert ring[:-10] == [(True, TS, 1, n, 0xEA) for n in range(earlier - kept, earlier)]


@SWITCHERS
def test_what_a_guest_writes_over_the_ring_later_is_not_told(engine_name: str, switcher: Switcher) -> None:
    script = Script()
    script.ring([(FLUSH, 0, 0x1234, 0x5678)])
    for at in range(DATA, DATA + L.LGUEST_DATA.size, 4):
        if at >= DATA + L.LGUEST_DATA.fields["hcalls"][0]:
            script.store(at, 0xFFFFFFFF)
    script.store(SCRATCH, 1)
    script.call(UNKNOWN)
    calls = words(calls_of(script.run(engine_name, switcher, dies=True)))
    assert [each for each in calls if each[0]] == [(True, FLUSH, 0, 0x1234, 0x5678)]


@SWITCHERS
def test_a_guest_that_ends_itself_has_them_too(engine_name: str, switcher: Switcher) -> None:
    script = Script()
    script.ring([(TS, n, n, n) for n in range(64)])
    calls = words(calls_of(script.run(engine_name, switcher)))
    assert [each for each in calls if each[0]] == [(True, TS, n, n, n) for n in range(64)]
    assert calls[-1][:2] == (False, L.LHCALL_SHUTDOWN)
