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
from lguest_py.images.decompress import (
    INSTALL,
    NoLibraryError,
    UnknownFormatError,
    decompress,
    install,
)
from lguest_py.images.frames import CorruptError
from lguest_py.images.identify import name_of
from lguest_py.images.image import HIGHEST, WANTED, Image, Segment

MAGIC = b"HdrS"
MAGIC_AT = 0x202
HEADER_START, HEADER_MOST = 0x1F1, 0x290  # in the file and in boot_params
SMALLEST_HEADER_END = 0x240  # hardware_subarch must be there
CODE_ADDRESS = 0x100000
PROTOCOL_END = 0x214  # the fields that are read before the size is checked
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


def _setup_size(data: memoryview | bytes) -> int:
    """The bytes of the boot sector and the setup code."""
    return ((data[HEADER_START] or 4) + 1) * 512


def used(start: bytes, size: int) -> int:
    """How many of the file's ``size`` bytes belong to the bzImage that begins with ``start``."""
    paragraphs: int = struct.unpack_from("<I", start, 0x1F4)[0]
    return min(size, _setup_size(start) + 16 * paragraphs) if paragraphs else size


def _check_setup(data: memoryview, setup: int, name: str) -> None:
    """Check what the rest relies on."""
    protocol = _field(data, 0x206, "H")
    if len(data) <= setup and protocol >= PROTOCOL_SUBARCH:
        raise ImageError(f"{name} is cut short: its setup code alone has {setup} bytes: {COPY}")
    if not _field(data, 0x211, "B") & LOADED_HIGH:
        raise ImageError(f"{name} is an old zImage, which is loaded low: build it as bzImage")
    if protocol < PROTOCOL_SUBARCH:
        raise ImageError(
            f"{name} has boot protocol {protocol >> 8}.{protocol & 255:02}, which knows no lguest: give {WANTED}"
        )
    if MAGIC_AT + data[0x201] < SMALLEST_HEADER_END:
        raise ImageError(f"{name} has a setup header shorter than its boot protocol's: {COPY}")


def _version(data: memoryview, setup: int, name: str) -> str | None:
    """The version of the Linux.  Raises ImageError for what only has its header, as other programs do."""
    start = _field(data, 0x20E, "H") + 0x200
    text = b""
    if 0x200 < start < setup:
        text = bytes(data[start : min(start + 256, setup)]).partition(b"\0")[0]
    said = text.decode("ascii", "replace")
    version = said if said.isascii() and said.isprintable() and support.numbers(said) else None
    if version is None or _field(data, 0x206, "H") < PROTOCOL_PAYLOAD:  # no Linux that we can serve is so old
        system = name_of([data])
        if system:
            raise ImageError(f"{name} is {system} and no Linux: give {WANTED}")
    return version


def _payload(data: memoryview, code: memoryview, name: str) -> memoryview | None:
    if _field(data, 0x206, "H") < PROTOCOL_PAYLOAD:
        return None
    offset, length = _field(data, 0x248, "I"), _field(data, 0x24C, "I")
    if offset + length > len(code):
        raise ImageError(f"{name} is cut short: its payload ends behind the end of the file: {COPY}")
    return code[offset : offset + length] if length else None


def read_header(data: memoryview, name: str) -> Header:
    """Parse and check the setup header of the file ``data``.  Raises ImageError."""
    setup = _setup_size(data)
    if len(data) < PROTOCOL_END:
        raise ImageError(f"{name} is cut short: its setup code alone has {setup} bytes: {COPY}")
    version = _version(data, setup, name)
    _check_setup(data, setup, name)
    code = data[setup:]
    protocol = _field(data, 0x206, "H")
    size = _field(data, 0x1F4, "I") * 16
    if size > len(code) + 15:  # older builds do not pad the file to a paragraph
        raise ImageError(f"{name} is cut short: {len(code)} bytes of code are there, its header says {size}: {COPY}")
    code = code[:size] if size else code
    entry = _field(data, 0x214, "I")
    if not CODE_ADDRESS <= entry < CODE_ADDRESS + len(code):
        raise ImageError(f"{name} is no Linux, for its entry point {entry:#x} lies outside of its code: give {WANTED}")
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
        version=version,
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
    return finish(parsed, file, path, "bzImage (unpacked)", name=name, setup_header=header.raw, version=header.version)


def read_bzimage(data: memoryview, path: str, name: str, unpack: bool | None) -> Image:
    """The bzImage in ``data``: unpacked where that can be done, unless ``unpack`` is False.

    Raises ImageError: also where ``unpack`` is True and it cannot be done.
    """
    header = read_header(data, name)
    note = ""
    support.check_version(header.version, name)
    if header.only_64:
        raise ImageError(f"{name} is for 64-bit x86: give {WANTED}")
    try:
        unpacked = _unpacked(header, path, name)  # also when it will be entered: this checks the kernel
        if unpack is not False:
            return unpacked
        version, personality = unpacked.version, unpacked.personality
    except NoLibraryError as error:
        packed = str(error)
        if unpack:
            cure = install(packed) if packed in INSTALL else "have it entered"
            raise ImageError(f"{name} cannot be unpacked here ({packed}): {cure}") from None
        if unpack is None and packed in INSTALL:
            note = f"{name} is packed with {packed} and unpacks itself, which takes longer: {install(packed)}"
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
        note=note,
    )
