# SPDX-License-Identifier: GPL-2.0-or-later
"""One hostile lguest Guest for each protection that no other test reaches: how it ends, and that the Host is sound.

tools/mutants removes each protection, and these tests must fail then.  Read before: hostile_lab.py.
"""

from __future__ import annotations

import pytest
from hostile_code import (
    DATA,
    DIRECTORY,
    EAX,
    EBX,
    ECX,
    EDX,
    ESP,
    GENERAL,
    PAGE_FAULT,
    PLACES,
    RAM_END,
    SCRATCH,
    STUBS,
    flat,
    gate,
    le32,
    mov,
    push,
    store,
)
from hostile_guest import CALL
from hostile_lab import SWITCHERS, Run, harmless, image_of, run_image

from lguest_py.images.image import Image, Segment
from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import PAGE, Switcher
from lguest_py.shared_memory import _layouts as L

pytestmark = pytest.mark.nightly("kvm")
LIMIT = RAM_END + L.LGUEST_DEVICE_PAGES * PAGE
BEYOND = LIMIT + 0x100000
TABLE = DIRECTORY + 0x1000  # for the first 4 MiB
USER_CODE, USER_DATA = 0x73, 0x7B
NOT_DIRECT, DIRECT = 0xEE, 0xEF  # an interrupt gate and a trap gate for programs
START, HALF = 0x100000, 0xC0000000


def call(number: int, *arguments: int) -> bytes:
    """A hypercall."""
    words = [number, *arguments, 0, 0, 0][:4]
    return b"".join(mov(register, word) for register, word in zip((EAX, EBX, ECX, EDX), words, strict=True)) + CALL


def gdt(entry: int, descriptor: int) -> bytes:
    return call(L.LHCALL_LOAD_GDT_ENTRY, entry, descriptor & 0xFFFFFFFF, descriptor >> 32)


def idt(vector: int, leads: int) -> bytes:
    return call(L.LHCALL_LOAD_IDT_ENTRY, vector, leads & 0xFFFFFFFF, leads >> 32)


def to_program(flags: int = 0x202) -> bytes:
    return push(USER_DATA, PLACES["USER_STACK"], flags, USER_CODE, PLACES["USER_SLOTS"]) + b"\xcf"


def go(
    engine: str, code: bytes, switcher: Switcher = "lean", user: bytes = b"", more: dict[int, bytes] | None = None
) -> Run:
    return harmless(run_image(engine, image_of("lguest", code, user, more), switcher=switcher))


def powers_off(run: Run) -> Run:
    assert run.result.outcome.end is End.POWERED_OFF, run.result.outcome
    return run


COUNTERS = L.MAILBOX_ADDRESS + L.MAILBOX.fields["by_hypercall"][0]
FAR = (L.MACHINE_ADDRESS - COUNTERS) // 4 + 1  # the number of a call that would be counted in struct machine
KILLS = {
    "pgd-index": (call(L.LHCALL_SET_PGD, DIRECTORY, 1024), "bad page directory entry number 1024"),
    "pte-directory": (call(L.LHCALL_SET_PTE, BEYOND, SCRATCH, 0), f"bad page directory address {BEYOND:#x}"),
    "pte-directory-odd": (call(L.LHCALL_SET_PTE, DIRECTORY + 4, SCRATCH, 0), "bad page directory address"),
    "stack-unmapped": (call(L.LHCALL_SET_STACK, L.GUEST_DS, 0x70000000, 1), "stack at 0x6ffff000 is not mapped"),
    "tls": (call(L.LHCALL_LOAD_TLS, BEYOND), f"TLS descriptors at physical {BEYOND:#x}"),
    "tls-over-the-end": (call(L.LHCALL_LOAD_TLS, LIMIT - 16), f"TLS descriptors at physical {LIMIT - 16:#x}"),
    "far-number": (call(FAR), "unknown hypercall"),
    "notify": (call(L.LHCALL_NOTIFY, BEYOND), f"a NOTIFY at physical {BEYOND:#x}"),
    "shutdown-type": (call(L.LHCALL_SHUTDOWN, SCRATCH, 7), "SHUTDOWN of unknown type 7"),
    "shutdown-message": (call(L.LHCALL_SHUTDOWN, BEYOND, L.SHUTDOWN_POWEROFF), "a SHUTDOWN message at physical"),
}


