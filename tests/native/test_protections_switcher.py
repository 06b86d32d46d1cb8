# SPDX-License-Identifier: GPL-2.0-or-later
"""A native kernel does what the Switcher's fast paths must leave to the Host kernel, each in the one way that tells.

tools/mutants removes each check of them, and these tests must fail then.  Read before: switcher/fast_paths.h,
switcher/descriptor_stores.h; tests/native/test_native_iret.py has the frames of iret.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hostile_code import (
    DEBUG,
    DIRECTORY,
    EAX,
    EBX,
    ECX,
    EDX,
    ESP,
    GDT,
    GENERAL,
    IDT,
    NOT_PRESENT,
    PAGE_FAULT,
    PLACES,
    SCRATCH,
    flat,
    le32,
    mov,
    push,
    store,
    two_words,
)
from hostile_lab import SWITCHERS, harmless, image_of, run_image
from told_lab import (
    END,
    FOR_PROGRAMS,
    FOR_THE_KERNEL,
    LOAD_GS,
    MASK,
    NOTHING,
    PENDING,
    STORE_ECX,
    cleared,
    gates,
    stack_words,
    to_program,
    told,
)

from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L

pytestmark = pytest.mark.nightly("kvm")
CODE, HANDLER, SETUP = 0x160000, 0x135000, 0x170000
TOLD, STACK = SCRATCH + 0x1000, SCRATCH + 0x10000
FIRST = 20  # a descriptor of the GDT that is stored to
PLACE = GDT + 8 * FIRST
DATA = 0x0040F30000000FFF | SCRATCH << 16  # a page, for programs
VECTOR, IRQ, DOUBLE_FAULT = 0x30, 0x20, 8
TF = 0x102
KERNEL_DATA = b"\xb9\x18\0\0\0\x8e\xd9\x8e\xc1"  # ds and es, after a program
BEFORE = len(KERNEL_DATA) + len(MASK)


def words(
    engine: str, switcher: Switcher, code: bytes, faults: tuple[int, ...] = (), count: int = 3, ready: bool = True
) -> list[int]:
    """What ``code`` told, run after a program, so that there are fast paths.

    One of ``faults`` is told as the first words on its stack, and ends the Guest.  ``ready``: the Switcher knows of
    stores to PLACE.
    """
    stores = b"".join(mov(ECX, DATA >> 32 * half & 0xFFFFFFFF) + STORE_ECX + le32(PLACE + 4 * half) for half in (0, 1))
    handlers = gates({VECTOR: (CODE, FOR_PROGRAMS)} | {vector: (HANDLER, FOR_THE_KERNEL) for vector in faults})
    begin = KERNEL_DATA + MASK + (stores * 3 if ready else b"")
    more = {
        SETUP: cleared(TOLD, count) + handlers + MASK + mov(ESP, STACK) + to_program(),
        CODE: begin + code + END,
        HANDLER: stack_words(TOLD, 3) + END,
    }
    image = image_of("native", mov(EAX, SETUP) + b"\xff\xe0", b"\xcd" + bytes([VECTOR]), more)
    (found,), answered = told(engine, switcher, image, (TOLD, count))
    assert answered
    return found


def place(ready: bool = False) -> int:
    """Where ``code`` begins."""
    return CODE + BEFORE + (3 * 2 * 11 if ready else 0)


KEEP = b"\xa3" + le32(TOLD)


@SWITCHERS
def test_a_store_beside_the_descriptors(engine_name: str, switcher: Switcher) -> None:
    """To the IDT, in another page than the Switcher has a mapping of."""
    there = IDT + 8 * 0x99
    code = mov(ECX, 0) + STORE_ECX + le32(there) + b"\xa1" + le32(there) + KEEP
    assert words(engine_name, switcher, code)[0] == 0


@SWITCHERS
def test_a_misaligned_descriptor_store(engine_name: str, switcher: Switcher) -> None:
    """It makes a descriptor present, and the kernel loads that at once."""
    absent = mov(ECX, 0) + STORE_ECX + le32(PLACE) + STORE_ECX + le32(PLACE + 4)
    limit = b"\x66\xc7\x05" + le32(PLACE) + le32(0xFFF)[:2]
    middle = mov(ECX, DATA >> 16 & 0xFFFFFFFF) + STORE_ECX + le32(PLACE + 2)
    code = absent + limit + middle + mov(EAX, FIRST << 3 | 3) + LOAD_GS + store(TOLD, 1)
    assert words(engine_name, switcher, code, (GENERAL, NOT_PRESENT))[0] == 1


@SWITCHERS
def test_a_descriptor_store_of_the_stack_pointer(engine_name: str, switcher: Switcher) -> None:
    """It stores the Guest's, in a descriptor that is not present."""
    absent = mov(ECX, 0) + STORE_ECX + le32(PLACE + 4)
    code = absent + mov(ESP, 0x1234) + b"\x89\x25" + le32(PLACE) + b"\xa1" + le32(PLACE) + mov(ESP, STACK) + KEEP
    assert words(engine_name, switcher, code)[0] == 0x1234


