# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a bzImage: either to be entered, so that it unpacks itself in ring 1, or unpacked here, which is faster.

The file is a boot sector, setup code for real mode (both of no use here but for the setup header), and the
32-bit code: a decompressor and the compressed kernel, an ELF.  Source: Linux's boot protocol, x86.

Read next: lguest_py/images/decompress.py, lguest_py/images/boot_params.py.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from lguest_py.errors import ImageError
from lguest_py.images import support
from lguest_py.images.decompress import CorruptError, NoLibraryError, UnknownFormatError, decompress
from lguest_py.images.image import HIGHEST, WANTED, Image, Segment

MAGIC = b"HdrS"
MAGIC_AT = 0x202
HEADER_START, HEADER_MOST = 0x1F1, 0x290  # in the file and in boot_params
SMALLEST_HEADER_END = 0x240  # hardware_subarch must be there
CODE_ADDRESS = 0x100000
LOADED_HIGH = 1
KERNEL_64 = 1
PROTOCOL_SUBARCH, PROTOCOL_PAYLOAD, PROTOCOL_INIT_SIZE, PROTOCOL_XLOADFLAGS = 0x207, 0x208, 0x20A, 0x20C
COPY = "copy it anew"


@dataclass(frozen=True)
class Header:
    """What matters here of a setup header, checked against the file."""

    raw: bytes
    code: memoryview  # goes to CODE_ADDRESS
    entry: int
    payload: memoryview | None
    version: str | None
    reserve: int
    only_64: bool


def _field(data: memoryview, offset: int, kind: str) -> int:
    value: int = struct.unpack_from("<" + kind, data, offset)[0]
    return value


def _check_setup(data: memoryview, name: str) -> int:
    """Check what the rest relies on; returns the size of the setup code in bytes."""
    setup = ((data[HEADER_START] or 4) + 1) * 512
    if len(data) <= setup:
        raise ImageError(f"{name} is cut short: its setup code alone has {setup} bytes: {COPY}")
    if not _field(data, 0x211, "B") & LOADED_HIGH:
        raise ImageError(f"{name} is an old zImage, which is loaded low: build it as bzImage")
    protocol = _field(data, 0x206, "H")
    if protocol < PROTOCOL_SUBARCH:
        raise ImageError(
            f"{name} has boot protocol {protocol >> 8}.{protocol & 255:02}, which knows no lguest: give {WANTED}"
        )
    if MAGIC_AT + data[0x201] < SMALLEST_HEADER_END:
        raise ImageError(f"{name} has a setup header shorter than its boot protocol's: {COPY}")
    return setup


def _version(data: memoryview, setup: int) -> str | None:
    start = _field(data, 0x20E, "H") + 0x200
    if start == 0x200 or start >= setup:
        return None
    text = bytes(data[start : min(start + 256, setup)]).partition(b"\0")[0]
    version = text.decode("ascii", "replace")
    return version if version.isascii() and version.isprintable() and support.numbers(version) else None


def _payload(data: memoryview, code: memoryview, name: str) -> memoryview | None:
    if _field(data, 0x206, "H") < PROTOCOL_PAYLOAD:
        return None
    offset, length = _field(data, 0x248, "I"), _field(data, 0x24C, "I")
    if offset + length > len(code):
        raise ImageError(f"{name} is cut short: its payload ends behind the end of the file: {COPY}")
    return code[offset : offset + length] if length else None


def read_header(data: memoryview, name: str) -> Header:
    """Parse and check the setup header of the file ``data``.  Raises ImageError."""
    setup = _check_setup(data, name)
    code = data[setup:]
    protocol = _field(data, 0x206, "H")
    size = _field(data, 0x1F4, "I") * 16
    if size > len(code) + 15:  # older builds do not pad the file to a paragraph
        raise ImageError(f"{name} is cut short: {len(code)} bytes of code are there, its header says {size}: {COPY}")
    code = code[:size] if size else code
    entry = _field(data, 0x214, "I")
    if not CODE_ADDRESS <= entry < CODE_ADDRESS + len(code):
        raise ImageError(f"{name}: its entry point {entry:#x} lies outside of its code: {COPY}")
    reserve = 0
    if protocol >= PROTOCOL_INIT_SIZE:
        reserve = _field(data, 0x258, "Q") + _field(data, 0x260, "I")
        if reserve > HIGHEST:
            raise ImageError(f"{name} says that it needs memory up to {reserve:#x}, which no Guest has: {COPY}")
    return Header(
        raw=bytes(data[HEADER_START : min(MAGIC_AT + data[0x201], HEADER_MOST, setup)]),
        code=code,
        entry=entry,
        payload=_payload(data, code, name),
        version=_version(data, setup),
        reserve=reserve,
        only_64=protocol >= PROTOCOL_XLOADFLAGS and bool(_field(data, 0x236, "H") & KERNEL_64),
    )


def _unpacked(header: Header, path: str, name: str) -> Image:
    """The kernel in the payload.  Raises NoLibraryError, or ImageError when it is not to be run at all."""
    from lguest_py.images import elf
    from lguest_py.images.kernel import finish

    if header.payload is None:
        raise NoLibraryError("no payload")
    try:
        kernel = decompress(header.payload)
    except CorruptError as error:
        raise ImageError(f"{name}: its compressed kernel is damaged ({error}): {COPY}") from None
    except UnknownFormatError as error:
        raise ImageError(f"{name} is compressed in a way that Linux does not know ({error}): {COPY}") from None
    if not kernel.startswith(elf.MAGIC):
        raise NoLibraryError("a payload that is no ELF")
    file = io.BytesIO(kernel)
    parsed = elf.read_elf(file, len(kernel), name)
    return finish(parsed, file, path, "bzImage (unpacked)", setup_header=header.raw, version=header.version)


def read_bzimage(data: memoryview, path: str, name: str, unpack: bool | None) -> Image:
    """The bzImage in ``data``: unpacked where that can be done, unless ``unpack`` is False.

    Raises ImageError: also where ``unpack`` is True and it cannot be done.
    """
    header = read_header(data, name)
    support.check_version(header.version, name)
    if header.only_64:
        raise ImageError(f"{name} is for 64-bit x86: give {WANTED}")
    try:
        unpacked = _unpacked(header, path, name)  # also when it will be entered: this checks the kernel
        if unpack is not False:
            return unpacked
        version, personality = unpacked.version, unpacked.personality
    except NoLibraryError as error:
        if unpack:
            raise ImageError(f"{name} cannot be unpacked here ({error}): install the library, or enter it") from None
        version = header.version
        if header.payload is None:
            personality = support.personality(support.inspect([header.code]), version, name)
        else:
            personality = support.personality_by_version(version)
    if support.calls_by_vmcall(version):
        raise ImageError(f"{name} calls by vmcall, which only unpacking can rewrite: unpack it, or give its vmlinux")
    return Image(
        path=path,
        kind="bzImage",
        entry=header.entry,
        segments=(Segment(CODE_ADDRESS, header.code, len(header.code)),),
        setup_header=header.raw,
        version=version,
        generation=support.generation(version),
        reserve=header.reserve,
        personality=personality,
    )