@pytest.mark.parametrize("name", KILLS)
def test_a_hypercall_that_kills(engine_name: str, name: str) -> None:
    code, reason = KILLS[name]
    outcome = go(engine_name, code).result.outcome
    assert (outcome.end, reason in outcome.reason) == (End.KILLED, True), outcome


def early(code: bytes) -> Image:
    """A Guest that has done nothing before ``code``."""
    return Image("early", "ELF", START, (Segment(START, code, len(code)),), b"", None, 1, personality="lguest")


EARLY = {
    "beyond": (b"\xa1" + le32(BEYOND), f"access to {BEYOND:#x}, beyond the Guest's memory, before it has page tables"),
    "lguest-data-over-the-end": (call(L.LHCALL_LGUEST_INIT, RAM_END - 64), "lguest_data at bad physical address"),
    "lguest-data-odd": (call(L.LHCALL_LGUEST_INIT, DATA + 2), "lguest_data at bad physical address"),
    "early-hypercall": (call(L.LHCALL_TS, 1), "hypercall 8 before LGUEST_INIT"),
}


@pytest.mark.parametrize("name", EARLY)
def test_before_there_are_page_tables(engine_name: str, name: str) -> None:
    code, reason = EARLY[name]
    outcome = harmless(run_image(engine_name, early(code + b"\xeb\xfe"))).result.outcome
    assert (outcome.end, reason in outcome.reason) == (End.KILLED, True), outcome


@pytest.mark.parametrize("entry", [L.GDT_HOST_CS, L.GDT_HOST_DS, L.GDT_TSS])
def test_descriptors_of_the_host(engine_name: str, entry: int) -> None:
    """They stay as they are, whatever the Guest loads there."""
    powers_off(go(engine_name, gdt(entry, flat(0xF3))))


@pytest.mark.parametrize("access", [0x9B, 0x93, 0x9F])
def test_descriptors_of_ring_0(engine_name: str, access: int) -> None:
    """They become those of ring 1."""
    powers_off(go(engine_name, gdt(17, flat(access))))


@SWITCHERS
def test_descriptors_that_were_not_accessed(engine_name: str, switcher: Switcher) -> None:
    """A CPU would mark them in the table, which the Guest cannot write."""
    run = powers_off(go(engine_name, gdt(17, flat(0xB2)) + mov(EAX, 0x89) + b"\x8e\xe8", switcher))
    assert PAGE_FAULT not in run.result.snapshot.by_vector or not run.result.snapshot.faults_reflected


def test_a_gate_with_the_hosts_selector(engine_name: str) -> None:
    powers_off(go(engine_name, idt(0x80, gate(STUBS, L.HOST_CS, DIRECT))))


@pytest.mark.parametrize("vector", [L.VECTOR_TIMER, L.VECTOR_DOORBELL, L.VECTOR_SPURIOUS])
def test_a_forged_interrupt(engine_name: str, vector: int) -> None:
    """A vector of the machine cannot be raised by an instruction, whatever its gate says."""
    last = store(PLACES["BUDGET"], 1)  # any trap ends it
    leads = idt(vector, gate(STUBS, L.GUEST_CS, NOT_DIRECT))
    run = powers_off(go(engine_name, leads + last + b"\xcd" + bytes([vector])))
    assert run.result.snapshot.by_vector.get(GENERAL) == 1


@SWITCHERS
@pytest.mark.parametrize("vector", [10, 14, 17, 21, 29, 30])
def test_an_int_of_a_vector_with_an_error_code(engine_name: str, vector: int, switcher: Switcher) -> None:
    """It pushes none, and so must not arrive where one is expected, though its gate is for programs."""
    error, place = vector << 3 | 2, 0x135000
    code = idt(GENERAL, gate(place, L.GUEST_CS, 0x8E)) + idt(vector, gate(place + 0x40, L.GUEST_CS, NOT_DIRECT))
    handlers = b"\x81\x3c\x24" + le32(error) + b"\x74\x02\xeb\xfe" + store(PLACES["BUDGET"], 1) + b"\x0f\x0b"
    more = {place: handlers.ljust(0x40, b"\x90") + b"\xeb\xfe"}
    powers_off(go(engine_name, code + to_program(), switcher, b"\xcd" + bytes([vector]), more))


