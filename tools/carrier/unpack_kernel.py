# SPDX-License-Identifier: GPL-2.0-or-later
"""unpack_kernel.py BZIMAGE OUTPUT: the ELF kernel inside a compressed x86 kernel.

QEMU enters such a file by PVH, which spares the carrier the decompression in an emulated processor.
"""

from __future__ import annotations

import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def through(*command: str) -> Callable[[bytes], bytes]:
    """A decompressor that is a program; trailing garbage makes it fail after it wrote all there was."""

    def run(packed: bytes) -> bytes:
        try:
            return subprocess.run(command, input=packed, capture_output=True, check=False).stdout
        except FileNotFoundError:
            name = command[0]
            raise SystemExit(f"run-in-kvm: to unpack the kernel {name} is missing: apt-get install {name}") from None

    return run


def unxz(packed: bytes) -> bytes:
    """One xz stream, whatever follows it."""
    try:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(packed)
    except lzma.LZMAError:
        return b""


FORMATS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"\xfd7zXZ\0", unxz),
    (b"\x02!L\x18", through("lz4", "-dc")),
    (b"\x28\xb5\x2f\xfd", through("zstd", "-dcq")),
    (b"\x1f\x8b\x08", through("gzip", "-dcq")),
)


def unpack(image: bytes) -> bytes | None:
    """The first ELF file that any place in ``image`` unpacks to."""
    for magic, decompress in FORMATS:
        at = image.find(magic)
        while at >= 0:
            unpacked = decompress(image[at:])
            if unpacked.startswith(b"\x7fELF"):
                return unpacked
            at = image.find(magic, at + 1)
    return None


def main() -> None:
    """The program."""
    source, target = map(Path, sys.argv[1:3])
    kernel = unpack(source.read_bytes())
    if kernel is None:
        raise SystemExit(f"run-in-kvm: found no kernel in {source}")
    target.write_bytes(kernel)


if __name__ == "__main__":
    main()
