# SPDX-License-Identifier: GPL-2.0-or-later
"""Check whether a Linux version can decompress an initrd, by the file's first bytes: the kernel itself does it.

Source: Linux's lib/decompress.c, and the version that added each format.  Read next: initrd.py.
"""

from __future__ import annotations

from lguest_py.errors import ImageError
from lguest_py.files.inputs import open_regular, printable
from lguest_py.images.decompress import compression_of
from lguest_py.images.support import parse_version, short_version

# the others (gzip, bzip2, lzma, lzo): every supported Linux
SINCE = {"xz": (2, 6, 38), "lz4": (3, 11, 0), "zstd": (5, 9, 0)}
LZ4_FRAME = b"\x04\x22\x4d\x18"
XZ_CHECK, XZ_CHECKS = 7, (0, 1)  # the offset of an xz stream's check type; none, CRC32 (.xz format, 2.1.1.2)
HEAD_SIZE = 0x206  # bytes that identify the format
REPACK = "pack it with gzip"


def is_kernel(head: bytes) -> str | None:
    """The kind of kernel that begins with ``head``; None when it is not a kernel."""
    if head.startswith(b"\x7fELF"):
        return "an ELF"
    return "a bzImage" if head[0x202:0x206] == b"HdrS" else None


def initrd_note(path: str, version: str | None) -> str:
    """One line when Linux ``version`` cannot decompress this initrd, else "", also when that is not known.

    A file that cannot be read gives "", because loading it reports the error.
    """
    parsed = parse_version(version)
    if not parsed:
        return ""
    try:
        file, _ = open_regular(path, "")
        with file:
            head = file.read(HEAD_SIZE).ljust(XZ_CHECK + 1, b"\0")
    except (ImageError, OSError):
        return ""
    name, kernel = printable(path), f"Linux {short_version(version)}"
    if head.startswith(LZ4_FRAME):
        return f"the initrd {name} is in a framing of lz4 that no Linux unpacks: pack it with lz4 -l, or {REPACK}"
    packed = compression_of(head)
    if packed == "xz" and head[XZ_CHECK] not in XZ_CHECKS:
        return f"the initrd {name} has a checksum that no Linux knows: pack it with xz --check=crc32, or {REPACK}"
    since = SINCE.get(packed or "", parsed)
    if parsed < since:
        first = ".".join(map(str, since[:2] if since[0] > 2 else since))
        return f"the initrd {name} is packed with {packed}, which Linux unpacks from {first} on, not {kernel}: {REPACK}"
    return ""