def test_a_machines_vector_as_system_call(engine_name: str) -> None:
    """Its gate does not go direct: the canaries would see it."""
    data = bytearray(L.LGUEST_DATA.size)
    status = L.LGUEST_DATA.fields["hcall_status"][0]
    data[status : status + L.HCALL_RING] = bytes([L.HCALL_FREE]) * L.HCALL_RING
    for name, value in (("kernel_address", HALF), ("syscall_vec", L.VECTOR_DOORBELL)):
        at = L.LGUEST_DATA.fields[name][0]
        data[at : at + 4] = le32(value)
    last = store(PLACES["BUDGET"], 1)
    code = idt(L.VECTOR_DOORBELL, gate(STUBS, L.GUEST_CS, DIRECT)) + last + b"\xcd" + bytes([L.VECTOR_DOORBELL])
    run = powers_off(go(engine_name, code, more={DATA: bytes(data)}))
    assert run.result.snapshot.by_vector.get(GENERAL) == 1


@SWITCHERS
def test_a_trap_gate_for_page_faults(engine_name: str, switcher: Switcher) -> None:
    """It does not go direct, for the shadow has its own faults, which the kernel must not see."""
    code = idt(PAGE_FAULT, gate(STUBS + 16 * PAGE_FAULT, L.GUEST_CS, DIRECT)) + b"\xa1" + le32(SCRATCH + 0x9000)
    run = powers_off(go(engine_name, code, switcher))
    assert run.result.snapshot.faults_reflected == 0


def test_the_hypercalls_gate_is_the_hosts(engine_name: str) -> None:
    """A change of it is ignored: the call behind it arrives."""
    code = idt(L.HYPERCALL_VECTOR, gate(STUBS, L.GUEST_CS, DIRECT)) + call(L.LHCALL_SHUTDOWN, SCRATCH, 7)
    assert "SHUTDOWN of unknown type 7" in go(engine_name, code).result.outcome.reason


def test_console_text_at_the_end_of_memory(engine_name: str) -> None:
    """It ends there; what is behind it is another's memory."""
    last = RAM_END - 3
    code = store(TABLE + 4 * 0x2FF, RAM_END - PAGE | 0x67) + call(L.LHCALL_FLUSH_TLB, 1)
    for offset, letter in enumerate(b"end"):
        code += b"\xc6\x05" + le32(0x2FF000 + last % PAGE + offset) + bytes([letter])
    device = RAM_END  # whose descriptors begin with a type that is not 0: they would be text
    code += b"\xa1" + le32(device) + call(L.LHCALL_NOTIFY, last)
    run = powers_off(go(engine_name, code))
    assert run.result.console_tail.endswith(b"end")


@SWITCHERS
def test_a_frame_over_two_pages(engine_name: str, switcher: Switcher) -> None:
    """The second page is another one in the Guest's page tables than behind the first."""
    first, second, other = 0x2F0000, 0x2F1000, 0x340000
    code = store(TABLE + 4 * (second >> 12), other | 0x67) + call(L.LHCALL_FLUSH_TLB, 1)
    code += store(second, 1) + b"\xa1" + le32(first) + store(first, 0) + mov(ESP, second + 4) + b"\xcd\x30"
    leads = idt(0x30, gate(PLACES["USER_SLOTS"], L.GUEST_CS, NOT_DIRECT))
    handler = b"\x8b\x44\x24\x08\xa9\x02\x00\x00\x00\x75\x02\xeb\xfe" + store(PLACES["BUDGET"], 1) + b"\x0f\x0b"
    powers_off(go(engine_name, leads + code, switcher, handler))


