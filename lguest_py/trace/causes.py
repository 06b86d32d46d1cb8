# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a world was switched, in words: the cause, by which switches are counted, and what else is known of one.

An unmodified kernel's privileged instructions all trap by a general protection fault: what counts is the instruction.
Read before: stream.py.  Read next: text.py, table.py.
"""

from __future__ import annotations

import functools
import struct

from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.mailbox import Hypercall, hypercall_name, vector_name
from lguest_py.trace.stream import Switch

PAGE_FAULT, GENERAL, NOT_PRESENT, STACK, INVALID = 14, 13, 11, 12, 6
PREFIXES = frozenset((0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3))
ONE_BYTE = {
    0xFA: "cli", 0xFB: "sti", 0xF4: "hlt", 0xCF: "iret", 0x9D: "popf", 0x9C: "pushf", 0xCC: "int3", 0xF1: "int1",
    0xE4: "in", 0xE5: "in", 0xEC: "in", 0xED: "in", 0xE6: "out", 0xE7: "out", 0xEE: "out", 0xEF: "out",
    0x6C: "ins", 0x6D: "ins", 0x6E: "outs", 0x6F: "outs", 0xCD: "int", 0xCA: "far return", 0xCB: "far return",
    0x07: "pop to es", 0x17: "pop to ss", 0x1F: "pop to ds", 0x8E: "mov to a segment register", 0xEA: "far jump",
    0x9A: "far call", 0x0F: "",
}  # fmt: skip
TWO_BYTES = {
    0x06: "clts", 0x08: "invd", 0x09: "wbinvd", 0x30: "wrmsr", 0x31: "rdtsc", 0x32: "rdmsr", 0x33: "rdpmc",
    0xA1: "pop to fs", 0xA9: "pop to gs", 0xA2: "cpuid", 0xB2: "lss", 0xB4: "lfs", 0xB5: "lgs", 0x0B: "ud2",
    0x02: "lar", 0x03: "lsl",
}  # fmt: skip
GROUPS = {  # the second byte, and /n of the third one
    0x00: ("sldt", "str", "lldt", "ltr", "verr", "verw"),
    0x01: ("sgdt", "sidt", "lgdt", "lidt", "smsw", "", "lmsw", "invlpg"),
}
MOVES = {0x20: "mov from cr", 0x22: "mov to cr", 0x21: "mov from dr", 0x23: "mov to dr"}
PORT_IN_DX, PORT_IN_CODE = frozenset(range(0xEC, 0xF0)), frozenset(range(0xE4, 0xE8))
REFLECTED_BITS = {1: "protection", 2: "write", 4: "program", 8: "reserved", 16: "fetch"}


@functools.cache
def instruction(code: bytes) -> tuple[str, int | None]:
    """The name of a privileged instruction and the port in its code; "": another one."""
    at = 0
    while at < len(code) - 2 and code[at] in PREFIXES:
        at += 1
    if at >= len(code) - 2:
        return "", None
    first, second, third = code[at], code[at + 1], code[at + 2]
    if first != 0x0F:
        name = ONE_BYTE.get(first, "")
        return (f"int {second:#x}" if name == "int" else name), second if first in PORT_IN_CODE else None
    if second in MOVES:
        return f"{MOVES[second]}{third >> 3 & 7}", None
    if second in GROUPS:
        names = GROUPS[second]
        number = third >> 3 & 7
        return (names[number] if number < len(names) else ""), None
    return TWO_BYTES.get(second, ""), None


def _code(switch: Switch) -> bytes:
    return struct.pack("<2I", *switch.data[2:])


def cause(switch: Switch) -> str:
    """The kind of exit."""
    vector = switch.vector
    if vector == L.HYPERCALL_VECTOR and switch.ring == 1:
        return f"hypercall {hypercall_name(switch.eax)}"
    name = vector_name(vector)
    if vector == PAGE_FAULT:
        what = "write" if switch.data[0] & 2 else "fetch" if switch.data[0] & 16 else "read"
        return f"page fault, {'program' if switch.ring == 3 else 'kernel'} {what}"
    if vector in (GENERAL, NOT_PRESENT, STACK, INVALID) and (found := instruction(_code(switch))[0]):
        where = "" if switch.ring == 1 else " in a program"
        return f"{found}{where}"
    return name


def detail(switch: Switch) -> str:
    """What else is known: an address, arguments, a port."""
    vector, data = switch.vector, switch.data
    if vector == PAGE_FAULT:
        bits = " ".join(name for bit, name in REFLECTED_BITS.items() if data[0] & bit)
        return f"at {data[1]:08x}" + (f" ({bits})" if bits else "")
    if vector == L.HYPERCALL_VECTOR and switch.ring == 1:
        return f"({Hypercall(switch.eax, data).text.partition(' (')[2]}"
    if vector < 32:
        name, port = instruction(_code(switch))
        if name in ("in", "out", "ins", "outs"):
            return f"port {(data[1] & 0xFFFF) if port is None else port:#x}"
        return f"error {data[0]:#x}" if data[0] else ""
    return ""
