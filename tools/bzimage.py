# SPDX-License-Identifier: GPL-2.0-or-later
"""Join the tiny Guest's boot part and its kernel into a bzImage.

The boot part (guest_kernel/boot) is the setup sectors with their header, then the code that is entered at
0x100000; the kernel's ELF, packed by gzip, goes behind it and the header says where.
Source: Linux Documentation/x86/boot.txt.

Used by tools/build_images.py.
"""

from __future__ import annotations

import gzip
import struct

SETUP_SECTS = 0x1F1  # u8: sectors of setup code behind the first
SYSSIZE = 0x1F4  # u32: what follows the setup sectors, in units of 16 bytes
MAGIC = 0x202
PAYLOAD_OFFSET = 0x248  # u32: from the end of the setup sectors
PAYLOAD_LENGTH = 0x24C  # u32


def join(boot: bytes, elf: bytes) -> bytes:
    """The bzImage.  Raises ValueError when ``boot`` has no boot header or is shorter than its setup sectors."""
    if boot[MAGIC : MAGIC + 4] != b"HdrS":
        raise ValueError("guest_kernel/boot: no HdrS at 0x202")
    setup = (boot[SETUP_SECTS] + 1) * 512
    if len(boot) < setup:
        raise ValueError(f"guest_kernel/boot: {boot[SETUP_SECTS]} setup sectors, but only {len(boot)} bytes")
    payload = gzip.compress(elf, mtime=0)
    image = bytearray(boot) + bytes(-len(boot) % 16)
    struct.pack_into("<II", image, PAYLOAD_OFFSET, len(image) - setup, len(payload))
    image += payload + bytes(-len(payload) % 16)
    struct.pack_into("<I", image, SYSSIZE, (len(image) - setup) // 16)
    return bytes(image)
