# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions that access a BAR do what they do with memory: each is run with both, in rings 1 and 3.

Encodings: Intel SDM vol. 2.  Read before: tests/lab/devices/pci_lab.py.  Read next: test_pci_hostile.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hostile_code import EAX, EBP, EBX, ECX, EDI, EDX, ESI, PLACES, SCRATCH, le32, mov, push, store
from hostile_lab import PERSONALITIES
from pci_lab import BAR, MMIO, Function, PciMachine, Program, Request, image_for

from lguest_py.images.image import Personality
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L

PLACE = 0x100  # of the operand, in the page of the device's configuration
OPERAND = MMIO + L.BAR_DEVICE + PLACE
MEMORY = 0x330000  # as many pages of memory, to compare with
KEPT, BUFFER = SCRATCH + 0x8000, SCRATCH + 0x4000  # programs may write there
CONTENT = bytes((37 * n + 11) & 0xFF for n in range(0x1000))
FLAGS = 0x8D5  # carry, parity, adjust, zero, sign, overflow
START = {EAX: 0x89ABCDEF, ECX: 3, EDX: 0x7FFF8001, EBX: 0x00FF0180, EBP: 0x55AA1234, ESI: BUFFER, EDI: BUFFER + 0x200}
TO_RING_3 = {"native": (0x2B, 0x23), "lguest": (0x7B, 0x73)}


def modrm(register: int, place: int = OPERAND) -> bytes:
    """An operand at a plain address."""
    return bytes([register << 3 | 5]) + le32(place)


def moves() -> Iterator[bytes]:
    """mov, movzx, movsx and xchg."""
    for size in (b"", b"\x66"):
        for register in (0, 1, 3, 6, 7):
            for opcode in (0x88, 0x89, 0x8A, 0x8B, 0x86, 0x87):
                yield size + bytes([opcode]) + modrm(register)
        for opcode in (0xB6, 0xB7, 0xBE, 0xBF):
            yield size + bytes([0x0F, opcode]) + modrm(3)
            yield size + bytes([0x0F, opcode]) + modrm(5, OPERAND + 6)
        for opcode in (0xA0, 0xA1, 0xA2, 0xA3):
            yield size + bytes([opcode]) + le32(OPERAND)
        yield size + b"\xc6" + modrm(0) + b"\x5a"
        yield size + b"\xc7" + modrm(0) + (b"\x34\x12" if size else le32(0xDEADBEEF))
    yield b"\x3e\x8b" + modrm(2)
    yield b"\x26\x89" + modrm(2)
    yield b"\x2e\x8b" + modrm(2)
    for place in (OPERAND + 1, OPERAND + 3, OPERAND + 0x1000 - PLACE - 2):  # misaligned, and into the next page
        yield b"\x8b" + modrm(2, place)
        yield b"\x66\x8b" + modrm(2, place)
    yield b"\x89" + modrm(3, OPERAND + 1)


def addresses() -> Iterator[bytes]:
    """The forms of a ModRM."""
    yield mov(EBX, OPERAND) + b"\x8b\x03"
    yield mov(EBX, OPERAND - 8) + b"\x8b\x43\x08"
    yield mov(EBX, OPERAND + 8) + b"\x8b\x43\xf8"
    yield mov(EBP, OPERAND - 0x1000) + b"\x8b\x85" + le32(0x1000)
    yield mov(EBX, OPERAND - 12) + b"\x8b\x04\x8b"  # ebx + ecx * 4
    yield b"\x8b\x04\x8d" + le32(OPERAND - 12)  # ecx * 4 and a displacement
    yield mov(EBX, OPERAND) + b"\x8b\x04\x23"  # ebx, no index
    yield mov(EBP, OPERAND - 3) + b"\x89\x54\x0d\x00"  # ebp + ecx


def operations() -> Iterator[bytes]:
    """The eight of them and test, between registers, memory and immediates."""
    for operation in range(8):
        for size in (b"", b"\x66"):
            for form in range(4):
                yield size + bytes([operation << 3 | form]) + modrm(1)
                yield size + bytes([operation << 3 | form]) + modrm(2)
            yield size + b"\x80" + modrm(operation) + b"\x81"
            yield size + b"\x83" + modrm(operation) + b"\xfe"
            yield size + b"\x81" + modrm(operation) + (b"\x01\x80" if size else le32(0x80000001))
    for size in (b"", b"\x66"):
        yield size + b"\x84" + modrm(3)
        yield size + b"\x85" + modrm(3)
        yield size + b"\xf6" + modrm(0) + b"\x01"
        yield size + b"\xf7" + modrm(0) + (b"\x00\x80" if size else le32(0x80000000))
    yield b"\xf0\x09" + modrm(1)


