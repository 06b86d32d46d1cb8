# SPDX-License-Identifier: GPL-2.0-or-later
"""Decompress a bzImage's payload or a compressed file, up to a size limit.

The magic number selects the format.  A payload is one compressed stream; trailing bytes are ignored, because the
kernel's build appends the uncompressed size.  A file may have several streams, which are concatenated.

Read next: lguest_py/images/frames.py for the two framings that no library reads; lguest_py/files/cancellation.py.
"""

from __future__ import annotations

import bz2
import functools
import importlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from lguest_py.files.cancellation import STEP, point
from lguest_py.files.descriptors import DescriptorError, check
from lguest_py.images.frames import CorruptError

LIMIT = 512 << 20  # uncompressed bytes: ten times a large kernel
LZMA_MEMORY = 256 << 20  # bytes: four times the dictionary of `xz -9`
ZSTD_WINDOW_LOG = 27  # a window of 128 MiB, the largest that Linux uses
ZSTD_STEP = 1024  # compressed bytes at once: a block of 4 bytes can expand to 128 KiB
GZIP_WBITS = 16 + zlib.MAX_WBITS  # a gzip header and trailer
INPUT_STEP = 1 << 20  # compressed bytes passed to a library at once


class UnknownFormatError(Exception):
    """The bytes do not begin with the magic number of a format that Linux uses."""


class NoLibraryError(Exception):
    """The library for the format named in the argument is not installed."""


LIBRARY_PACKAGES = {  # format: the packages in PyPI and in Debian
    "zstd": ("zstandard", "python3-zstandard"),
    "lz4": ("lz4", "python3-lz4"),
    "lzo": ("python-lzo", "python3-lzo"),
}


def install_advice(name: str) -> str:
    """How to install the library for the format ``name``."""
    package, debian = LIBRARY_PACKAGES[name]
    return f"pip install {package} (Debian's own Python: apt-get install {debian})"


class _Stream(Protocol):
    """The interface of the standard library's decompressors (bz2, lzma)."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: memoryview | bytes, max_length: int, /) -> bytes: ...


class _Gzip:
    """zlib's decompressor as a _Stream."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(GZIP_WBITS)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def needs_input(self) -> bool:
        return not self._stream.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: memoryview | bytes, max_length: int, /) -> bytes:
        return self._stream.decompress(data or self._stream.unconsumed_tail, max_length)


class _Zstandard:
    """The decompressor of the package zstandard as a _Stream.  It has no ``max_length``, so small input bounds its
    output.
    """

    def __init__(self, library: Any) -> None:
        decompressor = library.ZstdDecompressor(max_window_size=1 << ZSTD_WINDOW_LOG)
        self._stream = decompressor.decompressobj()
        self._pending: memoryview | bytes = b""

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof)

    @property
    def needs_input(self) -> bool:
        return not self._pending

    @property
    def unused_data(self) -> bytes:
        return bytes(self._stream.unused_data) + bytes(self._pending)

    def decompress(self, data: memoryview | bytes, max_length: int, /) -> bytes:
        data = data or self._pending
        self._pending = data[ZSTD_STEP:]
        return bytes(self._stream.decompress(bytes(data[:ZSTD_STEP])))


def _streams(make: Callable[[], _Stream], data: memoryview, whole: bool) -> Iterator[bytes]:
    """Decompress the first stream in ``data``; with ``whole`` also the following ones of the same format."""
    magic, position = bytes(data[:4]), 0
    while True:
        stream = make()
        while not stream.eof:
            chunk: memoryview | bytes = data[position : position + INPUT_STEP]
            if not chunk:
                raise CorruptError("ends early")
            position += len(chunk)
            while True:
                piece = stream.decompress(chunk, STEP)
                yield piece
                if stream.eof or (stream.needs_input and len(piece) < STEP):
                    break
                chunk = b""
        position -= len(stream.unused_data or b"")
        if not whole or bytes(data[position : position + 4]) != magic:
            return


