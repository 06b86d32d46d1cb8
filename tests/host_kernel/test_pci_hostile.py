# SPDX-License-Identifier: GPL-2.0-or-later
"""I/O memory used as it cannot be used: the Guest gets the fault that a CPU gives, or dies with a reason.

What a program does never ends its kernel.  Sources: Intel SDM vol. 3, 4.7 and 6.15.
Read before: tests/lab/devices/pci_lab.py.
"""

from __future__ import annotations

import random
import struct

import pytest
from hostile_code import (
    DEBUG,
    DIRECTORY,
    EAX,
    EBX,
    ECX,
    EDI,
    EDX,
    ESI,
    ESP,
    GENERAL,
    IDT,
    PAGE_FAULT,
    PLACES,
    SCRATCH,
    gate,
    le32,
    mov,
    push,
    store,
    two_words,
)
from hostile_lab import PERSONALITIES, SWITCHERS
from pci_lab import (
    BAR,
    CODE,
    IN,
    MMIO,
    OUT,
    RESULTS,
    WINDOW_BASE,
    WINDOW_BYTES,
    Done,
    Function,
    PciMachine,
    Program,
    Request,
    image_for,
    run_program,
)

from lguest_py.images.image import Personality
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L

HANDLER, TOLD = 0x368000, RESULTS + 0x800
PRESENT, WRITE, USER = 1, 2, 4
SELECTORS = {"native": (0x2B, 0x23), "lguest": (0x7B, 0x73)}
CONFIGURATION = MMIO + L.BAR_DEVICE
NOT_EMULATED = {
    "movaps": b"\x0f\x28\x05" + le32(CONFIGURATION),
    "movq": b"\x0f\x6f\x05" + le32(CONFIGURATION),
    "fld": b"\xd9\x05" + le32(CONFIGURATION),
    "push": b"\xff\x35" + le32(CONFIGURATION),
    "pop": b"\x50\x8f\x05" + le32(CONFIGURATION),
    "call": b"\xff\x15" + le32(CONFIGURATION),
    "cmpxchg": b"\x0f\xb1\x0d" + le32(CONFIGURATION),
    "bt": b"\x0f\xba\x25" + le32(CONFIGURATION) + b"\x03",
    "les": b"\xc4\x05" + le32(CONFIGURATION),
    "scasb": mov(EDI, CONFIGURATION) + b"\xae",
}
BEFORE = {"pop": 1, "scasb": 5}  # bytes of what prepares it


def catch(program: Program, *vectors: int) -> dict[int, bytes]:
    """Whatever of these comes: keep the vector, error code, eip and cr2, and end.  What else is in memory."""
    more = {}
    for number, vector in enumerate(vectors):
        there = HANDLER + 0x100 * number
        leads = gate(there, 0x10 if program.personality == "native" else L.GUEST_CS, 0x8E)
        code = b"" if vector in (GENERAL, PAGE_FAULT) else b"\x6a\x00"
        code += b"".join(b"\x36\x8f\x05" + le32(TOLD + 4 * place) for place in (1, 2))  # pop, of ss
        cr2 = b"\x0f\x20\xd0" if program.personality == "native" else b"\x36\xa1" + le32(PLACES["DATA"] + 8)
        code += cr2 + b"\x36\xa3" + le32(TOLD + 12)
        code += b"\x36\xc7\x05" + le32(TOLD) + le32(vector)
        more[there] = code + b"\x36\xc7\x05" + le32(PLACES["BUDGET"]) + le32(1) + b"\x0f\x0b"
        if program.personality == "native":
            program.raw(two_words(IDT + 8 * vector, leads))
        else:
            program.raw(mov(EAX, L.LHCALL_LOAD_IDT_ENTRY), mov(EBX, vector))
            program.raw(mov(ECX, leads & 0xFFFFFFFF), mov(EDX, leads >> 32), b"\xcd\x1f")
    return more


def to_ring_3(program: Program, flags: int = 2) -> None:
    """Go on at USER_SLOTS; a trap that nobody catches ends the run."""
    data, text = SELECTORS[program.personality]
    program.raw(store(PLACES["BUDGET"], 1), mov(EAX, data), b"\x8e\xd8\x8e\xc0")
    program.raw(push(data, PLACES["USER_STACK"], flags, text, PLACES["USER_SLOTS"]) + b"\xcf")


