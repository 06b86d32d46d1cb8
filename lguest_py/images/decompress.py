# SPDX-License-Identifier: GPL-2.0-or-later
"""Unpack a bzImage's payload, whichever way it was compressed, to a bounded size.

The format is told by its first bytes.  What follows the compressed stream (the kernel's build appends the
unpacked size) is ignored.  Read next: lguest_py/images/frames.py for the two framings without a library.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

from lguest_py.descriptors import check

LIMIT = 512 << 20  # bytes unpacked: ten times a large kernel
LZMA_MEMORY = 256 << 20  # bytes: a dictionary of four times what `xz -9` asks for


class CorruptError(Exception):
    """The compressed bytes are damaged, cut short, or unpack to more than LIMIT."""


class UnknownFormatError(Exception):
    """The bytes begin as no format of Linux's does."""


class NoLibraryError(Exception):
    """This Python cannot unpack the format named in the argument."""


def check_limit(unpacked: bytes | bytearray) -> None:
    """Raise CorruptError when ``unpacked`` is longer than LIMIT."""
    if len(unpacked) > LIMIT:
        raise CorruptError(f"unpacks to more than {LIMIT >> 20}M")


class _Stream(Protocol):
    """What the standard library's three decompressors have in common."""

    @property
    def eof(self) -> bool: ...

    def decompress(self, data: memoryview, max_length: int, /) -> bytes: ...


def _stream(stream: _Stream, data: memoryview) -> bytes:
    unpacked = stream.decompress(data, LIMIT + 1)
    check_limit(unpacked)
    if not stream.eof:
        raise CorruptError("ends early")
    return unpacked


def _gzip(data: memoryview) -> bytes:
    return _stream(zlib.decompressobj(31), data)


def _bzip2(data: memoryview) -> bytes:
    return _stream(bz2.BZ2Decompressor(), data)


def _xz(data: memoryview) -> bytes:
    return _stream(lzma.LZMADecompressor(lzma.FORMAT_XZ, LZMA_MEMORY), data)


def _lzma(data: memoryview) -> bytes:
    return _stream(lzma.LZMADecompressor(lzma.FORMAT_ALONE, LZMA_MEMORY), data)


def _zstd(data: memoryview) -> bytes:
    try:
        import zstandard
    except ImportError as error:
        check(error)
        raise NoLibraryError("zstd") from None
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(io.BytesIO(data)) as reader:
            unpacked = reader.read(LIMIT + 1)
    except zstandard.ZstdError as error:
        raise CorruptError(str(error)) from None
    check_limit(unpacked)
    return unpacked


def _lz4(data: memoryview) -> bytes:
    try:
        from lguest_py.images import frames

        return frames.lz4_legacy(data)
    except ImportError as error:
        check(error)
        raise NoLibraryError("lz4") from None


def _lzo(data: memoryview) -> bytes:
    try:
        from lguest_py.images import frames

        return frames.lzop(data)
    except ImportError as error:
        check(error)
        raise NoLibraryError("lzo") from None


FORMATS: dict[bytes, tuple[str, Callable[[memoryview], bytes]]] = {
    b"\x7fELF": ("none", bytes),
    b"\x1f\x8b": ("gzip", _gzip),
    b"BZh": ("bzip2", _bzip2),
    b"\xfd7zXZ\x00": ("xz", _xz),
    b"\x5d\x00\x00": ("lzma", _lzma),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstd),
    b"\x02\x21\x4c\x18": ("lz4", _lz4),
    b"\x89LZO": ("lzo", _lzo),
}


def decompress(data: memoryview) -> bytes:
    """The unpacked payload.  Raises CorruptError, NoLibraryError or UnknownFormatError."""
    for magic, (name, unpack) in FORMATS.items():
        if data[: len(magic)] == magic:
            try:
                return unpack(data)
            except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError, CorruptError) as error:
                check(error)
                raise CorruptError(f"{name}: {' '.join(str(error).split())}") from None
    raise UnknownFormatError(f"it begins with {data[:4].hex(' ')}")
