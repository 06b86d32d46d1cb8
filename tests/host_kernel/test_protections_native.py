# SPDX-License-Identifier: GPL-2.0-or-later
"""One hostile native kernel for each protection that no other test reaches: what it finds, and that the Host is sound.

Its frames lead to the Host's memory, its descriptors into ring 0, its stores beside the page that they begin in.
tools/mutants removes each protection, and these tests must fail then.  Read before: told_lab.py.
"""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hostile_code import (
    DIRECTORY,
    EAX,
    ECX,
    EDX,
    ESI,
    ESP,
    GDT,
    GENERAL,
    IDT,
    LDT,
    NOT_PRESENT,
    PAGE_FAULT,
    PLACES,
    POINTER,
    RAM_END,
    SCRATCH,
    STUBS,
    TSS,
    TSS_BESIDE_GDT,
    flat,
    gate,
    le32,
    mov,
    push,
    store,
    two_words,
)
from hostile_lab import SWITCHERS, Run, harmless, host_image, image_of, run_image
from native_code import POWER_OFF
from told_lab import (
    END,
    FOR_PROGRAMS,
    FOR_THE_KERNEL,
    LOAD_GS,
    MASK,
    NOTHING,
    STORE_ECX,
    cleared,
    gates,
    stack_words,
    to_program,
    told,
)

from lguest_py.images.image import Image, Segment
from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import PAGE, Plan, Switcher
from lguest_py.shared_memory import _layouts as L

pytestmark = pytest.mark.nightly("kvm")
CODE, HANDLER, BACK = 0x160000, 0x168000, 0x16A000
TOLD, WINDOW, STACK = SCRATCH + 0x1000, SCRATCH + 0x20000, SCRATCH + 0x10000
TABLE = DIRECTORY + 0x1000  # for the first 4 MiB
UNUSED = 0x9E000  # of the machine, below the Host kernel: the canaries look there
UNTRUSTED_LAST_CLI = L.SWITCHER_STACK_PAGE + L.UNTRUSTED.fields["last_cli"][0]
RELOAD_CR3 = mov(EAX, DIRECTORY) + b"\x0f\x22\xd8"
KEEP = b"\xa3" + le32(TOLD)


def guest_physical(machine: int) -> int:
    """The Guest's address that wraps to this one of the machine, below the Guest's own memory."""
    return machine - Plan(RAM_END).guest_base & 0xFFFFFFFF


def window(frame: int, flags: int = 0x67) -> bytes:
    """Map WINDOW to a frame."""
    return store(TABLE + 4 * (WINDOW >> 12), frame & ~0xFFF | flags) + b"\x0f\x01\x3d" + le32(WINDOW)


def words(
    engine: str,
    switcher: Switcher,
    code: bytes,
    count: int = 3,
    user: bytes = b"",
    faults: tuple[int, ...] = (),
    version: str | None = None,
    back: bytes = END,
) -> list[int]:
    """Run ``code``; what it told.  One of ``faults`` is told as error code, eip and cs; ``back``: behind int 0x30."""
    handlers = gates({vector: (HANDLER, FOR_THE_KERNEL) for vector in faults} | {0x30: (BACK, FOR_PROGRAMS)})
    clear = cleared(TOLD, count)
    more = {
        CODE: clear + handlers + MASK + mov(ESP, STACK) + code + END,
        HANDLER: stack_words(TOLD, 3) + END,
        BACK: back,
    }
    image = replace(image_of("native", mov(EAX, CODE) + b"\xff\xe0", user, more), version=version)
    (found,), _ = told(engine, switcher, image, (TOLD, count))
    return found


def set_cr0(value: int) -> bytes:
    return mov(EAX, value) + b"\x0f\x22\xc0"


def start(count: int, faults: int) -> int:
    """Where ``code`` begins."""
    return CODE + 10 * count + 20 * (faults + 1) + len(MASK) + 5


# --- frames that lead to the Host's own memory ------------------------------------------------------------------------


@SWITCHERS
@pytest.mark.parametrize("write", [store(WINDOW, 7), mov(ECX, 7) + STORE_ECX + le32(WINDOW)], ids=["step", "emulated"])
def test_a_frame_that_wraps_to_the_host(engine_name: str, write: bytes, switcher: Switcher) -> None:
    """Ones are read there, and stores are lost."""
    code = window(guest_physical(UNUSED)) + write + b"\xa1" + le32(WINDOW) + KEEP
    assert words(engine_name, switcher, code, 1) == [NOTHING]


