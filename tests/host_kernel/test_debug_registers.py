# SPDX-License-Identifier: GPL-2.0-or-later
"""A Guest's debug registers: what a kernel reads from them, and that its breakpoints are in its own world alone.

Breakpoints that fire are tested from within Linux (guest_kernel/linux/check/test_debug.c).
Source: Intel SDM vol. 3, 18.2, 18.3.  Read before: told_lab.py.
"""

from __future__ import annotations

import kvm_carrier
import pytest
from hostile_code import DEBUG, EAX, EDI, ESI, PLACES, SCRATCH, le32, mov, push, store
from hostile_lab import SWITCHERS, image_of, symbols
from native_code import POWER_OFF as END
from told_lab import FOR_THE_KERNEL, gates, told

from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L

CODE, TARGET, HANDLER, TOLD, STACK = 0x160000, 0x167000, 0x168000, SCRATCH + 0x1000, SCRATCH + 0x8000
UNDEFINED = 6
DR6_NONE, DR6_DETECTED, DR6_STEP = 0xFFFF0FF0, 0x2000, 0x4000
DR7_NONE, DR7_DETECT = 0x400, 0x2000
CR4_DE = 8
IN = b"\xe4\x61"  # a trap to the Host kernel


def to_dr(number: int, register: int = EAX) -> bytes:
    return b"\x0f\x23" + bytes([0xC0 | number << 3 | register])


def from_dr(number: int, register: int = EAX) -> bytes:
    return b"\x0f\x21" + bytes([0xC0 | number << 3 | register])


def set_dr(number: int, value: int) -> bytes:
    return mov(EAX, value) + to_dr(number)


def keep(place: int, register: int = EAX) -> bytes:
    return b"\x89" + bytes([register << 3 | 5]) + le32(TOLD + 4 * place)


def told_by(engine: str, switcher: Switcher, code: bytes, handler: bytes, count: int) -> list[int]:
    """The words that ``code`` left; ``handler`` is that of debug exceptions and invalid opcodes."""
    before = b"\xfa" + gates({DEBUG: (HANDLER, FOR_THE_KERNEL), UNDEFINED: (HANDLER, FOR_THE_KERNEL)})
    more = {CODE: before + b"\xbc" + le32(STACK) + code + END, HANDLER: handler, TARGET: END}
    image = image_of("native", mov(EAX, CODE) + b"\xff\xe0", b"\x0f\x0b", more)
    (words,), _ = told(engine, switcher, image, (TOLD, count))
    return words


@SWITCHERS
def test_what_is_read(engine_name: str, switcher: Switcher) -> None:
    """Fixed bits are fixed, and DR4 and 5 are DR6 and 7."""
    values = {0: 0xC0001000, 1: 0x12345678, 2: 0xFFC00000, 3: 0xFFFFFFFF, 6: 0, 7: 0}
    code = b"".join(set_dr(number, value) for number, value in values.items())
    code += b"".join(from_dr(number) + keep(number) for number in range(8))
    code += set_dr(6, 0xFFFFFFFF) + set_dr(7, 0xFFFFD000) + b"".join(from_dr(n) + keep(2 + n) for n in (6, 7))
    words = told_by(engine_name, switcher, code, END, 10)
    assert words[:4] == [values[number] for number in range(4)]
    assert words[4:8] == [DR6_NONE, DR7_NONE] * 2
    assert words[8:] == [0xFFFFEFFF, 0xFFFF0400]


@SWITCHERS
@pytest.mark.parametrize("number", [4, 5])
def test_there_are_no_aliases_with_debug_extensions(engine_name: str, number: int, switcher: Switcher) -> None:
    code = b"\x0f\x20\xe0\x83\xc8" + bytes([CR4_DE]) + b"\x0f\x22\xe0" + from_dr(number)  # or eax with CR4_DE
    (eip,) = told_by(engine_name, switcher, code + keep(0), b"\x8b\x04\x24" + keep(0) + END, 1)
    assert eip == CODE + (image_start(code) - 3)


def image_start(code: bytes) -> int:
    """Where what follows ``code`` is, behind CODE."""
    before = b"\xfa" + gates({DEBUG: (HANDLER, FOR_THE_KERNEL), UNDEFINED: (HANDLER, FOR_THE_KERNEL)})
    return len(before) + 5 + len(code)


@SWITCHERS
def test_general_detect(engine_name: str, switcher: Switcher) -> None:
    """The next access raises a debug exception instead; its handler can access them."""
    code = set_dr(7, DR7_DETECT) + from_dr(0)
    handler = from_dr(6) + keep(0) + from_dr(7) + keep(1) + b"\x8b\x04\x24" + keep(2) + END
    words = told_by(engine_name, switcher, code, handler, 3)
    assert words == [DR6_NONE | DR6_DETECTED, DR7_NONE, CODE + image_start(code) - 3]


STEPPED = (
    b"\x90", b"\xfa", b"\xfb", b"\xfa", IN, b"\x0f\x20\xd0", from_dr(0), b"\x0f\x06", b"\x0f\x20\xe0", b"\x8c\xd0",
    b"\x8e\xd0", b"\x90", b"\x40",
)  # fmt: skip


