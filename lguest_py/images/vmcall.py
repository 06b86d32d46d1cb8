# SPDX-License-Identifier: GPL-2.0-or-later
"""Rewrite the hypercalls of Linux 2.6.30 to 2.6.34, which are `vmcall` (0F 01 C1), to `int $0x1f; nop`.

Under KVM a vmcall never reaches our Host kernel, so it is done as the kernel is loaded.  The same three bytes
also arise between instructions (`rol $15, %ecx; add %eax, %ecx`, in every hash function), and there they must
stay.  x86 code read from any byte soon falls in step with its true instructions; so a place counts as a
vmcall when most readings begun a little before it arrive exactly there.
"""

from __future__ import annotations

VMCALL = b"\x0f\x01\xc1"
INT_1F = b"\xcd\x1f\x90"
FURTHEST, NEAREST = 256, 64  # bytes before a place from which readings begin


def _set(*ranges: int | tuple[int, int]) -> frozenset[int]:
    return frozenset(
        opcode for item in ranges for opcode in (range(item[0], item[1] + 1) if isinstance(item, tuple) else (item,))
    )


# Opcode maps of the Intel manual, volume 2, appendix A: 32-bit code.
PREFIXES = _set(0x26, 0x2E, 0x36, 0x3E, (0x64, 0x67), 0xF0, 0xF2, 0xF3)
MODRM = _set(
    *((base, base + 3) for base in range(0, 0x40, 8)),
    *(0x62, 0x63, 0x69, 0x6B, (0x80, 0x8F), 0xC0, 0xC1, (0xC4, 0xC7), (0xD0, 0xD3), (0xD8, 0xDF)),
    *(0xF6, 0xF7, 0xFE, 0xFF),
)
IMM8 = _set(
    *(range(4, 0x40, 8)),
    *(0x6A, 0x6B, (0x70, 0x7F), 0x80, 0x82, 0x83, 0xA8, (0xB0, 0xB7), 0xC0, 0xC1, 0xC6, 0xC8, 0xCD, 0xD4, 0xD5),
    *((0xE0, 0xE7), 0xEB),
)
IMM16 = _set(0x9A, 0xC2, 0xC8, 0xCA, 0xEA)
IMM_WORD = _set(*(range(5, 0x40, 8)), 0x68, 0x69, 0x81, 0x9A, 0xA9, (0xB8, 0xBF), 0xC7, 0xE8, 0xE9, 0xEA)
OFFSET32 = _set((0xA0, 0xA3))
TWO_BYTE_PLAIN = _set(0x05, 0x06, 0x08, 0x09, 0x0B, 0x0E, (0x30, 0x37), 0x77, (0xA0, 0xA2), (0xA8, 0xAA), (0xC8, 0xCF))
TWO_BYTE_IMM8 = _set(0x3A, (0x70, 0x73), 0xA4, 0xAC, 0xBA, 0xC2, (0xC4, 0xC6))
TWO_BYTE_JUMP = _set((0x80, 0x8F))


def _modrm_length(code: bytes | bytearray, at: int) -> int:
    mode, base = code[at] >> 6, code[at] & 7
    if mode == 3:
        return 1
    length = 1
    if base == 4:
        base = code[at + 1] & 7
        length = 2
    return length + (1 if mode == 1 else 4 if mode == 2 or base == 5 else 0)


def instruction_length(code: bytes | bytearray, at: int) -> int:
    """The bytes of the 32-bit instruction at ``code[at]``.  Raises IndexError where it runs out of the code."""
    start, word = at, 4
    while code[at] in PREFIXES:
        word = 2 if code[at] == 0x66 else word
        at += 1
    opcode = code[at]
    at += 1
    if opcode == 0x0F:
        opcode = code[at]
        at += 1
        if opcode in (0x38, 0x3A):
            at += 1
        if opcode in TWO_BYTE_JUMP:
            at += word
        elif opcode not in TWO_BYTE_PLAIN:
            at += _modrm_length(code, at) + (opcode in TWO_BYTE_IMM8)
        return at - start
    if opcode in MODRM:
        test = opcode in (0xF6, 0xF7) and code[at] & 0x30 == 0  # of group 3 only these have an immediate
        at += _modrm_length(code, at)
        if test:
            at += 1 if opcode == 0xF6 else word
    at += (opcode in IMM8) + 2 * (opcode in IMM16) + word * (opcode in IMM_WORD) + 4 * (opcode in OFFSET32)
    return at - start


def is_instruction(code: bytes | bytearray, start: int, place: int) -> bool:
    """Whether an instruction begins at ``code[place]``, in code that begins at ``code[start]``."""
    first, last = max(start, place - FURTHEST), max(start, place - NEAREST)
    arrives = {place}
    for at in range(place - 1, first - 1, -1):
        try:
            if at + instruction_length(code, at) in arrives:
                arrives.add(at)
        except IndexError:
            continue
    return 2 * sum(reading in arrives for reading in range(first, last + 1)) > last + 1 - first


def rewrite(code: bytearray, start: int, end: int) -> int:
    """Rewrite every vmcall in ``code[start:end]``, which is instructions; returns how many there were."""
    count = 0
    place = code.find(VMCALL, start, end)
    while place >= 0:
        if is_instruction(code, start, place):
            code[place : place + len(VMCALL)] = INT_1F
            count += 1
        place = code.find(VMCALL, place + 1, end)
    return count
