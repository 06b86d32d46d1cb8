# SPDX-License-Identifier: GPL-2.0-or-later
"""The tiny Guest's `fault` command: its kernel catches what a program does wrong, the Host what the kernel does."""

from __future__ import annotations

import re

import pytest
from guest import boot

from lguest_py.launcher.result import End

# name: trap, error code, and the address of a page fault
CAUGHT = {
    "divide": (0, 0, None),
    "debug": (1, 0, None),
    "breakpoint": (3, 0, None),
    "overflow": (4, 0, None),
    "bound": (5, 0, None),
    "ud": (6, 0, None),
    "gp": (13, 0x1F8, None),
    "page-read": (14, 4, 0x10000000),
    "page-write": (14, 7, 0x00400000),
    "kernel-read": (14, 5, 0xC0100000),
    "switcher-read": (14, 4, 0xFFC00000),
    "null-jump": (14, 4, 0),
    "privileged": (13, 0, None),
    "cli": (13, 0, None),
    "io": (13, 0, None),
    "idt": (13, 0x20 * 8 + 2, None),
    "hypercall": (13, 0x1F * 8 + 2, None),
    "host-segment": (13, 0x58, None),
    "fpu": (16, 0, None),
}

# name: what the Host must say
KILLED = {
    "stack": "cannot write",
    "bad-hypercall": "unknown hypercall 99",
    "bad-async": "unknown hypercall 3",
    "init-twice": "LGUEST_INIT a second time",
    "bad-directory": "bad page directory address",
    "bad-flags": "bad page directory entry 0x83 for 0x10000000",
    "large-page": "bad page table entry",
    "beyond-ram": "points beyond memory",
    "table-beyond-ram": "points beyond memory",
    "switcher-map": "the Switcher's",
    "switcher-table": "the Switcher's",
    "call-gate": "GDT entry 20 is a system descriptor",
    "tls-call-gate": "GDT entry 6 is a system descriptor",
    "gdt-index": "GDT entry 32 does not exist",
    "idt-index": "IDT entry 256 does not exist",
    "task-gate": "IDT entry 40 has an unknown type",
    "no-handler": "trap 6",
    "stack-ring": "bad stack segment 0x58",
    "stack-pages": "a stack of 3 pages",
}


def test_what_a_program_does_wrong_ends_it_alone(engine_name: str) -> None:
    run = boot(engine_name, "run=" + ";".join(f"fault {name}" for name in CAUGHT) + ";echo alive")
    found = {}
    trap_line = r"trap (\d+) \(.*\), error code (0x\w+), at \w{8}(?:, address (\w{8}))?; task \d+ \((.*)\) ends"
    for trap, error, address, name in re.findall("caught in ring 3: " + trap_line, run.text):
        found[name] = (int(trap), int(error, 16), int(address, 16) if address else None)
    assert found == CAUGHT
    assert run.lines[-1] == "alive"
    assert run.end is End.POWERED_OFF


def test_the_list_names_every_fault(engine_name: str) -> None:
    run = boot(engine_name, "run=fault;fault nonsense")
    names = [line.split()[0] for line in run.lines if line.startswith("  ")]
    assert names == [*CAUGHT, *KILLED]
    assert run.lines[-1] == "no fault nonsense; try: fault"


@pytest.mark.parametrize("name", KILLED)
def test_what_the_kernel_does_wrong_ends_the_guest(engine_name: str, name: str) -> None:
    run = boot(engine_name, f"run=fault {name};echo alive")
    assert run.end is End.KILLED
    assert KILLED[name] in run.reason
    assert run.lines[-1] == f"fault {name}"
    assert run.result.status == 3