def here(program: Program) -> int:
    """The address of the next instruction."""
    return CODE + len(program.code)


def told(done: Done) -> tuple[int, ...]:
    """The vector, error code, eip and cr2 that the handler was given."""
    return struct.unpack_from("<4I", done.memory, TOLD)


def run(
    engine_name: str, program: Program, more: dict[int, bytes], user: bytes = b"", switcher: Switcher = "lean"
) -> Done:
    """Run it and keep its memory; each register tells its offset."""
    image = image_for(program, user, more)

    def answer(request: Request) -> int:
        return 0xA5A50000 | request.offset

    done = PciMachine(engine_name, image, answer=answer, switcher=switcher).run(results=program.kept, memory=True)
    assert not done.wrong
    assert done.snapshot.end_kind not in (L.END_INTERNAL, L.END_NONE), done.reason
    return done


# --- what is not emulated ---------------------------------------------------------------------------------------------


@pytest.mark.nightly("kvm")
@SWITCHERS
@pytest.mark.parametrize("name", NOT_EMULATED)
@PERSONALITIES
def test_a_kernel_dies_of_an_instruction(
    engine_name: str, personality: Personality, name: str, switcher: Switcher
) -> None:
    """The reason has its address, its bytes, and what it wanted."""
    program = Program(personality)
    program.map()
    code = NOT_EMULATED[name]
    where = here(program) + BEFORE.get(name, 0)
    program.raw(code)
    done = run_program(engine_name, program, switcher=switcher)
    assert done.snapshot.end_kind == L.END_KILLED
    assert f"instruction at {where:#x}, bytes {code[BEFORE.get(name, 0) :][:8].hex(' ')}" in done.reason
    assert f"{CONFIGURATION:#x}" in done.reason


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize("name", NOT_EMULATED)
@PERSONALITIES
def test_a_program_gets_a_protection_fault(engine_name: str, personality: Personality, name: str) -> None:
    program = Program(personality)
    program.map()
    more = catch(program, GENERAL, PAGE_FAULT)
    to_ring_3(program)
    code = NOT_EMULATED[name]
    done = run(engine_name, program, more, code)
    assert done.powered_off, done.reason
    assert told(done)[:3] == (GENERAL, 0, PLACES["USER_SLOTS"] + BEFORE.get(name, 0))


@PERSONALITIES
def test_execution(engine_name: str, personality: Personality) -> None:
    program = Program(personality)
    program.map()
    program.raw(mov(EAX, CONFIGURATION), b"\xff\xe0")
    done = run_program(engine_name, program)
    assert done.snapshot.end_kind == L.END_KILLED
    assert done.reason == f"the Guest executes I/O memory at {CONFIGURATION:#x}"
    assert not done.requests


@PERSONALITIES
def test_execution_by_a_program(engine_name: str, personality: Personality) -> None:
    program = Program(personality)
    program.map()
    more = catch(program, GENERAL, PAGE_FAULT)
    to_ring_3(program)
    done = run(engine_name, program, more, mov(EAX, CONFIGURATION) + b"\xff\xe0")
    assert told(done)[:3] == (GENERAL, 0, CONFIGURATION)
    assert not done.requests


@PERSONALITIES
def test_an_instruction_that_leads_into_it(engine_name: str, personality: Personality) -> None:
    """Its first byte is memory, the others are not."""
    program = Program(personality)
    program.map(0x330000, count=1)
    program.map(BAR, MMIO + 0x1000)
    program.raw(b"\xc6\x05" + le32(MMIO + 0xFFF) + b"\x8b", mov(EAX, MMIO + 0xFFF), b"\xff\xe0")
    done = run_program(engine_name, program)
    assert done.snapshot.end_kind == L.END_KILLED
    assert f"instruction at {MMIO + 0xFFF:#x}, bytes 8b, cannot" in done.reason


@PERSONALITIES
def test_a_stack(engine_name: str, personality: Personality) -> None:
    program = Program(personality)
    program.map()
    program.raw(mov(ESP, CONFIGURATION + 0x100))
    where = here(program)
    program.raw(b"\x50")
    done = run_program(engine_name, program)
    assert done.snapshot.end_kind == L.END_KILLED
    assert f"instruction at {where:#x}, bytes 50" in done.reason


