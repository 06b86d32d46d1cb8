# SPDX-License-Identifier: GPL-2.0-or-later
"""The window between the worlds: NMI, interrupt and fault at the instructions of both Switchers, in both builds.

An NMI changes nothing; an interrupt waits; no instruction runs with TF or IF set in ring 0.  A fault kills the Guest
where the Switcher loads what the Guest chose, and is an internal error anywhere else.  Only on tcg (window_lab.py).
"""

from __future__ import annotations

import pytest
from fuzz_code import Variant
from fuzz_lab import Life, batches, live
from hostile_lab import SWITCHERS, symbols
from window_lab import NO_PAGE, NO_SELECTOR, Stepped, instructions

from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher

ENOUGH = 60  # instructions that the Guest's work reaches
POPS = {b"\x0f\xa9": "pop gs", b"\x0f\xa1": "pop fs", b"\x1f": "pop ds", b"\x07": "pop es", b"\xcf": "iret"}


def run(variant: Variant, switcher: Switcher, wanted: set[int], fault: bytes = b"") -> tuple[Life, type[Stepped]]:
    class Here(Stepped):
        natural, forced, wrong_at = set(), set(), []

    Here.wanted, Here.fault = wanted, fault
    return live("tcg", variant, 1, batches(variant, 1), switcher, kind=Here), Here


@pytest.mark.parametrize("engine_name", ["tcg"])
@pytest.mark.parametrize(
    ("variant", "switcher"),
    [
        ("lguest", "lean"),
        pytest.param("lguest", "classic", marks=pytest.mark.nightly),
        pytest.param("pae", "lean", marks=pytest.mark.nightly),
        ("pae", "classic"),
    ],
)
def test_an_nmi_changes_nothing_and_an_interrupt_waits(
    engine_name: str, variant: Variant, switcher: Switcher, capsys: pytest.CaptureFixture[str]
) -> None:
    every = set(instructions(switcher, variant == "pae"))
    life, seen = run(variant, switcher, every)
    with capsys.disabled():
        print(
            f"\nwindow {switcher}, {variant}: {len(every)} instructions in the ELF, NMIs at {len(seen.forced)};"
            f" NMI and interrupt where the Guest led at {len(seen.natural)}"
        )
    assert not seen.wrong_at
    assert seen.forced == every
    assert len(seen.natural) > ENOUGH
    assert not life.failures


def at(switcher: Switcher, pae: bool, what: str) -> int:
    """The address of an instruction on the way to the Guest; "cr3": the one before it."""
    names = {"lean": "switch_to_guest_lean", "classic": "switch_to_guest"}
    code = instructions(switcher, pae)
    start = symbols(pae)[names[switcher]]
    for address in sorted(each for each in code if each >= start):
        name = POPS.get(code[address], "cr3" if code[address][:2] == b"\x0f\x22" else "")
        if name == what:
            return address
    raise AssertionError(what)


@pytest.mark.parametrize("engine_name", ["tcg"])
@pytest.mark.parametrize("fault", [NO_SELECTOR, NO_PAGE], ids=["vector-13", "vector-14"])
@pytest.mark.parametrize(
    "what",
    ["pop ds", "iret", "cr3", *(pytest.param(f"pop {each}", marks=pytest.mark.nightly) for each in ("es", "fs", "gs"))],
)
@SWITCHERS
def test_a_fault_is_the_guests_only_where_its_state_is_loaded(
    engine_name: str, switcher: Switcher, what: str, fault: bytes
) -> None:
    place = at(switcher, False, what)
    life, seen = run("lguest", switcher, {place}, fault)
    assert not seen.wrong_at
    assert seen.natural == {place}
    outcome = life.run.result.outcome
    vector = 13 if fault == NO_SELECTOR else 14
    if what == "cr3":
        assert outcome.end is End.INTERNAL_ERROR, outcome
        assert f"exception {vector}," in outcome.reason
        assert f"eip {place:#x}" in outcome.reason
    else:
        assert outcome.end is End.KILLED, outcome
        assert f"fault {vector} " in outcome.reason
