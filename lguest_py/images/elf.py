# SPDX-License-Identifier: GPL-2.0-or-later
"""Read an ELF executable: its PT_LOAD segments at their physical addresses, and its entry point.

Sections are read only by ``text_ranges``, which few images need.  pyelftools decodes the structures but does not
check them, so the checks are here.  Source: System V ABI, chapters 4 and 5, and its Intel386 supplement.

Read next: lguest_py/images/support.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO

from elftools.common.utils import struct_parse
from elftools.elf.constants import P_FLAGS, SH_FLAGS
from elftools.elf.elffile import ELFFile

from lguest_py.errors import ImageError
from lguest_py.files.inputs import read_large
from lguest_py.images.image import HIGHEST, RESERVED_LOW, WANTED, Segment

MAGIC = b"\x7fELF"
MAX_PROGRAM_HEADERS = 64  # a kernel has three or four; a broken header may claim 65,535
MAX_SECTIONS = 4096
MAX_LOADED = 512 << 20  # bytes of all segments in the file
PROGRAM_HEADER_SIZE = 32


@dataclass(frozen=True)
class Elf:
    """A 32-bit x86 executable: ``entry`` and ``segments`` are Guest-physical."""

    entry: int
    segments: tuple[Segment, ...]
    file_ranges: tuple[tuple[int, int, int], ...]  # of each segment: offset and end in the file, address
    text: tuple[tuple[int, int], ...]  # (address, end) of the executable segments
    offset: int  # p_vaddr - p_paddr of the first segment: the kernel's virtual address of physical 0


def _open(file: BinaryIO, name: str) -> Any:
    """An ELFFile.  Raises ImageError for each of pyelftools' exceptions (ELFError, AssertionError, …)."""
    try:
        return ELFFile(file)
    except Exception as error:
        detail = " ".join(str(error).split())[:80] or type(error).__name__
        raise ImageError(f"{name} has a broken ELF header ({detail}): build or copy it anew") from None


def _check_machine(elf: Any, name: str) -> None:
    machine = elf["e_machine"]
    if elf.elfclass != 32 or machine == "EM_X86_64":
        raise ImageError(f"{name} is 64-bit: give {WANTED}")
    if machine != "EM_386" or not elf.little_endian:
        raise ImageError(f"{name} is built for {elf.get_machine_arch().lstrip('<').rstrip('>')}: give {WANTED}")
    kinds = {"ET_REL": "a relocatable object (.o, .ko)", "ET_DYN": "a shared or position-independent object"}
    if elf["e_type"] != "ET_EXEC":
        kind = kinds.get(str(elf["e_type"]), f"an ELF file of type {elf['e_type']}")
        raise ImageError(f"{name} is {kind}, not an executable: link it at fixed addresses, as vmlinux is")


def _program_headers(elf: Any, file: BinaryIO, size: int, name: str) -> Iterator[Any]:
    count, start, step = elf["e_phnum"], elf["e_phoff"], elf["e_phentsize"]
    if count > MAX_PROGRAM_HEADERS or step < PROGRAM_HEADER_SIZE or start + count * step > size:
        raise ImageError(f"{name} has impossible program headers ({count} of {step} bytes): copy it anew")
    for index in range(count):
        yield struct_parse(elf.structs.Elf_Phdr, file, stream_pos=start + index * step)


def _check_segment(header: Any, size: int, name: str) -> None:
    address, stored, memory = header["p_paddr"], header["p_filesz"], header["p_memsz"]
    where = f"segment at {address:#x}"
    if stored > memory:
        raise ImageError(f"{name}: the {where} has more bytes in the file than in memory: build it anew")
    if header["p_offset"] + stored > size:
        raise ImageError(f"{name} is cut short: the {where} extends past the end of the file: copy it anew")
    if address < RESERVED_LOW:
        raise ImageError(f"{name}: the {where} overlaps the boot parameters: link it from {RESERVED_LOW:#x} up")
    if address + memory > HIGHEST:
        raise ImageError(f"{name}: the {where} ends above any Guest's memory: link it at physical addresses")


def _entry(elf: Any, headers: list[Any], name: str) -> int:
    """The physical address of e_entry, which some linkers set to the virtual address."""
    entry: int = elf["e_entry"]
    for key in ("p_paddr", "p_vaddr"):
        for header in headers:
            if header[key] <= entry < header[key] + header["p_filesz"]:
                return entry - int(header[key]) + int(header["p_paddr"])
    raise ImageError(f"{name}: its entry point {entry:#x} is outside every segment: build it anew")


def read_elf(file: BinaryIO, size: int, name: str) -> Elf:
    """Read the ELF executable in ``file`` of ``size`` bytes; ``name`` is for messages.

    Raises ImageError when it is malformed, for another machine, or not an executable at fixed addresses.
    """
    elf = _open(file, name)
    _check_machine(elf, name)
    headers = _program_headers(elf, file, size, name)
    loads = [header for header in headers if header["p_type"] == "PT_LOAD" and header["p_memsz"]]
    if not loads:
        raise ImageError(f"{name} has no loadable segment: give a linked kernel (vmlinux)")
    for header in loads:
        _check_segment(header, size, name)
    if sum(header["p_filesz"] for header in loads) > MAX_LOADED:
        raise ImageError(f"{name} loads more than {MAX_LOADED >> 20}M: no kernel is that large, build it anew")
    loads.sort(key=lambda header: int(header["p_paddr"]))
    for low, high in pairwise(loads):
        if low["p_paddr"] + low["p_memsz"] > high["p_paddr"]:
            raise ImageError(
                f"{name}: the segments at {low['p_paddr']:#x} and {high['p_paddr']:#x} overlap: build it anew"
            )
    segments = tuple(
        Segment(load["p_paddr"], read_large(file, load["p_offset"], load["p_filesz"], name), load["p_memsz"])
        for load in loads
    )
    file_ranges = tuple((load["p_offset"], load["p_offset"] + load["p_filesz"], load["p_paddr"]) for load in loads)
    text = tuple(
        (load["p_paddr"], load["p_paddr"] + load["p_filesz"]) for load in loads if load["p_flags"] & P_FLAGS.PF_X
    )
    offset = (loads[0]["p_vaddr"] - loads[0]["p_paddr"]) % (1 << 32)
    return Elf(_entry(elf, loads, name), segments, file_ranges, text, offset)


def _merged(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The union of ``ranges`` without overlaps, so that bytes in several sections are scanned once."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return tuple(merged)


def text_ranges(file: BinaryIO, parsed: Elf, name: str) -> tuple[tuple[int, int], ...]:
    """(Guest-physical address, end) of the executable sections of ``parsed``.

    Without a readable section table: of its executable segments, which hold data as well.
    """
    elf = _open(file, name)
    ranges = []
    for index in range(min(elf["e_shnum"], MAX_SECTIONS)):
        try:
            section = struct_parse(elf.structs.Elf_Shdr, file, elf["e_shoff"] + index * elf["e_shentsize"])
        except Exception:  # the kernel runs without its section table
            return parsed.text
        if section["sh_flags"] & SH_FLAGS.SHF_EXECINSTR and section["sh_type"] == "SHT_PROGBITS":
            start, end = section["sh_offset"], section["sh_offset"] + section["sh_size"]
            ranges += [
                (start - low + address, end - low + address)
                for low, high, address in parsed.file_ranges
                if low <= start <= end <= high
            ]
    return _merged(ranges) or parsed.text