@SWITCHERS
@PERSONALITIES
def test_an_exception_on_such_a_stack(engine_name: str, personality: Personality, switcher: Switcher) -> None:
    program = Program(personality)
    program.map()
    program.raw(mov(ESP, CONFIGURATION + 0x100), b"\x0f\x0b")
    done = run_program(engine_name, program, switcher=switcher)
    if personality == "native":
        assert done.snapshot.end_kind == L.END_TRIPLE_FAULT
    else:
        assert (done.snapshot.end_kind, done.reason[:12]) == (L.END_KILLED, "cannot write")
    assert not done.requests


@SWITCHERS
@PERSONALITIES
def test_a_system_call_onto_such_a_stack(engine_name: str, personality: Personality, switcher: Switcher) -> None:
    """The CPU itself would push there."""
    program = Program(personality)
    program.map()
    top = CONFIGURATION + 0x100
    if personality == "native":
        program.raw(store(PLACES["TSS"] + 4, top))
    else:
        program.raw(mov(EAX, L.LHCALL_SET_STACK), mov(EBX, L.GUEST_DS), mov(ECX, top), mov(EDX, 1), b"\xcd\x1f")
    to_ring_3(program)
    done = run(engine_name, program, {}, b"\xcd\x80", switcher)
    assert not done.powered_off
    if personality == "native":
        assert done.snapshot.end_kind == L.END_TRIPLE_FAULT
    else:
        assert done.reason.startswith("the kernel stack at")


# --- rights -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "code", "error"),
    [
        (0x65, b"\xa3" + le32(CONFIGURATION), PRESENT | WRITE | USER),
        (0x63, b"\xa1" + le32(CONFIGURATION), PRESENT | USER),
        (0x63, b"\xa3" + le32(CONFIGURATION), PRESENT | WRITE | USER),
        (0x66, b"\xa1" + le32(CONFIGURATION), USER),
        (0x65, b"\x09\x05" + le32(CONFIGURATION), PRESENT | WRITE | USER),
    ],
    ids=["read-only", "the-kernels", "the-kernels-write", "absent", "or"],
)
@PERSONALITIES
def test_page_tables_hold_for_programs(
    engine_name: str, personality: Personality, flags: int, code: bytes, error: int
) -> None:
    program = Program(personality)
    program.map(flags=flags)
    more = catch(program, GENERAL, PAGE_FAULT)
    to_ring_3(program)
    done = run(engine_name, program, more, code)
    assert told(done) == (PAGE_FAULT, error, PLACES["USER_SLOTS"], CONFIGURATION)
    assert not [request for request in done.requests if request.value is not None]


@PERSONALITIES
def test_a_read_only_page_of_the_kernels(engine_name: str, personality: Personality) -> None:
    program = Program(personality)
    program.map(flags=0x65)
    more = catch(program, GENERAL, PAGE_FAULT)
    program.load(L.BAR_DEVICE)
    program.raw(mov(EAX, 1))
    where = here(program)
    program.raw(b"\xa3" + le32(CONFIGURATION))
    done = run(engine_name, program, more)
    assert told(done) == (PAGE_FAULT, PRESENT | WRITE, where, CONFIGURATION)
    assert len(done.requests) == 1


SECRET = 0x338000  # a page of the kernel's


@pytest.mark.parametrize("out", [True, False], ids=["from-the-kernel", "to-the-kernel"])
@PERSONALITIES
def test_a_string_move_is_no_way_to_the_kernels_memory(engine_name: str, personality: Personality, out: bool) -> None:
    """The first unit is allowed, the second is not: eip stays, and the registers tell how far it came."""
    program = Program(personality)
    program.map()
    more = catch(program, GENERAL, PAGE_FAULT)
    program.raw(store(DIRECTORY + 0x1000 + 4 * ((SECRET >> 12) - 1), SECRET - 0x1000 | 0x67))
    program.flush(SECRET - 0x1000)
    to_ring_3(program)
    source, destination = (SECRET - 4, CONFIGURATION) if out else (CONFIGURATION, SECRET - 4)
    code = mov(ESI, source) + mov(EDI, destination) + mov(ECX, 3) + b"\xf3\xa5"
    done = run(engine_name, program, {**more, SECRET: b"\x5a" * 16, SECRET - 16: b"\x11" * 16}, code)
    error = (0 if out else WRITE) | USER | PRESENT
    assert told(done) == (PAGE_FAULT, error, PLACES["USER_SLOTS"] + 15, SECRET)
    assert done.memory[SECRET : SECRET + 16] == b"\x5a" * 16
    if out:
        assert [request.value for request in done.requests] == [0x11111111]
    else:
        assert done.memory[SECRET - 4 : SECRET] == le32(0xA5A50000 | L.BAR_DEVICE)


