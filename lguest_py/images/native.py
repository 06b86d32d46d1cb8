# SPDX-License-Identifier: GPL-2.0-or-later
"""What a Linux that knows nothing of us expects to find when it starts: as a PC's firmware and loader leave it.

boot_params, the command line, a memory map and a little ACPI, all in the first MiB of the Guest's RAM.
Source: Linux's boot protocol, x86, and its zero page.  Read next: acpi.py, and host_kernel/native/personality.c.
"""

from __future__ import annotations

import struct

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
from lguest_py.images.support import numbers, version_word
from lguest_py.shared_memory import _layouts as at

BOOT_PARAMS, COMMAND_LINE = 0x10000, 0x20000  # Guest-physical; esi points at the first
LOW_END, FIRMWARE = 0x9F000, 0xE0000  # where low RAM ends; where a kernel searches for ACPI
E820_RESERVED = 2
TRIED = (6, 1)
MAGIC_AT, MAGIC = 0x202, b"HdrS"
PROTOCOL = 0x20C  # of an ELF, which has no setup header: the first that needs nothing of what is not there
ADDED = (  # what is added to the command line, unless the user gave one that begins so
    ("reservetop=", "reservetop=0x400000"),  # the Switcher's 4 MiB at the top of memory
    ("tsc_early_khz=", f"tsc_early_khz={'0' * at.TSC_DIGITS}"),  # the Host kernel writes the rate it knows
    ("tsc=", "tsc=reliable"),  # no watchdog: its own clock would be late more often than the TSC wrong
    ("io_delay=", "io_delay=none"),  # each would be a trap
    ("nolapic", "nolapic"),  # the machine's local APIC shows in CPUID, but is the Host kernel's own
    ("console=", "console=ttyS0"),  # there is no other console
)


def additions(command_line: str) -> list[str]:
    """What a native Guest needs on its command line and the user did not give."""
    words = split(command_line)
    return [addition for start, addition in ADDED if not any(word.startswith(start) for word in words)]


def personality_line(image: Image, command_line: str) -> str:
    """For the user: how the image will be run, why, and what is added to ``command_line``."""
    kernel = f"Linux {version_word(image.version)}" if image.version else "this kernel, which is no Linux,"
    if image.personality == "lguest":
        return f"personality lguest: {kernel} calls its Host"
    if (numbers(image.version) or TRIED)[:2] != TRIED:
        kernel += f" (of such kernels only {TRIED[0]}.{TRIED[1]} was tried)"
    added = " ".join(additions(command_line)).replace("0" * at.TSC_DIGITS, "…")
    return (
        f"personality native: {kernel} knows nothing of lguest, so its instructions are emulated where they trap"
        + (f"; command line: {added} …" if added else "")
    )


def write_native(ram: memoryview, image: Image, *, command_line: str, initrd: tuple[int, int] | None) -> int:
    """Write all that into ``ram``, which is all of the Guest's RAM with the image loaded, and zero below 1 MiB.

    Returns where (Guest-physical) the command line has TSC_DIGITS characters for the TSC's rate, or 0.

    ``command_line`` is the user's; ``initrd`` is its (Guest-physical address, size in bytes).  Raises ImageError for a
    command line that is too long, or a kernel that lies in the first MiB.
    """
    if any(segment.address < MIB for segment in image.segments):
        raise ImageError(f"{printable(image.path)} lies below 1M, where the firmware's data is: link it from 1M up")
    line = encoded_command_line(image, " ".join(filter(None, (*additions(command_line), command_line))))
    params = ram[BOOT_PARAMS : BOOT_PARAMS + 4096]
    params[HEADER_START : HEADER_START + len(image.setup_header)] = image.setup_header
    params[MAGIC_AT : MAGIC_AT + len(MAGIC)] = MAGIC
    params[SETUP_DATA:SETUP_DATA_END] = bytes(SETUP_DATA_END - SETUP_DATA)  # ours to fill: nothing there
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
        struct.pack_into("<QQI", params, at.BOOT_PARAMS_E820_MAP + 20 * number, start, end - start, kind_of_memory)
    ram[COMMAND_LINE : COMMAND_LINE + len(line) + 1] = line + b"\0"
    acpi = tables(FIRMWARE)
    ram[FIRMWARE : FIRMWARE + len(acpi)] = acpi
    place = line.find(b"tsc_early_khz=" + b"0" * at.TSC_DIGITS)
    return COMMAND_LINE + place + len("tsc_early_khz=") if place >= 0 else 0
