# SPDX-License-Identifier: GPL-2.0-or-later
"""The ACPI tables of a native Guest: the minimum for power-off, restart and the PCI bus.

They are RSDP, RSDT, FADT, FACS, MADT and a DSDT with \\_S5 and the PCI root.  host_kernel/native/pc/ports.c implements
the registers that the FADT names, local_apic.c and io_apic.c there what the MADT names.
Source: ACPI specification 6.5, chapter 5 (tables) and 20 (AML).

Read next: aml.py, the DSDT's encoding; lguest_py/images/native.py, which writes them into the Guest's memory.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from lguest_py.images import aml
from lguest_py.shared_memory import _layouts as at

OEM, OEM_TABLE, CREATOR = b"LGUEST", b"LGUESTPY", b"LGPY"
SCI_IRQ = 9
CLOCK_IRQ = 0
MADT_HAS_PIC = 1
MADT_PROCESSOR, MADT_IO_APIC, MADT_OVERRIDE = 0, 1, 2
PROCESSOR_ENABLED = 1
AS_THE_BUS, LEVEL_LOW = 0, 0xF  # of an override: trigger mode and polarity
RESET_PORT, RESET_VALUE = 0xCF9, 6
NO_C_STATE = 0xFFFF  # a latency above the limits of C2 (100) and C3 (1000 microseconds) means that there is none
LEGACY_DEVICES, NO_VGA = 0x1, 0x4  # IAPC_BOOT_ARCH
# Fixed feature flags: WBINVD, PROC_C1, PWR_BUTTON and SLP_BUTTON (no fixed buttons), FIX_RTC (no fixed wake-up),
# TMR_VAL_EXT (the PM timer has 32 bits), RESET_REG_SUP.
FEATURES = 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 10
CONFIG_PORTS = 0xCF8  # eight of them
ANY_FUNCTION = 0xFFFF
BYTE_ACCESS, WORD_ACCESS, DWORD_ACCESS = 1, 2, 3
HEADER_SIZE, FACS_SIZE, FADT_SIZE = 36, 64, 244  # bytes


def _checksum(data: bytes | bytearray) -> int:
    return -sum(data) & 0xFF


def _table(signature: bytes, revision: int, body: bytes) -> bytes:
    table = bytearray(
        struct.pack("<4sIBB6s8sI4sI", signature, HEADER_SIZE + len(body), revision, 0, OEM, OEM_TABLE, 1, CREATOR, 1) +
        body )
    table[9] = _checksum(table)
    return bytes(table)


def _port(address: int, bits: int, access: int) -> bytes:
    """A Generic Address Structure for a register of ``bits`` bits in I/O space; 0 bits: an absent register."""
    return struct.pack("<BBBBQ", 1, bits, 0, access, address) if bits else bytes(12)


def _dsdt(window: tuple[int, int], pins: Sequence[int]) -> bytes:
    """The SLP_TYP value that powers off through the PM1 control register, and the root of the PCI bus.

    ``window``: address and size of the memory for BARs; no root if it is empty.  ``pins``: the interrupt of each slot's
    INTA, 0 for a slot without.
    """
    sleep = [aml.integer(at.ACPI_SLEEP_TYPE_OFF)] * 2 + [aml.integer(0)] * 2
    body = aml.name("\\_S5_", aml.package(sleep))
    start, size = window
    if size:
        resources = (
            aml.word_range(aml.BUS_RANGE, 0, 0)
            + aml.word_range(aml.IO_RANGE, 0, CONFIG_PORTS - 1)
            + aml.ports(CONFIG_PORTS, 8)
            + aml.word_range(aml.IO_RANGE, CONFIG_PORTS + 8, 0xFFFF)
            + aml.memory_range(start, start + size - 1)
            + aml.END_TAG
        )
        routes = [
            aml.package([aml.integer(slot << 16 | ANY_FUNCTION), aml.integer(0), aml.integer(0), aml.integer(pin)])
            for slot, pin in enumerate(pins)
            if pin
        ]
        root = (
            aml.name("_HID", aml.eisa_id("PNP0A03"))
            + aml.name("_UID", aml.integer(0))
            + aml.name("_BBN", aml.integer(0))
            + aml.name("_CRS", aml.buffer(resources))
            + aml.name("_PRT", aml.package(routes))
        )
        body += aml.scope("\\_SB_", aml.device("PCI0", root))
    return _table(b"DSDT", 2, body)


def _fadt(facs: int, dsdt: int) -> bytes:
    event, control, timer = at.ACPI_PM1_EVENT, at.ACPI_PM1_CONTROL, at.ACPI_PM_TIMER
    # desktop; no SMI command, because ACPI mode is always on
    body = struct.pack("<IIBBHI4B", facs, dsdt, 0, 1, SCI_IRQ, 0, 0, 0, 0, 0)
    body += struct.pack("<8I", event, 0, control, 0, 0, timer, 0, 0)  # no PM1b, PM2, GPE
    body += struct.pack("<8B", 4, 2, 0, 4, 0, 0, 0, 0)  # the lengths of these register blocks
    body += struct.pack("<4H5BHBI", NO_C_STATE, NO_C_STATE, 0, 0, 0, 0, 0, 0, 0,
                        LEGACY_DEVICES | NO_VGA, 0, FEATURES)  # fmt: skip
    body += _port(RESET_PORT, 8, BYTE_ACCESS) + bytes([RESET_VALUE, 0, 0, 0])
    body += struct.pack("<QQ", 0, dsdt)
    body += _port(event, 32, WORD_ACCESS) + _port(0, 0, 0) + _port(control, 16, WORD_ACCESS) + 2 * _port(0, 0, 0)
    body += _port(timer, 32, DWORD_ACCESS) + 2 * _port(0, 0, 0)
    return _table(b"FACP", 3, body)


def _madt() -> bytes:
    """One processor with its local APIC, one I/O APIC, and the ISA interrupts that are not as usual there."""
    body = struct.pack("<II", at.LOCAL_APIC_ADDRESS, MADT_HAS_PIC)
    body += struct.pack("<BBBBI", MADT_PROCESSOR, 8, 0, 0, PROCESSOR_ENABLED)
    body += struct.pack("<BBBBII", MADT_IO_APIC, 12, 0, 0, at.IO_APIC_ADDRESS, 0)
    for irq, pin, flags in ((CLOCK_IRQ, at.IO_APIC_CLOCK_PIN, AS_THE_BUS), (SCI_IRQ, SCI_IRQ, LEVEL_LOW)):
        body += struct.pack("<BBBBIH", MADT_OVERRIDE, 10, 0, irq, pin, flags)
    return _table(b"APIC", 1, body)


def _facs() -> bytes:
    return struct.pack("<4sI", b"FACS", FACS_SIZE).ljust(32, b"\0") + b"\1".ljust(FACS_SIZE - 32, b"\0")  # version 1


def _rsdp(rsdt: int) -> bytes:
    table = bytearray(struct.pack("<8sB6sBI", b"RSD PTR ", 0, OEM, 0, rsdt))
    table[8] = _checksum(table)
    return bytes(table)


def tables(address: int, window: tuple[int, int] = (0, 0), pins: Sequence[int] = ()) -> bytes:
    """All tables as bytes for Guest-physical ``address``, a multiple of 64 in 0xE0000 to 0xFFFFF.

    ``window``: address and size of the memory for BARs; ``pins``: the PIC's pin of each PCI slot, 0 for none.

    The RSDP comes first: a kernel scans that range for it at each multiple of 16 (section 5.2.5.1).
    """
    facs = address + 64
    fadt = facs + FACS_SIZE
    rsdt = fadt + FADT_SIZE
    madt = rsdt + HEADER_SIZE + 2 * 4
    dsdt = madt + len(_madt())
    parts = (
        _rsdp(rsdt).ljust(64, b"\0"),
        _facs(),
        _fadt(facs, dsdt),
        _table(b"RSDT", 1, struct.pack("<II", fadt, madt)),
        _madt(),
        _dsdt(window, pins),
    )
    return b"".join(parts)
