# SPDX-License-Identifier: GPL-2.0-or-later
"""Rewrite hypercalls by `vmcall` (0F 01 C1) to `int $0x1f; nop`: all of Linux 2.6.32 and 2.6.33, one of 2.6.34 to 3.0.

Under KVM a vmcall never reaches the Host kernel, so it is rewritten when the kernel is loaded.  The same three bytes
also occur across two instructions (`rol $15, %ecx; add %eax, %ecx`, in every hash function), which must not change.  A
linear disassembly of x86 code from any byte soon synchronizes with the real instructions.  So an occurrence is a
vmcall when most disassemblies that start shortly before it have an instruction boundary exactly there.

The disassemblies of a block are followed together, so that the work is linear in the code's size for any contents.

Read next: kernel.py, the caller.
"""

from __future__ import annotations

from lguest_py.files.cancellation import point

VMCALL = b"\x0f\x01\xc1"
INT_1F = b"\xcd\x1f\x90"
BLOCK, FURTHEST, NEAREST = 64, 256, 64  # disassemblies start at each byte in this distance before a block
MAX_PREFIXES = 14  # an instruction has at most 15 bytes


def _set(*ranges: int | tuple[int, int]) -> frozenset[int]:
    return frozenset(
        opcode for item in ranges for opcode in (range(item[0], item[1] + 1) if isinstance(item, tuple) else (item,))
    )


# Opcode maps for 32-bit code: Intel SDM vol. 2, appendix A.
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
    """Bytes of the 32-bit instruction at ``code[at]``.  Raises IndexError when the code ends within it."""
    start, word = at, 4
    while code[at] in PREFIXES:
        if at - start == MAX_PREFIXES:
            raise IndexError("no instruction is that long")
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
        test = opcode in (0xF6, 0xF7) and code[at] & 0x30 == 0  # group 3: only TEST has an immediate
        at += _modrm_length(code, at)
        if test:
            at += 1 if opcode == 0xF6 else word
    at += (opcode in IMM8) + 2 * (opcode in IMM16) + word * (opcode in IMM_WORD) + 4 * (opcode in OFFSET32)
    return at - start


def _count_decodings(code: bytes | bytearray, start: int, block: int, lengths: dict[int, int]) -> tuple[dict[int, int],
int]:
    """(disassemblies with an instruction boundary at each byte of the block at ``block``, all disassemblies).

    ``lengths`` caches instruction lengths by offset; those that later blocks cannot use are removed.
    """
    first, last = max(start, block - FURTHEST), max(start, block - NEAREST)
    for at in [at for at in lengths if at < first]:
        del lengths[at]
    arrived: dict[int, int] = dict.fromkeys(range(first, last + 1), 1)
    for at in range(first, block + BLOCK):
        count = arrived.get(at)
        if count is None:
            continue
        if at not in lengths:
            try:
                lengths[at] = instruction_length(code, at)
            except IndexError:
                lengths[at] = len(code)  # this disassembly ends
        to = at + lengths[at]
        arrived[to] = arrived.get(to, 0) + count
    return arrived, last + 1 - first


def rewrite(code: bytearray, start: int, end: int) -> int:
    """Rewrite every vmcall in ``code[start:end]``, which holds instructions; returns how many were rewritten."""
    calls: list[int] = []
    lengths: dict[int, int] = {}
    position = code.find(VMCALL, start, end)
    while position >= 0:
        point()
        block = start + (position - start) // BLOCK * BLOCK
        arrived, disassemblies = _count_decodings(code, start, block, lengths)
        while block <= position < block + BLOCK:
            if 2 * arrived.get(position, 0) > disassemblies:
                calls.append(position)
            position = code.find(VMCALL, position + 1, end)
    for position in calls:
        code[position : position + len(VMCALL)] = INT_1F
    return len(calls)
