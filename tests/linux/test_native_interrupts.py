# SPDX-License-Identifier: GPL-2.0-or-later
"""Which interrupt controllers an unmodified kernel uses: the APICs and MSI-X, or what its command line leaves it.

Read before: test_native_boot.py.  Read next: host_kernel/native/pc/irq.c.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from linux_lab import Linux

from lguest_py.kernels.stock import Kernel

NAME = "debian-6.1-686"
READS = 50
COMMAND = (
    f"dd if=/dev/vda of=/dev/null bs=4k count={READS} iflag=direct 2>/dev/null; sleep 1; cat /proc/interrupts; "
    "dmesg | grep -c -E '[B]UG|[W]ARNING|[C]all Trace|[n]obody cared|[M]P-BIOS|[t]imer does not work'"
)  # brackets, since the log has the command line


def interrupts(text: str) -> dict[str, tuple[int, str]]:
    """/proc/interrupts: the count and the controller, by the last word of each line, or its first."""
    found = {}
    for line in text.splitlines():
        if match := re.match(r" *(\w+): +(\d+) +(\S+).* (\S+)$", line):
            number, count, chip, name = match.groups()
            found[name.partition("-")[0] if number.isdigit() else number] = int(count), chip
            if name.endswith("-req.0"):
                found["virtio1"] = int(count), chip
    return found


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize(
    ("words", "timer", "serial", "disk", "local"),
    [
        ((), "IO-APIC", "IO-APIC", "PCI-MSI", True),
        (("pci=nomsi",), "IO-APIC", "IO-APIC", "IO-APIC", True),
        (("nolapic_timer",), "IO-APIC", "IO-APIC", "PCI-MSI", False),
        (("noapic",), "XT-PIC", "XT-PIC", "PCI-MSI", True),
        (("nolapic",), "XT-PIC", "XT-PIC", "XT-PIC", False),
        (("acpi=off",), "IO-APIC", "IO-APIC", "PCI-MSI", True),  # from the MP table
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) and value else None,
)
def test_it_works_with_each(
    engine_name: str, stock: Kernel, tmp_path: Path, words: tuple[str, ...], timer: str, serial: str, disk: str,
    local: bool,
) -> None:  # fmt: skip
    (tmp_path / "disk").write_bytes(bytes(READS * 4096))
    guest = Linux(
        engine_name, NAME, None, "quiet", *words, f'run="{COMMAND}"', console="ttyS0",
        options=("--disk", f"{tmp_path / 'disk'},readonly,format=raw"),
    )  # fmt: skip
    try:
        data = guest.finish()
        text = guest.text
    finally:
        guest.close()
    found = interrupts(text)
    assert found["timer"][0] > 0
    assert found["timer"][1] == timer, found
    assert found["ttyS0"][1] == serial, found
    assert found["virtio1"][1] == disk, found
    assert found["virtio1"][0] >= READS, found
    assert (found["LOC"][0] > 0) == local, found
    assert re.search(r"^ERR: +0$", text, re.M)
    assert re.search(r"^0$", text, re.M), text  # complaints in its log
    assert data["end"] == ("halted" if words == ("acpi=off",) else "powered off")
