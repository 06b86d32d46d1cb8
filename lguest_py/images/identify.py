# SPDX-License-Identifier: GPL-2.0-or-later
"""Identify a file that is not a supported kernel, for an error message that says what to give instead.

It knows the magic numbers of other machines' kernels, other systems, disk images, archives and packages.
Sources: each format's specification; Linux's Documentation for arm, arm64, riscv and the EFI zboot header.

Read next: lguest_py/images/__init__.py.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable

from lguest_py.images.image import WANTED

INITRD_ADVICE = "give it with --initrd, and a kernel as IMAGE"
NO_DISK = "take the kernel out of it, because a Guest has no disk to boot from"
HEAD_SIZE = 0x9000  # bytes of a file to read: the magic number of ISO 9660 is at 0x8001
GIVE = f"give {WANTED}"
UBOOT_MACHINES = {2: "ARM", 3: "x86", 5: "MIPS", 7: "PowerPC", 22: "ARM64", 24: "64-bit x86", 26: "RISC-V"}
PE_MACHINES = {0x14C: "x86", 0x8664: "64-bit x86", 0x1C2: "ARM", 0xAA64: "ARM64", 0x5064: "RISC-V", 0x6264: "LoongArch"}

# (offset, magic number, description, advice)
KINDS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"07070", "an initrd (a cpio archive) and not a kernel", INITRD_ADVICE),
    (0, b"\xc7\x71", "an initrd (an old cpio archive) and not a kernel", INITRD_ADVICE),
    (0x8001, b"CD001", "an image of a CD (ISO 9660)", "take the kernel out of it, and its initrd for --initrd"),
    (0x24, b"\x18\x28\x6f\x01", "a kernel for ARM (zImage)", GIVE),
    (0x38, b"ARM\x64", "a kernel for ARM64", GIVE),
    (0x38, b"RSC\x05", "a kernel for RISC-V", GIVE),
    (0, b"\xd0\x0d\xfe\xed", "a device tree, or a U-Boot image in one (FIT)", GIVE),
    (0, b"!<arch>\ndebian", "a Debian package", "unpack it (dpkg-deb -x) and give the vmlinuz in it"),
    (0, b"!<arch>\n", "an archive of object files", "give a linked kernel (vmlinux)"),
    (0, b"\xed\xab\xee\xdb", "an RPM package", "unpack it (rpm2cpio) and give the vmlinuz in it"),
    (257, b"ustar", "a tar archive", "unpack it and give the kernel in it"),
    (0, b"PK\x03\x04", "a zip archive", "unpack it and give the kernel in it"),
    (0, b"7z\xbc\xaf", "a 7z archive", "unpack it and give the kernel in it"),
    (0, b"QFI\xfb", "a disk image (qcow2)", NO_DISK),
    (0, b"KDMV", "a disk image (VMDK)", NO_DISK),
    (512, b"EFI PART", "a disk image (GPT)", NO_DISK),
    (0, b"hsqs", "a file system (squashfs)", "give a kernel"),
    (0x438, b"\x53\xef", "a file system (ext2, 3 or 4)", NO_DISK),
)
OTHER_SYSTEMS: tuple[tuple[bytes, str], ...] = (  # (pattern of a banner or version string, the system)
    (rb"GNU Mach \d", "GNU Mach"),
    (rb"Xen version %d", "Xen (a hypervisor)"),
    (rb"iPXE ", "iPXE (a network boot loader)"),
    (rb"Memtest86\+", "Memtest86+"),
    (rb"GNU GRUB|GRUB loading|grub_", "GRUB (a boot loader)"),
    (rb"@\(#\)FreeBSD |FreeBSD \d", "FreeBSD"),
    (rb"@\(#\)NetBSD |NetBSD \d", "NetBSD"),
    (rb"@\(#\)OpenBSD |OpenBSD \d", "OpenBSD"),
)
MULTIBOOT, MULTIBOOT2 = 0x1BADB002, 0xE85250D6
MULTIBOOT_SEARCHED = 0x8000  # bytes that may hold the header (Multiboot2 3.1.1)
SEARCHED = 8 << 20  # bytes of a segment to search for a system's name


def _uboot(head: bytes) -> str:
    machine = UBOOT_MACHINES.get(head[29], "another machine")
    return f"is a U-Boot image (uImage) for {machine}: " + (
        "give the bzImage that it was made from" if head[29] in (3, 24) else GIVE
    )


def _pe(head: bytes) -> str:
    start = struct.unpack_from("<I", head, 0x3C)[0] if len(head) >= 0x40 else 0
    machine = 0
    if head[start : start + 4] == b"PE\0\0" and start + 6 <= len(head):
        machine = struct.unpack_from("<H", head, start + 4)[0]
    where = PE_MACHINES.get(machine, "another machine")
    if head[4:8] == b"zimg":
        return f"is a compressed kernel for {where} (EFI zboot): {GIVE}"
    if b".linux\0\0" in head[:4096]:
        return "is a unified kernel image (UKI): give the kernel in it (objcopy -O binary -j .linux)"
    return f"is an EFI or Windows program for {where}: {GIVE}"


def _partitions(head: bytes) -> bool:
    """Whether the boot sector has a partition table that is not empty."""
    table = [head[at : at + 16] for at in range(0x1BE, 0x1FE, 16)]
    used = [row for row in table if any(row)]
    return bool(used) and all(row[0] in (0, 0x80) and row[4] and any(row[12:16]) for row in used)


def identify(head: bytes) -> str | None:
    """What a file that begins with ``head`` (up to HEAD_SIZE bytes) is, and advice: "is …: …"; None when unknown.

    It is for a file that is neither an ELF nor a bzImage.
    """
    for offset, magic, what, cure in KINDS:
        if head[offset : offset + len(magic)] == magic:
            return f"is {what}: {cure}"
    if head[:4] == b"\x27\x05\x19\x56" and len(head) >= 64:
        return _uboot(head)
    if head[:2] == b"MZ":
        return _pe(head)
    if system := other_system([head]):
        return f"is {system}, not Linux: {GIVE}"
    if head[0x1FE:0x200] == b"\x55\xaa":
        if _partitions(head):
            return f"is a disk image (with partitions): {NO_DISK}"
        return f"is a boot sector without a Linux setup header: {GIVE}"
    return None


def _multiboot(head: bytes | memoryview) -> bool:
    words = struct.unpack_from(f"<{min(len(head), MULTIBOOT_SEARCHED) // 4}I", head)
    for index, word in enumerate(words[:-3]):
        if word == MULTIBOOT and sum(words[index : index + 3]) & 0xFFFFFFFF == 0:
            return True
        if word == MULTIBOOT2 and sum(words[index : index + 4]) & 0xFFFFFFFF == 0:
            return True
    return False


def other_system(pieces: Iterable[bytes | memoryview]) -> str | None:
    """The name of the system, other than Linux, whose kernel is in ``pieces``; None when unknown."""
    multiboot = False
    for piece in pieces:
        head = bytes(piece[:SEARCHED])
        for pattern, name in OTHER_SYSTEMS:
            if re.search(pattern, head):
                return name
        multiboot = multiboot or _multiboot(head)
    return "a multiboot kernel" if multiboot else None
