# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels and initrds that are compressed as files: a kernel is unpacked, an initrd left to the kernel."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import struct
import sys
import tomllib
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from guest import boot_image
from imagewriter import BzImage, kernel, text

from lguest_py.errors import ImageError
from lguest_py.files.cancellation import STEP
from lguest_py.images import decompress, open_image
from lguest_py.images.initrd import load_initrd
from lguest_py.images.initrd_format import initrd_note
from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import built

ELF = kernel().bytes()


def lz4_legacy(data: bytes) -> bytes:
    """As ``lz4 -l`` does it: blocks of 8 MiB."""
    block = pytest.importorskip("lz4.block")
    packed = b"\x02\x21\x4c\x18"
    for start in range(0, len(data), 8 << 20):
        piece = block.compress(data[start : start + (8 << 20)], store_size=False)
        packed += struct.pack("<I", len(piece)) + piece
    return packed


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zstd": lambda data: bytes(pytest.importorskip("zstandard").compress(data)),
    "lz4": lambda data: bytes(pytest.importorskip("lz4.frame").compress(data)),
    "lz4 -l": lz4_legacy,
}
LIBRARIES = {"zstd": ("zstandard", "compression.zstd"), "lz4": ("lz4.frame",), "lz4 -l": ("lz4.block",)}


def write(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "image"
    path.write_bytes(data)
    return str(path)


def refusal(path: str) -> str:
    with pytest.raises(ImageError) as caught:
        open_image(path)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("inner", [ELF, BzImage(gzip.compress(ELF)).bytes()], ids=["vmlinux", "bzImage"])
def test_a_kernel_compressed_as_a_file_is_unpacked(tmp_path: Path, packer: str, inner: bytes) -> None:
    plain = open_image(write(tmp_path, inner))
    image = open_image(write(tmp_path, PACKERS[packer](inner)))
    assert image.kind == f"{plain.kind} in {packer.split()[0]}"
    assert (image.entry, image.version, image.setup_header) == (plain.entry, plain.version, plain.setup_header)
    assert [bytes(segment.data) for segment in image.segments] == [bytes(segment.data) for segment in plain.segments]


@pytest.mark.parametrize("packer", ["gzip", "bzip2", "xz", "zstd", "lz4", "lz4 -l"])
def test_a_file_of_several_streams_is_joined(tmp_path: Path, packer: str) -> None:
    """As pigz, pbzip2, pzstd and cat make them."""
    pack = PACKERS[packer]
    image = open_image(write(tmp_path, pack(ELF[:100]) + pack(ELF[100:])))
    assert bytes(image.segments[0].data) == text()


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("size", [0, 1, STEP - 1, STEP, STEP + 1, 20 << 20])
def test_sizes_around_a_step_come_out_whole(packer: str, size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    assert decompress.decompress(memoryview(PACKERS[packer](data[:size])), whole=True) == data[:size]


@pytest.mark.parametrize("packer", [packer for packer in PACKERS if packer != "lz4 -l"])
def test_a_file_that_is_cut_short_is_damaged(tmp_path: Path, packer: str) -> None:
    path = write(tmp_path, PACKERS[packer](ELF)[:-9])
    assert re.search(r"image is damaged \(.*\): copy it anew$", refusal(path))


@pytest.mark.parametrize("packer", LIBRARIES)
def test_where_a_library_is_missing_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packer: str
) -> None:
    path = write(tmp_path, PACKERS[packer](ELF))
    for library in LIBRARIES[packer]:
        monkeypatch.setitem(sys.modules, library, None)
    name = {"zstd": "zstandard"}.get(packer, "lz4")
    said = refusal(path)
    assert f"is compressed with {packer.split()[0]}, and its library is missing: pip install {name} " in said
    assert f"apt-get install python3-{name}" in said


def test_the_libraries_are_part_of_the_default_install() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
    default = {re.split(r"[>=;\[ ]", wanted)[0] for wanted in project["dependencies"]}
    extra = {re.split(r"[>=;\[ ]", wanted)[0] for wanted in project["optional-dependencies"]["lzo"]}
    assert {package for package, _ in decompress.LIBRARY_PACKAGES.values()} <= default | extra
    assert {"zstandard", "lz4"} <= default


@pytest.mark.parametrize("packer", ["zstd", "lz4 -l"])
def test_a_bzimage_that_is_entered_for_want_of_a_library_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packer: str
) -> None:
    path = write(tmp_path, BzImage(PACKERS[packer](ELF)).bytes())
    assert open_image(path).note == ""
    for library in LIBRARIES[packer]:
        monkeypatch.setitem(sys.modules, library, None)
    image = open_image(path)
    assert image.kind == "bzImage"
    assert f"is packed with {packer.split()[0]} and unpacks itself, which takes longer: pip install " in image.note
    assert open_image(path, unpack=False).note == ""