@SWITCHERS
def test_a_descriptor_store_that_is_single_stepped(engine_name: str, switcher: Switcher) -> None:
    """The trap comes right behind it."""
    head = mov(ECX, 0) + push(TF) + b"\x9d"
    mov_store = STORE_ECX + le32(PLACE)
    found = words(engine_name, switcher, head + mov_store + b"\x90" * 4, (DEBUG,))
    assert found[0] == place(ready=True) + len(head + mov_store)


@SWITCHERS
def test_stores_to_more_descriptors_than_the_switcher_knows(engine_name: str, switcher: Switcher) -> None:
    """Five in one run: what is behind the four in the state page stays as it is."""
    run = b"".join(b"\x89\x0d" + le32(GDT + 8 * FIRST + 4 * half) for half in range(10))
    behind = L.SWITCHER_STATE_PAGE + L.LGUEST_STATE.fields["return_dr7"][0]
    code = mov(ECX, 0) + run * 2 + b"\xa1" + le32(behind) + KEEP
    assert words(engine_name, switcher, code, ready=False)[0] == 0x400


@SWITCHERS
@pytest.mark.parametrize("line", [0, 4], ids=["clock", "serial"])
def test_sti_lets_a_pending_interrupt_in(engine_name: str, line: int, switcher: Switcher) -> None:
    """At once.  That of the serial port comes with no interrupt of the machine, and the clock is off."""
    if line:
        quiet = b"\xb0\x30\xe6\x43" + b"\xfb\x90\x90\xfa"  # no clock, and none of the machine's is left
        pending = quiet + b"\xb0\xef\xe6\x21" + mov(EDX, 0x3FC) + b"\xb0\x08\xee" + mov(EDX, 0x3F9) + b"\xb0\x02\xee"
    else:
        pending = b"\xb0\xfe\xe6\x21" + PENDING
    code = pending + b"\xfb\x90\x90"
    found = words(engine_name, switcher, code, (IRQ + line,), ready=False)
    assert found[0] == place() + len(code) - 2


@SWITCHERS
@pytest.mark.parametrize("number", [2, 3])
def test_a_control_register_goes_to_the_stack_pointer(engine_name: str, number: int, switcher: Switcher) -> None:
    value = SCRATCH + 0x9000 if number == 2 else DIRECTORY
    head = mov(EAX, value) + b"\x0f\x22\xd0" if number == 2 else b""
    code = head + bytes([0x0F, 0x20, 0xC4 | number << 3]) + b"\x89\x25" + le32(TOLD) + mov(ESP, STACK)
    assert words(engine_name, switcher, code, ready=False)[0] == value


@SWITCHERS
def test_each_register_gets_a_control_register(engine_name: str, switcher: Switcher) -> None:
    """And no other changes."""
    code = mov(EAX, 0x1234000) + b"\x0f\x22\xd0"
    code += mov(EAX, 1) + mov(EBX, 2) + b"\x0f\x20\xd1"  # cr2 to ecx
    keep = b"".join(bytes([0x89, register << 3 | 5]) + le32(TOLD + 4 * n) for n, register in enumerate((0, 1, 3)))
    assert words(engine_name, switcher, code + keep, ready=False) == [1, 0x1234000, 2]


@SWITCHERS
def test_an_iret_from_a_stack_segment_with_a_base(engine_name: str, switcher: Switcher) -> None:
    """Its frame is not where a flat segment would have it: there lies a decoy."""
    base, good, decoy = 0x1000, CODE + 0x800, CODE + 0x900
    frame = STACK - 0x100
    segment = two_words(GDT + 8 * 25, flat(0x93) | base << 16)
    code = segment + mov(ESP, frame + base) + push(2, 0x10, good) + mov(ESP, frame) + push(2, 0x10, decoy)
    code += mov(EAX, 25 << 3) + b"\x8e\xd0" + b"\xcf"
    filler = b"\x90" * (0x800 - len(KERNEL_DATA + MASK + code))
    tell = mov(EAX, 0x18) + b"\x8e\xd0" + mov(ESP, STACK)
    good_code = (tell + store(TOLD, 1) + END).ljust(0x100, b"\x90")
    assert words(engine_name, switcher, code + filler + good_code + tell + store(TOLD, 2), ready=False)[0] == 1


