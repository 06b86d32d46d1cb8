# SPDX-License-Identifier: GPL-2.0-or-later
"""A privileged instruction whose memory operand cannot be accessed ends in the page fault that a CPU gives.

The instruction has no effect, and a native Guest sees cr2, the error code and eip of the fault.

Sources: Intel SDM vol. 3, 4.7 and 6.15; vol. 2.  Read before: hostile_lab.py.
"""

from __future__ import annotations

import struct

import pytest
from hostile_code import (
    DIRECTORY,
    EAX,
    ECX,
    EDI,
    EDX,
    ESI,
    ESP,
    IDT,
    PLACES,
    SCRATCH,
    gate,
    le32,
    mov,
    store,
    two_words,
)
from hostile_lab import LONG, Watched, harmless, image_of, run_image

from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher

HOLE, READ_ONLY, ABSENT = 0x3A0000, 0x3B0000, 0x3C0000  # pages; before HOLE and READ_ONLY there are good ones
ENTRY_CODE = 0x135000  # where the code under test is
TOLD = SCRATCH + 0xF000  # error code, eip, cr2, esp
PRESENT, WRITE = 1, 2
PF_VECTOR = 14
NOT_DONE = 0xFFFFFFFF


def page_entry(page: int, value: int) -> bytes:
    """It changes, and the CPU hears of it."""
    return store(DIRECTORY + 0x1000 + 4 * (page >> 12), value) + b"\x0f\x01\x3d" + le32(page)


def tell() -> bytes:
    """The page fault's handler: keep what came, and end."""
    frame = b"".join(
        b"\x8b\x44\x24" + bytes([at]) + b"\xa3" + le32(TOLD + 4 * number) for number, at in ((0, 0), (1, 4))
    )
    rest = b"\x0f\x20\xd0\xa3" + le32(TOLD + 8) + b"\x89\x25" + le32(TOLD + 12)
    return frame + rest + store(PLACES["BUDGET"], 1) + b"\x0f\x0b"


def run_native(
    engine_name: str, code: bytes, setup: bytes = b"", switcher: Switcher = "lean"
) -> tuple[End, list[int], bytes]:
    """Run ``code`` at ENTRY_CODE, in paging: how it ended, what was told, and the page before HOLE."""
    handler = tell()
    seen: list[bytes] = []

    class Told(Watched):
        def close(self) -> None:
            if not self.closed:
                for start, size in ((TOLD, 16), (HOLE - 0x1000, 0x1000)):
                    seen.append(bytes(self.memory[self.guest.start + start : self.guest.start + start + size]))
            super().close()

    first = b"\xeb" + bytes([len(handler)]) + handler
    gates = two_words(IDT + 8 * PF_VECTOR, gate(PLACES["SLOTS"] + 2, 0x10, 0x8E))
    pages = page_entry(HOLE, 0) + page_entry(READ_ONLY, READ_ONLY | 0x65) + page_entry(ABSENT, 0x10000067)
    none = b"".join(store(TOLD + 4 * number, NOT_DONE) for number in range(4))
    jump = mov(EAX, ENTRY_CODE) + b"\xff\xe0"
    end = store(PLACES["BUDGET"], 1) + b"\x0f\x0b"
    image = image_of("native", first + gates + pages + none + setup + jump, more={ENTRY_CODE: code + end})
    done = harmless(run_image(engine_name, image, seconds=LONG, watched=Told, switcher=switcher))
    return done.result.outcome.end, list(struct.unpack("<4I", seen[0])), seen[1]


def at(opcode: bytes, place: int) -> bytes:
    """A ModRM of a plain address, whose register field the opcode's last byte has."""
    return opcode[:-1] + bytes([opcode[-1] << 3 | 5]) + le32(place)


READS = {  # by name: the instruction's bytes up to its ModRM's register field, and the size of the operand
    "lgdt": (b"\x0f\x01\x02", 6),
    "lidt": (b"\x0f\x01\x03", 6),
    "lmsw": (b"\x0f\x01\x06", 2),
    "lldt": (b"\x0f\x00\x02", 2),
    "ltr": (b"\x0f\x00\x03", 2),
    "mov-ss": (b"\x8e\x02", 2),
    "lss": (b"\x0f\xb2\x00", 6),
}
WRITES = {
    "sgdt": (b"\x0f\x01\x00", 6),
    "sidt": (b"\x0f\x01\x01", 6),
    "smsw": (b"\x0f\x01\x04", 2),
    "sldt": (b"\x0f\x00\x00", 2),
    "str": (b"\x0f\x00\x01", 2),
}


@pytest.mark.parametrize("switcher", ["lean", "classic"])
@pytest.mark.parametrize("name", [*READS, *WRITES])
def test_an_operand_that_is_not_mapped(engine_name: str, name: str, switcher: Switcher) -> None:
    opcode, _ = (READS | WRITES)[name]
    end, (error, eip, cr2, _), _ = run_native(engine_name, at(opcode, HOLE + 8), switcher=switcher)
    assert (end, error, eip, cr2) == (End.POWERED_OFF, WRITE if name in WRITES else 0, ENTRY_CODE, HOLE + 8)