@PERSONALITIES
def test_an_access_whose_second_page_is_absent(engine_name: str, personality: Personality) -> None:
    """Nothing reaches the first."""
    program = Program(personality)
    program.map(count=3)
    program.map(0, MMIO + 0x3000, 1, 0)
    more = catch(program, GENERAL, PAGE_FAULT)
    program.raw(mov(EAX, 0x12345678))
    where = here(program)
    program.raw(b"\xa3" + le32(MMIO + 0x2FFE))
    done = run(engine_name, program, more)
    assert told(done) == (PAGE_FAULT, WRITE, where, MMIO + 0x3000)
    assert not done.requests


@pytest.mark.parametrize("first", [True, False], ids=["memory-first", "bar-first"])
@PERSONALITIES
def test_an_access_to_memory_and_a_bar(engine_name: str, personality: Personality, first: bool) -> None:
    program = Program(personality)
    program.map(0x330000 if first else BAR + L.BAR_DEVICE, MMIO, 1)
    program.map(BAR + L.BAR_DEVICE if first else 0x330000, MMIO + 0x1000, 1)
    program.store(0xFFE, 0x44332211)
    program.load(0xFFE)
    done = run(engine_name, program, {})
    writes = [(request.offset, request.value) for request in done.requests if request.value is not None]
    if first:
        assert done.memory[0x330FFE:0x331000] == b"\x11\x22"
        assert writes == [(L.BAR_DEVICE, 0x33), (L.BAR_DEVICE + 1, 0x44)]
        assert done.results == [0x01002211]
    else:
        assert done.memory[0x330000:0x330002] == b"\x33\x44"
        assert writes == [(L.BAR_DEVICE + 0xFFE, 0x11), (L.BAR_DEVICE + 0xFFF, 0x22)]
        assert done.results == [0x4433FFFE]


@PERSONALITIES
def test_a_debugger_steps_through_an_access(engine_name: str, personality: Personality) -> None:
    program = Program(personality)
    program.map()
    more = catch(program, DEBUG)
    to_ring_3(program, 0x102)
    code = b"\xa1" + le32(CONFIGURATION)
    done = run(engine_name, program, more, code + b"\x90\x90")
    assert told(done)[:3] == (DEBUG, 0, PLACES["USER_SLOTS"] + len(code))
    assert len(done.requests) == 1


# --- page tables ------------------------------------------------------------------------------------------------------


@SWITCHERS
@PERSONALITIES
def test_a_bar_as_a_page_table(engine_name: str, personality: Personality, switcher: Switcher) -> None:
    program = Program(personality)
    more = catch(program, PAGE_FAULT)
    program.raw(store(DIRECTORY + 4 * 0x100, BAR | 0x67))
    program.flush(0x40000000)
    where = here(program)
    program.raw(b"\xa1" + le32(0x40000000))
    done = run(engine_name, program, more, switcher=switcher)
    if personality == "native":
        assert told(done) == (PAGE_FAULT, 0, where, 0x40000000)
    else:
        assert done.snapshot.end_kind == L.END_KILLED
        assert "points beyond memory" in done.reason


@PERSONALITIES
def test_a_bar_as_a_page_directory(engine_name: str, personality: Personality) -> None:
    program = Program(personality)
    if personality == "native":
        program.raw(mov(EAX, BAR), b"\x0f\x22\xd8")
    else:
        program.raw(mov(EAX, L.LHCALL_NEW_PGTABLE), mov(EBX, BAR), b"\xcd\x1f")
    done = run(engine_name, program, {})
    assert done.snapshot.end_kind == L.END_KILLED
    assert f"{BAR:#x}" in done.reason


def test_a_large_page(engine_name: str) -> None:
    program = Program("native")
    program.raw(store(DIRECTORY + 4 * 0x100, WINDOW_BASE | 0xE7))
    program.flush(0x40000000)
    program.raw(b"\xa1" + le32(0x40000000 + BAR - WINDOW_BASE + 8))
    program.keep()
    assert run(engine_name, program, {}).results == [0xA5A50008]