@SWITCHERS
def test_not_present_at_another_instruction(engine_name: str, switcher: Switcher) -> None:
    """With a program's frame on the stack: it is a fault of the kernel's, and no return to the program."""
    code = two_words(GDT + 8 * 25, flat(0x73)) + mov(ESP, PLACES["STACK"] - 20) + mov(EAX, 25 << 3) + LOAD_GS
    found = words(engine_name, switcher, code, (NOT_PRESENT,), ready=False)
    assert found == [25 << 3, place() + len(code) - 2, 0x10]


@SWITCHERS
def test_a_watchpoint_on_code_that_the_switcher_reads(engine_name: str, switcher: Switcher) -> None:
    """The Switcher reads the byte of a cli, which is watched; the kernel's own read of it raises the exception."""
    set_up = b"\x31\xc0\x0f\x23\xf8"  # dr7: nothing
    head = set_up + mov(EAX, place() + 5 + 8 + 8) + b"\x0f\x23\xc0" + mov(EAX, 0x30401) + b"\x0f\x23\xf8"
    there = place() + len(head)
    assert there == place() + 21
    read = b"\xa0" + le32(there)
    found = words(engine_name, switcher, head + b"\xfa" + read + b"\x90\x90", (DEBUG,), ready=False)
    assert found[0] == there + 1 + len(read)


def large_page(program: bytes) -> bytes:
    """For programs, from 4 MiB on, all zeros: as a page table it would have nothing."""
    return store(DIRECTORY + 4, 0x4000E7) + mov(EAX, DIRECTORY) + b"\x0f\x22\xd8" + program


@SWITCHERS
def test_a_programs_fault_in_a_large_page(engine_name: str, switcher: Switcher) -> None:
    """The first access to it is a fault of the shadow's alone, and the kernel does not see it."""
    program, setup = 0x136000, PLACES["STACK"]
    seen = b"".join(b"\xa1" + le32(0xC0000000 + each) for each in (DIRECTORY, 0x400000, 0x400000 + 4 * 0x100))
    down = mov(ESP, setup) + to_program(program=program)
    handlers = gates({PAGE_FAULT: (HANDLER, FOR_THE_KERNEL), VECTOR: (CODE, FOR_PROGRAMS)})
    clear = b"".join(store(TOLD + 4 * n, NOTHING) for n in range(3))
    reload = mov(EAX, DIRECTORY) + b"\x0f\x22\xd8"
    begin = clear + handlers + MASK + large_page(b"") + seen + reload + seen
    more = {
        SETUP: begin + down,
        CODE: END,
        HANDLER: stack_words(TOLD, 3) + END,
        program: b"\xa1" + le32(0x500000) + b"\xcd" + bytes([VECTOR]),
    }
    image = image_of("native", mov(EAX, SETUP) + b"\xff\xe0", more=more)
    (found,), _ = told(engine_name, switcher, image, (TOLD, 3))
    assert found == [NOTHING] * 3


@SWITCHERS
@pytest.mark.parametrize("base", [SCRATCH + 0x3000, SCRATCH + 0x10000], ids=["lower-half", "upper-half"])
def test_a_descriptor_that_the_kernel_changes_and_loads(engine_name: str, base: int, switcher: Switcher) -> None:
    """While it is present: the CPU must have it at once, though no program is entered between."""
    new = DATA & ~0xFF_FFFF_0000 | (base & 0xFFFFFF) << 16
    low = mov(ECX, new & 0xFFFFFFFF) + STORE_ECX + le32(PLACE)
    high = mov(ECX, new >> 32) + STORE_ECX + le32(PLACE + 4)
    code = store(SCRATCH, 1) + store(base, 2) + (low if base & 0xFFFF else high)
    code += mov(EAX, FIRST << 3 | 3) + LOAD_GS + b"\x65\xa1\0\0\0\0" + KEEP
    assert words(engine_name, switcher, code)[0] == 2


NOT_FLAT = {  # what the Switcher answers where the kernel's code is flat
    "iret": mov(ESP, PLACES["STACK"]) + to_program(),
    "store": mov(ECX, 0) + STORE_ECX + le32(PLACE),
}


