# SPDX-License-Identifier: GPL-2.0-or-later
"""What is written into a page table in use through no shadow entry: by a disk, by the Host kernel for the Guest.

A disk's read lands there, or the used ring of its queue is there; the Host kernel pushes a frame, replaces a cli,
emulates a store, or sets a field of lguest_data.  The shadow has the old entries until the Guest flushes them, and the
new ones after that.  The disk is the Launcher's own, on PCI, driven by the least that makes it read.
Read next: host_kernel/memory/dirty.c.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from hostile_code import (
    DATA,
    DIRECTORY,
    EAX,
    EBX,
    ECX,
    EDI,
    EDX,
    ESI,
    ESP,
    PAGE_FAULT,
    PLACES,
    POINTER,
    RAM_END,
    flat,
    gate,
    le32,
    mov,
    store,
)
from hostile_lab import SWITCHERS, Watched, harmless, image_of, run_image
from native_code import POWER_OFF
from pci_lab import MMIO, RESULTS, Program, image_for
from told_lab import END, FOR_PROGRAMS, FOR_THE_KERNEL, MASK, STORE_ECX, gates, to_program, told

from lguest_py.hardware import Disk
from lguest_py.images.image import Personality
from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Plan, Switcher
from lguest_py.shared_memory import _layouts as L

pytestmark = pytest.mark.nightly("kvm")
TABLE = 0x350000  # a page table of the Guest's, in use
WINDOW = 0x10000000  # what it maps
OLD, NEW = 0x358000, 0x359000
RINGS = 0x368000  # descriptors, available ring, used ring: a page each
HEADER, STATUS = 0x36C000, 0x36D000
SPARE = 0x370000  # for what nobody looks at
HEAD = 0x67  # of the chain: as an entry of a page table, present and writable, of frame 0
READ = 0  # a disk's request (virtio 1.2, 5.2.6)
FLAGS = 0x67
BAR = Plan(RAM_END, "pci").bar_base + L.BAR_BYTES  # of slot 2: the console is in slot 1
FLUSHES = {
    "cr3": b"\x0f\x20\xd8\x0f\x22\xd8",
    "all": mov(EAX, L.LHCALL_FLUSH_TLB) + mov(EBX, 1) + b"\xcd\x1f",
}
KINDS = pytest.mark.parametrize(("personality", "flush"), [("native", "cr3"), ("lguest", "all")])


class Kept(Watched):
    """An engine whose Guest's results are read before its memory is given back."""

    results: ClassVar[tuple[int, ...]] = ()

    def _look(self) -> None:
        super()._look()
        Kept.results = struct.unpack_from("<4I", self.memory, self.guest.start + RESULTS)


def driver(personality: Personality, used: int, flush: bytes, ready: bool = True) -> Program:
    """The table is linked and clean, and the disk has its queue, if it is to be ``ready``."""
    program = Program(personality)
    program.raw(store(DIRECTORY + 0x1000 + 4 * (TABLE >> 12), TABLE | FLAGS & ~0x40), flush)  # no way to write there
    program.raw(store(DIRECTORY + 4 * (WINDOW >> 22), TABLE | FLAGS), flush)
    program.map(BAR)
    common = {name: (L.BAR_COMMON + at, kind) for name, (at, _, kind) in L.VIRTIO_PCI_COMMON.fields.items()}
    for name, value in (
        ("device_status", 3),
        ("driver_feature_select", 1),
        ("driver_feature", 1),  # VERSION_1
        ("device_status", 11),
        ("queue_select", 0),
        ("queue_desc_low", RINGS),
        ("queue_driver_low", RINGS + 0x1000),
        ("queue_device_low", used),
        ("queue_enable", 1),
        ("device_status", 15),
    )[: None if ready else 0]:
        at, kind = common[name]
        program.store(at, value, struct.calcsize(kind))
    return program


def look(program: Program, address: int) -> None:
    """Keep the word at an address."""
    program.raw(b"\xa1" + le32(address))
    program.keep()


