# SPDX-License-Identifier: GPL-2.0-or-later
"""What a Linux is given beside its kernel: boot_params, command line, initrd."""

from __future__ import annotations

import gzip
import mmap
import os
import struct
from pathlib import Path

import imagewriter
import pytest
from imagewriter import BzImage

from lguest_py.errors import ImageError
from lguest_py.images import Image, open_image
from lguest_py.images.boot_params import write_boot_params
from lguest_py.images.initrd import load_initrd

RAM = 8 << 20


@pytest.fixture
def elf(tmp_path: Path) -> Image:
    """An ELF kernel."""
    path = tmp_path / "vmlinux"
    path.write_bytes(imagewriter.kernel().bytes())
    return open_image(str(path))


def bzimage(tmp_path: Path, **fields: int) -> Image:
    """A bzImage."""
    path = tmp_path / "bzImage"
    path.write_bytes(BzImage(gzip.compress(imagewriter.kernel().bytes()), **fields).bytes())  # type: ignore[arg-type]
    return open_image(str(path))


def number(ram: bytearray, offset: int, form: str) -> int:
    value: int = struct.unpack_from("<" + form, ram, offset)[0]
    return value


def command_line(ram: bytearray) -> bytes:
    start = number(ram, 0x228, "I")
    return bytes(ram[start : ram.index(0, start)])


def test_boot_params_of_an_elf(elf: Image) -> None:
    ram = bytearray(RAM)
    write_boot_params(memoryview(ram), elf, command_line="console=hvc0 äöü", initrd=(0x700000, 12345))
    assert ram[0x1E8] == 1
    assert struct.unpack_from("<QQI", ram, 0x2D0) == (0, RAM, 1)
    assert number(ram, 0x206, "H") == 0x207
    assert ram[0x210] == 0xFF
    assert ram[0x211] & 0x40
    assert (number(ram, 0x218, "I"), number(ram, 0x21C, "I")) == (0x700000, 12345)
    assert number(ram, 0x230, "I") == 0x1000000
    assert number(ram, 0x23C, "I") == 1
    assert command_line(ram) == "console=hvc0 äöü".encode()
    assert not any(ram[0x2000:])


def test_boot_params_of_a_bzimage_keep_its_setup_header(tmp_path: Path) -> None:
    image = bzimage(tmp_path, init_size=0x345000)
    ram = bytearray(RAM)
    write_boot_params(memoryview(ram), image, command_line="", initrd=None)
    assert ram[0x202:0x206] == b"HdrS"
    assert number(ram, 0x206, "H") == 0x20C
    assert number(ram, 0x260, "I") == 0x345000
    assert ram[0x211] == 0x41
    assert (number(ram, 0x218, "I"), number(ram, 0x21C, "I")) == (0, 0)
    assert (number(ram, 0x230, "I"), number(ram, 0x23C, "I")) == (0x1000000, 1)
    assert command_line(ram) == b""
    assert not any(ram[0x268:0x2D0])


def test_the_command_line_may_be_as_long_as_the_kernel_says(elf: Image, tmp_path: Path) -> None:
    for image, most in ((elf, 2047), (bzimage(tmp_path), 2047), (bzimage(tmp_path, command_line=255), 255)):
        ram = bytearray(RAM)
        write_boot_params(memoryview(ram), image, command_line="x" * most, initrd=None)
        assert command_line(ram) == b"x" * most
        with pytest.raises(ImageError, match=f"takes {most}: shorten it"):
            write_boot_params(memoryview(ram), image, command_line="x" * (most + 1), initrd=None)


def test_a_zero_byte_in_the_command_line_is_refused(elf: Image) -> None:
    with pytest.raises(ImageError, match="zero byte"):
        write_boot_params(memoryview(bytearray(RAM)), elf, command_line="a\0b", initrd=None)


def test_no_memory_for_boot_params_is_refused(elf: Image) -> None:
    with pytest.raises(ImageError, match="--memory 64M"):
        write_boot_params(memoryview(bytearray(4096)), elf, command_line="", initrd=None)


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 1 << 20])
def test_an_initrd_lies_page_aligned_at_the_top(tmp_path: Path, size: int) -> None:
    contents = os.urandom(size)
    (tmp_path / "initrd").write_bytes(contents)
    ram = bytearray(RAM)
    address, length = load_initrd(str(tmp_path / "initrd"), memoryview(ram), lowest=0x105000)
    assert (length, address % 4096) == (size, 0)
    assert RAM - 4096 < address + size <= RAM
    assert ram[address:] == contents + bytes(RAM - address - size)
    assert not any(ram[:address])


def test_an_initrd_stays_in_the_memory_that_a_linux_maps(tmp_path: Path) -> None:
    (tmp_path / "initrd").write_bytes(b"initrd")
    with open(tmp_path / "ram", "w+b") as file:
        file.truncate(1 << 30)
        with mmap.mmap(file.fileno(), 1 << 30) as ram, memoryview(ram) as view:
            address, size = load_initrd(str(tmp_path / "initrd"), view, lowest=0x105000)
            assert bytes(view[address : address + size]) == b"initrd"
            assert address == 0x36FFF000


def test_an_initrd_may_touch_the_kernel_but_not_lie_over_it(tmp_path: Path) -> None:
    (tmp_path / "initrd").write_bytes(b"x" * 8192)
    ram = memoryview(bytearray(RAM))
    assert load_initrd(str(tmp_path / "initrd"), ram, lowest=RAM - 8192) == (RAM - 8192, 8192)
    with pytest.raises(ImageError, match=r"does not fit beside the kernel in 8M: use --memory 16M"):
        load_initrd(str(tmp_path / "initrd"), ram, lowest=RAM - 8191)


@pytest.mark.parametrize(
    ("size", "cure"),
    [(RAM, "use --memory 16M"), (100 << 20, "use --memory 112M"), (1 << 30, "make it smaller")],
)
def test_an_initrd_too_large_is_refused(tmp_path: Path, size: int, cure: str) -> None:
    path = tmp_path / "initrd"
    path.touch()
    os.truncate(path, size)
    with pytest.raises(ImageError, match=cure):
        load_initrd(str(path), memoryview(bytearray(RAM)), lowest=0x105000)


def test_an_initrd_that_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "fifo")
    ram = memoryview(bytearray(RAM))
    for name, reason in (("empty", "empty"), (".", "directory"), ("none", "exist"), ("fifo", "not a regular file")):
        with pytest.raises(ImageError, match=reason):
            load_initrd(str(tmp_path / name), ram, lowest=0)