def test_the_standard_library_of_python_3_14_is_used_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """compression.zstd has the interface of lzma, and options; played with lzma's decompressor."""
    asked: list[object] = []

    class Decompressor:
        def __init__(self, *, options: dict[object, int]) -> None:
            asked.append(options)
            self._stream = lzma.LZMADecompressor()
            self._first = True

        def __getattr__(self, name: str) -> object:
            return getattr(self._stream, name)

        def decompress(self, data: bytes, max_length: int) -> bytes:
            data = bytes(data)[4:] if self._first else data
            self._first = False
            return self._stream.decompress(data, max_length)

    library = types.ModuleType("compression.zstd")
    parameters = types.SimpleNamespace(window_log_max=100)
    vars(library).update(ZstdDecompressor=Decompressor, DecompressionParameter=parameters)
    monkeypatch.setitem(sys.modules, "compression.zstd", library)
    image = open_image(write(tmp_path, b"\x28\xb5\x2f\xfd" + lzma.compress(ELF)))
    assert bytes(image.segments[0].data) == text()
    assert asked == [{100: 27}]


def test_what_is_in_the_file_is_told(tmp_path: Path) -> None:
    assert "the content of" in (said := refusal(write(tmp_path, gzip.compress(b"070701" + bytes(999)))))
    assert "is an initrd (a cpio archive) and not a kernel: give it with --initrd, and a kernel as IMAGE" in said
    assert "is compressed again" in refusal(write(tmp_path, gzip.compress(gzip.compress(ELF))))
    assert "is 64-bit" in refusal(write(tmp_path, gzip.compress(kernel(bits=2, machine=62).bytes() + bytes(99))))
    assert "has 0 bytes, too few" in refusal(write(tmp_path, gzip.compress(b"")))
    assert "is damaged (gzip: " in refusal(write(tmp_path, b"\x1f\x8b" + bytes(600)))


def test_a_compressed_file_may_not_unpack_to_more_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decompress, "LIMIT", 1 << 20)
    assert "unpacks to more than 1M" in refusal(write(tmp_path, gzip.compress(bytes(2 << 20))))


# --- initrds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packer", "version", "said"),
    [
        ("gzip", "2.6.30", ""),
        ("bzip2", "2.6.30", ""),
        ("xz", "2.6.37", "is packed with xz, which Linux unpacks from 2.6.38 on, not Linux 2.6.37: pack it with gzip"),
        ("xz", "6.1.0", ""),
        ("lz4 -l", "3.10.1", "which Linux unpacks from 3.11 on, not Linux 3.10.1: pack it with gzip"),
        ("lz4 -l", "3.18.24 (x)", ""),
        ("zstd", "3.18.24 (x)", "which Linux unpacks from 5.9 on, not Linux 3.18.24: pack it with gzip"),
        ("zstd", "6.1.0", ""),
        ("lz4", "6.1.0", "no Linux unpacks: pack it with lz4 -l, or pack it with gzip"),
        ("zstd", None, ""),  # no Linux: it knows for itself what its initrd is
    ],
)
def test_an_initrd_that_this_kernel_cannot_unpack(tmp_path: Path, packer: str, version: str | None, said: str) -> None:
    pack = PACKERS[packer] if packer != "xz" else lambda data: lzma.compress(data, check=lzma.CHECK_CRC32)
    note = initrd_note(write(tmp_path, pack(b"070701" * 99)), version)
    assert note.endswith(said) if said else note == ""
    assert note.isprintable()


def test_the_checksum_that_xz_takes_by_itself_is_none_of_linux(tmp_path: Path) -> None:
    assert "pack it with xz --check=crc32" in initrd_note(write(tmp_path, lzma.compress(b"070701" * 99)), "6.1.0")
    assert initrd_note(write(tmp_path, b"\xfd7zXZ\0"), "6.1.0") == ""
    assert initrd_note(str(tmp_path / "none"), "6.1.0") == ""


@pytest.mark.parametrize("packer", PACKERS)
def test_an_initrd_reaches_the_kernel_as_it_is(tmp_path: Path, packer: str) -> None:
    packed = PACKERS[packer](b"070701" * 99)
    ram = memoryview(bytearray(1 << 20))
    address, size = load_initrd(write(tmp_path, packed), ram, lowest=0, linux=True)
    assert bytes(ram[address : address + size]) == packed


@pytest.mark.parametrize(("data", "kind"), [(ELF, "an ELF"), (BzImage(b"").bytes(), "a bzImage")])
def test_a_kernel_given_as_the_initrd_is_refused(tmp_path: Path, data: bytes, kind: str) -> None:
    ram = memoryview(bytearray(1 << 20))
    with pytest.raises(ImageError, match=rf"is {kind}, a kernel: give the initrd there, and the kernel as IMAGE"):
        load_initrd(write(tmp_path, data), ram, lowest=0, linux=True)
    load_initrd(write(tmp_path, data), ram, lowest=0)  # another kernel may take for its initrd what it likes


# --- whole -----------------------------------------------------------------------------------------------------------


@pytest.mark.engine
@pytest.mark.parametrize(("name", "packer"), [("guest.elf", "gzip"), ("guest.bzImage", "xz")])
def test_a_packed_kernel_boots(tmp_path: Path, engine_name: str, name: str, packer: str) -> None:
    path = write(tmp_path, PACKERS[packer](built(name).read_bytes()))
    run = boot_image(engine_name, open_image(path), "run=uptime")
    assert run.end is End.POWERED_OFF, run.reason
    assert "clock interrupts" in run.text
