# SPDX-License-Identifier: GPL-2.0-or-later
"""What a trace costs, counted: off not one instruction, on a known number for each world switch."""

from __future__ import annotations

import re

from lguest_py.bench.counting import counting_machine
from lguest_py.bench.samples import parse, subtract_clock
from lguest_py.launcher.tracing import Reader, Tracing
from lguest_py.launcher.vm import Vm

OPERATIONS = "hypercall-switch", "fault-filled"
MOST = 160  # instructions of a record; docs/trace.md has what was measured


class Nobody:
    """A Sink."""

    room = 1 << 30

    def write(self, data: bytes) -> None:
        pass


def test_off_it_costs_not_one_instruction_and_on_what_is_documented() -> None:
    readers: list[Reader] = []

    def on(vm: Vm) -> None:
        readers.append(vm.tracing.add(Nobody()))
        vm.retrace()

    def off(vm: Vm) -> None:
        vm.tracing.remove(readers.pop())
        vm.retrace()

    with counting_machine(memory="16M", timeout=300) as machine:
        console = machine.console
        console.expect("lguest> ")

        def measured() -> dict[str, int]:
            """The least of each operation."""
            before = len(console.output)
            console.send(f"bench {' '.join(OPERATIONS)}\n")
            console.expect(re.compile(r"BENCH done\s"))
            console.expect("lguest> ")
            return {name: min(each) for name, each in subtract_clock(parse(console.output[before:])).items()}

        never = measured()
        machine._ask(on)
        traced = measured()
        machine._ask(off)
        after = measured()
    assert set(never) == set(OPERATIONS)
    assert after == never
    for name in OPERATIONS:
        assert 0 < traced[name] - never[name] < MOST


def test_without_a_reader_there_is_nothing_to_turn_off() -> None:
    assert not Tracing().on
