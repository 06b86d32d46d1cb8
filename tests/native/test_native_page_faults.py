# SPDX-License-Identifier: GPL-2.0-or-later
"""Page faults of a native kernel's programs: the Switcher reflects them as the Host kernel does.

There is a fast path while the kernel maps its page directory where Linux maps it: each fault is tried in a Guest that
does, and in one that does not.  Source: Intel SDM vol. 3, 4.7 and 6.12.  Read before: told_lab.py.
"""

from __future__ import annotations

import pytest
from hostile_code import DIRECTORY, EAX, ESP, GDT, PLACES, SCRATCH, TSS, TSS_BESIDE_GDT, le32, mov, push, store
from hostile_lab import harmless, image_of, run_image
from told_lab import END, FOR_PROGRAMS, FOR_THE_KERNEL, MASK, gates, told

from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L

SETUP, HANDLER, GENERAL, CODE = (0x160000 + 0x400 * n for n in range(4))
TOLD, PAGE, COUNT = SCRATCH + 0x1000, SCRATCH + 0x3000, SCRATCH + 0x2000
WORDS = 10
VECTOR, USER_CODE, USER_DATA = 0x30, 0x23, 0x2B
TABLE, HALF = DIRECTORY + 0x1000, 4 * 768  # the page table for PAGE; the upper half in the directory
FIXED, IF, TF = 2, 0x200, 0x100
LOAD_CR3 = mov(EAX, DIRECTORY) + b"\x0f\x22\xd8"
ONLY_LOWER_HALF = b"".join(store(DIRECTORY + HALF + 4 * n, 0) for n in range(3)) + LOAD_CR3
DIRECTORY_SEEN = b"\xa1" + le32(0xC0000000 + DIRECTORY) + LOAD_CR3  # what Linux has used is in the shadow
OTHER = SCRATCH + 0x6000  # another page table for the start of the upper half: in the shadow it has nothing
COPIED = b"\xfc\xbe" + le32(TABLE) + b"\xbf" + le32(OTHER) + b"\xb9\x00\x04\x00\x00\xf3\xa5"
NOT_SEEN = COPIED + store(DIRECTORY + HALF, OTHER | 0x67) + LOAD_CR3 + DIRECTORY_SEEN
TABLE_SEEN = b"\xa1" + le32(0xC0000000 + TABLE)
NO_ACCESS, READ_ONLY, FOR_KERNEL, WRITABLE = 0x66, 0x65, 0x63, 0x67
READ, WRITE, RUN = b"\xa1" + le32(PAGE), store(PAGE, 1), mov(EAX, PAGE) + b"\xff\xe0"
FAR = b"\xa1" + le32(0xD00000)  # where the directory has no page table


def entry(flags: int) -> bytes:
    """The kernel changes the entry for PAGE, and says so."""
    return store(TABLE + 4 * (PAGE >> 12), PAGE | flags) + b"\x0f\x01\x3d" + le32(PAGE)


def to_program(flags: int) -> bytes:
    """Down to ring 3."""
    return push(USER_DATA, PLACES["USER_STACK"], flags, USER_CODE, PLACES["USER_SLOTS"]) + b"\xcf"


def tell() -> bytes:
    """The handler keeps its frame, its flags, code segment and stack, and CR2."""
    words = b"".join(b"\x8b\x44\x24" + bytes([4 * n]) + b"\xa3" + le32(TOLD + 4 * n) for n in range(6))
    own = b"\x9c\x8f\x05" + le32(TOLD + 24) + b"\x8c\x0d" + le32(TOLD + 28) + b"\x89\x25" + le32(TOLD + 32)
    return words + own + b"\x0f\x20\xd0\xa3" + le32(TOLD + 36) + END


def run_fault(
    engine: str, switcher: Switcher, flags: int, program: bytes, entered: int, upper_half: bytes
) -> tuple[list[int], int]:
    """What the handler found, and how many traps the Switcher answered."""
    clear = b"".join(store(TOLD + 4 * n, 0) for n in range(WORDS))
    handlers = gates({VECTOR: (CODE, FOR_PROGRAMS), 14: (HANDLER, FOR_THE_KERNEL), 1: (GENERAL, FOR_THE_KERNEL)})
    setup = MASK + handlers + clear + entry(flags) + to_program(entered)
    more = {SETUP: upper_half + setup, HANDLER: tell(), GENERAL: END, CODE: END}
    image = image_of("native", mov(EAX, SETUP) + b"\xff\xe0", program + b"\xcd" + bytes([VECTOR]), more)
    (words,), answered = told(engine, switcher, image, (TOLD, WORDS))
    return words, answered


FAST: dict[str, tuple[int, bytes, int, int]] = {  # the flags of the entry, the program, its flags, the error code
    "read": (NO_ACCESS, READ, FIXED | IF, 4),
    "write": (NO_ACCESS, WRITE, FIXED | IF, 6),
    "run": (NO_ACCESS, RUN, FIXED | IF, 4),
    "no-table": (WRITABLE, FAR, FIXED | IF, 4),
    "read-only": (READ_ONLY, WRITE, FIXED | IF, 7),
    "read-only-and-read": (READ_ONLY, READ + WRITE, FIXED | IF, 7),
    "read-only-first-access": (READ_ONLY & ~0x60, READ + WRITE, FIXED | IF, 7),
    "resume-flag": (NO_ACCESS, READ, FIXED | IF | 0x10000, 4),
    "interrupts-off": (NO_ACCESS, READ, FIXED, 4),
    "nested-task": (NO_ACCESS, READ, FIXED | IF | 0x4000, 4),
    "other-flags": (NO_ACCESS, b"\xfd" + READ, FIXED | IF | 0x4D5 | 0x40000, 4),
}
SLOW: dict[str, tuple[int, bytes, int, int]] = {
    "of-the-kernel": (FOR_KERNEL, READ, FIXED | IF, 5),
    "of-the-kernel-write": (FOR_KERNEL, WRITE, FIXED | IF, 7),
}


