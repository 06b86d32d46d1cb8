# SPDX-License-Identifier: GPL-2.0-or-later
"""The MP table, read as a kernel does.  tests/linux/test_native_interrupts.py has one that uses it (acpi=off).

Source: Intel MultiProcessor Specification 1.4, chapter 4.
"""

from __future__ import annotations

import struct

from lguest_py.devices.pci_bus import native_pins
from lguest_py.images.mp_table import mp_table
from lguest_py.images.native import LOW_END, MP_TABLE
from lguest_py.shared_memory import _layouts as L

SIZES = {0: 20, 1: 8, 2: 8, 3: 8, 4: 8}


def entries(pins: list[int]) -> list[bytes]:
    """What the header counts; the checksums, the signatures and the lengths are right."""
    data = mp_table(MP_TABLE, pins)
    pointer, table = data[:16], data[16:]
    signature, address, length, revision = struct.unpack_from("<4sIBB", pointer)
    assert (signature, address, length, revision) == (b"_MP_", MP_TABLE + 16, 1, 4)
    assert not any(pointer[11:])  # the table is there, and the local APIC is connected
    assert sum(pointer) % 256 == sum(table) % 256 == 0
    signature, length, revision = struct.unpack_from("<4sHB", table)
    assert (signature, length, revision) == (b"PCMP", len(table), 4)
    count, local_apic = struct.unpack_from("<HI", table, 34)
    assert local_apic == L.LOCAL_APIC_ADDRESS
    found, at = [], 44
    while at < len(table):
        found.append(table[at : at + SIZES[table[at]]])
        at += SIZES[table[at]]
    assert len(found) == count
    return found


def test_one_processor_two_buses_and_one_io_apic() -> None:
    found = entries([])
    assert [each[0] for each in found[:4]] == [0, 1, 1, 2]
    assert found[0][3] == 3  # usable, and it boots
    assert [each[2:] for each in found[1:3]] == [b"PCI   ", b"ISA   "]
    assert struct.unpack("<BBBBI", found[3]) == (2, 0, 0x11, 1, L.IO_APIC_ADDRESS)


def test_each_interrupt_has_one_pin() -> None:
    pins = list(native_pins())
    pci: dict[int, tuple[int, int]] = {}
    isa: dict[int, tuple[int, int]] = {}
    local = []
    for each in entries(pins)[4:]:
        kind, what, flags, bus, source, apic, pin = struct.unpack("<BBHBBBB", each)
        if kind == 4:
            local.append((what, pin))
        else:
            assert (what, apic) == (0, 0)
            (isa if bus else pci)[source] = (pin, flags)
    assert isa[0] == (L.IO_APIC_CLOCK_PIN, 0)
    assert pci == {slot << 2: (pin, 0xF) for slot, pin in enumerate(pins) if pin}
    assert not {pin for pin, _ in isa.values()} & {pin for pin, _ in pci.values()}
    assert local == [(3, 0), (1, 1)]


def test_it_is_where_kernels_look() -> None:
    assert LOW_END <= MP_TABLE == 0xA0000 - 1024
    assert MP_TABLE + len(mp_table(MP_TABLE, native_pins())) <= 0xA0000
