# SPDX-License-Identifier: GPL-2.0-or-later
"""Write what an unmodified Linux expects of a PC's firmware and boot loader into the first MiB of its RAM.

That is boot_params, the command line with the parameters that a native Guest needs, an E820 map, ACPI tables and the MP
table.
Source: Linux's Documentation/arch/x86/boot.rst and zero-page.rst.
Read next: acpi.py, mp_table.py, and host_kernel/native/personality.c.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from lguest_py.engines.cpuid import has_meltdown
from lguest_py.errors import ImageError
from lguest_py.files.inputs import printable
from lguest_py.images.acpi import tables
from lguest_py.images.boot_params import (
    E820_RAM,
    HEADER_START,
    KEEP_SEGMENTS,
    LOADER_UNDEFINED,
    SETUP_DATA,
    SETUP_DATA_END,
    encoded_command_line,
)
from lguest_py.images.command_line import split
from lguest_py.images.image import MIB, Image
from lguest_py.images.mp_table import mp_table
from lguest_py.images.support import parse_version, short_version
from lguest_py.shared_memory import _layouts as at

BOOT_PARAMS, COMMAND_LINE = 0x10000, 0x20000  # Guest-physical; esi holds the first at entry
LOW_END, FIRMWARE = 0x9F000, 0xE0000  # the end of low RAM; where a kernel searches for the RSDP
MP_TABLE = 639 << 10  # where it searches for that: the last KiB below 640K
BOOT_PARAMS_SIZE = 4096
E820_RESERVED, E820_ENTRY_SIZE = 2, 20
TESTED_VERSIONS = ((3, 18), (4, 15), (5, 4), (5, 10), (6, 1), (6, 5), (6, 12))  # of kernels without lguest support
NO_MSI = "pci=nomsi"
NO_PTI = "nopti"
PTI_WORDS = ("pti=", "nopti", "mitigations=")  # the user's own choice
PTI_SINCE = (4, 19)  # of a 32-bit kernel, which has it only with PAE; an older one hands the word on to init
MAGIC_AT, MAGIC = 0x202, b"HdrS"
PROTOCOL = 0x20C  # for an ELF, which has no setup header: the oldest version that needs no other field
ADDITIONS = (  # (prefix, parameter): added to the command line unless the user gave a parameter with this prefix
    ("reservetop=", "reservetop=0x400000"),  # the Switcher's 4 MiB at the top of memory
    ("tsc_early_khz=", f"tsc_early_khz={'0' * at.TSC_DIGITS}"),  # the Host kernel overwrites the digits with the rate
    ("tsc=", "tsc=reliable"),  # no clocksource watchdog: its timer is late more often than the TSC is wrong
    ("io_delay=", "io_delay=none"),  # each delay is an I/O instruction, which traps
    ("no_timer_check", "no_timer_check"),  # that check counts ticks, which are late on a busy machine
    ("console=", "console=ttyS0"),  # hvc0 would need a module
)


def needs_no_pti(version: str | None, pae: bool, engine: str) -> bool:
    """Would the kernel load CR3 twice in each system call for the sake of a bug that this engine's processor lacks?"""
    return pae and (parse_version(version) or (0, 0))[:2] >= PTI_SINCE and not has_meltdown(engine)


def additions(command_line: str, no_pti: bool = False) -> list[str]:
    """The parameters that a native Guest needs and ``command_line`` lacks; ``no_pti``: needs_no_pti()."""
    words = split(command_line)
    added = [addition for start, addition in ADDITIONS if not any(word.startswith(start) for word in words)]
    if "nolapic" in words and NO_MSI not in words:  # Linux offers MSI to its drivers all the same, and complains then
        added.append(NO_MSI)
    if no_pti and not any(word.startswith(PTI_WORDS) for word in words):
        added.append(NO_PTI)
    return added