def strings() -> Iterator[bytes]:
    """From and to a BAR, with and without rep, in both directions."""
    for direction in (b"", b"\xfd"):
        for repeat in (b"", b"\xf3"):
            for size in (b"\xa4", b"\xa5", b"\x66\xa5"):
                yield mov(ESI, OPERAND) + direction + repeat + size
                yield mov(EDI, OPERAND) + direction + repeat + size
                yield mov(EDI, OPERAND) + mov(ESI, OPERAND + 0x40) + direction + repeat + size
            for size in (b"\xaa", b"\xab", b"\x66\xab"):
                yield mov(EDI, OPERAND) + direction + repeat + size
            for size in (b"\xac", b"\xad", b"\x66\xad"):
                yield mov(ESI, OPERAND) + direction + repeat + size
    yield mov(ESI, OPERAND) + mov(ECX, 0xEFF) + b"\xf3\xa4"  # more than are done at once
    yield mov(EDI, OPERAND) + mov(ECX, 0) + b"\xf3\xaa"


CASES = {"moves": moves, "addresses": addresses, "operations": operations, "strings": strings}


def case(instruction: bytes, number: int) -> bytes:
    """Run one with known registers and flags, then keep both."""
    start = b"".join(mov(register, value) for register, value in START.items())
    keep = b"\x9c\xfc\x60"  # pushf; cld; pushal
    pop = b"".join(b"\x8f\x05" + le32(KEPT + 36 * number + 4 * each) for each in range(9))
    return push(2 | number % 2) + b"\x9d" + start + instruction + keep + pop


def code_of(kind: str) -> tuple[bytes, int]:
    """The code for all cases, and how many there are."""
    cases = list(CASES[kind]())
    return b"".join(case(each, number) for number, each in enumerate(cases)), len(cases)


def run_cases(
    engine_name: str, personality: Personality, kind: str, physical: int, ring: int, switcher: Switcher
) -> tuple[bytes, bytes, list[Request]]:
    """What the registers and flags were after each, and what is in the device's page, or in that of memory."""
    code, count = code_of(kind)
    device = bytearray(CONTENT)
    assert 36 * count < 0x8000

    def answer(request: Request) -> int:
        at = request.offset - L.BAR_DEVICE
        if request.offset < L.BAR_DEVICE:
            return 0
        if request.value is not None:
            device[at : at + request.size] = request.value.to_bytes(request.size, "little")
        return int.from_bytes(device[at : at + request.size], "little")

    program = Program(personality)
    program.map(physical)
    user = b""
    if ring == 3:
        data, text = TO_RING_3[personality]
        segments = mov(EAX, data) + b"\x8e\xd8\x8e\xc0"
        program.raw(store(PLACES["BUDGET"], 1), segments, push(data, PLACES["USER_STACK"], 2, text, 0x130000) + b"\xcf")
        user = code + b"\x0f\x0b"
    else:
        program.raw(code)
    more = {MEMORY + L.BAR_DEVICE: CONTENT, BUFFER - 0x100: CONTENT[::-1][:0x1000]}
    image = image_for(program, user, more)
    done = PciMachine(engine_name, image, [Function()], answer=answer, switcher=switcher).run(memory=True)
    assert done.powered_off, done.reason
    assert not done.wrong
    kept = bytearray(done.memory[KEPT : KEPT + 36 * count])
    for number in range(count):
        flags = struct.unpack_from("<I", kept, 36 * number + 32)[0]
        struct.pack_into("<I", kept, 36 * number + 12, 0)  # esp
        struct.pack_into("<I", kept, 36 * number + 32, flags & FLAGS)
    page = done.memory[MEMORY + L.BAR_DEVICE : MEMORY + L.BAR_DEVICE + 0x1000] if physical == MEMORY else bytes(device)
    return bytes(kept) + done.memory[BUFFER - 0x100 : BUFFER + 0xF00], page, done.requests


@pytest.mark.parametrize("ring", [1, 3])
@pytest.mark.parametrize("kind", CASES)
@PERSONALITIES
def test_as_with_memory(engine_name: str, personality: Personality, kind: str, ring: int) -> None:
    switcher: Switcher = "classic" if ring == 3 and kind == "moves" else "lean"
    expected = run_cases(engine_name, personality, kind, MEMORY, ring, switcher)
    found = run_cases(engine_name, personality, kind, BAR, ring, switcher)
    cases = list(CASES[kind]())
    for number in range(len(cases)):
        span = slice(36 * number, 36 * number + 36)
        assert found[0][span].hex() == expected[0][span].hex(), cases[number].hex()
    assert found[0] == expected[0]
    assert found[1] == expected[1]
    assert not expected[2]
    assert len(found[2]) >= len(cases)