@SWITCHERS
@pytest.mark.parametrize("flag", [0x100, 0x4000], ids=["TF", "NT"])
def test_a_handler_runs_without_the_programs_flags(engine_name: str, flag: int, switcher: Switcher) -> None:
    """The handler of its invalid opcode looks at its own flags, and dies if it has them."""
    vector = 6
    look = b"\x9c\x58\xa9" + le32(flag) + b"\x74\x02\xeb\xfe" + mov(ESP, PLACES["STACK"])
    handler = look + store(PLACES["BUDGET"], 1) + b"\x0f\x0b"
    place = 0x135000
    code = idt(vector, gate(place, L.GUEST_CS, 0x8E)) + idt(1, gate(place, L.GUEST_CS, 0x8E)) + to_program(0x202 | flag)
    run = go(
        engine_name,
        code,
        switcher,
        b"\x0f\x0b",
        {place: handler[:-2] + idt(vector, gate(STUBS + 16 * vector, L.GUEST_CS, 0x8E)) + b"\x0f\x0b"},
    )
    powers_off(run)


# The kernel has read its page tables where the Switcher reads them, so that it can.
TABLES_SEEN = b"".join(b"\xa1" + le32(HALF + place) for place in (DIRECTORY, TABLE))
FAULTS = {  # an entry for the program's page, its access, and the error code that its kernel gets; None: none
    "absent": (0x66, b"\xa1", 4),
    "of-the-kernel": (0x63, b"\xa1", 5),
    "of-the-kernel-write": (0x63, b"\xff\x05", 5),
    "read-only": (0x65, b"\xff\x05", 7),
    "allowed": (0x67, b"\xff\x05", None),
    "first-access": (0x07, b"\xff\x05", None),
    "first-access-read-only": (0x05, b"\xa1", None),
}
READ_THEN_WRITE = 0x27, b"\xa1" + le32(0x300000 + 0x8000) + b"\xff\x05"  # accessed, not yet dirty
FAULTS["first-write"] = (*READ_THEN_WRITE, None)


@SWITCHERS
@pytest.mark.parametrize("name", FAULTS)
def test_a_programs_fault_is_reflected_or_filled(engine_name: str, name: str, switcher: Switcher) -> None:
    flags, opcode, error = FAULTS[name]
    page, told, place = 0x300000 + 0x8000, 0x300000 + 0x1000, 0x135000
    done = store(PLACES["BUDGET"], 1) + idt(6, gate(STUBS + 16 * 6, L.GUEST_CS, 0x8E)) + b"\x0f\x0b"
    handler = b"\x8b\x04\x24\x3d" + le32(99 if error is None else error) + b"\x74\x02\xeb\xfe" + done
    look = b"\x83\x3d" + le32(told) + b"\x00"  # nothing: it is there to be mapped
    code = store(TABLE + 4 * (page >> 12), page | flags) + call(L.LHCALL_FLUSH_TLB, 1) + TABLES_SEEN + look
    code += idt(PAGE_FAULT, gate(place, L.GUEST_CS, 0x8E))
    code += idt(6, gate(place + 0x200, L.GUEST_CS, 0x8E)) + to_program()
    behind = done if error is None else b"\xeb\xfe"
    run = go(engine_name, code, switcher, opcode + le32(page) + b"\x0f\x0b", {place: handler, place + 0x200: behind})
    powers_off(run)


@SWITCHERS
@pytest.mark.parametrize("flag", [0x100, 0x4000], ids=["TF", "NT"])
def test_a_page_faults_handler_runs_without_the_programs_flags(engine_name: str, flag: int, switcher: Switcher) -> None:
    """Its entry is there and read-only, so that the Switcher may reflect the fault."""
    page, place = SCRATCH + 0x8000, 0x135000
    look = b"\x9c\x58\xa9" + le32(flag) + b"\x74\x02\xeb\xfe" + mov(ESP, PLACES["STACK"])
    undefined = idt(6, gate(STUBS + 16 * 6, L.GUEST_CS, 0x8E))
    handler = look + store(PLACES["BUDGET"], 1) + undefined + b"\x0f\x0b"
    code = store(TABLE + 4 * (page >> 12), page | 0x65) + call(L.LHCALL_FLUSH_TLB, 1) + b"\xa1" + le32(page)
    code += TABLES_SEEN + idt(PAGE_FAULT, gate(place, L.GUEST_CS, 0x8E)) + to_program(0x202 | flag)
    powers_off(go(engine_name, code, switcher, b"\xff\x05" + le32(page) + b"\xeb\xfe", {place: handler}))