@SWITCHERS
def test_a_page_written_while_write_protection_is_off(engine_name: str, switcher: Switcher) -> None:
    """It is read-only again as soon as CR0.WP is set, though nothing in the Guest's tables changed."""
    write, unprotect, protect = store(WINDOW, 7), set_cr0(0x80000033), set_cr0(0x80010033)
    high = store(DIRECTORY + 4 * 0x300, TABLE | 0x67) + b"\xa1" + le32(0xC0000000 + TABLE)  # where dirty.c looks for it
    code = high + window(SCRATCH + 0x30000, 0x61) + 2 * RELOAD_CR3 + unprotect + write + protect + write
    found = words(engine_name, switcher, code, faults=(PAGE_FAULT,))
    assert found[0] == 3, found  # a write, to a page that is there


@SWITCHERS
def test_such_a_frame_before_there_are_descriptor_tables(engine_name: str, switcher: Switcher) -> None:
    """Nothing is write-protected then."""
    large, there = store(DIRECTORY, 0xE7), 4 << 20
    tables = large + store(DIRECTORY + 4, TABLE | 0x67) + store(TABLE, guest_physical(UNUSED) & ~0xFFF | 0x67)
    paging = b"".join(
        mov(EAX, value) + b"\x0f\x22" + bytes([0xC0 | number << 3])
        for number, value in ((4, 0x10), (3, DIRECTORY), (0, 0x80010001))
    )
    use = b"\xa1" + le32(there) + KEEP + mov(ECX, 7) + STORE_ECX + le32(there) + POWER_OFF
    code = tables + paging + use
    image = Image("early", "ELF", CODE, (Segment(CODE, code, len(code)),), b"", None, 1, personality="native")
    (found,), _ = told(engine_name, switcher, image, (TOLD, 1))
    assert found == [NOTHING]


@SWITCHERS
def test_an_exception_onto_the_hosts_memory(engine_name: str, switcher: Switcher) -> None:
    """Its frame is pushed nowhere."""
    code = gates({0x30: (CODE + 0x800, FOR_PROGRAMS)}) + window(guest_physical(UNUSED)) + mov(ESP, WINDOW + 0x800)
    image = image_of("native", mov(EAX, CODE) + b"\xff\xe0", more={CODE: code + b"\xcd\x30", CODE + 0x800: END})
    assert harmless(run_image(engine_name, image, switcher=switcher)).result.outcome.end is End.TRIPLE_FAULT


def test_an_operand_in_the_hosts_memory(engine_name: str) -> None:
    """No byte of it gets to the console."""
    code = (
        window(guest_physical(L.MACHINE_ADDRESS)) + mov(ESI, WINDOW) + mov(EDX, 0x3F8) + mov(ECX, 4) + b"\xf3\x6e" + END
    )
    run = harmless(run_image(engine_name, image_of("native", mov(EAX, CODE) + b"\xff\xe0", more={CODE: code})))
    assert run.result.outcome.end is End.POWERED_OFF
    assert run.result.console_tail == b"\xff" * 4


def host_entry() -> tuple[int, int]:
    """A page of the Host kernel's code, and where in it a word is that as an entry is present and was not used."""
    address, text = host_image(False)[1][0]
    for at in range(0, len(text) - 4, 4):
        if (value := struct.unpack_from("<I", text, at)[0]) & 0xE7 == 7 and value < RAM_END and not value & 0x20:
            return address + at & ~0xFFF, at % PAGE // 4
    raise AssertionError("none")


def test_a_page_table_that_wraps_to_the_host(engine_name: str) -> None:
    """The Host kernel would set the accessed bit in its own code."""
    page, index = host_entry()
    code = store(DIRECTORY + 4 * 5, guest_physical(page) | 0x67) + RELOAD_CR3 + b"\xa1" + le32(5 << 22 | index << 12)
    assert words(engine_name, "lean", code, 3, faults=(PAGE_FAULT,))[0] == 0


@SWITCHERS
@pytest.mark.parametrize("first", [b"", b"\x0f\x01\x3d" + le32(L.SWITCHER_BASE + 0x5000)], ids=["read", "invlpg"])
def test_the_guests_own_entry_for_the_switcher(engine_name: str, first: bytes, switcher: Switcher) -> None:
    """It is never followed."""
    entry = store(DIRECTORY + 4 * 1023, TABLE | 0x67) + RELOAD_CR3
    code = entry + first + b"\xa1" + le32(L.SWITCHER_BASE + 0x5000)
    assert words(engine_name, switcher, code, 3, faults=(PAGE_FAULT,))[0] == 0


