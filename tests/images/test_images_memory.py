# SPDX-License-Identifier: GPL-2.0-or-later
"""How much memory a Linux with lguest support needs at its entry: what it maps itself, or what the Host maps for it."""

from __future__ import annotations

import gzip
import lzma
import sys
from pathlib import Path

import imagewriter
import pytest
from imagewriter import INIT_CALL, BzImage, ElfFile, Part, text

from lguest_py.errors import ImageError
from lguest_py.images import Image, open_image
from lguest_py.images.boot_params import place_tables

MIB = 1 << 20
PGTABLE = b"\xb8\x04\x00\x00\x00\xbb\x00\x30\x10\x00\xcd\x1f"  # NEW_PGTABLE, eax first
SWAPPED = b"\xbb\x00\x30\x10\x00\xb8\x04\x00\x00\x00\xcd\x1f"  # ebx first


def linux(version: str | None, memory: int, *, offset: int = 0xC0000000, call: bytes = INIT_CALL) -> bytes:
    """A kernel at 1 MiB that ends at 1 MiB + ``memory``."""
    return ElfFile((Part(MIB, text(version, call=call), memory, virtual=MIB + offset),)).bytes()


def read(tmp_path: Path, data: bytes, unpack: bool | None = None) -> Image:
    path = tmp_path / "kernel"
    path.write_bytes(data)
    return open_image(str(path), unpack=unpack)


def fits(image: Image, ram_bytes: int) -> bool:
    """Whether it loads into RAM of this size."""
    try:
        image.load(memoryview(bytearray(ram_bytes)))
    except ImageError:
        return False
    return True


@pytest.mark.parametrize(
    ("memory", "offset", "needed"),
    [
        (2 * MIB, 0xC0000000, 4 * MIB),  # to 3M, and 1M that maps 1 GiB
        (2 * MIB + 1, 0xC0000000, 8 * MIB),
        (MIB, 0x80000000, 4 * MIB),  # 2M that map 2 GiB
        (MIB + 1, 0x80000000, 8 * MIB),
        (MIB, 0x40000000, 8 * MIB),
        (22 * MIB, 0xC0000000, 24 * MIB),
    ],
)
@pytest.mark.parametrize("version", ["3.1.0", "3.18.24", "4.13.4"])
def test_a_linux_needs_what_it_maps_at_its_entry(
    tmp_path: Path, version: str, memory: int, offset: int, needed: int
) -> None:
    image = read(tmp_path, linux(version, memory, offset=offset))
    assert fits(image, needed)
    assert not fits(image, needed - 4096)


def test_the_amount_that_works_is_told(tmp_path: Path) -> None:
    image = read(tmp_path, linux("3.18.24", 4 * MIB))
    with pytest.raises(ImageError, match=r"needs memory up to 8M, but the Guest has 6M: use --memory 16M"):
        image.load(memoryview(bytearray(6 * MIB)))


def test_a_native_linux_and_another_guest_need_their_own_end(tmp_path: Path) -> None:
    native = read(tmp_path, linux("6.1.0", 4 * MIB, call=b"\x90" * 12))
    assert native.personality == "native"
    assert fits(native, 5 * MIB)
    assert fits(read(tmp_path, linux(None, 4 * MIB)), 5 * MIB)


def test_a_bzimage_needs_it_too_however_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = linux("3.18.24", 4 * MIB)
    packed = BzImage(gzip.compress(data), init_size=5 * MIB).bytes()
    assert not fits(read(tmp_path, packed), 8 * MIB - 4096)
    assert fits(read(tmp_path, packed), 8 * MIB)
    assert not fits(read(tmp_path, packed, False), 8 * MIB - 4096)
    assert fits(read(tmp_path, packed, False), 8 * MIB)
    for name in ("lzma", "backports.lzma"):  # what is in it cannot be seen: init_size tells
        monkeypatch.setitem(sys.modules, name, None)
    hidden = BzImage(b"\x02\x21\x4c\x18" + lzma.compress(data), init_size=4 * MIB).bytes()
    for name in ("lz4", "lz4.block"):
        monkeypatch.setitem(sys.modules, name, None)
    assert not fits(read(tmp_path, hidden), 8 * MIB - 4096)
    assert fits(read(tmp_path, hidden), 8 * MIB)


@pytest.mark.parametrize(
    ("version", "call", "expected"),
    [
        ("2.6.32", imagewriter.INIT_VMCALL, True),
        ("2.6.39", INIT_CALL, True),
        ("3.0.86", INIT_CALL, True),
        ("3.0.31", INIT_CALL + PGTABLE, False),  # with a change of 3.1
        ("3.0.31", INIT_CALL + SWAPPED, False),
        ("3.1.0", INIT_CALL, False),
        ("3.1.0", INIT_CALL + PGTABLE, False),
        ("4.13.4", INIT_CALL + PGTABLE, False),
        (None, INIT_CALL, False),
    ],
)
def test_up_to_3_0_the_host_makes_the_first_page_tables(
    tmp_path: Path, version: str | None, call: bytes, expected: bool
) -> None:
    image = read(tmp_path, linux(version, MIB, call=call))
    assert image.expects_tables == expected
    assert image.personality == "lguest"


def test_the_tables_lie_below_the_initrd(tmp_path: Path) -> None:
    image = read(tmp_path, linux("2.6.39", MIB))
    assert place_tables(16 * MIB, image, (0xF00000, 5)) == 0xF00000
    assert place_tables(16 * MIB, image, None) == 16 * MIB
    assert place_tables(2048 * MIB, image, None) == 0x37000000  # not above what a Linux maps
    assert place_tables(16 * MIB - 4096, image, None) == 16 * MIB - 4096


def test_tables_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    image = read(tmp_path, linux("2.6.39", 14 * MIB))  # to 15M; 16M of RAM need a directory and four tables
    tables = 5 * 4096
    assert place_tables(16 * MIB, image, (15 * MIB + tables, 100)) == 15 * MIB + tables
    with pytest.raises(ImageError, match=r"do not fit into 16M: use --memory 32M"):
        place_tables(16 * MIB, image, (15 * MIB + tables - 4096, 100))
