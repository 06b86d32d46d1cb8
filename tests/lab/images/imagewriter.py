# SPDX-License-Identifier: GPL-2.0-or-later
"""Write ELF files and bzImages for tests, right ones and, by any field, wrong ones.

Sources of the formats: System V ABI with its Intel386 supplement; Linux's boot protocol, x86.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

ALLOC_EXEC = 0x6
READ, WRITE, EXECUTE = 4, 2, 1
INIT_CALL = b"\xb8\x01\x00\x00\x00\xbb\x00\x20\x10\x00\xcd\x1f"  # eax = LGUEST_INIT, ebx = lguest_data; int $0x1f
INIT_VMCALL = INIT_CALL[:-2] + b"\x0f\x01\xc1"
NAME = b"paravirt: lguest\0"
HEADER = 52
CODE_START = 0x100000  # where the 32-bit code of a bzImage goes


def banner(version: str) -> bytes:
    """What a Linux of this version begins its log with, and the name of its first task."""
    return b"Linux version " + version.encode() + b" (me@here) (gcc) #1\n\0swapper\0"


def text(version: str | None = "3.18.24", call: bytes = INIT_CALL, name: bytes = NAME, more: bytes = b"") -> bytes:
    """A kernel's segment with what the loader looks for, entered at its first byte."""
    return call + name + (banner(version) if version else b"") + more


@dataclass(frozen=True)
class Part:
    """A segment, by default loadable."""

    address: int
    data: bytes
    memory: int | None = None  # default: as much as there is data
    virtual: int | None = None  # default: as physical
    flags: int = READ | EXECUTE
    kind: int = 1  # PT_LOAD
    stored: int | None = None  # p_filesz, when it is a lie
    offset: int | None = None  # p_offset, when it is a lie


@dataclass(frozen=True)
class ElfFile:
    """An executable for 32-bit x86, unless a field says otherwise."""

    parts: tuple[Part, ...]
    entry: int | None = None  # default: the first part's address
    kind: int = 2  # ET_EXEC
    machine: int = 3  # EM_386
    bits: int = 1  # ELFCLASS32
    order: int = 1  # ELFDATA2LSB
    count: int | None = None  # e_phnum, when it is a lie
    sections: tuple[tuple[int, int, int], ...] = ()  # (part, offset in it, size) of executable sections

    def bytes(self) -> bytes:
        """The file."""
        table = b""
        body = b""
        first = HEADER + 32 * len(self.parts)
        starts = []
        for part in self.parts:
            start = first + len(body)
            starts.append(start)
            size = len(part.data)
            table += struct.pack(
                "<8I",
                part.kind,
                start if part.offset is None else part.offset,
                part.address if part.virtual is None else part.virtual,
                part.address,
                size if part.stored is None else part.stored,
                size if part.memory is None else part.memory,
                part.flags,
                1,
            )
            body += part.data
        rows = [(0, 0, 0, 0), *((1, ALLOC_EXEC, starts[part] + at, size) for part, at, size in self.sections)]
        sections = b"".join(
            struct.pack("<10I", 0, kind, flags, 0, offset, size, 0, 0, 1, 0) for kind, flags, offset, size in rows
        )
        entry = (self.parts[0].address if self.parts else 0) if self.entry is None else self.entry
        header = struct.pack(
            "<4s5B7xHHIIIIIHHHHHH",
            b"\x7fELF",
            self.bits,
            self.order,
            1,
            0,
            0,
            self.kind,
            self.machine,
            1,
            entry,
            HEADER,
            first + len(body) if self.sections else 0,
            0,
            HEADER,
            32,
            len(self.parts) if self.count is None else self.count,
            40,
            len(rows) if self.sections else 0,
            0,
        )
        return header + table + body + (sections if self.sections else b"")

    def change(self, **fields: object) -> ElfFile:
        """The same with other fields."""
        return replace(self, **fields)  # type: ignore[arg-type]


def kernel(version: str | None = "3.18.24", **fields: object) -> ElfFile:
    """A good kernel: text at 1 MiB, data with a bss behind it."""
    parts = (Part(0x100000, text(version)), Part(0x102000, b"data" * 8, 0x3000, flags=READ | WRITE))
    return ElfFile(parts).change(**fields)


@dataclass(frozen=True)
class BzImage:
    """A bzImage around ``payload``; a field set to a number is written as it is, right or wrong."""

    payload: bytes
    decompressor: bytes = b"\x90" * 64 + b"\xeb\xfe"
    protocol: int = 0x20C
    version: str = "3.18.24 (me@here) #1"
    setup_sectors: int = 15
    loadflags: int = 1
    entry: int = CODE_START
    header_end: int = 0x268
    code_size: int | None = None  # syssize, in paragraphs
    payload_offset: int | None = None
    payload_length: int | None = None
    command_line: int = 2047
    preferred: int = 0x100000
    init_size: int = 0x200000
    xloadflags: int = 0

    def bytes(self) -> bytes:
        """The file."""
        setup = bytearray(512 * (self.setup_sectors + 1))
        code = self.decompressor + self.payload
        code += bytes(-len(code) % 16)
        version = 0x400 if self.version else 0x200
        for offset, form, value in (
            (0x1F1, "B", self.setup_sectors),
            (0x1F4, "I", len(code) // 16 if self.code_size is None else self.code_size),
            (0x1FE, "H", 0xAA55),
            (0x200, "B", 0xEB),
            (0x201, "B", self.header_end - 0x202),
            (0x206, "H", self.protocol),
            (0x20E, "H", version - 0x200),
            (0x211, "B", self.loadflags),
            (0x214, "I", self.entry),
            (0x22C, "I", 0x37FFFFFF),
            (0x230, "I", 0x200000),
            (0x236, "H", self.xloadflags),
            (0x238, "I", self.command_line),
            (0x248, "I", len(self.decompressor) if self.payload_offset is None else self.payload_offset),
            (0x24C, "I", len(self.payload) if self.payload_length is None else self.payload_length),
            (0x258, "Q", self.preferred),
            (0x260, "I", self.init_size),
        ):
            struct.pack_into("<" + form, setup, offset, value)
        setup[0x202:0x206] = b"HdrS"
        text = self.version.encode() + b"\0"
        if self.version:
            setup[version : version + len(text)] = text
        return bytes(setup) + code
