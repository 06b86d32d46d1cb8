# SPDX-License-Identifier: GPL-2.0-or-later
"""Joining the tiny Guest's boot part and its kernel into a bzImage (tools/bzimage.py)."""

from __future__ import annotations

import gzip
import struct

import bzimage
import pytest

ELF = b"\x7fELF" + bytes(range(256)) * 20


def boot(sectors: int, code: bytes) -> bytes:
    """A boot part: setup sectors with little but the magic in them, then ``code``."""
    setup = bytearray(512 * (sectors + 1))
    setup[0x1F1] = sectors
    setup[0x202:0x206] = b"HdrS"
    return bytes(setup) + code


@pytest.mark.parametrize("sectors", [1, 4])
@pytest.mark.parametrize("code", [b"", b"\x90" * 33])
def test_the_payload_is_where_the_header_says(sectors: int, code: bytes) -> None:
    image = bzimage.join(boot(sectors, code), ELF)
    setup = 512 * (sectors + 1)
    offset, length = struct.unpack_from("<II", image, 0x248)
    assert offset >= len(code)
    assert gzip.decompress(image[setup + offset : setup + offset + length]) == ELF
    assert image[setup : setup + len(code)] == code
    assert struct.unpack_from("<I", image, 0x1F4)[0] * 16 == len(image) - setup


def test_the_same_sources_make_the_same_image() -> None:
    assert bzimage.join(boot(1, b"code"), ELF) == bzimage.join(boot(1, b"code"), ELF)


def test_a_boot_part_without_a_header_is_refused() -> None:
    with pytest.raises(ValueError, match="HdrS"):
        bzimage.join(bytes(4096), ELF)


def test_a_boot_part_shorter_than_its_setup_sectors_is_refused() -> None:
    with pytest.raises(ValueError, match="4 setup sectors"):
        bzimage.join(boot(4, b"")[:1024], ELF)