def request(program: Program, used: int, flush: bytes) -> None:
    """Make the chain available, notify the disk, wait until it has used it, and flush."""
    program.raw(store(RINGS + 0x1000, 1 << 16 | 1))
    program.store(L.BAR_NOTIFY, 0, 2)
    program.raw(b"\xa1" + le32(used) + b"\xc1\xe8\x10\x3c\x01\x75\xf4", flush)  # until the used index is 1


def chain(data: int) -> dict[int, bytes]:
    """A read of sector 0 to this address, and what is in memory for it."""
    pieces = (HEADER, 16, 1, HEAD + 1), (data, 512, 3, HEAD + 2), (STATUS, 1, 2, 0)
    return {
        RINGS: bytes(16 * HEAD) + b"".join(struct.pack("<QIHH", *piece) for piece in pieces),
        RINGS + 0x1000: struct.pack("<HHH", 1, 0, HEAD),
        HEADER: struct.pack("<IIQ", READ, 0, 0),
        OLD: struct.pack("<I", 0x01D) * 1024,
        NEW: struct.pack("<I", 0x2E3) * 1024,
    }


def results(
    engine_name: str, program: Program, more: dict[int, bytes], disk: Path, switcher: Switcher = "lean"
) -> tuple[int, ...]:
    """What the Guest kept, which ended well."""
    image = image_for(program, more=more)
    done = harmless(run_image(engine_name, image, watched=Kept, switcher=switcher, hardware=(Disk(str(disk)),)))
    assert done.result.outcome.end is End.POWERED_OFF, done.result.outcome
    return Kept.results


@KINDS
@SWITCHERS
def test_a_read_into_a_page_table_is_seen_after_a_flush(
    engine_name: str, tmp_path: Path, personality: Personality, flush: str, switcher: Switcher
) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(struct.pack("<128I", NEW | FLAGS, *[0] * 127))
    program = driver(personality, RINGS + 0x2000, FLUSHES[flush])
    look(program, WINDOW)
    request(program, RINGS + 0x2000, FLUSHES[flush])
    look(program, WINDOW)
    look(program, STATUS)
    kept = results(engine_name, program, chain(TABLE) | {TABLE: le32(OLD | FLAGS)}, disk, switcher)
    assert kept[:3] == (0x01D, 0x2E3, 0)


@KINDS
def test_a_used_ring_in_a_page_table_is_seen_after_a_flush(
    engine_name: str, tmp_path: Path, personality: Personality, flush: str
) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(512))
    program = driver(personality, TABLE, FLUSHES[flush])
    look(program, WINDOW + 0x1000 + 0x20)  # entry 1 is the first word of the ring's first element
    request(program, TABLE, FLUSHES[flush])
    look(program, WINDOW + 0x1000 + 0x20)
    look(program, 0x20)
    before, after, frame_0, _ = results(engine_name, program, chain(SPARE) | {TABLE: le32(0) + le32(OLD | FLAGS)}, disk)
    assert before == 0x01D
    assert after == frame_0


# --- what the Host kernel writes for the Guest ------------------------------------------------------------------------

IDENTITY = DIRECTORY + 0x1000  # the page table for the first 4 MiB


def no_way_to_write(page: int) -> bytes:
    """The Guest's own mapping of a page: for its kernel, and not dirty, so that the shadow of it is read-only."""
    return store(IDENTITY + 4 * (page >> 12), page | FLAGS & ~0x44)


def look_at(address: int, number: int) -> bytes:
    """Keep the word at an address."""
    return b"\xa1" + le32(address) + b"\xa3" + le32(RESULTS + 4 * number)


def linked(table: int, page: int, flush: bytes) -> bytes:
    """The window is mapped by a table, which is clean; its first look is kept."""
    return store(DIRECTORY + 4 * (WINDOW >> 22), table | FLAGS) + flush + look_at(WINDOW + page, 0) + flush