@pytest.mark.parametrize("name", [*READS, *WRITES])
def test_an_operand_of_which_the_end_is_not_mapped(engine_name: str, name: str) -> None:
    """cr2 is where the page begins that is not there, and nothing was written before it."""
    opcode, size = (READS | WRITES)[name]
    end, (error, eip, cr2, _), before = run_native(engine_name, at(opcode, HOLE - size // 2))
    assert (end, error, eip, cr2) == (End.POWERED_OFF, WRITE if name in WRITES else 0, ENTRY_CODE, HOLE)
    assert name in ("sgdt", "sidt") or not any(before)  # where the CPU itself stores these, it stores them in two parts


@pytest.mark.parametrize("name", WRITES)
def test_an_operand_that_is_read_only(engine_name: str, name: str) -> None:
    end, (error, eip, cr2, _), _ = run_native(engine_name, at(WRITES[name][0], READ_ONLY + 4))
    assert (end, error, eip, cr2) == (End.POWERED_OFF, PRESENT | WRITE, ENTRY_CODE, READ_ONLY + 4)


@pytest.mark.parametrize(
    ("code", "words"), [(b"\xcf", 3), (b"\xcb", 2), (b"\xca\x08\x00", 2)], ids=["iret", "lret", "lret-8"]
)
@pytest.mark.parametrize("have", [1, 2])
def test_a_return_whose_frame_is_not_all_there(engine_name: str, code: bytes, words: int, have: int) -> None:
    """Nothing is popped."""
    have = min(have, words - 1)
    stack = HOLE - 4 * have
    frame = b"".join(store(stack + 4 * number, 0x10) for number in range(have))
    end, (error, eip, cr2, esp), _ = run_native(engine_name, frame + mov(ESP, stack) + code)
    where = ENTRY_CODE + len(frame) + 5
    assert (end, error, eip, cr2) == (End.POWERED_OFF, 0, where, HOLE)
    assert esp == stack - 16


def test_a_return_to_a_program_whose_stack_pointer_is_not_there(engine_name: str) -> None:
    stack = HOLE - 12
    frame = b"".join(store(stack + 4 * n, value) for n, value in enumerate((PLACES["USER_SLOTS"], 0x23, 0x202)))
    end, (error, _, cr2, esp), _ = run_native(engine_name, frame + mov(ESP, stack) + b"\xcf")
    assert (end, error, cr2, esp) == (End.POWERED_OFF, 0, HOLE, stack - 16)


@pytest.mark.parametrize("prefix", [b"", b"\xf3"], ids=["once", "rep"])
@pytest.mark.parametrize(
    ("opcode", "page", "fault"),
    [(0x6E, HOLE, 0), (0x6C, HOLE, WRITE), (0x6C, READ_ONLY, PRESENT | WRITE)],
    ids=["outsb", "insb", "insb-read-only"],
)
def test_string_io(engine_name: str, prefix: bytes, opcode: int, page: int, fault: int) -> None:
    """With rep, what came before the fault is done, and the registers tell how far it came."""
    ahead = 3 if prefix else 0
    registers = mov(ESI, page - ahead) + mov(EDI, page - ahead) + mov(ECX, 10) + mov(EDX, 0x80)
    code = registers + prefix + bytes([opcode])
    end, (error, eip, cr2, _), _ = run_native(engine_name, code)
    assert (end, error, eip, cr2) == (End.POWERED_OFF, fault, ENTRY_CODE + len(registers), page)


@pytest.mark.parametrize("operand", [HOLE, HOLE - 2], ids=["all", "the-base"])
def test_a_lidt_that_faults_leaves_the_idt(engine_name: str, operand: int) -> None:
    """Its fault comes through the old one; with an empty one it would be how a kernel restarts its machine."""
    end, told, _ = run_native(engine_name, at(b"\x0f\x01\x03", operand))
    assert end is End.POWERED_OFF
    assert told[:3] == [0, ENTRY_CODE, HOLE]


def test_where_there_is_no_memory_ones_are_read(engine_name: str) -> None:
    """lmsw of them sets all four bits; str to them is lost."""
    code = at(b"\x0f\x00\x01", ABSENT) + at(b"\x0f\x01\x06", ABSENT) + b"\x0f\x20\xc0\xa3" + le32(TOLD)
    end, (cr0, eip, *_), _ = run_native(engine_name, code)
    assert (end, eip) == (End.POWERED_OFF, NOT_DONE)
    assert cr0 & 0xF == 0xF


# --- CR3 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0xFFFFFFFF, 0xFFFFF000, 0x80000000])
def test_cr3_beyond_memory_is_no_way_back_to_no_paging(engine_name: str, value: int) -> None:
    code = mov(EAX, value) + b"\x0f\x22\xd8" + store(PLACES["BUDGET"], 1) + b"\x0f\x0b"
    outcome = harmless(run_image(engine_name, image_of("native", code))).result.outcome
    assert outcome.end is End.KILLED, outcome
    assert outcome.reason.startswith("CR3 0x")
    assert "beyond the Guest's memory" in outcome.reason


@pytest.mark.parametrize("low", [0x18, 0xFFF])
def test_the_low_bits_of_cr3_mean_nothing(engine_name: str, low: int) -> None:
    """HOLE is in the page tables still."""
    code = mov(EAX, DIRECTORY | low) + b"\x0f\x22\xd8" + b"\xa1" + le32(HOLE)
    end, (error, _, cr2, _), _ = run_native(engine_name, code)
    assert (end, error, cr2) == (End.POWERED_OFF, 0, HOLE)
