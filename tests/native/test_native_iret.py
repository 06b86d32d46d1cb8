# SPDX-License-Identifier: GPL-2.0-or-later
"""A native kernel's iret to itself: the Switcher's fast path does what the Host kernel does.

There is a fast path once a program has run: each frame is tried in a Guest that has run one, and in one that has not.
QEMU lets ring 1 enter virtual-8086 mode, so that no frame has that flag.
Source: Intel SDM vol. 2, IRET.  Read before: told_lab.py.
"""

from __future__ import annotations

import pytest
from hostile_code import DEBUG, EAX, ESP, GENERAL, SCRATCH, le32, mov, push, store
from hostile_lab import image_of
from told_lab import END, FOR_PROGRAMS, FOR_THE_KERNEL, MASK, PENDING, cleared, gates, stack_words, to_program, told
from told_lab import KERNEL_CODE as KERNEL

from lguest_py.launcher.vm_memory import Switcher

SETUP, CODE, TARGET, BACK, HANDLERS = (0x135000 + 0x200 * n for n in range(5))  # BACK: where a program's int leads
TOLD = SCRATCH + 0xF000  # flags, cs, esp; or what a fault pushed
WORDS = 8
STACK = SCRATCH + 0x8000
VECTOR, IRQ = 0x30, 0x20
FIXED, IF, TF, DF, NT, IOPL, AC, VIF, VIP = 2, 0x200, 0x100, 0x400, 0x4000, 0x3000, 0x40000, 0x80000, 0x100000
USER, DATA = 0x23, 0x18


def told_by(handler: int) -> bytes:
    """Keep the four words on the stack, with the handler's number."""
    return stack_words(TOLD, 4) + b"\x89\x25" + le32(TOLD + 16) + store(TOLD + 20, handler) + END


def run_frame(engine: str, switcher: Switcher, before: bytes, frame: bytes, program: bool) -> tuple[list[int], int]:
    """What was told, and how many traps the Switcher answered.  ``frame`` pushes one, after ``before``."""
    handlers = gates(
        {
            VECTOR: (BACK, FOR_PROGRAMS),
            GENERAL: (HANDLERS, FOR_THE_KERNEL),
            DEBUG: (HANDLERS + 0x80, FOR_THE_KERNEL),
            IRQ: (HANDLERS + 0x100, FOR_THE_KERNEL),
        }
    )
    clear = cleared(TOLD, WORDS)
    go_on = mov(EAX, CODE) + b"\xff\xe0"
    more = {
        SETUP: handlers + clear + (to_program() if program else go_on),
        BACK: go_on,
        CODE: mov(ESP, STACK) + push(FIXED) + b"\x9d" + before + frame + b"\xcf" + END,
        TARGET: b"\x9c\x8f\x05" + le32(TOLD) + b"\x8c\x0d" + le32(TOLD + 4) + b"\x89\x25" + le32(TOLD + 8) + END,
        HANDLERS: told_by(GENERAL),
        HANDLERS + 0x80: told_by(DEBUG),
        HANDLERS + 0x100: told_by(IRQ),
    }
    image = image_of("native", mov(EAX, SETUP) + b"\xff\xe0", b"\xcd" + bytes([VECTOR]), more)
    (words,), answered = told(engine, switcher, image, (TOLD, WORDS))
    return words, answered


FAST = {
    "plain": (MASK, push(FIXED, KERNEL, TARGET)),
    "unmasks": (MASK, push(FIXED | IF, KERNEL, TARGET)),
    "stays-masked": (PENDING, push(FIXED, KERNEL, TARGET)),
    "other-flags": (MASK, push(FIXED | DF | AC | 0x8D5, KERNEL, TARGET)),
    "end-of-page": (MASK, mov(ESP, STACK + 0x1000) + push(FIXED, KERNEL, TARGET)),
}
SLOW = {
    "unmasks-a-pending-one": (PENDING, push(FIXED | IF, KERNEL, TARGET)),
    "trap-flag": (MASK, push(FIXED | TF, KERNEL, TARGET)),
    "nested-task": (MASK, push(FIXED | NT, KERNEL, TARGET)),
    "privilege": (MASK, push(FIXED | IOPL, KERNEL, TARGET)),
    "virtual-pending": (MASK, push(FIXED | VIP, KERNEL, TARGET)),
    "virtual-interrupt": (MASK, push(FIXED | VIF, KERNEL, TARGET)),
    "data": (MASK, push(FIXED, DATA, TARGET)),
    "null": (MASK, push(FIXED, 0, TARGET)),
    "ring-2": (MASK, push(FIXED, KERNEL | 2, TARGET)),
    "two-pages": (MASK, mov(ESP, STACK + 0x1008) + push(FIXED, KERNEL, TARGET)),
}
NO_ANSWER = 0xFFFFFFFF


@pytest.mark.parametrize("switcher", ["lean", "classic"])
@pytest.mark.parametrize("name", [*FAST, *SLOW])
def test_each_frame_does_the_same_on_either_path(engine_name: str, name: str, switcher: Switcher) -> None:
    code = (FAST | SLOW)[name]
    slow, few = run_frame(engine_name, switcher, *code, program=False)
    fast, more = run_frame(engine_name, switcher, *code, program=True)
    assert fast == slow
    assert fast[0] != NO_ANSWER
    assert (more > few) == (name in FAST)


def test_the_frames_that_are_told_are_right(engine_name: str) -> None:
    def words(name: str) -> list[int]:
        return run_frame(engine_name, "lean", *(FAST | SLOW)[name], program=True)[0]

    flags, selector, stack, *_ = words("plain")
    assert (flags, selector & 0xFFFF, stack) == (FIXED, KERNEL | 1, STACK)
    assert words("unmasks")[0] == FIXED | IF
    assert words("other-flags")[0] & ~0x8D5 == FIXED | DF | AC
    interrupted = words("unmasks-a-pending-one")
    assert (interrupted[0], interrupted[5]) == (TARGET, IRQ)
    assert words("trap-flag")[5] == DEBUG
    assert [words(name)[0] for name in ("data", "null")] == [DATA, 0]
