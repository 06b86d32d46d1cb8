# SPDX-License-Identifier: GPL-2.0-or-later
"""A Guest whose page tables have another form than was thought is started again with the other Host kernel, unseen.

Read before: tests/lab/launcher_lab.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from dataclasses import replace

import pytest
from fake_engine import AGAIN, IMAGE, WAIT, FakeEngine, fake_images
from launcher_lab import Lab, lab, pipes

from lguest_py.console.streams import Input
from lguest_py.launcher.launcher import BOTH_TABLES
from lguest_py.launcher.result import End
from lguest_py.shared_memory import _layouts as L

pytestmark = pytest.mark.usefixtures("fake_images")
__all__ = ["fake_images", "lab", "pipes"]

MIB = 1 << 20
NATIVE = replace(IMAGE, personality="native", version="6.1.0", segments=(replace(IMAGE.segments[0], address=2 * MIB),))
TWO_LEVEL, PAE = b"HOSTKERNEL\0", b"HOSTKERNEL for PAE\0"
Script = Callable[[FakeEngine], Generator[str, None, None]]


def ends(kind: int, kernels: list[bytes]) -> Script:
    """A Guest that ends at once; which Host kernel it ran on goes to ``kernels``."""

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        start = bytes(engine.memory[L.HOST_KERNEL_BASE : L.HOST_KERNEL_BASE + 32])
        kernels.append(start[: start.index(0) + 1])
        engine.end(kind)
        yield AGAIN

    return script


@pytest.mark.parametrize("guess", [False, True])
def test_a_wrong_guess_is_set_right_without_a_word(lab: Lab, guess: bool) -> None:
    kernels: list[bytes] = []
    scripts = ends(L.END_OTHER_TABLES, kernels), ends(L.END_POWER_OFF, kernels)
    result = lab.run(*scripts, image=replace(NATIVE, pae=guess), memory=8 * MIB, restart=False)
    assert kernels == [PAE, TWO_LEVEL] if guess else [TWO_LEVEL, PAE]
    assert (result.outcome.end, result.restarts, result.pae) == (End.POWERED_OFF, 0, not guess)
    assert result.as_dict()["page_tables"] == ("two-level" if guess else "PAE")
    assert lab.lines == []


def test_after_a_restart_of_its_own_it_stays_right(lab: Lab) -> None:
    kernels: list[bytes] = []
    kinds = L.END_OTHER_TABLES, L.END_RESTART, L.END_POWER_OFF
    result = lab.run(*(ends(kind, kernels) for kind in kinds), image=NATIVE, memory=8 * MIB)
    assert kernels == [TWO_LEVEL, PAE, PAE]
    assert (result.outcome.end, result.restarts) == (End.POWERED_OFF, 1)


def test_a_guest_that_wants_the_other_form_each_time_is_killed(lab: Lab) -> None:
    kernels: list[bytes] = []
    scripts = [ends(L.END_OTHER_TABLES, kernels)] * 2
    result = lab.run(*scripts, image=NATIVE, memory=8 * MIB)
    assert (result.outcome.end, result.outcome.reason, result.status) == (End.KILLED, BOTH_TABLES, 3)
    assert kernels == [TWO_LEVEL, PAE]


@pytest.mark.parametrize("taken", [0, 3, 6])
def test_what_was_typed_is_for_the_second_start(lab: Lab, taken: int) -> None:
    got: list[bytes] = []

    def first(engine: FakeEngine) -> Generator[str, None, None]:
        while engine.mailbox["input_head"] < 6:
            yield WAIT
        engine.mailbox["input_tail"] = taken
        engine.end(L.END_OTHER_TABLES)

    def second(engine: FakeEngine) -> Generator[str, None, None]:
        while engine.mailbox["input_head"] < 6:
            yield WAIT
        got.append(bytes(engine.mailbox.bytes("input")[:6]))
        engine.end(L.END_POWER_OFF)

    read, write = os.pipe()
    os.write(write, b"abcdef")
    lab.run(first, second, image=NATIVE, memory=8 * MIB, source=Input(read))
    os.close(read)
    os.close(write)
    assert got == [b"abcdef"]
