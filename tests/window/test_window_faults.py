# SPDX-License-Identifier: GPL-2.0-or-later
"""The window between the worlds: an exception at each instruction of both Switchers, in both builds.

A fault kills the Guest at the pops of segment registers and at iret, and is an internal error with a report of that
instruction anywhere else, but where the lean Switcher touches the Guest's memory and has an answer.  A breakpoint of
the Guest's is ignored; a debug exception for TF, which ring 0 never has, is an internal error too.
Each instruction has them with the Host's state and with the Guest's, and where the Guest's work leads with its own.
Only on tcg (fault_lab.py); NMIs and interrupts: test_window.py.
"""

from __future__ import annotations

from collections import Counter

import pytest
from fault_causes import CAUSES, DEBUG, GENERAL_PROTECTION, PAGE_FAULT
from fault_lab import FRAME, GUEST, HOST, NATURAL, POPS, STEP, Faulted, Place
from fuzz_code import Variant
from fuzz_lab import batches, live
from window_lab import IRET, instructions

from lguest_py.launcher.vm_memory import Switcher

ENOUGH = 60  # instructions that the Guest's work reaches
REAL = (DEBUG, GENERAL_PROTECTION, PAGE_FAULT)
MOST = (*REAL, STEP)
EVERY = (DEBUG, STEP, *CAUSES)
CASES = [(variant, switcher) for variant in ("lguest", "pae") for switcher in ("lean", "classic")]
NIGHTLY = (pytest.mark.nightly, pytest.mark.timeout(3600))


def expected(place: Place, code: dict[int, bytes], here: type[Faulted], machine: Faulted) -> str:
    """How the answer begins."""
    world, vector, at = place
    if vector == DEBUG:
        return "ignored"
    number, error, eip = here.raised[place]
    text = b"".join(code[each] for each in sorted(code))[eip - min(code) :]
    where = f"{number} (error code {error:#x})"
    if world != HOST and machine.recovers(eip, FRAME):
        return "handled"
    if world != HOST and text[:1] == IRET:
        return f"killed: fault {where} at the return to the Guest"
    has_its_stack = eip == at and (vector not in CAUSES or not CAUSES[vector].is_trap)
    if world != HOST and has_its_stack and any(text.startswith(pop) for pop in POPS):
        return f"killed: fault {where} loading "
    return f"internal: exception {number}, error code {error:#x}, at eip {eip:#x}"


def matrix(
    variant: Variant, switcher: Switcher, vectors: tuple[int, ...], worlds: tuple[str, ...]
) -> tuple[str, type[Faulted], list[str]]:
    """The table of counts, what came of all, and what is not as expected."""
    code = instructions(switcher, variant == "pae")

    class Here(Faulted):
        natural, wrong_at, ends, raised = set(), [], {}, {}

    Here.wanted, Here.vectors, Here.switcher, Here.worlds = set(code), vectors, switcher, worlds
    life = live("tcg", variant, 1, batches(variant, 1), switcher, kind=Here)
    machine = object.__new__(Here)
    machine.pae = variant == "pae"
    wrong = [
        f"{world}, {vector}, {at:#x}: {end}"
        for (world, vector, at), end in sorted(Here.ends.items())
        if not end.startswith(expected((world, vector, at), code, Here, machine))
    ]
    lines = [f"\nwindow {switcher}, {variant}: {len(code)} instructions in the ELF"]
    for world in worlds:
        for vector in vectors:
            kinds = Counter(
                end.split(":")[0] for (where, which, _), end in Here.ends.items() if (where, which) == (world, vector)
            )
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            name = "1 (TF)" if vector == STEP else str(vector)
            lines.append(f"  vector {name}, {world}: {sum(kinds.values())} injected: {counts}")
    return "\n".join(lines), Here, wrong + Here.wrong_at + life.failures


@pytest.mark.parametrize("engine_name", ["tcg"])
@pytest.mark.parametrize(
    ("variant", "switcher", "vectors", "worlds"),
    [
        pytest.param("lguest", "lean", MOST, (GUEST,), id="lguest-lean-most"),
        pytest.param("lguest", "lean", (GENERAL_PROTECTION,), (HOST,), id="lguest-lean-13"),
        pytest.param("pae", "classic", (GENERAL_PROTECTION,), (HOST, GUEST), id="pae-classic-13"),
        *(
            pytest.param(*case, EVERY, (HOST, GUEST), id="-".join((*case, "all")), marks=NIGHTLY)
            for case in CASES
        ),
    ],
)
def test_an_exception_at_every_instruction(
    engine_name: str,
    variant: Variant,
    switcher: Switcher,
    vectors: tuple[int, ...],
    worlds: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    table, seen, wrong = matrix(variant, switcher, vectors, worlds)
    with capsys.disabled():
        print(table)
    assert not wrong, (len(wrong), wrong[:5])
    assert seen.ends.keys() == {
        (world, vector, at) for world in worlds for vector in vectors for at in seen.wanted
    }


@pytest.mark.nightly
@pytest.mark.parametrize("engine_name", ["tcg"])
@pytest.mark.parametrize(("variant", "switcher"), CASES)
def test_a_fault_at_each_instruction_that_is_reached(
    engine_name: str, variant: Variant, switcher: Switcher, capsys: pytest.CaptureFixture[str]
) -> None:
    table, seen, wrong = matrix(variant, switcher, REAL, (NATURAL,))
    with capsys.disabled():
        print(table)
    assert not wrong, (len(wrong), wrong[:5])
    assert seen.ends.keys() == {(NATURAL, vector, at) for vector in REAL for at in seen.natural}
    assert len(seen.natural) > ENOUGH
