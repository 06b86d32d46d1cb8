# SPDX-License-Identifier: GPL-2.0-or-later
"""An unusable image is named in the message, and only a Linux counts as one (lguest_py/images/whose.py)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from imagewriter import CODE_START, BzImage, ElfFile, Part, banner, kernel, text

from lguest_py.errors import ImageError
from lguest_py.images import open_image
from lguest_py.images.image import WANTED

# GNU Mach has drivers of Linux 2.0.36, and with them its banner; it has no task "swapper".
MACH_TEXT = b"Linux version 2.0.36 (me@here) (gcc version 2.7.2.3) #11 Fri Apr 24 23:03:10 JST 1998\n\0"
MULTIBOOT = struct.pack("<3I", 0x1BADB002, 3, -(0x1BADB002 + 3) & 0xFFFFFFFF)
MULTIBOOT2 = struct.pack("<4I", 0xE85250D6, 0, 24, -(0xE85250D6 + 24) & 0xFFFFFFFF)


def elf(data: bytes) -> bytes:
    return ElfFile((Part(0x100000, data.ljust(4096, b"\x90")),)).bytes()


def at(*pieces: tuple[int, bytes], size: int = 0x9000) -> bytes:
    """A file with these bytes at these places."""
    data = bytearray(size)
    for offset, piece in pieces:
        data[offset : offset + len(piece)] = piece
    return bytes(data)


def uimage(machine: int) -> bytes:
    return b"\x27\x05\x19\x56" + bytes(24) + bytes([5, machine, 2, 1]) + b"Linux-6.1".ljust(32, b"\0") + bytes(999)


def pe(machine: int, *more: tuple[int, bytes]) -> bytes:
    return at((0, b"MZ"), (0x3C, struct.pack("<I", 0x80)), (0x80, b"PE\0\0" + struct.pack("<H", machine)), *more)


PARTITION = (0x1BE, b"\x80\0\0\0\x83\0\0\0" + struct.pack("<II", 2048, 99999))
BOOT = (0x1FE, b"\x55\xaa")

FILES: dict[str, tuple[bytes, str, str]] = {
    # what: file, what it is, what to do
    "GNU Mach": (elf(MACH_TEXT + b"GNU Mach 1.8+git20221224-486\0"), "is GNU Mach, not Linux", WANTED),
    "Linux's banner in another kernel": (elf(MACH_TEXT), "is no lguest kernel, not Linux", WANTED),
    "Xen": (elf(MULTIBOOT + b"Xen version %d.%d%s (%s %s)"), "is Xen (a hypervisor), not Linux", WANTED),
    "a multiboot kernel": (elf(MULTIBOOT), "is a multiboot kernel, not Linux", WANTED),
    "a multiboot 2 kernel": (elf(MULTIBOOT2), "is a multiboot kernel, not Linux", WANTED),
    "FreeBSD": (elf(b"@(#)FreeBSD 13.2-RELEASE"), "is FreeBSD, not Linux", WANTED),
    "ipxe.lkrn": (
        BzImage(b"", protocol=0x207, version="1.0.0+git-20190125", entry=0, decompressor=b"packed" * 99).bytes(),
        "is not Linux: its entry point 0x0 lies outside its code",
        WANTED,
    ),
    "iPXE that says so": (
        BzImage(b"", protocol=0x207, version="1.21.1", decompressor=b"iPXE initialising").bytes(),
        "is iPXE (a network boot loader), not Linux",
        WANTED,
    ),
    "memtest86+": (
        BzImage(b"", version="Memtest86+ v6.10", xloadflags=4).bytes(), "is Memtest86+, not Linux", WANTED,
    ),
    "memtest86+ of 64 bits": (
        BzImage(b"", version="Memtest86+ v6.10", xloadflags=9).bytes(), "is Memtest86+, not Linux", WANTED,
    ),
    "GRUB as an ELF": (elf(b"GRUB loading\0"), "is GRUB (a boot loader), not Linux", WANTED),
    "GRUB's core": (at((0x170, b"GRUB loading"), BOOT), "is GRUB (a boot loader), not Linux", WANTED),
    "GRUB's lnxboot": (
        BzImage(b"", protocol=0x203, version="", setup_sectors=1).bytes()[:1024], "has boot protocol 2.03", WANTED,
    ),
    "vmlinux of 64 bits": (kernel(bits=2, machine=62).bytes() + bytes(99), "is 64-bit", WANTED),
    "ARM zImage": (at((0x24, b"\x18\x28\x6f\x01")), "is a kernel for ARM (zImage)", WANTED),
    "ARM64 Image with an EFI stub": (
        at((0, b"MZ"), (0x38, b"ARM\x64"), (0x3C, b"\x40")), "is a kernel for ARM64", WANTED,
    ),
    "RISC-V Image": (at((0x38, b"RSC\x05")), "is a kernel for RISC-V", WANTED),
    "EFI zboot": (pe(0xAA64, (4, b"zimg")), "is a compressed kernel for ARM64 (EFI zboot)", WANTED),
    "UKI": (pe(0x8664, (0x188, b".linux\0\0")), "is a unified kernel image (UKI)", "objcopy -O binary -j .linux"),
    "EFI program": (pe(0x8664), "is an EFI or Windows program for 64-bit x86", WANTED),
    "EFI program that is cut": (b"MZ" + bytes(0x3A) + b"\xff" * 4, "program for another machine", WANTED),
    "uImage for ARM": (uimage(2), "is a U-Boot image (uImage) for ARM", WANTED),
    "uImage for x86": (uimage(3), "is a U-Boot image (uImage) for x86", "give the bzImage that it was made from"),
    "FIT": (at((0, b"\xd0\x0d\xfe\xed")), "is a device tree", WANTED),
    "disk": (at(PARTITION, BOOT), "is a disk image (with partitions)", "take the kernel out of it"),
    "disk with GPT": (at(BOOT, (512, b"EFI PART")), "is a disk image (GPT)", "take the kernel out of it"),
    "qcow2": (at((0, b"QFI\xfb")), "is a disk image (qcow2)", "take the kernel out of it"),
    "ext4": (at((0x438, b"\x53\xef")), "is a file system (ext2, 3 or 4)", "take the kernel out of it"),
    "CD": (at(PARTITION, BOOT, (0x8001, b"CD001")), "is an image of a CD (ISO 9660)", "take the kernel out of it"),
    "boot sector": (at(BOOT), "is a boot sector without a Linux setup header", WANTED),
    "initrd": (b"070701" + bytes(999), "is an initrd (a cpio archive) and not a kernel", "give it with --initrd"),
    "short initrd": (b"07070100", "is an initrd (a cpio archive) and not a kernel", "give it with --initrd"),
    "deb": (b"!<arch>\ndebian-binary   " + bytes(999), "is a Debian package", "give the vmlinuz in it"),
    "tar": (at((257, b"ustar")), "is a tar archive", "unpack it"),
    "text": (b"#!/bin/sh\n" * 99, "is neither an ELF nor a bzImage", "give a bzImage"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_is_and_what_to_do(tmp_path: Path, name: str) -> None:
    data, what, cure = FILES[name]
    path = tmp_path / "image"
    path.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        open_image(str(path))
    said = str(caught.value)
    assert said.isprintable()
    assert said.startswith(f"{path} ")
    assert what in said
    assert cure in said.rpartition(": ")[2] or (cure == WANTED and said.endswith(f"give {WANTED}"))
    assert "copy it anew" not in said  # the file is whole


@pytest.mark.parametrize("place", [0, 1000, (4 << 20) - 40, 4 << 20])
def test_a_linux_is_told_wherever_its_banner_is(tmp_path: Path, place: int) -> None:
    """Also across the steps in which a kernel is looked through."""
    path = tmp_path / "image"
    path.write_bytes(elf(bytes(place) + text("3.18.24")))
    image = open_image(str(path))
    assert image.version == "3.18.24 (me@here) (gcc) #1"


def test_the_first_task_may_be_in_another_segment(tmp_path: Path) -> None:
    path = tmp_path / "image"
    first = text(None) + banner("3.18.24").replace(b"swapper", b"")
    path.write_bytes(kernel(parts=(Part(0x100000, first), Part(0x200000, b"swapper\0"))).bytes())
    assert open_image(str(path)).version == "3.18.24 (me@here) (gcc) #1"


@pytest.mark.parametrize(
    "words",
    [b"Linux version 2.0.36\n", b"for Linux version 3.18.24 (any) (of them)", b"Linux version 1" + b"1" * 999],
)
def test_a_text_on_linux_makes_no_linux(tmp_path: Path, words: bytes) -> None:
    path = tmp_path / "image"
    path.write_bytes(elf(text(None) + words + b"\0swapper\0"))
    assert open_image(str(path)).version is None


def test_a_bzimage_of_ones_own_may_be_called_anything(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(BzImage(elf(text(None)), version="a Guest of my own").bytes())
    image = open_image(str(path))
    assert (image.version, image.entry) == (None, CODE_START)