@SWITCHERS
@pytest.mark.parametrize("name", NOT_FLAT)
def test_code_that_is_not_flat_behind_a_decoy(engine_name: str, name: str, switcher: Switcher) -> None:
    """Where eip would be in a flat segment, the same instructions lie: the Switcher must not take them for those."""
    there, back = CODE + 0x800, 0x1000
    base = -back & 0xFFFFFFFF
    segment = flat(0x9B) | (base & 0xFFFFFF) << 16 | base >> 24 << 56
    stores = b"".join(mov(ECX, DATA >> 32 * half & 0xFFFFFFFF) + STORE_ECX + le32(PLACE + 4 * half) for half in (0, 1))
    far = b"\xea" + le32(there + back) + le32((FIRST + 1) << 3)[:2]
    handlers = gates({VECTOR: (CODE, FOR_PROGRAMS)})
    body = NOT_FLAT[name] + b"\xeb\xfe"
    more = {
        SETUP: handlers + MASK + mov(ESP, STACK) + to_program(),
        CODE: KERNEL_DATA + MASK + stores * 3 + two_words(PLACE + 8, segment) + stores + far,
        there: body,
        there + back: body,
    }
    image = image_of("native", mov(EAX, SETUP) + b"\xff\xe0", b"\xcd" + bytes([VECTOR]), more)
    outcome = harmless(run_image(engine_name, image, seconds=10, switcher=switcher)).result.outcome
    assert (outcome.end, outcome.reason[:36]) == (End.KILLED, "the kernel runs in code segment 0xa9"), outcome


@SWITCHERS
def test_a_jump_into_the_descriptors(engine_name: str, switcher: Switcher) -> None:
    """The fault of the fetch is in the page of the stores, and there is nothing to be read yet."""
    jump = b"\xe9" + le32(CODE + 0x800 - PLACE - 5)
    low, high = (int.from_bytes(jump.ljust(8, b"\0")[at : at + 4], "little") for at in (0, 4))
    put = b"".join(mov(ECX, half) + STORE_ECX + le32(PLACE + 4 * n) for n, half in ((1, high), (0, low)))
    not_accessed = store(DIRECTORY + 0x1000 + 4 * (GDT >> 12), GDT | 7)
    code = put + not_accessed + mov(EAX, DIRECTORY) + b"\x0f\x22\xd8" + mov(EAX, PLACE) + b"\xff\xe0"
    filler = b"\x90" * (0x800 - len(KERNEL_DATA + MASK + code) - 3 * 2 * 11)
    assert words(engine_name, switcher, code + filler + store(TOLD, 1))[0] == 1


@SWITCHERS
def test_a_programs_page_fault_without_a_handler(engine_name: str, switcher: Switcher) -> None:
    """Its gate is not present: that makes a double fault."""
    seen = b"\xa1" + le32(0xC0000000 + DIRECTORY)  # by the Switcher too, then
    code = seen + two_words(IDT + 8 * PAGE_FAULT, 0) + to_program(program=0x137000)
    handlers = gates({VECTOR: (CODE, FOR_PROGRAMS), DOUBLE_FAULT: (HANDLER, FOR_THE_KERNEL)})
    more = {
        SETUP: cleared(TOLD, 3) + handlers + MASK + mov(ESP, STACK) + to_program(),
        CODE: KERNEL_DATA + MASK + code,
        HANDLER: stack_words(TOLD, 3) + END,
        0x137000: b"\xa1" + le32(0x70000000),
    }
    image = image_of("native", mov(EAX, SETUP) + b"\xff\xe0", b"\xcd" + bytes([VECTOR]), more)
    (found,), _ = told(engine_name, switcher, image, (TOLD, 3))
    assert found == [0, 0x137000, 0x23]


@SWITCHERS
def test_a_popf_does_not_open_the_ports(engine_name: str, switcher: Switcher) -> None:
    """What stands for popf in an older kernel, with I/O privilege level 3 on the stack."""
    code = push(0x3002) + bytes([L.INSTEAD_OF_POPF]) + b"\x9c\x58" + KEEP  # pushf; pop eax
    begin = gates({VECTOR: (CODE, FOR_PROGRAMS)}) + MASK + mov(ESP, STACK) + to_program()
    more = {SETUP: cleared(TOLD, 1) + begin, CODE: KERNEL_DATA + MASK + 2 * code + END}
    image = image_of("native", mov(EAX, SETUP) + b"\xff\xe0", b"\xcd" + bytes([VECTOR]), more)
    (found,), _ = told(engine_name, switcher, replace(image, version="5.11.22"), (TOLD, 1))
    assert not found[0] & 0x3000
