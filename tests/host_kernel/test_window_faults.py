# SPDX-License-Identifier: GPL-2.0-or-later
"""The window between the worlds: a fault at each instruction of both Switchers that the Guest's work reaches.

It kills the Guest at the pops of segment registers and at iret, and is an internal error with a report of that
instruction anywhere else, but where the lean Switcher touches the Guest's memory and has an answer.
Only on tcg (fault_lab.py); NMIs and interrupts: test_window.py.
"""

from __future__ import annotations

import pytest
from fault_lab import GENERAL_PROTECTION, IRET, PAGE_FAULT, SEGMENT_POPS, Faulted
from fuzz_code import Variant
from fuzz_lab import batches, live
from window_lab import instructions

from lguest_py.launcher.vm_memory import Switcher

ENOUGH = 60  # instructions that the Guest's work reaches


def expected(at: int, code: bytes, seen: type[Faulted], recovers: bool) -> str:
    """How the answer begins."""
    if recovers:
        return "handled"
    if code == IRET:
        return f"killed: fault {seen.vector} (error code 0x0) at the return to the Guest"
    if code in SEGMENT_POPS:
        return f"killed: fault {seen.vector} (error code 0x0) loading "
    return f"internal: exception {seen.vector}, error code 0x0, at eip {at:#x}"


@pytest.mark.nightly
@pytest.mark.parametrize("engine_name", ["tcg"])
@pytest.mark.parametrize(
    ("variant", "switcher", "vector"),
    [
        (variant, switcher, vector)
        for variant in ("lguest", "pae")
        for switcher in ("lean", "classic")
        for vector in (GENERAL_PROTECTION, PAGE_FAULT)
    ],
)
def test_a_fault_at_each_instruction_that_is_reached(
    engine_name: str, variant: Variant, switcher: Switcher, vector: int, capsys: pytest.CaptureFixture[str]
) -> None:
    code = instructions(switcher, variant == "pae")

    class Here(Faulted):
        natural, wrong_at, ends = set(), [], {}

    Here.wanted, Here.vector, Here.switcher = set(code), vector, switcher
    life = live(engine_name, variant, 1, batches(variant, 1), switcher, kind=Here)
    machine = object.__new__(Here)
    machine.pae = variant == "pae"
    wrong = {
        hex(at): end
        for at, end in Here.ends.items()
        if not end.startswith(expected(at, code[at], Here, machine.recovers(at)))
    }
    kinds = [end.split(":")[0] for end in Here.ends.values()]
    with capsys.disabled():
        counts = ", ".join(f"{kinds.count(each)} {each}" for each in sorted(set(kinds)))
        print(
            f"\nwindow {switcher}, {variant}, vector {vector}: {len(code)} instructions in the ELF, faults"
            f" where the Guest led at {len(Here.ends)}: {counts}"
        )
    assert not Here.wrong_at
    assert not wrong
    assert Here.ends.keys() == Here.natural
    assert len(Here.natural) > ENOUGH
    assert not life.failures