def test_a_run_of_stores_that_leaves_the_page(engine_name: str) -> None:
    """The store behind one to the GDT is at an address that wraps to the Host, seen from the GDT's page."""
    far = guest_physical(UNUSED)
    code = mov(ECX, 7) + STORE_ECX + le32(GDT + 8 * 21) + STORE_ECX + le32(far) + KEEP
    found = words(engine_name, "lean", code, 3, faults=(PAGE_FAULT,))
    assert found[:2] == [2, start(3, 1) + 11]


@pytest.mark.parametrize("kept", [b"\xa1" + le32(UNTRUSTED_LAST_CLI) + KEEP], ids=["last-cli"])
def test_a_cli_in_the_hosts_memory(engine_name: str, kept: bytes) -> None:
    """The address of the last cli is on the Switcher's stack page, where ring 1 can write: it may be anywhere."""
    address, text = host_image(False)[1][0]
    at = address + text.index(bytes([L.INSTEAD_OF_CLI]))
    there = WINDOW + at % PAGE
    code = (
        window(guest_physical(at), 0x63)
        + store(UNTRUSTED_LAST_CLI, there)
        + mov(ECX, 5000)
        + b"\xe4\x61\xe2\xfc"
        + kept
    )
    assert words(engine_name, "lean", code, 1, version="5.10.0") == [there]


def test_a_cli_in_a_page_of_the_programs(engine_name: str) -> None:
    """It is not replaced: a program could execute what stands for it."""
    place = PLACES["USER_SLOTS"] + 0x800
    code = mov(EAX, place) + b"\xff\xd0" + b"\x0f\xb6\x05" + le32(place) + KEEP
    assert words(engine_name, "lean", b"\xfb" + code, 1, b"\x90" * 0x800 + b"\xfa\xc3", version="5.10.0") == [0xFA]


# --- descriptors that lead into ring 0 --------------------------------------------------------------------------------

ACCESS = [0xEC, 0xE5, 0x89, 0x8B, 0x82, 0x9B, 0x93, 0x9F, 0x97]  # gates, TSSs, an LDT, code and data of ring 0


@pytest.mark.parametrize("access", ACCESS, ids=hex)
def test_descriptors_are_safe(engine_name: str, access: int) -> None:
    """In both tables: the canaries look at them."""
    lldt = mov(EAX, 0x38) + b"\x0f\x00\xd0"
    code = two_words(GDT + 8 * 20, flat(access)) + two_words(LDT + 8 * 20, flat(access)) + lldt
    assert words(engine_name, "lean", code, 1) == [NOTHING]


@pytest.mark.parametrize("entry", [L.GDT_HOST_CS, L.GDT_HOST_DS, L.GDT_TSS])
def test_descriptors_of_the_host(engine_name: str, entry: int) -> None:
    assert words(engine_name, "lean", two_words(GDT + 8 * entry, flat(0xF3)), 1) == [NOTHING]


OVER = {
    "host-cs": L.GDT_HOST_CS,
    "host-ds": L.GDT_HOST_DS,
    "tss": L.GDT_TSS,
    "beyond": L.GDT_ENTRIES + 1 + L.GDT_HOST_CS,
}


@pytest.mark.parametrize("name", OVER)
def test_an_ldt_over_the_hosts_entries(engine_name: str, name: str) -> None:
    """lldt writes to the GDT that the CPU uses; "beyond" is where its second copy has the Host's code segment."""
    entry = OVER[name]
    longer = two_words(POINTER, 0x1FF << 16 | GDT << 32) + b"\x0f\x01\x15" + le32(POINTER + 2)
    code = longer + two_words(GDT + 8 * entry, 0xFF | LDT << 16 | 0x82 << 40) + mov(EAX, 8 * entry) + b"\x0f\x00\xd0"
    assert words(engine_name, "lean", code, 1) == [NOTHING]


def test_a_table_that_is_no_ldt(engine_name: str) -> None:
    """lldt of the kernel's own data segment leaves that as it is."""
    code = mov(EAX, 0x18) + b"\x0f\x00\xd0" + b"\x8e\xd8" + store(TOLD, 1)
    assert words(engine_name, "lean", code, 1) == [1]


def test_an_ldt_longer_than_a_table(engine_name: str) -> None:
    """What is behind its 8192 entries is not copied."""
    code = two_words(GDT + 8 * 20, 0xFFFF | LDT << 16 | 0x82 << 40 | 0xF << 48) + mov(EAX, 0xA0) + b"\x0f\x00\xd0"
    assert words(engine_name, "lean", code, 1) == [NOTHING]