@pytest.mark.parametrize("switcher", ["lean", "classic"])
@pytest.mark.parametrize("name", [*FAST, *SLOW])
def test_each_fault_does_the_same_on_either_path(engine_name: str, name: str, switcher: Switcher) -> None:
    changed, program, entered, error = (FAST | SLOW)[name]
    case = changed, program, entered
    slow, few = run_fault(engine_name, switcher, *case, upper_half=ONLY_LOWER_HALF)
    tried, same = run_fault(engine_name, switcher, *case, upper_half=NOT_SEEN)  # the Switcher's read faults
    fast, more = run_fault(engine_name, switcher, *case, upper_half=DIRECTORY_SEEN + TABLE_SEEN)
    assert fast == tried == slow
    assert (same > few) == (name == "no-table" and switcher == "lean")
    code, _eip, cs, flags, esp, ss, own_flags, own_cs, own_esp, cr2 = fast
    assert (code, cs, esp, ss) == (error, USER_CODE, PLACES["USER_STACK"], USER_DATA)
    assert flags & (IF | 0x40400) == entered & (IF | 0x40400)
    assert not own_flags & IF
    assert (own_cs & 0xFFFF, own_esp) == (0x11, PLACES["STACK"] - 24)
    assert cr2 == (0xD00000 if name == "no-table" else PAGE)
    assert (more > few) == (name in FAST and switcher == "lean")


@pytest.mark.parametrize("switcher", ["lean", "classic"])
def test_a_fault_of_a_store_that_the_host_kernel_single_steps(engine_name: str, switcher: Switcher) -> None:
    """It begins where there is no memory, so it is stepped, and ends in PAGE: the frame has the program's own flags."""
    nowhere = store(TABLE + 4 * (PAGE - 0x1000 >> 12), 0x40000000 | WRITABLE)
    before = nowhere + LOAD_CR3 + DIRECTORY_SEEN + TABLE_SEEN
    program = b"\xa3" + le32(PAGE - 2)
    told_of, _ = run_fault(engine_name, switcher, NO_ACCESS, program, FIXED | IF, upper_half=before)
    code, eip, _, flags, *_, cr2 = told_of
    assert (code, eip, cr2) == (6, PLACES["USER_SLOTS"], PAGE)
    assert flags & (IF | TF) == IF


@pytest.mark.parametrize("switches", [False, True])
def test_a_wrong_guess_is_one_fault(engine_name: str, switches: bool) -> None:
    """The upper half maps an empty page where Linux has the page table: the fault is not repeated without end."""
    empty = SCRATCH + 0x5000
    fill = b"\xbf" + le32(empty) + b"\x31\xc0\xb9\x00\x04\x00\x00\xfc\xf3\xab"
    wrong = COPIED + store(OTHER + 4 * (TABLE >> 12), empty | WRITABLE) + store(DIRECTORY + HALF, OTHER | WRITABLE)
    wrong += LOAD_CR3 + DIRECTORY_SEEN + TABLE_SEEN
    handler = b"\xff\x05" + le32(COUNT) + (b"\xe4\x21" if switches else b"") + b"\x83\xc4\x04\xcf"
    handlers = gates({VECTOR: (CODE, FOR_PROGRAMS), 14: (HANDLER, FOR_THE_KERNEL)})
    setup = MASK + handlers + fill + store(COUNT, 0) + wrong + to_program(FIXED)
    more = {SETUP: setup, HANDLER: handler, CODE: END}
    program = READ + b"\xa1" + le32(PAGE + 0x1000) + READ + b"\xcd" + bytes([VECTOR])
    image = image_of("native", mov(EAX, SETUP) + b"\xff\xe0", program, more)
    ((count,),), _ = told(engine_name, "lean", image, (COUNT, 1))
    assert 1 <= count <= 4  # the program's code and the two pages that it reads


@pytest.mark.parametrize("switcher", ["lean", "classic"])
@pytest.mark.parametrize("top", [16, 0x1000 - 8, 0x1000, 0x1004, 0x2000])
def test_a_kernel_stack_in_the_switcher_gets_no_frame(engine_name: str, top: int, switcher: Switcher) -> None:
    """Its frame would be the one by which the Switcher returns; with IOPL 3 in it ring 1 could open every port."""
    stack = L.SWITCHER_STACK_PAGE + top
    handlers = gates({VECTOR: (CODE, FOR_PROGRAMS), 14: (HANDLER, FOR_THE_KERNEL)})
    stacks = store(TSS + 4, stack) + store(TSS_BESIDE_GDT + 4, stack)
    setup = MASK + handlers + entry(NO_ACCESS) + stacks + DIRECTORY_SEEN + TABLE_SEEN
    more = {SETUP: setup + to_program(FIXED | IF), HANDLER: mov(ESP, GDT) + END, CODE: END}
    image = image_of("native", mov(EAX, SETUP) + b"\xff\xe0", READ, more)
    run = harmless(run_image(engine_name, image, switcher=switcher))
    assert run.result.outcome.end.value == "triple fault"
