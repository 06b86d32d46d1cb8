# SPDX-License-Identifier: GPL-2.0-or-later
"""A native kernel's iret to a program: the Switcher's fast path does what the Host kernel does.

There is a fast path once that program has run: each frame is tried in a Guest that has run it, and in one that has
not.
Source: Intel SDM vol. 2, IRET.  Read before: test_native_iret.py.
"""

from __future__ import annotations

import pytest
from hostile_code import (
    DEBUG,
    EAX,
    ESP,
    GDT,
    GENERAL,
    PLACES,
    SCRATCH,
    TSS,
    TSS_BESIDE_GDT,
    flat,
    le32,
    mov,
    push,
    store,
    two_words,
)
from hostile_lab import image_of
from told_lab import END, FOR_PROGRAMS, FOR_THE_KERNEL, MASK, PENDING, cleared, gates, stack_words, to_program, told

from lguest_py.launcher.vm_memory import Switcher

SETUP, CODE, BACK, AGAIN, HANDLERS = (
    0x135000 + 0x200 * n for n in range(5)
)  # BACK, AGAIN: where a program's int leads
TOLD = SCRATCH + 0xF000
WORDS = 7
ELSEWHERE = SCRATCH + 0x8000
VECTOR, IRQ = 0x30, 0x20
FIXED, CF, TF, IF, DF, IOPL, NT, AC = 2, 1, 0x100, 0x200, 0x400, 0x3000, 0x4000, 0x40000
USER, DATA, STACK, PROGRAM = 0x23, 0x2B, PLACES["USER_STACK"], PLACES["USER_SLOTS"]
TOP = mov(ESP, PLACES["STACK"])  # where the TSS says that a trap of a program pushes
MASKED = MASK + b"\x0f\x20\xc0"  # and an exit, by a read of CR0


def told_by(handler: int) -> bytes:
    """Keep the five words on the stack, with the handler's number and stack."""
    return stack_words(TOLD, 5) + store(TOLD + 20, handler) + b"\x89\x25" + le32(TOLD + 24) + END


def run_frame(engine: str, switcher: Switcher, before: bytes, frame: bytes, program: bool) -> tuple[list[int], int]:
    """What was told, and how many traps the Switcher answered.  ``frame`` pushes one, after ``before``."""
    handlers = gates(
        {
            VECTOR: (BACK if program else AGAIN, FOR_PROGRAMS),
            GENERAL: (HANDLERS, FOR_THE_KERNEL),
            DEBUG: (HANDLERS + 0x80, FOR_THE_KERNEL),
            IRQ: (HANDLERS + 0x100, FOR_THE_KERNEL),
        }
    )
    clear = cleared(TOLD, WORDS)
    first = TOP + to_program()
    go_on = mov(EAX, CODE) + b"\xff\xe0"
    more = {
        SETUP: handlers + clear + (first if program else go_on),
        BACK: gates({VECTOR: (AGAIN, FOR_PROGRAMS)}) + go_on,
        CODE: TOP + push(FIXED) + b"\x9d" + before + frame + b"\xcf" + END,
        AGAIN: told_by(VECTOR),
        HANDLERS: told_by(GENERAL),
        HANDLERS + 0x80: told_by(DEBUG),
        HANDLERS + 0x100: told_by(IRQ),
    }
    image = image_of("native", mov(EAX, SETUP) + b"\xff\xe0", b"\x90\xcd" + bytes([VECTOR]), more)
    (words,), answered = told(engine, switcher, image, (TOLD, WORDS))
    return words, answered


def frame(flags: int = FIXED, ss: int = DATA, cs: int = USER) -> bytes:
    """One for the program."""
    return push(ss, STACK - 16, flags, cs, PROGRAM)


OTHER_CODE = 25 << 3 | 3
MOVED = store(TSS + 4, ELSEWHERE) + store(TSS_BESIDE_GDT + 4, ELSEWHERE)  # the kernel's stack, said in its TSS


FAST = {
    "plain": (MASKED + TOP, frame()),
    "unmasks": (MASKED + TOP, frame(FIXED | IF)),
    "other-flags": (MASKED + TOP, frame(FIXED | IF | DF | AC | CF | 0x8D4)),
    "without-the-fixed-flag": (MASKED + TOP, frame(IF)),
}
SLOW = {
    "stays-masked": (PENDING + TOP, frame()),
    "another-stack": (MASKED + mov(ESP, ELSEWHERE), frame()),
    "another-stack-than-the-last-frame": (
        MASKED + TOP + push(DATA, STACK - 32, FIXED, USER, PROGRAM) + mov(ESP, ELSEWHERE),
        frame(),
    ),
    "unmasks-a-pending-one": (PENDING + TOP, frame(FIXED | IF)),
    "trap-flag": (MASKED + TOP, frame(FIXED | TF)),
    "stepped": (MASKED + TOP, frame() + push(FIXED | TF) + b"\x9d"),
    "nested-task": (MASKED + TOP, frame(FIXED | NT)),
    "privilege": (MASKED + TOP, frame(FIXED | IOPL)),
    "kernel-stack-segment": (MASKED + TOP, frame(ss=0x18)),
    "other-code-segment": (MASKED + two_words(GDT + 8 * 25, flat(0xFB)) + TOP, frame(cs=OTHER_CODE)),
    "moved-stack": (MASKED + MOVED + mov(ESP, ELSEWHERE), frame()),
    "no-stack-segment": (MASKED + TOP, frame(ss=0)),
}


@pytest.mark.parametrize("switcher", ["lean", "classic"])
@pytest.mark.parametrize("name", [*FAST, *SLOW])
def test_each_frame_does_the_same_on_either_path(engine_name: str, name: str, switcher: Switcher) -> None:
    code = (FAST | SLOW)[name]
    slow, few = run_frame(engine_name, switcher, *code, program=False)
    fast, more = run_frame(engine_name, switcher, *code, program=True)
    assert fast == slow
    assert fast[5] in (VECTOR, GENERAL, DEBUG, IRQ)
    assert (more > few) == (name in FAST)
    if name in FAST:
        eip, cs, flags, esp, ss, _, _ = fast
        assert (eip, cs, esp, ss) == (PROGRAM + 3, USER, STACK - 16, DATA)
        assert flags & FIXED
