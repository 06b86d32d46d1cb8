# SPDX-License-Identifier: GPL-2.0-or-later
"""Read an ELF executable: its loadable segments at their physical addresses, and its entry point.

Only the file header and the program headers are read; sections only by ``text_ranges``, which few images
need.  pyelftools decodes; the checks are here, for it takes what it is given.  Source of the format: System V
ABI and its Intel386 supplement.

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
from lguest_py.files.inputs import read_exactly
from lguest_py.images.image import HIGHEST, RESERVED_LOW, WANTED, Segment

MAGIC = b"\x7fELF"
MOST_HEADERS = 64  # a kernel has three or four; 65,535 are a lie that takes long to read
MOST_SECTIONS = 4096
MOST_BYTES = 512 << 20


@dataclass(frozen=True)
class Elf:
    """A 32-bit x86 executable: ``entry`` and ``segments`` are Guest-physical."""

    entry: int
    segments: tuple[Segment, ...]
    stored: tuple[tuple[int, int, int], ...]  # of each segment: offset and end in the file, address
    text: tuple[tuple[int, int], ...]  # (address, end) of the executable segments


def _open(file: BinaryIO, name: str) -> Any:
    """An ELFFile.  pyelftools reports what is malformed in many ways (its own errors, AssertionError, …)."""
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
    if count > MOST_HEADERS or step < 32 or start + count * step > size:
        raise ImageError(f"{name} has program headers that cannot be ({count} of {step} bytes): copy it anew")
    for index in range(count):
        yield struct_parse(elf.structs.Elf_Phdr, file, stream_pos=start + index * step)


def _check_segment(header: Any, size: int, name: str) -> None:
    address, stored, memory = header["p_paddr"], header["p_filesz"], header["p_memsz"]
    where = f"segment at {address:#x}"
    if stored > memory:
        raise ImageError(f"{name}: the {where} has more bytes in the file than in memory: build it anew")
    if header["p_offset"] + stored > size:
        raise ImageError(f"{name} is cut short: the {where} goes on behind the end of the file: copy it anew")
    if address < RESERVED_LOW:
        raise ImageError(f"{name}: the {where} lies over the boot parameters: link it from {RESERVED_LOW:#x} up")
    if address + memory > HIGHEST:
        raise ImageError(f"{name}: the {where} ends above any Guest's memory: link it at physical addresses")


def _entry(elf: Any, headers: list[Any], name: str) -> int:
    """The physical address of e_entry, which some linkers give as a virtual one."""
    entry: int = elf["e_entry"]
    for key in ("p_paddr", "p_vaddr"):
        for header in headers:
            if header[key] <= entry < header[key] + header["p_filesz"]:
                return entry - int(header[key]) + int(header["p_paddr"])
    raise ImageError(f"{name}: its entry point {entry:#x} lies in no segment: build it anew")


def read_elf(file: BinaryIO, size: int, name: str) -> Elf:
    """Read the ELF executable in ``file`` of ``size`` bytes; ``name`` is for messages.

    Raises ImageError when it is broken, for another machine, or not to be loaded at fixed addresses.
    """
    elf = _open(file, name)
    _check_machine(elf, name)
    found = _program_headers(elf, file, size, name)
    loads = [header for header in found if header["p_type"] == "PT_LOAD" and header["p_memsz"]]
    if not loads:
        raise ImageError(f"{name} has nothing to load: give a linked kernel (vmlinux)")
    for header in loads:
        _check_segment(header, size, name)
    if sum(header["p_filesz"] for header in loads) > MOST_BYTES:
        raise ImageError(f"{name} loads more than {MOST_BYTES >> 20}M: no kernel is that large, build it anew")
    loads.sort(key=lambda header: int(header["p_paddr"]))
    for low, high in pairwise(loads):
        if low["p_paddr"] + low["p_memsz"] > high["p_paddr"]:
            raise ImageError(
                f"{name}: the segments at {low['p_paddr']:#x} and {high['p_paddr']:#x} overlap: build it anew"
            )
    segments = tuple(
        Segment(load["p_paddr"], read_exactly(file, load["p_offset"], load["p_filesz"], name), load["p_memsz"])
        for load in loads
    )
    stored = tuple((load["p_offset"], load["p_offset"] + load["p_filesz"], load["p_paddr"]) for load in loads)
    text = tuple(
        (load["p_paddr"], load["p_paddr"] + load["p_filesz"]) for load in loads if load["p_flags"] & P_FLAGS.PF_X
    )
    return Elf(_entry(elf, loads, name), segments, stored, text)


def text_ranges(file: BinaryIO, parsed: Elf, name: str) -> tuple[tuple[int, int], ...]:
    """Where the instructions are: (Guest-physical address, end) of each executable section of ``parsed``.

    An ELF without a readable section table gives its executable segments instead, which hold data as well.
    """
    elf = _open(file, name)
    found = []
    for index in range(min(elf["e_shnum"], MOST_SECTIONS)):
        try:
            section = struct_parse(elf.structs.Elf_Shdr, file, elf["e_shoff"] + index * elf["e_shentsize"])
        except Exception:  # the section table is not needed to run the kernel: do without it
            return parsed.text
        if section["sh_flags"] & SH_FLAGS.SHF_EXECINSTR and section["sh_type"] == "SHT_PROGBITS":
            start, end = section["sh_offset"], section["sh_offset"] + section["sh_size"]
            found += [
                (start - low + address, end - low + address)
                for low, high, address in parsed.stored
                if low <= start <= end <= high
            ]
    return tuple(found) or parsed.text
