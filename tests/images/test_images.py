# SPDX-License-Identifier: GPL-2.0-or-later
"""Images that must be read: what of them reaches the Guest's RAM, and where it is entered."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import struct
import sys
import types
import zlib
from collections.abc import Callable
from pathlib import Path

import imagewriter
import pytest
from imagewriter import BzImage, ElfFile, Part

from lguest_py.errors import ImageError
from lguest_py.images import Image, decompress, open_image, vmcall

ELF = imagewriter.kernel().bytes()
SIZE = struct.pack("<I", len(ELF))  # what the kernel's build appends to all but gzip


def xz(data: bytes) -> bytes:
    filters = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 6}]
    return lzma.compress(data, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)


def zstd(data: bytes) -> bytes:
    return bytes(pytest.importorskip("zstandard").compress(data, 19))


def lz4(data: bytes) -> bytes:
    block = pytest.importorskip("lz4.block").compress(data, store_size=False)
    return b"\x02\x21\x4c\x18" + struct.pack("<I", len(block)) + bytes(block)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "bzip2": lambda data: bz2.compress(data) + SIZE,
    "xz": lambda data: xz(data) + SIZE,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE) + SIZE,
    "zstd": lambda data: zstd(data) + SIZE,
    "lz4": lambda data: lz4(data) + SIZE,
}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Image]:
    """Write an image to a file and open it."""

    def read(image: bytes, unpack: bool | None = None) -> Image:
        path = tmp_path / "image"
        path.write_bytes(image)
        return open_image(str(path), unpack=unpack)

    return read


def loaded(image: Image, size: int = 4 << 20) -> bytes:
    """The RAM after loading."""
    ram = bytearray(size)
    image.load(memoryview(ram))
    return bytes(ram)


def test_an_elf_is_loaded_at_its_physical_addresses(read: Callable[..., Image]) -> None:
    image = read(ELF)
    assert (image.kind, image.entry, image.generation, image.setup_header) == ("ELF", 0x100000, 1, b"")
    assert image.version == "3.18.24 (me@here) (gcc) #1"
    ram = loaded(image)
    text = imagewriter.text()
    assert ram[0x100000 : 0x100000 + len(text)] == text
    assert ram[0x102000:0x105000] == b"data" * 8 + bytes(0x3000 - 32)
    assert not any(ram[:0x100000])
    assert not any(ram[0x105000:])
    assert image.end == 0x105000


def test_a_virtual_entry_point_is_translated(read: Callable[..., Image]) -> None:
    part = Part(0x100000, imagewriter.text(), virtual=0xC0100000)
    assert read(ElfFile((part,), entry=0xC0100007).bytes()).entry == 0x100007


@pytest.mark.parametrize("mark", [b"a tiny lguest Guest", imagewriter.INIT_CALL])
def test_a_guest_that_is_no_linux_has_generation_1(read: Callable[..., Image], mark: bytes) -> None:
    image = read(ElfFile((Part(0x100000, b"\x90" * 16 + mark),)).bytes())
    assert (image.version, image.generation) == (None, 1)


@pytest.mark.parametrize(
    ("version", "generation"), [("3.1.0", 1), ("3.19.8", 1), ("4.0.0", 2), ("4.0-rc1", 2), ("4.10.17", 2)]
)
def test_the_generation_of_devices_follows_the_version(
    read: Callable[..., Image], version: str, generation: int
) -> None:
    assert read(imagewriter.kernel(version, parts=(Part(0x100000, imagewriter.text(version)),)).bytes()).generation == (
        generation
    )
    packed = BzImage(gzip.compress(ELF), version=f"{version} (me@here)")
    assert read(packed.bytes()).generation == generation
    assert read(packed.bytes(), False).generation == generation


@pytest.mark.parametrize("packer", PACKERS)
def test_a_bzimage_is_unpacked(read: Callable[..., Image], packer: str) -> None:
    image = read(BzImage(PACKERS[packer](ELF)).bytes())
    assert (image.kind, image.entry) == ("bzImage (unpacked)", 0x100000)
    assert loaded(image) == loaded(read(ELF))
    assert image.version == "3.18.24 (me@here) #1"


def test_lzop_blocks_are_joined_and_checked(read: Callable[..., Image], monkeypatch: pytest.MonkeyPatch) -> None:
    library = types.ModuleType("lzo")
    library.decompress = lambda data, header, size: zlib.decompress(data)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lzo", library)
    noise = random.Random(1).randbytes(100)
    kernel = imagewriter.kernel(parts=(Part(0x100000, imagewriter.text(more=bytes(900) + noise)),)).bytes()
    for flags in (0x0, 0x1, 0x3, 0x100, 0x300, 0x301, 0x803):
        name = b"vmlinux"
        file = b"\x89LZO\x00\r\n\x1a\n" + struct.pack(">HHHBBI", 0x1030, 0x20A0, 0x940, 1, 5, flags)
        file += (bytes(4) if flags & 0x800 else b"") + bytes(12) + bytes([len(name)]) + name + bytes(4)
        for piece in (kernel[:-80], kernel[-80:]):  # the second does not shrink, so it is stored
            packed = min(zlib.compress(piece), piece, key=len)
            file += struct.pack(">II", len(piece), len(packed))
            file += struct.pack(">I", zlib.adler32(piece)) if flags & 0x1 else b""
            file += struct.pack(">I", zlib.crc32(piece)) if flags & 0x100 else b""
            if len(packed) < len(piece):
                file += bytes(4) * (bool(flags & 0x2) + bool(flags & 0x200))
            file += packed
        assert packed == piece
        file += bytes(4) + struct.pack("<I", len(kernel))
        assert loaded(read(BzImage(file).bytes())) == loaded(read(kernel))
        if flags & 0x101:
            with pytest.raises(ImageError, match="checksum"):
                read(BzImage(file.replace(noise[-40:], bytes(40))).bytes())


def test_a_bzimage_is_entered_on_request(read: Callable[..., Image]) -> None:
    packed = BzImage(gzip.compress(ELF), setup_sectors=4, version="")
    image = read(packed.bytes(), False)
    assert (image.kind, image.entry, image.version) == ("bzImage", 0x100000, "3.18.24 (me@here) (gcc) #1")
    code = packed.bytes()[5 * 512 :]
    assert loaded(image)[0x100000 : 0x100000 + len(code)] == code
    assert image.end == 0x300000  # where it unpacks to needs memory as well
    assert image.setup_header == packed.bytes()[0x1F1:0x268]


@pytest.mark.parametrize("payload", [gzip.compress(b"no ELF"), b""], ids=["gzip", "empty"])
def test_what_cannot_be_unpacked_is_entered(read: Callable[..., Image], payload: bytes) -> None:
    packed = BzImage(payload, decompressor=imagewriter.text()).bytes()
    assert read(packed).kind == "bzImage"
    with pytest.raises(ImageError, match="cannot be unpacked here"):
        read(packed, True)


@pytest.mark.parametrize(
    ("packer", "magic", "library"),
    [
        ("zstd", b"\x28\xb5\x2f\xfd", "zstandard"),
        ("lz4", b"\x02\x21\x4c\x18", "lz4.block"),
        ("lzo", b"\x89LZO\x00\r\n\x1a\n", "lzo"),
    ],
)
def test_without_the_library_it_is_entered(
    read: Callable[..., Image], monkeypatch: pytest.MonkeyPatch, packer: str, magic: bytes, library: str
) -> None:
    packed = BzImage(magic + bytes(99)).bytes()
    monkeypatch.setitem(sys.modules, library, None)
    assert read(packed).kind == "bzImage"
    said = rf"cannot be unpacked here \({packer}\): pip install .*apt-get install python3-"
    with pytest.raises(ImageError, match=said):
        read(packed, True)


@pytest.mark.parametrize("packer", [packer for packer in PACKERS if packer != "none"])
def test_a_payload_may_not_unpack_to_more_than_the_limit(
    read: Callable[..., Image], monkeypatch: pytest.MonkeyPatch, packer: str
) -> None:
    bomb = BzImage(PACKERS[packer](ELF + bytes(1 << 20))).bytes()
    monkeypatch.setattr(decompress, "LIMIT", 1 << 20)
    with pytest.raises(ImageError, match="unpacks to more than 1M"):
        read(bomb)


# push %ebp; mov %esp,%ebp; mov 8(%ebp),%ecx; mov 12(%ebp),%edx: what most functions begin with
PROLOGUE = bytes.fromhex("55 89e5 8b4d08 8b550c")
CALL = bytes.fromhex("b80e000000 89d3")  # mov $14,%eax; mov %edx,%ebx, and then vmcall
NO_CALLS = [bytes.fromhex(code) for code in ("c1c10f01c1", "83e00f01c1", "740f01c1", "c1c00f01c101d1", "8d400f01c1")]


def vmcall_text() -> tuple[bytes, bytes]:
    """Code with vmcalls and with what looks like them; and the same, rightly rewritten."""
    code, right = b"", b""
    for number in range(60):
        no_call = NO_CALLS[number % len(NO_CALLS)]
        code += PROLOGUE + CALL + b"\x0f\x01\xc1" + no_call + b"\xc9\xc3"
        right += PROLOGUE + CALL + b"\xcd\x1f\x90" + no_call + b"\xc9\xc3"
    return code, right


def test_vmcalls_are_rewritten_and_their_likes_are_not() -> None:
    code, right = vmcall_text()
    changed = bytearray(code)
    assert vmcall.rewrite(changed, 0, len(changed)) == 60
    assert bytes(changed) == right


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("version", "rewritten"), [("2.6.32", True), ("2.6.34.15", True), ("3.0.86", True), ("3.1.0", False)]
)
def test_vmcalls_are_rewritten_in_the_text_of_old_kernels_only(
    read: Callable[..., Image], version: str, rewritten: bool, compressed: bool
) -> None:
    code, right = vmcall_text()
    table = b"\0\x0f\x01\xc1\0" * 9
    start = imagewriter.INIT_VMCALL + code
    rest = table + imagewriter.text(version, call=b"")
    part = Part(0x100000, start + rest)
    file = ElfFile((part, Part(0x200000, table)), sections=((0, 0, len(start)),)).bytes()
    image = read(BzImage(gzip.compress(file), version=f"{version} (me)").bytes() if compressed else file)
    wanted = (imagewriter.INIT_CALL + b"\x90" + right if rewritten else start) + rest
    assert bytes(image.segments[0].data) == wanted
    assert bytes(image.segments[1].data) == table
    if compressed and rewritten:
        with pytest.raises(ImageError, match="vmcall"):
            read(BzImage(gzip.compress(file), version=f"{version} (me)").bytes(), False)


def test_vmcalls_are_rewritten_without_a_section_table(read: Callable[..., Image]) -> None:
    code, right = vmcall_text()
    part = Part(0x100000, code + imagewriter.text("2.6.32", call=imagewriter.INIT_VMCALL))
    data = Part(0x200000, b"\x0f\x01\xc1", flags=imagewriter.READ)
    image = read(ElfFile((part, data)).bytes())
    assert bytes(image.segments[0].data).startswith(right)
    assert bytes(image.segments[1].data) == b"\x0f\x01\xc1"