@pytest.mark.parametrize("physical", [WINDOW_BASE + WINDOW_BYTES, WINDOW_BASE - 0x1000, 0xFFFFF000])
def test_the_page_tables_of_lguest_stay_strict(engine_name: str, physical: int) -> None:
    program = Program("lguest")
    program.map(physical, count=1)
    program.load(0)
    done = run(engine_name, program, {})
    assert done.snapshot.end_kind == L.END_KILLED
    assert "points beyond memory" in done.reason


@pytest.mark.parametrize("told_by", ["fault", "SET_PTE"])
@SWITCHERS
def test_an_entry_changes_between_memory_and_a_bar(engine_name: str, told_by: str, switcher: Switcher) -> None:
    """lguest: the shadow has the one, then nothing, then the other."""
    program = Program("lguest")
    for physical in (0x330000, BAR, 0x330000, BAR):
        entry = physical | 0x67
        program.raw(store(DIRECTORY + 0x1000 + 4 * (MMIO >> 12), entry))
        if told_by == "SET_PTE":
            program.raw(mov(EAX, L.LHCALL_SET_PTE), mov(EBX, DIRECTORY), mov(ECX, MMIO), mov(EDX, entry), b"\xcd\x1f")
        else:
            program.flush(MMIO)
        program.load(8)
    done = run(engine_name, program, {0x330008: b"abcd"}, switcher=switcher)
    memory, register = int.from_bytes(b"abcd", "little"), 0xA5A50008
    assert done.results == [memory, register, memory, register]


# --- at random --------------------------------------------------------------------------------------------------------


def random_access(r: random.Random, program: Program) -> None:
    """One access to ports or a BAR, mostly sensible."""
    value = r.choice((0, 1, 0xFFFFFFFF, r.getrandbits(32), BAR, r.randrange(L.BAR_BYTES)))
    match r.randrange(6):
        case 0:
            size = r.choice((1, 2, 4))
            program.raw(mov(EAX, value), mov(EDX, r.randrange(0xCF4, 0xD02)), r.choice((IN[size], b"\x90")))
        case 1:
            port = r.choice((0xCF8, *range(0xCFA, 0xD02)))
            program.raw(mov(EAX, value), mov(EDX, port), OUT[r.choice((1, 2, 4))])
        case 2:
            program.configure(r.randrange(32), r.randrange(256), value, r.choice((1, 2, 4)))
        case 3:
            program.configure(3, r.choice((0x10, 4, 0x74, 0x78, 0x7C, 0x80)), value, r.choice((1, 2, 4)))
        case 4:
            program.raw(mov(EAX, value))
            opcode = r.choice((b"\xa2", b"\xa3", b"\x66\xa3", b"\xa0", b"\xa1", b"\x66\xa1", b"\x0b\x05", b"\x01\x05"))
            program.raw(opcode + le32(MMIO + r.randrange(L.BAR_BYTES - 4)))
        case _:
            program.raw(mov(ESI, MMIO + r.randrange(0x3000)), mov(EDI, r.choice((MMIO, SCRATCH)) + r.randrange(0x3000)))
            program.raw(mov(ECX, r.randrange(40)), b"\xf3", r.choice((b"\xa4", b"\xa5", b"\xab", b"\xad")))


@pytest.mark.parametrize("seed", range(6))
@PERSONALITIES
def test_random_accesses_do_no_harm(engine_name: str, personality: Personality, seed: int) -> None:
    r = random.Random(seed)
    program = Program(personality)
    program.map()
    while len(program.code) < 0x6000:
        random_access(r, program)
    functions = [Function(), Function(7, BAR + L.BAR_BYTES, 6), Function(31, 0, 0, 0)]
    done = run_program(
        engine_name,
        program,
        functions,
        answer=lambda request: r.getrandbits(32),
        kicked=lambda machine, record: machine.count(r.choice(("irq_raised", "config_raised")), r.randrange(32)),
        polls=r.choice((0, 100)),
        switcher=r.choice(("lean", "classic")),
    )
    assert done.powered_off, done.reason
    for request in done.requests:
        assert request.slot in (3, 7)
        assert request.size in (1, 2, 4)
        assert request.offset % request.size == 0
        assert request.offset & ~0xFFF in (L.BAR_COMMON, L.BAR_DEVICE)
    assert all(record >> 24 == 0xFF and record & 0xFFFF < 1024 for record in done.notified)
