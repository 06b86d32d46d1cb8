# SPDX-License-Identifier: GPL-2.0-or-later
"""int3, int n and into, in a native Guest's kernel and in its program: the vector, error code and return address.

With each the gate may be there, be only for the kernel, or not be present; and a prefix may stand before it that
changes nothing.  The Xen project's test framework has these cases as swint-emulation.
Source: Intel SDM vol. 2, INT n; vol. 3, 6.12.1 and 6.13.  Read before: tests/lab/told_lab.py.
"""

from __future__ import annotations

import pytest
from hostile_code import EAX, ESP, GENERAL, NOT_PRESENT, PLACES, SCRATCH, mov, store
from hostile_lab import image_of
from told_lab import END, FOR_PROGRAMS, FOR_THE_KERNEL, KERNEL_CODE, MASK, cleared, gates, stack_words, to_program, told

from lguest_py.launcher.vm_memory import Switcher

SETUP, CODE, HANDLERS = 0x135000, 0x135800, 0x136000
TOLD, WORDS = SCRATCH + 0xF000, 4
SYSTEM_CALL = 0x80
USER, PROGRAM = 0x23, PLACES["USER_SLOTS"]
OVERFLOW = b"\xb0\x7f\x04\x01"  # mov al, 127; add al, 1
INSTRUCTIONS = {  # with the vector
    "int3": (b"\xcc", 3),
    "int-3": (b"\xcd\x03", 3),
    "into": (b"\xce", 4),
    "int-1": (b"\xcd\x01", 1),
    "int-17": (b"\xcd\x11", 17),  # as an exception it has an error code
    "int-48": (b"\xcd\x30", 0x30),
    "int-128": (b"\xcd\x80", SYSTEM_CALL),
}
PREFIX = b"\x67"
GATES = {"programs": FOR_PROGRAMS, "kernel": FOR_THE_KERNEL, "absent": FOR_PROGRAMS & 0x7F}


def told_by(vector: int, error: bool) -> bytes:
    """Keep the vector, and up to three words of the frame."""
    return stack_words(TOLD + 4, 3 if error else 2) + store(TOLD, vector) + END


def run_one(engine: str, switcher: Switcher, code: bytes, vector: int, access: int, program: bool) -> list[int]:
    """What a handler told."""
    handler = {each: HANDLERS + 0x100 * n for n, each in enumerate((vector, NOT_PRESENT, GENERAL))}
    table = gates(
        {
            vector: (handler[vector], access),
            NOT_PRESENT: (handler[NOT_PRESENT], FOR_THE_KERNEL),
            GENERAL: (handler[GENERAL], FOR_THE_KERNEL),
        }
    )
    start = mov(ESP, PLACES["STACK"]) + MASK
    there = to_program() if program else mov(EAX, CODE) + b"\xff\xe0"
    more = {
        SETUP: table + cleared(TOLD, WORDS) + start + there,
        CODE: OVERFLOW + code + END,
        **{at: told_by(each, each in (NOT_PRESENT, GENERAL)) for each, at in handler.items()},
    }
    image = image_of("native", mov(EAX, SETUP) + b"\xff\xe0", OVERFLOW + code, more)
    (words,), _ = told(engine, switcher, image, (TOLD, WORDS))
    return words


@pytest.mark.parametrize("switcher", ["lean", pytest.param("classic", marks=pytest.mark.nightly)])
@pytest.mark.parametrize("program", [False, True], ids=["kernel", "program"])
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("prefix", [b"", PREFIX], ids=["", "prefix"])
@pytest.mark.parametrize("name", INSTRUCTIONS)
@pytest.mark.nightly("kvm")
def test_it_comes_as_on_a_processor(
    engine_name: str, name: str, prefix: bytes, gate: str, program: bool, switcher: Switcher
) -> None:
    code, vector = INSTRUCTIONS[name]
    code = prefix + code
    at, cs = (PROGRAM, USER) if program else (CODE, KERNEL_CODE)
    at += len(OVERFLOW)
    got = run_one(engine_name, switcher, code, vector, GATES[gate], program)
    if gate == "kernel" and program:
        assert got == [GENERAL, vector << 3 | 2, at, cs]
    elif gate == "absent":
        assert got == [NOT_PRESENT, vector << 3 | 2, at, cs]
    else:
        direct = vector == SYSTEM_CALL and gate == "programs"  # by the CPU's own gate, which pushes the real ring
        assert got[:3] == [vector, at + len(code), cs | (1 if direct and not program else 0)]