@SWITCHERS
def test_a_programs_fault_at_an_entry_that_was_taken_away(engine_name: str, switcher: Switcher) -> None:
    """The shadow still has it, because nothing was flushed: the kernel's handler hears of a page that is not there."""
    page, place = SCRATCH + 0x8000, 0x135000
    handler = b"\x8b\x04\x24\x3d" + le32(6) + b"\x74\x02\xeb\xfe" + store(PLACES["BUDGET"], 1)
    handler += idt(6, gate(STUBS + 16 * 6, L.GUEST_CS, 0x8E)) + b"\x0f\x0b"
    code = store(TABLE + 4 * (page >> 12), page | 0x65) + call(L.LHCALL_FLUSH_TLB, 1)
    code += idt(PAGE_FAULT, gate(place, L.GUEST_CS, 0x8E)) + b"\xa1" + le32(page)
    code += TABLES_SEEN + store(TABLE + 4 * (page >> 12), 0) + to_program()
    powers_off(go(engine_name, code, switcher, b"\xff\x05" + le32(page) + b"\xeb\xfe", {place: handler}))


@SWITCHERS
def test_a_fault_of_the_kernels_own(engine_name: str, switcher: Switcher) -> None:
    """It is delivered on the stack that the kernel is on."""
    place, top = 0x135000, PLACES["STACK"] - 0x400
    handler = b"\x81\xfc" + le32(top - 16) + b"\x74\x02\xeb\xfe" + store(PLACES["BUDGET"], 1) + b"\x0f\x0b"
    leads = idt(PAGE_FAULT, gate(place, L.GUEST_CS, 0x8E))
    code = leads + mov(ESP, top) + b"\xa1" + le32(0x70000000)
    powers_off(go(engine_name, code, switcher, more={place: handler}))


@SWITCHERS
@pytest.mark.parametrize("enabled", [0, 0x200])
def test_a_page_faults_frame_has_the_flag_of_lguest_data(engine_name: str, enabled: int, switcher: Switcher) -> None:
    """And the handler runs without it."""
    page, place = SCRATCH + 0x8000, 0x135000
    look = b"\x8b\x44\x24\x0c\x25" + le32(0x200) + b"\x3d" + le32(enabled) + b"\x74\x02\xeb\xfe"  # the frame's flags
    look += b"\x83\x3d" + le32(DATA) + b"\x00\x74\x02\xeb\xfe"
    undefined = idt(6, gate(STUBS + 16 * 6, L.GUEST_CS, 0x8E))
    handler = look + store(PLACES["BUDGET"], 1) + undefined + b"\x0f\x0b"
    code = store(TABLE + 4 * (page >> 12), page | 0x65) + call(L.LHCALL_FLUSH_TLB, 1) + b"\xa1" + le32(page)
    code += call(L.LHCALL_SET_CLOCKEVENT, 0) + TABLES_SEEN + idt(PAGE_FAULT, gate(place, L.GUEST_CS, 0x8E))
    code += store(DATA, enabled) + to_program(0x202)
    powers_off(go(engine_name, code, switcher, b"\xff\x05" + le32(page) + b"\xeb\xfe", {place: handler}))


@SWITCHERS
def test_a_programs_page_fault_without_a_handler(engine_name: str, switcher: Switcher) -> None:
    code = TABLES_SEEN + idt(PAGE_FAULT, 0) + to_program()
    outcome = go(engine_name, code, switcher, b"\xa1" + le32(0x70000000)).result.outcome
    assert (outcome.end, "without a handler" in outcome.reason) == (End.KILLED, True), outcome
