# SPDX-License-Identifier: GPL-2.0-or-later
"""The ACPI tables that name interrupt controllers and the PM timer, as iasl reads them."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from lguest_py.images.acpi import tables
from lguest_py.images.native import FIRMWARE
from lguest_py.shared_memory import _layouts as L


def each() -> dict[bytes, bytes]:
    """All tables that the RSDT names."""
    data = tables(FIRMWARE)
    rsdt = struct.unpack_from("<I", data, 16)[0] - FIRMWARE
    length = struct.unpack_from("<I", data, rsdt + 4)[0]
    found = {}
    for (address,) in struct.iter_unpack("<I", data[rsdt + 36 : rsdt + length]):
        at = address - FIRMWARE
        table = data[at : at + struct.unpack_from("<I", data, at + 4)[0]]
        assert not sum(table) % 256
        found[table[:4]] = table
    return found


@pytest.fixture
def source(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A table as iasl shows it, on one line without spaces."""
    if not shutil.which("iasl"):
        pytest.skip("no iasl here (Debian: acpica-tools)")
    (tmp_path / "table.aml").write_bytes(each()[request.param])
    done = subprocess.run(
        ["iasl", "-d", "table.aml"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    text = (tmp_path / "table.dsl").read_text()
    assert not [word for word in ("Error", "Invalid", "Unknown") if word in done.stdout + done.stderr + text]
    return "".join(text.split())


@pytest.mark.parametrize("source", [b"APIC"], indirect=True)
def test_there_are_one_processor_one_io_apic_and_two_overrides(source: str) -> None:
    assert "LocalApicAddress:FEE00000" in source
    assert "PC-ATCompatibility:1" in source
    assert source.count("SubtableType:00[ProcessorLocalAPIC]") == source.count("ProcessorEnabled:1") == 1
    assert source.count("SubtableType:01[I/OAPIC]") == source.count("Address:FEC00000") == 1
    clock, sci = source.split("SubtableType:02[InterruptSourceOverride]")[1:]
    for text, irq, pin, polarity, trigger in ((clock, "00", 2, 0, 0), (sci, "09", 9, 3, 3)):
        assert f"Source:{irq}" in text
        assert f"Interrupt:{pin:08X}" in text
        assert f"Polarity:{polarity}" in text
        assert f"TriggerMode:{trigger}" in text


@pytest.mark.parametrize("source", [b"FACP"], indirect=True)
def test_there_is_a_pm_timer_of_32_bits_and_msi_is_allowed(source: str) -> None:
    assert f"PMTimerBlockAddress:{L.ACPI_PM_TIMER:08X}" in source
    assert "PMTimerBlockLength:04" in source
    assert "32-bitPMTimer(V1):1" in source
    assert "MSINotSupported(V4):0" in source
