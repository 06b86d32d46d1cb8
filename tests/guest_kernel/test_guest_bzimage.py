# SPDX-License-Identifier: GPL-2.0-or-later
"""The tiny Guest's bzImage: unpacked by the Launcher, and unpacking itself in ring 1."""

from __future__ import annotations

import gzip
import struct
from dataclasses import replace

import pytest
from guest import MIB, boot_image

from lguest_py import images
from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import built


def bzimage() -> bytes:
    """The bundled one."""
    return built("guest.bzImage").read_bytes()


def payload(image: bytes | bytearray) -> tuple[int, int]:
    """Where in the file its payload starts and ends."""
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (image[0x1F1] + 1) * 512 + offset
    return start, start + length


def test_its_header_is_one_of_the_boot_protocol() -> None:
    image = bzimage()
    assert image[0x1FE:0x206] == b"\x55\xaa\xeb" + image[0x201:0x202] + b"HdrS"
    assert 0x202 + image[0x201] >= 0x264  # the header goes on to init_size
    assert struct.unpack_from("<H", image, 0x206)[0] >= 0x20A
    assert image[0x211] == 0x41  # LOADED_HIGH, KEEP_SEGMENTS
    assert struct.unpack_from("<I", image, 0x214)[0] == 0x100000
    assert struct.unpack_from("<I", image, 0x23C)[0] == 1  # hardware_subarch: lguest
    version = 0x200 + struct.unpack_from("<H", image, 0x20E)[0]
    assert image[version:].startswith(b"lguest-py tiny Guest\0")


def test_its_payload_is_the_elf() -> None:
    image = bzimage()
    start, end = payload(image)
    elf = built("guest.elf").read_bytes()
    assert gzip.decompress(image[start:end]) == elf
    assert struct.unpack_from("<I", image, end - 4)[0] == len(elf)


@pytest.mark.parametrize("unpack", [True, False], ids=["unpacked", "entered"])
def test_it_boots(engine_name: str, unpack: bool) -> None:
    image = images.open_image(str(built("guest.bzImage")), unpack=unpack)
    assert image.kind == ("bzImage (unpacked)" if unpack else "bzImage")
    run = boot_image(engine_name, image, "run=test traps:", memory=8 * MIB)
    assert " passed, 0 failed" in run.text
    assert run.end is End.POWERED_OFF


def test_a_damaged_payload_is_noticed_by_its_own_code(engine_name: str) -> None:
    data = bytearray(bzimage())
    _, end = payload(data)
    data[end - 8] ^= 1  # of the CRC: the data come out whole, and must not be believed
    image = images.open_image(str(built("guest.bzImage")), unpack=False)  # the Launcher would refuse the damaged one
    code = bytes(data[-image.segments[0].size :])
    run = boot_image(engine_name, replace(image, segments=(replace(image.segments[0], data=code),)), "run=echo alive")
    assert run.end is End.KILLED
    assert "trap 6" in run.reason
    assert not run.text
