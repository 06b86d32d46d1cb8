# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a bzImage: check its setup header, and decompress its payload or keep its own decompressor for the Guest.

A bzImage has a boot sector and real-mode setup code, of which only the setup header is used here, and then the
protected-mode code: a decompressor and its payload, the compressed kernel (an ELF).  Decompressing here is faster.
Source: Linux's Documentation/arch/x86/boot.rst, which names the fields.

Read next: lguest_py/images/decompress.py, lguest_py/images/boot_params.py.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from lguest_py.errors import ImageError
from lguest_py.images import support
from lguest_py.images.decompress import (
    LIBRARY_PACKAGES,
    NoLibraryError,
    UnknownFormatError,
    decompress,
    install_advice,
)
from lguest_py.images.frames import CorruptError
from lguest_py.images.identify import other_system
from lguest_py.images.image import HIGHEST, KERNEL_ADDRESS, WANTED, Image, Segment, first_mapping

MAGIC = b"HdrS"
MAGIC_AT = 0x202
HEADER_START, HEADER_END_MAX = 0x1F1, 0x290  # the same offsets in the file and in boot_params
SMALLEST_HEADER_END = 0x240  # the header must include hardware_subarch
CODE_ADDRESS = 0x100000
PROTOCOL_END = 0x214  # the fields that are read before the size is checked
LOADED_HIGH = 1
KERNEL_64 = 1
PROTOCOL_SUBARCH, PROTOCOL_PAYLOAD, PROTOCOL_INIT_SIZE, PROTOCOL_XLOADFLAGS = 0x207, 0x208, 0x20A, 0x20C
COPY = "copy it anew"


@dataclass(frozen=True)
class Header:
    """The fields of a setup header that are needed, checked against the file."""

    raw: bytes
    code: memoryview  # the protected-mode code, to be loaded at CODE_ADDRESS
    entry: int  # code32_start, Guest-physical
    payload: memoryview | None
    version: str | None
    reserve: int  # Guest-physical end of the memory that decompression needs (pref_address + init_size), or 0
    only_64: bool


def _field(data: memoryview, offset: int, kind: str) -> int:
    value: int = struct.unpack_from("<" + kind, data, offset)[0]
    return value


def _setup_size(data: memoryview | bytes) -> int:
    """Bytes of the boot sector and the setup code."""
    return ((data[HEADER_START] or 4) + 1) * 512


def image_size(start: bytes, size: int) -> int:
    """Bytes of the bzImage that begins with ``start``; the file's ``size`` when the header does not say (syssize 0)."""
    paragraphs: int = struct.unpack_from("<I", start, 0x1F4)[0]
    return min(size, _setup_size(start) + 16 * paragraphs) if paragraphs else size


def _check_setup(data: memoryview, setup: int, name: str) -> None:
    """Check the protocol version and the header's length, on which all other fields depend.  Raises ImageError."""
    protocol = _field(data, 0x206, "H")
    if len(data) <= setup and protocol >= PROTOCOL_SUBARCH:
        raise ImageError(f"{name} is cut short: its setup code alone has {setup} bytes: {COPY}")
    if not _field(data, 0x211, "B") & LOADED_HIGH:
        raise ImageError(f"{name} is an old zImage, which loads below 1M: build it as bzImage")
    if protocol < PROTOCOL_SUBARCH:
        raise ImageError(
            f"{name} has boot protocol {protocol >> 8}.{protocol & 255:02}, which has no lguest support: give {WANTED}"
        )
    if MAGIC_AT + data[0x201] < SMALLEST_HEADER_END:
        raise ImageError(f"{name} has a setup header shorter than its boot protocol requires: {COPY}")


def _version(data: memoryview, setup: int, name: str) -> str | None:
    """The Linux version from the header's kernel_version string, or None.

    Raises ImageError for another program with a Linux setup header, such as a boot loader or a memory test.
    """
    start = _field(data, 0x20E, "H") + 0x200
    text = b""
    if 0x200 < start < setup:
        text = bytes(data[start : min(start + 256, setup)]).partition(b"\0")[0]
    found = text.decode("ascii", "replace")
    version = found if found.isascii() and found.isprintable() and support.parse_version(found) else None
    if version is None or _field(data, 0x206, "H") < PROTOCOL_PAYLOAD:  # older than every supported Linux
        system = other_system([data])
        if system:
            raise ImageError(f"{name} is {system}, not Linux: give {WANTED}")
    return version


