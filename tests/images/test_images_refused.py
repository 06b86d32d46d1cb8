# SPDX-License-Identifier: GPL-2.0-or-later
"""Images that must be refused: one ImageError, one line, which says what is wrong and what to do."""

from __future__ import annotations

import gzip
import lzma
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import imagewriter
import pytest
from imagewriter import BzImage, ElfFile, Part, kernel, text

from lguest_py.errors import ImageError
from lguest_py.images import open_image

ELF = kernel().bytes()
PACKED = BzImage(gzip.compress(ELF))
CONFIG = b"IKCFG_ST" + gzip.compress(b"#\nCONFIG_X86_PAE=y\nCONFIG_LGUEST_GUEST=y\n") + b"IKCFG_ED"


def with_text(data: bytes) -> bytes:
    """An ELF kernel of one segment."""
    return ElfFile((Part(0x100000, data),)).bytes()


def parts(*some: Part) -> bytes:
    """An ELF kernel of a good segment and these."""
    return ElfFile((Part(0x100000, text()), *some)).bytes()


def damaged(data: bytes, place: int) -> bytes:
    """The same with one byte turned round."""
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


XZ = lzma.compress(ELF * 9, check=lzma.CHECK_CRC32)

REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "text": (b"this is no kernel\n" * 99, "neither an ELF nor a bzImage"),
    "short": (b"hello\n", "6 bytes, too few"),
    "boot sector": (bytes(510) + b"\x55\xaa" + bytes(99), "without a Linux setup header"),
    "bad magic": (PACKED.bytes().replace(b"HdrS", b"Hdrs"), "without a Linux setup header"),
    "truncated bzImage header": (PACKED.bytes()[:0x220], "cut short"),
    "truncated setup": (PACKED.bytes()[: 16 * 512], "cut short"),
    "truncated payload": (PACKED.bytes()[:-64], "cut short"),
    "code size larger than the file": (BzImage(b"", code_size=0xFFFFFFF).bytes(), "cut short"),
    "payload behind the file": (BzImage(b"", payload_length=99999).bytes(), "payload ends after"),
    "payload offset behind the file": (
        BzImage(b"", payload_offset=0xFFFFFFF0, payload_length=0x20).bytes(),
        "payload ends after",
    ),
    "init size of 4 GiB": (BzImage(b"", init_size=0xFFFFFFFF).bytes(), "asks for memory up to"),
    "preferred address beyond 32 bits": (BzImage(b"", preferred=1 << 63).bytes(), "asks for memory up to"),
    "entry outside of the code": (BzImage(b"", entry=0x10000).bytes(), "entry point 0x10000"),
    "zImage": (BzImage(b"", loadflags=0).bytes(), "old zImage"),
    "old boot protocol": (BzImage(b"", protocol=0x206).bytes(), "boot protocol 2.06"),
    "short setup header": (BzImage(b"", header_end=0x230).bytes(), "shorter than"),
    "64-bit bzImage": (BzImage(b"?", xloadflags=1).bytes(), "64-bit"),
    "unknown compression": (BzImage(b"\x99unknown" * 9).bytes(), "does not use (it begins with 99 75 6e 6b)"),
    "corrupt gzip payload": (damaged(PACKED.bytes(), len(PACKED.bytes()) - 60), "damaged"),
    "corrupt xz payload": (BzImage(damaged(XZ, len(XZ) // 2)).bytes(), "damaged"),
    "gzip payload that ends early": (BzImage(gzip.compress(ELF)[:-30]).bytes(), "ends early"),
    "lzma payload with a dictionary of 4 GiB": (BzImage(b"\x5d\0\0\xff\xff" + bytes(99)).bytes(), "damaged"),
    "payload for another machine": (BzImage(gzip.compress(kernel(machine=40).bytes())).bytes(), "ARM"),
    "truncated ELF header": (ELF[:40], "broken ELF header"),
    "ELF magic only": (b"\x7fELF", "broken ELF header"),
    "truncated program headers": (ELF[:70], "program headers"),
    "truncated segment": (ELF[:-8], "cut short"),
    "60,000 program headers": (kernel(count=60000).bytes(), "program headers"),
    "65,535 program headers": (kernel(count=0xFFFF).bytes(), "program headers"),
    "no program headers": (ElfFile(()).bytes(), "no loadable segment"),
    "only a note": (ElfFile((Part(0x100000, text(), kind=4),)).bytes(), "no loadable segment"),
    "64-bit ELF": (kernel(bits=2, machine=62).bytes() + bytes(99), "64-bit"),
    "x32 ELF": (kernel(machine=62).bytes(), "64-bit"),
    "ARM ELF": (kernel(machine=40).bytes(), "built for ARM"),
    "ELF of an unknown machine": (kernel(machine=0x1234).bytes(), "built for"),
    "big-endian ELF": (kernel(order=2).bytes(), "built for"),
    "ELF of no byte order": (kernel(order=7).bytes(), "broken ELF header"),
    "relocatable ELF": (kernel(kind=1).bytes(), "relocatable"),
    "shared ELF": (kernel(kind=3).bytes(), "shared"),
    "core file": (kernel(kind=4).bytes(), "not an executable"),
    "ELF of an unknown kind": (kernel(kind=99).bytes(), "not an executable"),
    "overlapping segments": (parts(Part(0x100010, b"x")), "0x100000 and 0x100010 overlap"),
    "segment over the boot parameters": (parts(Part(0x1000, b"x")), "overlaps the boot parameters"),
    "segment beyond memory": (parts(Part(0xC0000000, b"x")), "above any Guest's memory"),
    "segment around the top": (parts(Part(0xFFFFFFF0, b"x", 0x100)), "above any Guest's memory"),
    "more in the file than in memory": (parts(Part(0x200000, b"xxxx", 2)), "more bytes in the file"),
    "segment behind the file": (parts(Part(0x200000, b"x", offset=0xFFFFFFF0)), "cut short"),
    "segment larger than the file": (parts(Part(0x200000, b"x", 0x80000000, stored=0x7FFFFFFF)), "cut short"),
    "entry in no segment": (kernel(entry=0x500000).bytes(), "is outside every segment"),
    "not lguest": (with_text(b"\x90" * 99), "no lguest kernel"),
    "too old a Linux": (with_text(text("2.6.29")), "Linux 2.6.29, which is too old"),
    "lguest of another layout": (with_text(text("2.6.30", call=imagewriter.INIT_VMCALL)), "Linux 2.6.30, which is too"),
    "an old bzImage": (BzImage(b"?", version="2.6.31.14 (x)").bytes(), "Linux 2.6.31.14, which is too old"),
    "PAE, by its report": (with_text(text(more=b"*pdpt = %016Lx ")), "PAE"),
    "PAE, by its configuration": (with_text(text(more=CONFIG)), "PAE"),
}


def refusal(path: Path | str, unpack: bool | None = None) -> str:
    """Open what must be refused; the message, which must be one line that says what to do."""
    with pytest.raises(ImageError) as caught:
        open_image(str(path), unpack=unpack)
    message = str(caught.value)
    assert message.isprintable()
    assert caught.value.status == 2
    what, separator, cure = message.rpartition(": ")
    assert what
    assert separator
    assert len(cure) > 8
    return message


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("unpack", [None, True, False])
def test_a_bad_image_is_refused(tmp_path: Path, kind: str, unpack: bool | None) -> None:
    image, reason = REFUSED[kind]
    path = tmp_path / "image"
    path.write_bytes(image)
    message = refusal(path, unpack)
    assert reason in message or (unpack and "cannot be unpacked here" in message)
    assert str(path) in message


def test_the_images_these_were_made_of_are_good(tmp_path: Path) -> None:
    path = tmp_path / "image"
    for good in (ELF, PACKED.bytes(), BzImage(b"", decompressor=text()).bytes(), parts(), with_text(text())):
        path.write_bytes(good)
        open_image(str(path))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "is a directory" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "none")
    assert "does not exist" in refusal(tmp_path / "two\nlines")
    assert "cannot be opened" in refusal(tmp_path / ("x" * 5000))
    assert "not a regular file" in refusal("/dev/zero")
    os.mkfifo(tmp_path / "fifo")
    assert "not a regular file" in refusal(tmp_path / "fifo")


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "image"
    path.write_bytes(ELF)
    monkeypatch.setattr(os, "open", denied)  # root may read whatever its mode
    assert "may not be read" in refusal(path)


@pytest.mark.parametrize(("size", "option"), [(1 << 20, "--memory 16M"), (0x104000, "--memory 16M")])
def test_too_little_memory_is_refused_and_what_is_needed_named(tmp_path: Path, size: int, option: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(ELF)
    image = open_image(str(path))
    with pytest.raises(ImageError, match=option):
        image.load(memoryview(bytearray(size)))
    image.load(memoryview(bytearray(4 << 20)))  # it maps whole page tables


def fuzz(good: bytes, places: range, tmp_path: Path, seed: int) -> tuple[int, list[str]]:
    """Open many images made of ``good`` by changes in ``places``; how many were good, and why others were not."""
    chance = random.Random(seed)
    path = tmp_path / "image"
    opened, refused = 0, []
    for _ in range(250):
        image = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            value = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
            width = chance.choice([1, 2, 4])
            place = chance.choice(places)
            image[place : place + width] = bytes([value]) * width
        if chance.random() < 0.1:
            del image[chance.randrange(len(image)) :]
        path.write_bytes(image)
        try:
            open_image(str(path), unpack=chance.choice([None, True, False])).load(memoryview(bytearray(4 << 20)))
            opened += 1
        except ImageError as error:
            refused.append(str(error))
    return opened, refused


FUZZED: dict[str, Callable[[], tuple[bytes, range]]] = {
    "ELF": lambda: (ELF, range(0, 52 + 64)),
    "sections": lambda: (
        imagewriter.kernel(
            parts=(Part(0x100000, text("2.6.32", call=imagewriter.INIT_VMCALL)),), sections=((0, 0, 13),)
        ).bytes(),
        range(0, 250),
    ),
    "header": lambda: (PACKED.bytes(), range(0x1F1, 0x268)),
    "payload": lambda: (PACKED.bytes(), range(16 * 512 + 66, len(PACKED.bytes()))),
    "xz": lambda: (BzImage(XZ).bytes(), range(16 * 512 + 66, 16 * 512 + 66 + len(XZ))),
    "lzma": lambda: (BzImage(lzma.compress(ELF, lzma.FORMAT_ALONE)).bytes(), range(16 * 512 + 66, 16 * 512 + 90)),
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", FUZZED)
def test_a_damaged_image_is_read_or_refused_and_nothing_else(tmp_path: Path, kind: str, seed: int) -> None:
    good, places = FUZZED[kind]()
    opened, refused = fuzz(good, places, tmp_path, seed)
    assert opened + len(refused) == 250
    assert refused  # else nothing was damaged
    assert all(message.isprintable() for message in refused)


def test_lying_section_headers_are_done_without(tmp_path: Path) -> None:
    image = bytearray(imagewriter.kernel(parts=(Part(0x100000, text("2.6.32", call=imagewriter.INIT_VMCALL)),)).bytes())
    struct.pack_into("<I", image, 32, 0xFFFFFF00)  # e_shoff
    struct.pack_into("<H", image, 48, 0xFFFF)  # e_shnum
    path = tmp_path / "image"
    path.write_bytes(image)
    assert bytes(open_image(str(path)).segments[0].data[10:13]) == b"\xcd\x1f\x90"