def personality_line(image: Image, command_line: str, engine: str = "") -> str:
    """One line for the user: the image's personality, the reason, and what is added to ``command_line``."""
    kernel = f"Linux {short_version(image.version)}" if image.version else "this kernel, which is not Linux,"
    if image.personality == "lguest":
        return f"personality lguest: {kernel} makes hypercalls"
    if (parse_version(image.version) or TESTED_VERSIONS[0])[:2] not in TESTED_VERSIONS:
        kernel += f" (of such kernels {', '.join(f'{major}.{minor}' for major, minor in TESTED_VERSIONS)} were tested)"
    no_pti = needs_no_pti(image.version, image.pae, engine)
    added = " ".join(additions(command_line, no_pti)).replace("0" * at.TSC_DIGITS, "…")
    return (
        f"personality native: {kernel} has no lguest support, so its privileged instructions trap and are emulated"
        + (f"; command line: {added} …" if added else "")
    )


def write_native(
    ram: memoryview,
    image: Image,
    *,
    command_line: str,
    initrd: tuple[int, int] | None,
    window: tuple[int, int] = (0, 0),
    pins: Sequence[int] = (),
    no_pti: bool = False,
) -> int:
    """Write all of it into ``ram``: the Guest's RAM with the image loaded, zero below 1 MiB.

    Returns the Guest-physical address of the TSC_DIGITS characters for the TSC's rate in the command line, or 0.

    ``command_line`` is the user's; ``initrd`` is its (Guest-physical address, size in bytes); ``window`` and ``pins``
    are those of the PCI bus (acpi.tables), ``no_pti`` that of additions().  Raises ImageError for a
    command line that is too long, or a kernel with a segment in the first MiB.
    """
    if any(segment.address < MIB for segment in image.segments):
        name = printable(image.path)
        raise ImageError(f"{name} has a segment below 1M, where the firmware's data is: link it from 1M up")
    line = encoded_command_line(image, " ".join(filter(None, (*additions(command_line, no_pti), command_line))))
    params = ram[BOOT_PARAMS : BOOT_PARAMS + BOOT_PARAMS_SIZE]
    params[HEADER_START : HEADER_START + len(image.setup_header)] = image.setup_header
    params[MAGIC_AT : MAGIC_AT + len(MAGIC)] = MAGIC
    params[SETUP_DATA:SETUP_DATA_END] = bytes(SETUP_DATA_END - SETUP_DATA)  # the loader's field: an empty list
    version = struct.unpack_from("<H", params, at.BOOT_PARAMS_VERSION)[0] or PROTOCOL
    regions = (
        (0, LOW_END, E820_RAM),
        (LOW_END, MIB, E820_RESERVED),
        (MIB, len(ram), E820_RAM),
    )
    address, size = initrd or (0, 0)
    for offset, kind, value in (
        (at.BOOT_PARAMS_E820_ENTRIES, "B", len(regions)),
        (at.BOOT_PARAMS_VERSION, "H", version),
        (at.BOOT_PARAMS_TYPE_OF_LOADER, "B", LOADER_UNDEFINED),
        (at.BOOT_PARAMS_LOADFLAGS, "B", params[at.BOOT_PARAMS_LOADFLAGS] | KEEP_SEGMENTS),
        (at.BOOT_PARAMS_INITRD_START, "I", address),
        (at.BOOT_PARAMS_INITRD_SIZE, "I", size),
        (at.BOOT_PARAMS_CMDLINE, "I", COMMAND_LINE),
    ):
        struct.pack_into("<" + kind, params, offset, value)
    for number, (start, end, kind_of_memory) in enumerate(regions):
        entry = at.BOOT_PARAMS_E820_MAP + E820_ENTRY_SIZE * number
        struct.pack_into("<QQI", params, entry, start, end - start, kind_of_memory)
    ram[COMMAND_LINE : COMMAND_LINE + len(line) + 1] = line + b"\0"
    acpi = tables(FIRMWARE, window, pins)
    ram[FIRMWARE : FIRMWARE + len(acpi)] = acpi
    mp = mp_table(MP_TABLE, pins)
    ram[MP_TABLE : MP_TABLE + len(mp)] = mp
    offset = line.find(b"tsc_early_khz=" + b"0" * at.TSC_DIGITS)
    return COMMAND_LINE + offset + len("tsc_early_khz=") if offset >= 0 else 0
