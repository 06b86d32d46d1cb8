# SPDX-License-Identifier: GPL-2.0-or-later
"""Page faults of the programs of a native kernel with PAE: the Switcher reflects them as the Host kernel does.

Each fault is tried in a Guest that maps its page directories where Linux does, and in one that does not.  Source: Intel
SDM vol. 3, 4.4, 4.6 and 4.7.  Read before: test_native_page_faults.py.
"""

from __future__ import annotations

import pytest
from hostile_code import DIRECTORY, EAX, ECX, EDX, PLACES, SCRATCH, le32, mov, push, store
from hostile_lab import image_of
from hostile_pae import EFER, EFER_NXE, FIRST
from told_lab import END, FOR_PROGRAMS, FOR_THE_KERNEL, MASK, gates, told

from lguest_py.launcher.vm_memory import Switcher

SETUP, HANDLER, CODE = (0x160000 + 0x400 * n for n in range(3))
TOLD, PAGE = SCRATCH + 0x1000, SCRATCH + 0x3000
WORDS = 10
VECTOR, USER_CODE, USER_DATA = 0x30, 0x23, 0x2B
TABLE = FIRST + 0x1000 * (1 + (PAGE >> 21))
ENTRY = TABLE + 8 * (PAGE >> 12 & 511)
UPPER = DIRECTORY + 8 * 3  # the PDPTE of the upper half
FIXED, IF = 2, 0x200
LOAD_CR3 = mov(EAX, DIRECTORY) + b"\x0f\x22\xd8"
ONLY_LOWER_HALF = store(UPPER, 0) + LOAD_CR3
NX_ON = mov(ECX, EFER) + mov(EAX, EFER_NXE) + mov(EDX, 0) + b"\x0f\x30"
SEEN = b"".join(b"\xa1" + le32(0xC0000000 + page) for page in (DIRECTORY, FIRST, TABLE)) + LOAD_CR3
NO_ACCESS, READ_ONLY, FOR_KERNEL, WRITABLE = 0x66, 0x65, 0x63, 0x67
READ, WRITE, RUN = b"\xa1" + le32(PAGE), store(PAGE, 1), mov(EAX, PAGE) + b"\xff\xe0"
FAR_TABLE, FAR_DIRECTORY = 0xD00000, 0x40001000  # without a page table, and without a page directory
NX = 0x80000000


def run_fault(
    engine: str, switcher: Switcher, flags: int, upper: int, program: bytes, before: bytes
) -> tuple[list[int], int]:
    """What the handler found, and how many traps the Switcher answered."""
    clear = b"".join(store(TOLD + 4 * n, 0) for n in range(WORDS))
    handlers = gates({VECTOR: (CODE, FOR_PROGRAMS), 14: (HANDLER, FOR_THE_KERNEL)})
    entry = store(ENTRY, 0) + store(ENTRY + 4, upper) + store(ENTRY, PAGE | flags) + b"\x0f\x01\x3d" + le32(PAGE)
    down = push(USER_DATA, PLACES["USER_STACK"], FIXED | IF, USER_CODE, PLACES["USER_SLOTS"]) + b"\xcf"
    words = b"".join(b"\x8b\x44\x24" + bytes([4 * n]) + b"\xa3" + le32(TOLD + 4 * n) for n in range(6))
    own = b"\x9c\x8f\x05" + le32(TOLD + 24) + b"\x8c\x0d" + le32(TOLD + 28) + b"\x89\x25" + le32(TOLD + 32)
    tell = words + own + b"\x0f\x20\xd0\xa3" + le32(TOLD + 36) + END
    setup = MASK + handlers + clear + before + entry + down
    more = {SETUP: setup, HANDLER: tell, CODE: END}
    image = image_of("native", mov(EAX, SETUP) + b"\xff\xe0", program + b"\xcd" + bytes([VECTOR]), more, pae=True)
    (found,), answered = told(engine, switcher, image, (TOLD, WORDS))
    return found, answered


FAST: dict[str, tuple[int, int, bytes, int, int]] = {  # the entry's halves, the program, the error code, CR2
    "read": (NO_ACCESS, 0, READ, 4, PAGE),
    "write": (NO_ACCESS, 0, WRITE, 6, PAGE),
    "run": (NO_ACCESS, 0, RUN, 0x14, PAGE),
    "absent-with-other-bits": (NO_ACCESS, 0x123, READ, 4, PAGE),
    "read-only": (READ_ONLY, 0, WRITE, 7, PAGE),
    "read-only-data": (READ_ONLY, NX, READ + WRITE, 7, PAGE),
    "no-table": (WRITABLE, 0, b"\xa1" + le32(FAR_TABLE), 4, FAR_TABLE),
}
SLOW: dict[str, tuple[int, int, bytes, int, int]] = {
    "no-directory": (WRITABLE, 0, b"\xa1" + le32(FAR_DIRECTORY), 4, FAR_DIRECTORY),
    "of-the-kernel": (FOR_KERNEL, 0, READ, 5, PAGE),
    "run-data": (WRITABLE, NX, RUN, 0x15, PAGE),
    "reserved": (WRITABLE, 1 << 20, READ, 0xD, PAGE),
    "reserved-and-read-only": (READ_ONLY, 1 << 20, WRITE, 0xF, PAGE),
}


@pytest.mark.parametrize("switcher", ["lean", "classic"])
@pytest.mark.parametrize("name", [*FAST, *SLOW])
def test_each_fault_does_the_same_on_either_path(engine_name: str, name: str, switcher: Switcher) -> None:
    flags, upper, program, error, address = (FAST | SLOW)[name]
    case = flags, upper, program
    slow, few = run_fault(engine_name, switcher, *case, before=NX_ON + ONLY_LOWER_HALF)
    fast, more = run_fault(engine_name, switcher, *case, before=NX_ON + SEEN)
    assert fast == slow
    code, _eip, cs, flags, esp, ss, own_flags, own_cs, own_esp, cr2 = fast
    assert (code, cs, esp, ss, cr2) == (error, USER_CODE, PLACES["USER_STACK"], USER_DATA, address)
    assert (own_cs & 0xFFFF, own_esp) == (0x11, PLACES["STACK"] - 24)
    assert flags & IF
    assert not own_flags & IF
    assert (more > few) == (name in FAST and switcher == "lean")


@pytest.mark.parametrize("reload", [b"", LOAD_CR3])
def test_without_nx_a_fetch_looks_like_a_read(engine_name: str, reload: bytes) -> None:
    """The Host kernel has EFER.NXE on, the Guest has turned it off."""
    off = mov(ECX, EFER) + mov(EAX, 0) + mov(EDX, 0) + b"\x0f\x30" + reload
    for before in (off + SEEN, SEEN + off):
        found, _ = run_fault(engine_name, "lean", NO_ACCESS, 0, RUN, before)
        assert (found[0], found[9]) == (4, PAGE)