def _payload(data: memoryview, code: memoryview, name: str) -> memoryview | None:
    if _field(data, 0x206, "H") < PROTOCOL_PAYLOAD:
        return None
    offset, length = _field(data, 0x248, "I"), _field(data, 0x24C, "I")
    if offset + length > len(code):
        raise ImageError(f"{name} is cut short: its payload ends after the end of the file: {COPY}")
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
        raise ImageError(f"{name} is cut short: it has {len(code)} bytes of code, its header says {size}: {COPY}")
    code = code[:size] if size else code
    entry = _field(data, 0x214, "I")
    if not CODE_ADDRESS <= entry < CODE_ADDRESS + len(code):
        raise ImageError(f"{name} is not Linux: its entry point {entry:#x} lies outside its code: give {WANTED}")
    reserve = 0
    if protocol >= PROTOCOL_INIT_SIZE:
        reserve = _field(data, 0x258, "Q") + _field(data, 0x260, "I")
        if reserve > HIGHEST:
            raise ImageError(f"{name} asks for memory up to {reserve:#x}, more than a Guest can have: {COPY}")
    return Header(
        raw=bytes(data[HEADER_START : min(MAGIC_AT + data[0x201], HEADER_END_MAX, setup)]),
        code=code,
        entry=entry,
        payload=_payload(data, code, name),
        version=version,
        reserve=reserve,
        only_64=protocol >= PROTOCOL_XLOADFLAGS and bool(_field(data, 0x236, "H") & KERNEL_64),
    )


def _decompressed(header: Header, path: str, name: str) -> Image:
    """The kernel in the payload.  Raises NoLibraryError, or ImageError when the kernel cannot run here at all."""
    from lguest_py.images import elf
    from lguest_py.images.kernel import make_image

    if header.payload is None:
        raise NoLibraryError("no payload")
    try:
        kernel = decompress(header.payload)
    except CorruptError as error:
        raise ImageError(f"{name}: its compressed kernel is damaged ({error}): {COPY}") from None
    except UnknownFormatError as error:
        raise ImageError(f"{name} is compressed in a format that Linux does not use ({error}): {COPY}") from None
    if not kernel.startswith(elf.MAGIC):
        raise NoLibraryError("a payload that is not an ELF")
    file = io.BytesIO(kernel)
    parsed = elf.read_elf(file, len(kernel), name)
    kind = "bzImage (unpacked)"
    return make_image(parsed, file, path, kind, name=name, setup_header=header.raw, version=header.version)


def read_bzimage(data: memoryview, path: str, name: str, unpack: bool | None) -> Image:
    """The Image of the bzImage in ``data``; ``unpack`` as for open_image.  ``name`` is for messages.

    Raises ImageError, also when ``unpack`` is True and a library is missing.
    """
    header = read_header(data, name)
    note = ""
    support.check_version(header.version, name)
    if header.only_64:
        raise ImageError(f"{name} is for 64-bit x86: give {WANTED}")
    try:
        unpacked = _decompressed(header, path, name)  # always, because it also checks the kernel
        if unpack is not False:
            return unpacked
        version, personality, mapped, pae = unpacked.version, unpacked.personality, unpacked.mapped, unpacked.pae
    except NoLibraryError as error:
        packed = str(error)
        if unpack:
            cure = install_advice(packed) if packed in LIBRARY_PACKAGES else "let it unpack itself"
            raise ImageError(f"{name} cannot be unpacked here ({packed}): {cure}") from None
        if unpack is None and packed in LIBRARY_PACKAGES:
            advice = install_advice(packed)
            note = f"{name} is packed with {packed} and unpacks itself, which takes longer: {advice}"
        version = header.version
        pae = support.pae_by_version(version)
        if header.payload is None:
            personality = support.personality(support.inspect([header.code]), version, name)
        else:
            personality = support.personality_by_version(version)
        mapped = first_mapping(header.reserve, KERNEL_ADDRESS) if personality == "lguest" and version else 0
    if personality == "lguest" and support.calls_by_vmcall(version):
        raise ImageError(
            f"{name} makes its hypercalls by vmcall, which are rewritten only when it is unpacked here"
            ": unpack it, or give its vmlinux"
        )
    return Image(
        path=path,
        kind="bzImage",
        entry=header.entry,
        segments=(Segment(CODE_ADDRESS, header.code, len(header.code)),),
        setup_header=header.raw,
        version=version,
        generation=support.generation(version),
        reserve=header.reserve,
        mapped=mapped,
        personality=personality,
        pae=pae,
        note=note,
    )