@SWITCHERS
@pytest.mark.parametrize("entry", [31, 32, 40, 63])
def test_a_store_to_an_entry_beyond_the_cpus_gdt(engine_name: str, switcher: Switcher, entry: int) -> None:
    """The Guest's GDT may be longer than the one that the CPU has; what stands behind that is nobody's."""
    longer = two_words(POINTER, 0x1FF << 16 | GDT << 32) + b"\x0f\x01\x15" + le32(POINTER + 2)
    stores = b"".join(mov(ECX, value) + STORE_ECX + le32(GDT + 8 * entry + 4) for value in (0x00CFF300, 0x00CFF200))
    code = longer + stores + b"\xa1" + le32(GDT + 8 * entry + 4) + KEEP
    assert words(engine_name, switcher, code, 1) == [0x00CFF200]


@SWITCHERS
def test_a_descriptor_that_was_not_accessed(engine_name: str, switcher: Switcher) -> None:
    """A CPU would mark it in the table, which the Guest cannot write."""
    code = two_words(GDT + 8 * 20, flat(0x92)) + mov(EAX, 0xA0) + LOAD_GS + store(TOLD, 1)
    assert words(engine_name, switcher, code, 3, faults=(PAGE_FAULT,))[0] == 1


@SWITCHERS
def test_a_gdt_in_a_page_that_was_writable(engine_name: str, switcher: Switcher) -> None:
    """A store to it after lgdt is seen, though the page was mapped for stores before."""
    there = SCRATCH + 0x8000
    copy = b"\xfc" + mov(ESI, GDT) + b"\xbf" + le32(there) + mov(ECX, 64) + b"\xf3\xa5"
    load = two_words(POINTER, 0xFF << 16 | there << 32) + b"\x0f\x01\x15" + le32(POINTER + 2)
    change = two_words(there + 8 * 20, flat(0x93)) + mov(EAX, 0xA0) + LOAD_GS + store(TOLD, 1)
    code = two_words(GDT + 8 * 20, 0) + copy + load + change
    assert words(engine_name, switcher, code, 3, faults=(GENERAL, NOT_PRESENT))[0] == 1


# --- what a program may not do, and its kernel not say ----------------------------------------------------------------


PRIVILEGED = {
    "cli": b"\xfa",
    "sti": b"\xfb",
    "cr2": b"\x0f\x20\xd0",
    "cr3": b"\x0f\x20\xd8",
    "hlt": b"\xf4",
    "insb": b"\x6c",
    "in": b"\xe4\x61",
}


@SWITCHERS
@pytest.mark.parametrize("version", [None, "5.10.0"], ids=["sti", "popf"])
@pytest.mark.parametrize("name", PRIVILEGED)
def test_a_privileged_instruction_of_a_program_faults(
    engine_name: str, name: str, version: str | None, switcher: Switcher
) -> None:
    user = PRIVILEGED[name] + b"\xcd\x30"
    code = mov(EDX, 0x61) + to_program(0x202)
    found = words(engine_name, switcher, code, 3, user, (GENERAL,), version)
    assert found == [0, PLACES["USER_SLOTS"], 0x23]


@pytest.mark.parametrize("vector", [0x80, 0x31])
@SWITCHERS
def test_a_gate_that_is_not_for_programs(engine_name: str, vector: int, switcher: Switcher) -> None:
    code = two_words(IDT + 8 * vector, gate(BACK, 0x10, FOR_THE_KERNEL)) + to_program()
    found = words(engine_name, switcher, code, 3, b"\xcd" + bytes([vector]), (GENERAL,))
    assert found == [8 * vector + 2, PLACES["USER_SLOTS"], 0x23]


@pytest.mark.parametrize("where", [0xFFFF, 0x68], ids=["denied", "behind-the-end"])
def test_a_program_and_ports(engine_name: str, where: int) -> None:
    """The I/O bitmap of its TSS, of which 0x67 is the last byte."""
    code = b"".join(b"\x66\xc7\x05" + le32(tss + 0x66) + le32(where)[:2] for tss in (TSS, TSS_BESIDE_GDT))
    found = words(engine_name, "lean", code + to_program(), 3, b"\xe4\x61\xcd\x30", (GENERAL,))
    assert found == [0, PLACES["USER_SLOTS"], 0x23]


BAD_RETURNS = {  # a frame for a program whose code segment or instruction pointer is wrong, and the error code
    "code": (push(0x2B, PLACES["USER_STACK"], 2, 0x2B, PLACES["USER_SLOTS"]), 0x28),
    "limit": (push(0x2B, PLACES["USER_STACK"], 2, 0xA3, 0x1000), 0),
}


