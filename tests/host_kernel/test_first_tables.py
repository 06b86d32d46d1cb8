# SPDX-License-Identifier: GPL-2.0-or-later
"""The page tables that the Host kernel makes for a kernel that has none at its entry: Linux up to 3.0."""

from __future__ import annotations

import struct

import pytest
from abi_lab import data_of, int_at
from hostile_code import DATA, EAX, EBX, ECX, le32, mov, store
from pci_lab import PciMachine

from lguest_py.images.image import Image, Segment
from lguest_py.shared_memory import _layouts as L

RAM = 8 << 20
MESSAGE, RESULTS, WORD, START = 0x150000, 0x200000, 0x300000, 0x100000
TABLES = RAM // (4 << 20)
END = RAM  # there is no initrd
DIRECTORY = END - 4096
FLAGS = 0x67
PGDIR = L.LGUEST_DATA_OLD.fields["pgdir"][0]


def load(address: int) -> bytes:
    return b"\xa1" + le32(address)


def keep(number: int) -> bytes:
    return b"\xa3" + le32(RESULTS + 4 * number)


@pytest.mark.parametrize("kernel_address", [0x40000000, 0xC0000000, 0xFF400000])
def test_ram_is_at_0_and_at_the_kernel_address(engine_name: str, kernel_address: int) -> None:
    code = mov(EAX, L.LHCALL_LGUEST_INIT) + mov(EBX, DATA) + b"\xcd\x1f"
    code += store(kernel_address + WORD, 7) + load(WORD) + keep(0)  # written above, read below
    code += store(RAM - 0x10000, 8) + load(kernel_address + RAM - 0x10000) + keep(1)  # behind the first table's span
    # an entry that the Guest changes, in the directory that it was told
    table = DIRECTORY - 4096
    code += store(table + 4 * 0x111, WORD | FLAGS) + load(DATA + PGDIR) + b"\x89\xc3"  # mov ebx, eax
    code += mov(EAX, L.LHCALL_SET_PTE) + mov(ECX, 0x111000) + b"\xba" + le32(WORD | FLAGS) + b"\xcd\x1f"
    code += load(0x111000) + keep(2)
    code += mov(EAX, L.LHCALL_SHUTDOWN) + mov(EBX, MESSAGE) + mov(ECX, L.SHUTDOWN_POWEROFF) + b"\xcd\x1f"
    parts = {START: code, MESSAGE: b"Power down\0", DATA: data_of(L.LGUEST_DATA_0, kernel_address)}
    segments = tuple(Segment(address, data, len(data)) for address, data in sorted(parts.items()))
    image = Image("old", "ELF", START, segments, b"", "2.6.39", 1, expects_tables=True)
    done = PciMachine(engine_name, image, abi=L.LGUEST_DATA_0).run(results=3, memory=True)
    assert done.powered_off, done.reason
    assert [int_at(done, RESULTS + 4 * number) for number in range(3)] == [7, 8, 7]
    assert int_at(done, DATA + PGDIR) == DIRECTORY
    directory = struct.unpack_from("<1024I", done.memory, DIRECTORY)
    here, there = directory[:TABLES], directory[kernel_address >> 22 :][:TABLES]
    assert here == there
    assert sum(map(bool, directory)) == 2 * TABLES
    entries = [entry for table in here for entry in struct.unpack_from("<1024I", done.memory, table & ~0xFFF)]
    entries[0x111] = 0x111000 | FLAGS
    assert entries == [page << 12 | FLAGS for page in range(RAM >> 12)]
