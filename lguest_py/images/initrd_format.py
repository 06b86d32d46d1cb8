# SPDX-License-Identifier: GPL-2.0-or-later
"""What a Linux can make of an initrd, by the file's first bytes: it is the kernel that unpacks it.

Source: Linux's lib/decompress.c and the versions in which it got each format.  Read next: initrd.py.
"""

from __future__ import annotations

from lguest_py.errors import ImageError
from lguest_py.files.inputs import open_regular, printable
from lguest_py.images.decompress import packed_as
from lguest_py.images.support import numbers, version_word

SINCE = {"xz": (2, 6, 38), "lz4": (3, 11, 0), "zstd": (5, 9, 0)}  # gzip, bzip2, lzma and lzo: all that we serve
LZ4_FRAME = b"\x04\x22\x4d\x18"
XZ_CHECK, XZ_CHECKS = 7, (0, 1)  # where xz tells the kind of its checksums; none, CRC32
HEAD = 0x206
REPACK = "pack it with gzip"


def is_kernel(head: bytes) -> str | None:
    """What kind of kernel the file that begins with ``head`` is; None: none."""
    if head.startswith(b"\x7fELF"):
        return "an ELF"
    return "a bzImage" if head[0x202:0x206] == b"HdrS" else None


def initrd_note(path: str, version: str | None) -> str:
    """One line when the Linux ``version`` cannot unpack this initrd, as far as that can be known; else "".

    A file that cannot be read gives "" here: loading it tells.
    """
    found = numbers(version)
    if not found:
        return ""
    try:
        file, _ = open_regular(path, "")
        with file:
            head = file.read(HEAD).ljust(XZ_CHECK + 1, b"\0")
    except (ImageError, OSError):
        return ""
    name, kernel = printable(path), f"Linux {version_word(version)}"
    if head.startswith(LZ4_FRAME):
        return f"the initrd {name} is in a framing of lz4 that no Linux unpacks: pack it with lz4 -l, or {REPACK}"
    packed = packed_as(head)
    if packed == "xz" and head[XZ_CHECK] not in XZ_CHECKS:
        return f"the initrd {name} has a checksum that no Linux knows: pack it with xz --check=crc32, or {REPACK}"
    since = SINCE.get(packed or "", found)
    if found < since:
        first = ".".join(map(str, since[:2] if since[0] > 2 else since))
        return f"the initrd {name} is packed with {packed}, which Linux unpacks from {first} on, not {kernel}: {REPACK}"
    return ""