@SWITCHERS
@pytest.mark.parametrize("stored", [False, True], ids=["walk", "shadow"])
def test_a_frame_that_the_host_kernel_pushes_onto_a_page_table(
    engine_name: str, switcher: Switcher, stored: bool
) -> None:
    """The stack is in the table: the eip of an undefined instruction is the entry of the page that it is in.

    ``stored``: the kernel has stored there, so that the shadow lets the Host kernel write without a walk.
    """
    handler, stack, high = 0x36E000, mov(ESP, PLACES["STACK"]), 0xC0000000
    code = gates({6: (handler, FOR_THE_KERNEL)}) + store(DIRECTORY + 4 * (high >> 22), IDENTITY | FLAGS)
    if stored:
        code += FLUSHES["cr3"] + b"\xa1" + le32(high + TABLE) + store(TABLE + 0x800, 0)  # dirty.c looks for it there
    code += linked(TABLE, 0, FLUSHES["cr3"])
    code += mov(ESP, TABLE + 12) + mov(EAX, NEW | FLAGS) + b"\xff\xe0"
    more = {
        TABLE: le32(OLD | FLAGS),
        OLD: le32(0x01D),
        NEW: le32(0x2E3) + bytes(FLAGS - 4) + b"\x0f\x0b",
        handler: FLUSHES["cr3"] + look_at(WINDOW, 1) + stack + POWER_OFF,
    }
    seen, _ = told(engine_name, switcher, image_of("native", code, more=more), (RESULTS, 2), (TABLE, 1))
    assert seen == [[0x01D, 0x2E3], [NEW | FLAGS]]


@SWITCHERS
def test_a_string_instruction_from_a_device_into_a_page_table(
    engine_name: str, tmp_path: Path, switcher: Switcher
) -> None:
    """The entry is what a register of the device holds."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(512))
    program = driver("native", SPARE, FLUSHES["cr3"], ready=False)
    register = L.BAR_COMMON + L.VIRTIO_PCI_COMMON.fields["queue_desc_low"][0]
    program.store(register, NEW | FLAGS)
    look(program, WINDOW)
    program.raw(FLUSHES["cr3"], mov(ESI, MMIO + register), mov(EDI, TABLE), b"\xa5", FLUSHES["cr3"])
    look(program, WINDOW)
    kept = results(engine_name, program, chain(SPARE) | {TABLE: le32(OLD | FLAGS)}, disk, switcher)
    assert kept[:2] == (0x01D, 0x2E3)


@SWITCHERS
def test_a_store_to_a_page_table_in_the_gdts_page_by_the_switcher(engine_name: str, switcher: Switcher) -> None:
    """An entry is the lower half of a descriptor that is not present: the Switcher does the second store to it."""
    descriptors = (0, 0, flat(0x9B), flat(0x93), flat(0xFB), flat(0xF3), 0, 0, OLD | FLAGS)
    half, window, flush = TABLE + 8 * 8, 0x1000 * 16, mov(EAX, DIRECTORY) + b"\x0f\x22\xd8"
    begin = 0x36E000
    code = MASK + b"\x0f\x01\x15" + le32(POINTER)  # a program has run: there are fast paths
    code += mov(ECX, OLD | FLAGS) + STORE_ECX + le32(half) + linked(TABLE, window, flush) + b"\xa1" + le32(TABLE)
    code += mov(ECX, NEW | FLAGS) + STORE_ECX + le32(half) + flush + look_at(WINDOW + window, 1) + END
    more = {
        begin: code,
        TABLE: struct.pack("<9Q", *descriptors),
        POINTER: struct.pack("<HI", 8 * len(descriptors) - 1, TABLE),
        OLD: le32(0x01D),
        NEW: le32(0x2E3),
    }
    image = image_of("native", gates({0x30: (begin, FOR_PROGRAMS)}) + to_program(), b"\xcd\x30", more)
    seen, answered = told(engine_name, switcher, image, (RESULTS, 2), (half, 1))
    assert seen == [[0x01D, 0x2E3], [NEW | FLAGS]]
    assert answered == 2  # and MASK's cli


@SWITCHERS
def test_a_cli_in_a_page_table_that_the_host_kernel_replaces(engine_name: str, switcher: Switcher) -> None:
    """The kernel sets its flag by popf, so its first cli gets another opcode: half of that is the frame of an entry."""
    cli_frame, insb_frame, behind = 0x35F000, 0x356000, 0x36E000  # 0xFA is the second byte of an entry, then 0x6C
    code = no_way_to_write(TABLE) + FLUSHES["cr3"] + linked(TABLE, 0, FLUSHES["cr3"])
    code += mov(EAX, TABLE + 1) + b"\xff\xe0"
    more = {
        TABLE: b"\x67\xfa\x35\x00" + b"\x00\x00\x00\xe9" + le32(behind - (TABLE + 12)),  # cli; xor eax, 0; jmp
        cli_frame: le32(0x01D),
        insb_frame: le32(0x2E3),
        behind: FLUSHES["cr3"] + look_at(WINDOW, 1) + END,
    }
    image = replace(image_of("native", code, more=more), version="5.11.22")
    seen, _ = told(engine_name, switcher, image, (RESULTS, 2), (TABLE, 1))
    assert seen == [[0x01D, 0x2E3], [0x00356C67]]


@SWITCHERS
def test_a_store_to_a_page_table_in_the_gdts_page_that_is_emulated(engine_name: str, switcher: Switcher) -> None:
    """The page is write-protected for the GDT, so the store is the Host kernel's."""
    gdt = TABLE + 0x800
    descriptors = (0, 0, flat(0x9B), flat(0x93), flat(0xFB), flat(0xF3))
    code = b"\x0f\x01\x15" + le32(POINTER) + linked(TABLE, 0, FLUSHES["cr3"])
    code += mov(ECX, NEW | FLAGS) + STORE_ECX + le32(TABLE) + FLUSHES["cr3"] + look_at(WINDOW, 1) + END
    more = {
        TABLE: le32(OLD | FLAGS) + bytes(0x7FC) + struct.pack("<6Q", *descriptors),
        POINTER: struct.pack("<HI", 8 * len(descriptors) - 1, gdt),
        OLD: le32(0x01D),
        NEW: le32(0x2E3),
    }
    seen, _ = told(engine_name, switcher, image_of("native", code, more=more), (RESULTS, 2), (TABLE, 1))
    assert seen == [[0x01D, 0x2E3], [NEW | FLAGS]]


