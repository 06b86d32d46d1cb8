# SPDX-License-Identifier: GPL-2.0-or-later
"""The MultiProcessor table of a native Guest: what the MADT says, for a kernel without ACPI.

A kernel that finds none where it is expected searches the BIOS area for it. Linux maps what is left of that area again
at each 16 bytes: 70,000 flushes of an address in a boot, each of which is a world switch.
Source: Intel MultiProcessor Specification 1.4, chapter 4.

Read before: acpi.py.  Read next: lguest_py/images/native.py, which writes it into the Guest's memory.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from lguest_py.images.acpi import CLOCK_IRQ, CREATOR, OEM
from lguest_py.shared_memory import _layouts as at

POINTER_BYTES, HEADER_BYTES = 16, 44
REVISION = 4  # 1.4
PROCESSOR, BUS, IO_APIC, IO_INTERRUPT, LOCAL_INTERRUPT = range(5)
ENABLED, BOOT_PROCESSOR = 1, 2
LOCAL_APIC_VERSION, IO_APIC_VERSION = 0x14, 0x11
PCI, ISA = 0, 1  # the numbers of the buses
VECTORED, NMI, FROM_PIC = 0, 1, 3
AS_THE_BUS, LEVEL_LOW = 0, 0xF
ISA_IRQS, CASCADE = 16, 2
EVERY_APIC = 0xFF


def _checksum(data: bytes | bytearray) -> int:
    return -sum(data) & 0xFF


def _interrupts(pins: Sequence[int]) -> list[bytes]:
    """ISA interrupts but those of PCI, the INTA of each slot, and what the local APIC's own two pins have."""
    found = []
    for irq in range(ISA_IRQS):
        if irq != CASCADE and irq not in pins[1:]:
            pin = at.IO_APIC_CLOCK_PIN if irq == CLOCK_IRQ else irq
            found.append(struct.pack("<BBHBBBB", IO_INTERRUPT, VECTORED, AS_THE_BUS, ISA, irq, 0, pin))
    for slot, pin in enumerate(pins):
        if pin:
            found.append(struct.pack("<BBHBBBB", IO_INTERRUPT, VECTORED, LEVEL_LOW, PCI, slot << 2, 0, pin))
    for kind, number in ((FROM_PIC, 0), (NMI, 1)):
        found.append(struct.pack("<BBHBBBB", LOCAL_INTERRUPT, kind, AS_THE_BUS, ISA, 0, EVERY_APIC, number))
    return found


def mp_table(address: int, pins: Sequence[int] = ()) -> bytes:
    """The pointer structure and the table, for Guest-physical ``address``: the start of the last KiB of low memory.

    ``pins``: the interrupt of each slot's INTA, 0 for a slot without.
    """
    entries = [
        struct.pack("<BBBBII8x", PROCESSOR, 0, LOCAL_APIC_VERSION, ENABLED | BOOT_PROCESSOR, 0, 0),
        struct.pack("<BB6s", BUS, PCI, b"PCI   "),
        struct.pack("<BB6s", BUS, ISA, b"ISA   "),
        struct.pack("<BBBBI", IO_APIC, 0, IO_APIC_VERSION, ENABLED, at.IO_APIC_ADDRESS),
        *_interrupts(pins),
    ]
    body = b"".join(entries)
    header = bytearray(
        struct.pack("<4sHBB8s12s", b"PCMP", HEADER_BYTES + len(body), REVISION, 0, OEM.ljust(8), CREATOR.ljust(12))
        + struct.pack("<IHHIHBx", 0, 0, len(entries), at.LOCAL_APIC_ADDRESS, 0, 0)
    )
    header[7] = _checksum(header + body)
    pointer = bytearray(struct.pack("<4sIBBB5x", b"_MP_", address + POINTER_BYTES, 1, REVISION, 0))
    pointer[10] = _checksum(pointer)
    return bytes(pointer + header + body)