@SWITCHERS
@pytest.mark.parametrize("name", BAD_RETURNS)
def test_an_iret_to_a_bad_segment(engine_name: str, name: str, switcher: Switcher) -> None:
    """It faults at the iret itself."""
    frame, error = BAD_RETURNS[name]
    short = two_words(GDT + 8 * 20, 0x0040FB0000000FFF)
    found = words(engine_name, switcher, short + frame + b"\xcf", 3, faults=(GENERAL,))
    assert found == [error, start(3, 1) + len(short + frame), 0x10]


UNKNOWN = {
    "cr4": mov(EAX, 0x100000) + b"\x0f\x22\xe0",
    "efer": mov(ECX, 0xC0000080) + mov(EAX, 0x500) + mov(EDX, 0) + b"\x0f\x30",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_control_register_with_unknown_bits(engine_name: str, name: str) -> None:
    assert words(engine_name, "lean", UNKNOWN[name] + store(TOLD, 1), 3, faults=(GENERAL,))[0] == 0


def test_a_task_gate(engine_name: str) -> None:
    code = two_words(IDT + 8 * 0x31, gate(STUBS, 0x10, 0xE5)) + b"\xcd\x31"
    run: Run = harmless(run_image(engine_name, image_of("native", code)))
    assert run.result.outcome.end is End.KILLED
    assert "leads to a task gate" in run.result.outcome.reason


KERNEL_CODE = {
    "cli": b"\xfa",
    "sti": b"\xfb",
    "iret": push(2, 0x10, CODE) + b"\xcf",
    "to-a-program": to_program(),
    "cr3": b"\x0f\x20\xd8",
    "store-to-the-gdt": store(GDT + 8 * 20, 0),
    "int": b"\xcd\x30",
}


FAR, NEAR = 0x10000000, 0x1000
BIG = 1 << 54  # a segment of 32 bits
FLAT_ONLY = [
    *((name, FAR, BIG, None) for name in KERNEL_CODE),
    *((name, FAR, BIG, "5.10.0") for name in ("cli", "iret", "cr3")),
    *((name, NEAR, BIG, None) for name in ("cli", "iret")),
    *((name, 0, 0, None) for name in ("cli", "cr3")),
]


@SWITCHERS
@pytest.mark.parametrize(("name", "back", "big", "version"), FLAT_ONLY)
def test_a_kernel_in_a_code_segment_that_is_not_flat(
    engine_name: str, name: str, back: int, big: int, version: str | None, switcher: Switcher
) -> None:
    """Its instructions are not where eip says, or are others: it is refused, on the Switcher's fast paths too."""
    base, there = -back & 0xFFFFFFFF, CODE + 0x800
    segment = flat(0x9B) & ~BIG | big | (base & 0xFFFFFF) << 16 | base >> 24 << 56
    code = two_words(GDT + 8 * 25, segment)
    far = b"\xea" + le32(there + back) + le32(25 << 3)[:2]
    more = {CODE: MASK + mov(ESP, STACK) + code + far, there: KERNEL_CODE[name] + b"\xeb\xfe"}
    down = to_program()
    first = gates({0x30: (CODE, FOR_PROGRAMS)}) + down
    image = replace(image_of("native", first, b"\xcd\x30", more), version=version)
    outcome = harmless(run_image(engine_name, image, seconds=10, switcher=switcher)).result.outcome
    assert outcome.end is End.KILLED, outcome
    assert outcome.reason.startswith("the kernel runs in code segment 0xc9"), outcome


@SWITCHERS
def test_a_kernel_that_gives_its_own_code_segment_a_base(engine_name: str, switcher: Switcher) -> None:
    """It was flat at the traps before."""
    there, base = CODE + 0x800, 0x1000
    code = MASK + mov(ESP, STACK) + two_words(GDT + 8 * 25, flat(0x9B)) + b"\xea" + le32(there) + le32(25 << 3)[:2]
    change = b"\xfa" * 2 + store(GDT + 8 * 25, 0xFFFF | base << 16)
    more = {CODE: code, there: change + b"\x90" * 4, there + base: b"\x90" * len(change) + b"\xfa\xeb\xfe"}
    image = image_of("native", gates({0x30: (CODE, FOR_PROGRAMS)}) + to_program(), b"\xcd\x30", more)
    outcome = harmless(run_image(engine_name, image, seconds=10, switcher=switcher)).result.outcome
    assert (outcome.end, outcome.reason[:41]) == (End.KILLED, "the kernel runs in code segment 0xc9 (eip"), outcome
