# SPDX-License-Identifier: GPL-2.0-or-later
"""An ELF core of the Guest, for gdb, drgn and crash.

Its RAM is in the file once, in the order of physical addresses, as a sparse file.  The PT_LOAD segments are views of
it: one for each run that the Guest's page tables map, with the virtual address that gdb reads by; p_paddr is the
physical one.
One more segment, of a type that gdb ignores, is the whole RAM: it has what no page table maps.  The notes are the
registers and, of a Linux, its VMCOREINFO, by which drgn and crash know a kernel's core.
Source: System V ABI, chapter 5; Linux's elfcore.h for NT_PRSTATUS (struct elf_prstatus of i386).

Read next: walk.py, vmcoreinfo.py.
"""

from __future__ import annotations

import heapq
import os
import struct

from lguest_py.postmortem.memory import Remains
from lguest_py.postmortem.vmcoreinfo import vmcoreinfo
from lguest_py.postmortem.walk import PAGE, Run

HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
PROGRAM_HEADER = struct.Struct("<8I")  # type, offset, vaddr, paddr, filesz, memsz, flags, align
ET_CORE, EM_386, EV_CURRENT = 4, 3, 1
PT_LOAD, PT_NOTE = 1, 4
PT_GUEST_RAM = 0x6C677279  # in the range for operating systems
ALL_RIGHTS = 7
NO_ALIGNMENT = 0  # as in the kernel's own cores; by it crash tells them from those of netdump
NT_PRSTATUS = 1
MOST_RUNS = 8192  # a program has some thousands; hostile page tables could have a million
REGISTERS = (
    *("ebx", "ecx", "edx", "esi", "edi", "ebp", "eax", "ds", "es", "fs", "gs", "orig_eax"),
    *("eip", "cs", "eflags", "esp", "ss"),
)
SELECTORS = ("ds", "es", "fs", "gs", "cs", "ss")
SIGNALS = {0: 8, 1: 5, 3: 5, 4: 11, 5: 11, 6: 4, 14: 11, 13: 11, 16: 8, 17: 7, 19: 8}  # as Linux gives a program
SIGKILL = 9
CHUNK = 1 << 20


def signal_of(vector: int) -> int:
    """The signal that gdb shows."""
    return SIGNALS.get(vector, SIGKILL)


def _note(registers: dict[str, int]) -> bytes:
    values = {**registers, "orig_eax": 0xFFFFFFFF}
    for name in SELECTORS:
        values[name] = values.get(name, 0) & 0xFFFF
    signal = signal_of(registers.get("trapnum", 0x100))
    status = struct.pack("<3IHxxII4I8I", signal, 0, 0, signal, 0, 0, 1, 0, 1, 1, *(0,) * 8)
    status += struct.pack("<17I", *(values.get(name, 0) for name in REGISTERS)) + struct.pack("<I", 0)
    return struct.pack("<3I8s", 5, len(status), NT_PRSTATUS, b"CORE") + status


def _chosen(remains: Remains) -> list[Run]:
    """The runs that get a segment, by rising address: all, or those with registers in them and the longest others."""
    size = remains.guest_bytes
    wanted = [remains.registers.get(name, 0) for name in ("eip", "esp", "ebp")]

    def value(run: Run) -> tuple[bool, int]:
        return any(run.virtual <= each < run.virtual + run.length for each in wanted), run.length

    inside = (
        Run(run.virtual, run.physical, min(run.length, size - run.physical))
        for run in remains.guest.runs()
        if run.physical < size  # not the device pages
    )
    return sorted(heapq.nlargest(MOST_RUNS, inside, key=value), key=lambda run: run.virtual)


def headers(remains: Remains) -> bytes:
    """All that stands before the RAM, in whole pages."""
    runs = _chosen(remains)
    note = (_note(remains.registers) if remains.registers else b"") + vmcoreinfo(remains)
    count = len(runs) + 2
    notes_at = HEADER.size + PROGRAM_HEADER.size * count
    ram_at = -(-(notes_at + len(note)) // PAGE) * PAGE
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    table = [PROGRAM_HEADER.pack(PT_NOTE, notes_at, 0, 0, len(note), 0, 0, 4)]
    for run in runs:
        place = ram_at + run.physical
        sizes = run.length, run.length
        table.append(PROGRAM_HEADER.pack(PT_LOAD, place, run.virtual, run.physical, *sizes, ALL_RIGHTS, NO_ALIGNMENT))
    ram = remains.guest_bytes
    table.append(PROGRAM_HEADER.pack(PT_GUEST_RAM, ram_at, 0, 0, ram, ram, ALL_RIGHTS, PAGE))
    machine = ET_CORE, EM_386, EV_CURRENT, 0, HEADER.size, 0, 0
    head = HEADER.pack(ident, *machine, HEADER.size, PROGRAM_HEADER.size, count, 0, 0, 0)
    whole = head + b"".join(table) + note
    return whole + bytes(ram_at - len(whole))


def _put(descriptor: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        done = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[done:], offset + done


def write_core(descriptor: int, remains: Remains) -> None:
    """Write the core to a regular file that is open for writing, in place of what it holds.  Raises OSError."""
    head, ram = headers(remains), remains.ram
    os.ftruncate(descriptor, 0)
    _put(descriptor, head, 0)
    zeroes = bytes(CHUNK)
    for low, high in remains.ram_touched():
        for start in range(low, high, CHUNK):
            chunk = bytes(ram[start : min(start + CHUNK, high)])
            if chunk == zeroes[: len(chunk)]:
                continue
            for offset in range(0, len(chunk), PAGE):
                page = chunk[offset : offset + PAGE]
                if page != zeroes[: len(page)]:
                    _put(descriptor, page, len(head) + start + offset)
    os.ftruncate(descriptor, len(head) + len(ram))