@SWITCHERS
def test_a_field_of_lguest_data_in_a_page_table(engine_name: str, switcher: Switcher) -> None:
    """An entry of the table is the field for the address of a page fault, which is so chosen that it is an entry."""
    handler, cr2 = 0x36E000, L.LGUEST_DATA.fields["cr2"][0]
    window, flush = 0x1000 * (cr2 // 4), FLUSHES["all"]
    leads = gate(handler, L.GUEST_CS, FOR_THE_KERNEL)
    load_gate = mov(EAX, L.LHCALL_LOAD_IDT_ENTRY) + mov(EBX, PAGE_FAULT) + mov(ECX, leads & 0xFFFFFFFF)
    code = load_gate + mov(EDX, leads >> 32) + b"\xcd\x1f" + store(DATA, 0) + store(DATA + cr2, OLD | FLAGS)
    code += no_way_to_write(DATA) + store(IDENTITY + 4 * (NEW >> 12), 0) + flush + linked(DATA, window, flush)
    code += b"\xa1" + le32(NEW | FLAGS)
    more = {
        OLD: le32(0x01D),
        NEW: le32(0x2E3),
        handler: flush + look_at(WINDOW + window, 1) + END,
    }
    seen, _ = told(engine_name, switcher, image_of("lguest", code, more=more), (RESULTS, 2), (DATA + cr2, 1))
    assert seen == [[0x01D, 0x2E3], [NEW | FLAGS]]


@SWITCHERS
def test_a_store_whose_shadow_entry_is_gone_before_the_flush(engine_name: str, switcher: Switcher) -> None:
    """The Guest's own, by a mapping that it then takes away."""
    code = linked(TABLE, 0, FLUSHES["cr3"]) + store(TABLE, NEW | FLAGS)
    code += store(IDENTITY + 4 * (TABLE >> 12), 0) + b"\x0f\x01\x3d" + le32(TABLE)  # invlpg
    code += FLUSHES["cr3"] + look_at(WINDOW, 1) + END
    more = {TABLE: le32(OLD | FLAGS), OLD: le32(0x01D), NEW: le32(0x2E3)}
    seen, _ = told(engine_name, switcher, image_of("native", code, more=more), (RESULTS, 2))
    assert seen == [[0x01D, 0x2E3]]