@SWITCHERS
def test_a_kernel_is_stepped_through_what_is_emulated(engine_name: str, switcher: Switcher) -> None:
    """Each instruction raises one debug exception, behind it: cli, sti, in, clts, moves of CR2, CR4 and DR0, …"""
    handler = (
        b"\x50\x8b\x44\x24\x04\xab"  # push eax; mov eax, [esp + 4]; stosd: the eip
        + from_dr(6) + b"\xab" + set_dr(6, 0)
        + b"\x58\xcf"
    )  # fmt: skip
    start = b"\xb0\xff\xe6\x21" + mov(EDI, TOLD) + b"\xfc\x9c\x81\x0c\x24" + le32(0x100) + b"\x9d"  # masks the 8259
    code = start + b"".join(STEPPED) + b"\x9c\x81\x24\x24" + le32(~0x100) + b"\x9d"
    words = told_by(engine_name, switcher, code, handler, 2 * len(STEPPED))
    eip, wanted = CODE + image_start(start), []
    for instruction in STEPPED:
        eip += len(instruction)
        wanted.append(eip)
    seen = words[::2]
    if seen != wanted:  # a processor does not stop behind a load of ss
        wanted.remove(wanted[STEPPED.index(b"\x8e\xd0")])
        seen.pop()
    assert seen == wanted
    assert set(words[1 : 2 * len(wanted) : 2]) == {DR6_NONE | DR6_STEP}


RETURNS = {"iret": (b"\xcf", push(2, 0x10)), "iret-TF": (b"\xcf", push(0x102, 0x10)), "lret": (b"\xcb", push(0x10))}
TO_PROGRAM = push(0x2B, PLACES["USER_STACK"], 2, 0x23, PLACES["USER_SLOTS"]), b"\xcf"


@SWITCHERS
@pytest.mark.parametrize("name", [*RETURNS, "iret to a program"])
def test_a_return_that_is_stepped(engine_name: str, name: str, switcher: Switcher) -> None:
    """One debug exception, where it leads: the flags that it loads are not those that say whether it is a step.

    The emulated CPU does so in ring 0 too.
    """
    target = PLACES["USER_SLOTS"] if "program" in name else TARGET
    frame, instruction = TO_PROGRAM if "program" in name else (RETURNS[name][1] + push(target), RETURNS[name][0])
    handler = b"\x8b\x04\x24" + keep(0) + from_dr(6) + keep(1) + b"\x8b\x44\x24\x08" + keep(2) + END
    step = b"\x9c\x81\x0c\x24" + le32(0x100) + b"\x9d"  # pushf, or, popf
    esp0 = store(PLACES["TSS"] + 4, STACK)
    code = mov(EAX, 0) + keep(0) + esp0 + frame + step + instruction
    eip, dr6, flags = told_by(engine_name, switcher, code, handler, 3)
    assert (hex(eip), hex(dr6)) == (hex(target), hex(DR6_NONE | DR6_STEP))
    assert bool(flags & 0x100) is (name in ("iret-TF", "lret"))


def sweep(start: int, end: int, kind: int, step: int) -> bytes:
    """Four breakpoints, ``step`` from one to the next, over all of these addresses; a few world switches with each."""
    enabled = 0x155 | sum(kind << 16 + 4 * number for number in range(4))
    begin = mov(ESI, start)
    loop = b"".join(to_dr(number, ESI) + b"\x83\xc6" + bytes([step]) for number in range(4))
    loop += mov(EAX, enabled) + to_dr(7) + IN * 2 + b"\x0f\xa2" + set_dr(7, 0)
    loop += b"\x81\xfe" + le32(end)
    return begin + loop + b"\x0f\x82" + le32(-len(loop) - 6)


ACCESSES, EXECUTES = 0xF, 0x0  # of four bytes; of code


@pytest.mark.nightly("kvm")
@SWITCHERS
@pytest.mark.parametrize("what", ["text", "data", "switcher"])
def test_breakpoints_at_the_host_kernels_addresses(engine_name: str, what: str, switcher: Switcher) -> None:
    """They neither end the Host kernel nor show in the Guest."""
    if engine_name == "kvm" and what != "text" and kvm_carrier.inside():
        pytest.skip("a watchpoint there ends the QEMU 7.2 that is the carrier, by an assertion on its own lock")
    at = symbols()
    text, data, end = 0x100000, at["switcher_load"], at["image_end"]
    code = {
        "text": lambda: sweep(text, data, EXECUTES, 1),
        "data": lambda: sweep(text, end, ACCESSES, 4),
        "switcher": lambda: (
            sweep(L.SWITCHER_BASE, L.SWITCHER_BASE + 0x1000, EXECUTES, 1)
            + sweep(L.SWITCHER_BASE - 0x20, L.SWITCHER_BASE + 0x5000, ACCESSES, 4)
        ),
    }[what]()
    hit = b"\x8b\x04\x24" + keep(0) + from_dr(6) + keep(1) + END
    code = mov(EAX, 0) + keep(0) + keep(1) + code + from_dr(6) + keep(1) + mov(EAX, 1) + keep(2)
    words = told_by(engine_name, switcher, code, hit, 3)
    assert words == [0, DR6_NONE, 1]
