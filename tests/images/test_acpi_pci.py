# SPDX-License-Identifier: GPL-2.0-or-later
"""The PCI root in the DSDT, as ACPI's own disassembler reads it, and the encodings that it is made of."""

from __future__ import annotations

import shutil
import struct
import subprocess

import pytest

from lguest_py.devices.pci_bus import PIC_PINS, native_pins
from lguest_py.images import aml
from lguest_py.images.acpi import tables
from lguest_py.images.native import FIRMWARE

WINDOW = 0x8100000, 0x1000000


def dsdt(blob: bytes) -> bytes:
    at = blob.index(b"DSDT")
    return blob[at : at + struct.unpack_from("<I", blob, at + 4)[0]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The DSDT in ASL."""
    if not shutil.which("iasl"):
        pytest.skip("no iasl here (Debian: acpica-tools)")
    folder = tmp_path_factory.mktemp("acpi")
    (folder / "dsdt.aml").write_bytes(dsdt(tables(FIRMWARE, WINDOW, native_pins())))
    done = subprocess.run(
        ["iasl", "-d", "dsdt.aml"], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    assert "Error" not in done.stderr + done.stdout
    recompiled = subprocess.run(
        ["iasl", "dsdt.dsl"], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    assert " 0 Errors" in recompiled.stdout
    text = (folder / "dsdt.dsl").read_text()
    return " ".join(line.partition("//")[0].strip() for line in text.splitlines())


def spaceless(text: str) -> str:
    return "".join(text.split())


def test_there_is_a_pci_root_with_its_window(source: str) -> None:
    assert 'Name (_HID, EisaId ("PNP0A03")' in source
    found = spaceless(source)
    start, size = WINDOW
    memory = f"0x00000000,0x{start:08X},0x{start + size - 1:08X},0x00000000,0x{size:08X},"
    assert "DWordMemory(ResourceProducer,PosDecode,MinFixed,MaxFixed,NonCacheable,ReadWrite," + memory in found
    assert "WordBusNumber(ResourceProducer,MinFixed,MaxFixed,PosDecode,0x0000,0x0000,0x0000,0x0000,0x0001," in found
    assert "IO(Decode16,0x0CF8,0x0CF8,0x01,0x08,)" in found


def test_each_slot_has_its_pin(source: str) -> None:
    found = spaceless(source)
    for slot in range(1, 32):
        pin = PIC_PINS[(slot - 1) % len(PIC_PINS)]
        assert f"Package(0x04){{0x{slot << 16 | 0xFFFF:08X},Zero,Zero,0x{pin:02X}}}" in found


def test_without_a_window_there_is_no_root() -> None:
    assert b"PCI0" not in dsdt(tables(FIRMWARE))
    assert b"PCI0" in dsdt(tables(FIRMWARE, WINDOW, native_pins()))


def test_all_tables_still_fit() -> None:
    assert FIRMWARE + len(tables(FIRMWARE, WINDOW, native_pins())) <= 1 << 20


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (1, "01"), (2, "0a02"), (255, "0aff"), (256, "0b0001"), (65536, "0c00000100")],
)
def test_integers_take_the_shortest_form(value: int, encoded: str) -> None:
    assert aml.integer(value).hex() == encoded


@pytest.mark.parametrize(
    ("content", "head"),
    [
        (10, "11 0d 0a0a"),
        (60, "11 3f 0a3c"),
        (61, "11 4104 0a3d"),
        (4090, "11 4fff 0bfa0f"),
        (4091, "11 810001 0bfb0f"),
    ],
)
def test_lengths_count_their_own_bytes(content: int, head: str) -> None:
    """20.2.4: up to 63 in one byte; else its two highest bits count further bytes, and the low nibble comes first."""
    assert aml.buffer(bytes(content)).hex().startswith(spaceless(head))


def test_a_name_of_a_device_is_packed() -> None:
    assert aml.eisa_id("PNP0A03").hex() == "0c41d00a03"