def _gzip(data: memoryview, whole: bool) -> Iterator[bytes]:
    return _streams(_Gzip, data, whole)


def _bzip2(data: memoryview, whole: bool) -> Iterator[bytes]:
    return _streams(bz2.BZ2Decompressor, data, whole)


def _xz(data: memoryview, whole: bool) -> Iterator[bytes]:
    return _streams(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, LZMA_MEMORY), data, whole)


def _lzma(data: memoryview, whole: bool) -> Iterator[bytes]:
    return _streams(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, LZMA_MEMORY), data, whole)


def _library(name: str, *modules: str) -> Any:
    for module in modules:
        try:
            return importlib.import_module(module)
        except ImportError as error:
            check(error)
    raise NoLibraryError(name)


def _zstd(data: memoryview, whole: bool) -> Iterator[bytes]:
    library = _library("zstd", "compression.zstd", "zstandard")  # the former is in the standard library since 3.14
    make: Callable[[], _Stream] = functools.partial(_Zstandard, library)
    if hasattr(library, "DecompressionParameter"):
        options = {library.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
        make = functools.partial(library.ZstdDecompressor, options=options)
    return _streams(make, data, whole)


def _lz4(data: memoryview, whole: bool) -> Iterator[bytes]:
    from lguest_py.images import frames

    return frames.lz4_legacy(data, _library("lz4", "lz4.block"), whole)


def _lz4_frame(data: memoryview, whole: bool) -> Iterator[bytes]:
    return _streams(_library("lz4", "lz4.frame").LZ4FrameDecompressor, data, whole)


def _lzo(data: memoryview, whole: bool) -> Iterator[bytes]:
    from lguest_py.images import frames

    return frames.lzop(data, _library("lzo", "lzo"))


def _none(data: memoryview, whole: bool) -> Iterator[bytes]:
    yield bytes(data)


FORMATS: dict[bytes, tuple[str, Callable[[memoryview, bool], Iterator[bytes]]]] = {
    b"\x7fELF": ("none", _none),
    b"\x1f\x8b": ("gzip", _gzip),
    b"BZh": ("bzip2", _bzip2),
    b"\xfd7zXZ\x00": ("xz", _xz),
    b"\x5d\x00\x00": ("lzma", _lzma),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstd),
    b"\x02\x21\x4c\x18": ("lz4", _lz4),
    b"\x04\x22\x4d\x18": ("lz4", _lz4_frame),  # from lz4 without -l; Linux does not read it
    b"\x89LZO": ("lzo", _lzo),
}


def compression_of(start: bytes | memoryview) -> str | None:
    """The compression format of a file that begins with ``start``; None when it is not compressed."""
    names = [name for magic, (name, _) in FORMATS.items() if start[: len(magic)] == magic]
    return names[0] if names and names[0] != "none" else None


def decompress(data: memoryview, *, whole: bool = False) -> bytes:
    """The uncompressed bytes of ``data``: of its first stream (a payload), or with ``whole`` of all streams (a file).

    Raises CorruptError, NoLibraryError or UnknownFormatError.
    """
    matches = [entry for magic, entry in FORMATS.items() if data[: len(magic)] == magic]
    if not matches:
        raise UnknownFormatError(f"it begins with {data[:4].hex(' ')}")
    name, unpack = matches[0]
    unpacked, pieces = io.BytesIO(), None
    while True:
        point()
        try:
            pieces = pieces or unpack(data, whole)
            piece = next(pieces, None)
        except (NoLibraryError, DescriptorError, MemoryError):
            raise
        except Exception as error:  # the libraries raise classes of their own
            check(error)
            raise CorruptError(f"{name}: {' '.join(str(error).split())}") from None
        if piece is None:
            return unpacked.getvalue()
        if unpacked.tell() + len(piece) > LIMIT:
            raise CorruptError(f"{name}: unpacks to more than {LIMIT >> 20}M")
        unpacked.write(piece)
