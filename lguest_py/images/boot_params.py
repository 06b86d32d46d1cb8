# SPDX-License-Identifier: GPL-2.0-or-later
"""Write boot_params (the zero page, at Guest-physical 0) and the command line of an lguest Linux.

Source: Linux's Documentation/arch/x86/boot.rst and zero-page.rst; hardware_subarch 1 is lguest.
Read next: native.py, which does the same for a native Guest.
"""

from __future__ import annotations

import os
import struct

from lguest_py.errors import ImageError
from lguest_py.files.inputs import printable
from lguest_py.images.image import MIB, RESERVED_LOW, TABLE_SPAN, Image, suggestion
from lguest_py.images.initrd import LOW_MEMORY, PAGE
from lguest_py.shared_memory import _layouts as at

HEADER_START = 0x1F1
COMMAND_LINE = 0x1000  # Guest-physical
COMMAND_LINE_SIZE = 0x238  # the offset of cmdline_size
COMMAND_LINE_MAX = 2047  # bytes: COMMAND_LINE_SIZE of x86 Linux, less the final zero
SETUP_DATA, SETUP_DATA_END = 0x250, 0x258
E820_RAM = 1
LOADER_UNDEFINED = 0xFF
# in loadflags: the segment registers are set up, so the kernel must not reload them, which would trap
KEEP_SEGMENTS = 0x40
ALIGNMENT = 0x1000000  # kernel_alignment: the decompressor moves itself up to a multiple of this
PROTOCOL = 0x207  # the first version with hardware_subarch


def encoded_command_line(image: Image, text: str) -> bytes:
    """The command line as bytes.  Raises ImageError when it is longer than the kernel's cmdline_size or has a zero
    byte.
    """
    limit = COMMAND_LINE_MAX
    header = image.setup_header
    if len(header) >= COMMAND_LINE_SIZE + 4 - HEADER_START:
        limit = min(limit, struct.unpack_from("<I", header, COMMAND_LINE_SIZE - HEADER_START)[0] or limit)
    line = os.fsencode(text)
    if len(line) > limit:
        raise ImageError(
            f"the kernel's command line has {len(line)} bytes, but {printable(image.path)} takes {limit}: shorten it"
        )
    if b"\0" in line:
        raise ImageError("the kernel's command line has a zero byte in it: remove it")
    return line


def place_tables(ram_bytes: int, image: Image, initrd: tuple[int, int] | None) -> int:
    """The Guest-physical end of the room for the page tables that the Host makes: below the initrd, or the RAM's end.

    Raises ImageError when the kernel is there.
    """
    end = min(ram_bytes, LOW_MEMORY) & -PAGE
    end = min(end, initrd[0]) if initrd else end
    size = (-(-ram_bytes // TABLE_SPAN) + 1) * PAGE
    if end - size < image.end:
        needed = image.end + size + ram_bytes - end
        raise ImageError(
            f"{printable(image.path)} and its first page tables do not fit into {ram_bytes // MIB}M: "
            f"use {suggestion(needed)}"
        )
    return end


def write_boot_params(
    ram: memoryview, image: Image, *, command_line: str, initrd: tuple[int, int] | None
) -> None:
    """Write boot_params and the command line into ``ram``, which is all of the Guest's RAM and zero below RESERVED_LOW.

    ``initrd`` is its (Guest-physical address, size in bytes).  Raises ImageError for a command line that the
    kernel does not accept, or RAM below RESERVED_LOW.
    """
    if len(ram) < RESERVED_LOW:
        raise ImageError("the Guest's memory is too small for any kernel: use --memory 64M")
    line = encoded_command_line(image, command_line)
    ram[HEADER_START : HEADER_START + len(image.setup_header)] = image.setup_header
    version = max(struct.unpack_from("<H", ram, at.BOOT_PARAMS_VERSION)[0], PROTOCOL)
    flags = ram[at.BOOT_PARAMS_LOADFLAGS] | KEEP_SEGMENTS
    address, size = initrd or (0, 0)
    ram[SETUP_DATA:SETUP_DATA_END] = bytes(SETUP_DATA_END - SETUP_DATA)  # the loader's field: an empty list
    for offset, kind, value in (
        (at.BOOT_PARAMS_E820_ENTRIES, "B", 1),
        (at.BOOT_PARAMS_VERSION, "H", version),
        (at.BOOT_PARAMS_TYPE_OF_LOADER, "B", LOADER_UNDEFINED),
        (at.BOOT_PARAMS_LOADFLAGS, "B", flags),
        (at.BOOT_PARAMS_INITRD_START, "I", address),
        (at.BOOT_PARAMS_INITRD_SIZE, "I", size),
        (at.BOOT_PARAMS_CMDLINE, "I", COMMAND_LINE),
        (at.BOOT_PARAMS_KERNEL_ALIGNMENT, "I", ALIGNMENT),
        (at.BOOT_PARAMS_SUBARCH, "I", at.SUBARCH_LGUEST),
    ):
        struct.pack_into("<" + kind, ram, offset, value)
    struct.pack_into("<QQI", ram, at.BOOT_PARAMS_E820_MAP, 0, len(ram), E820_RAM)
    ram[COMMAND_LINE : COMMAND_LINE + len(line) + 1] = line + b"\0"
