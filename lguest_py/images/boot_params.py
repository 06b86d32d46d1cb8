# SPDX-License-Identifier: GPL-2.0-or-later
"""Write what an lguest Linux expects to find when it starts: boot_params at Guest-physical 0, and its command line.

Source: Linux's boot protocol, x86, and its zero page; sub-architecture 1 is lguest.  Read next: native.py, for others.
"""

from __future__ import annotations

import os
import struct

from lguest_py.errors import ImageError
from lguest_py.files.inputs import printable
from lguest_py.images.image import RESERVED_LOW, Image
from lguest_py.shared_memory import _layouts as at

HEADER_START = 0x1F1
COMMAND_LINE = 0x1000  # Guest-physical
COMMAND_LINE_SIZE, PROTOCOL_COMMAND_LINE_SIZE = 0x238, 0x206
COMMAND_LINE_MOST = 2047  # bytes, of any Linux we can serve
SETUP_DATA, SETUP_DATA_END = 0x250, 0x258
E820_RAM = 1
LOADER_UNDEFINED = 0xFF
KEEP_SEGMENTS = 0x40  # our segment registers are right, and a reload would trap
ALIGNMENT = 0x1000000  # the decompressor moves itself up to a multiple of this
PROTOCOL = 0x207  # the first that knows sub-architectures


def encoded_command_line(image: Image, text: str) -> bytes:
    """The command line as the kernel reads it.  Raises ImageError when it would not take it."""
    most = COMMAND_LINE_MOST
    header = image.setup_header
    if len(header) >= COMMAND_LINE_SIZE + 4 - HEADER_START:
        most = min(most, struct.unpack_from("<I", header, COMMAND_LINE_SIZE - HEADER_START)[0] or most)
    line = os.fsencode(text)
    if len(line) > most:
        raise ImageError(
            f"the kernel's command line has {len(line)} bytes, but {printable(image.path)} takes {most}: shorten it"
        )
    if b"\0" in line:
        raise ImageError("the kernel's command line has a zero byte in it: remove it")
    return line


def write_boot_params(
    ram: memoryview, image: Image, *, command_line: str, initrd: tuple[int, int] | None
) -> None:
    """Write boot_params and the command line into ``ram``, which is all of the Guest's RAM, zero below 0x2000.

    ``initrd`` is its (Guest-physical address, size in bytes).  Raises ImageError for a command line that the
    kernel would not take, or RAM that is too small for any kernel.
    """
    if len(ram) < RESERVED_LOW:
        raise ImageError("the Guest's memory is too small for any kernel: use --memory 64M")
    line = encoded_command_line(image, command_line)
    ram[HEADER_START : HEADER_START + len(image.setup_header)] = image.setup_header
    version = max(struct.unpack_from("<H", ram, at.BOOT_PARAMS_VERSION)[0], PROTOCOL)
    flags = ram[at.BOOT_PARAMS_LOADFLAGS] | KEEP_SEGMENTS
    address, size = initrd or (0, 0)
    ram[SETUP_DATA:SETUP_DATA_END] = bytes(SETUP_DATA_END - SETUP_DATA)  # ours to fill: nothing there
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
