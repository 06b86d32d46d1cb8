# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of a saved Guest: pieces of memory and of disks, then a JSON object that says what they are.

    0   MAGIC, version (u32), where the object is (u64), its bytes (u32), its CRC (u32); little-endian
    …   pieces, each on a page boundary of the file: what is zero is left out
    …   the object: the caller's, with "pieces" {name: [[where, bytes, place in the file, stored bytes, CRC], …]}

A piece has at most PIECE bytes.  One that was compressed (zlib) has fewer stored bytes than bytes.  The CRC is that of
the stored bytes (zlib.crc32).
Read next: lguest_py/launcher/saving.py.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from lguest_py.errors import ImageError
from lguest_py.files.inputs import printable

MAGIC = b"lguest-py saved\n"
VERSION = 1
_START = struct.Struct("<16sIQII")
PIECE, PAGE = 1 << 20, 4096
LOOK = 1 << 16  # bytes: the unit in which zeros are left out
LONGEST_OBJECT = 64 << 20
QUICK = 1  # zlib's level: a fifth of the time of its best, for nine tenths of the gain
ADVICE = "save the Guest again"
Piece = tuple[int, int, int, int, int]


def _ranges(data: memoryview) -> Iterator[tuple[int, int]]:
    """Ranges (start, end), at most PIECE long, outside of which ``data`` is zero."""
    zeros, start = bytes(LOOK), -1
    for at in range(0, len(data), LOOK):
        end = min(at + LOOK, len(data))
        if data[at:end] != zeros[: end - at]:
            if start < 0:
                start = at
            if end - start < PIECE:
                continue
        elif start < 0:
            continue
        else:
            end = at
        yield start, end
        start = -1
    if start >= 0:
        yield start, len(data)


class Writer:
    """Writes the file that is open as ``descriptor``, from its start.  Every method raises OSError."""

    def __init__(self, descriptor: int, compress: bool = False) -> None:
        self._descriptor, self._compress = descriptor, compress
        self._pieces: dict[str, list[Piece]] = {}
        self._at = PAGE
        os.ftruncate(descriptor, 0)

    def add(self, name: str, data: memoryview, where: int = 0) -> None:
        """Add ``data``, which is at ``where`` in what is called ``name``."""
        pieces = self._pieces.setdefault(name, [])
        for start, end in _ranges(data):
            part = bytes(data[start:end])  # a copy: a Host kernel that stands still handles interrupts all the same
            if self._compress and len(packed := zlib.compress(part, QUICK)) < end - start:
                part = packed
            pieces.append((where + start, end - start, self._at, len(part), zlib.crc32(part)))
            self._put(part, self._at)
            self._at += -(-len(part) // PAGE) * PAGE

    def finish(self, facts: dict[str, Any]) -> int:
        """Write the object and the start; returns the file's bytes."""
        text = json.dumps({**facts, "pieces": self._pieces}).encode()
        self._put(text, self._at)
        self._put(_START.pack(MAGIC, VERSION, self._at, len(text), zlib.crc32(text)), 0)
        return self._at + len(text)

    def _put(self, data: bytes | memoryview, at: int) -> None:
        rest = memoryview(data)
        while rest:
            done = os.pwrite(self._descriptor, rest, at)
            rest, at = rest[done:], at + done


class Reader:
    """A file of a saved Guest; ``facts`` is its object, ``identity`` differs when the file was changed.

    Raises ImageError for what is none, or is damaged.
    """

    def __init__(self, path: str) -> None:
        self._name = printable(path)
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise ImageError(f"{self._name} cannot be read ({why}): give the file of a saved Guest") from None
        try:
            facts = os.fstat(self._descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise ImageError(f"{self._name} is no regular file: give the file of a saved Guest")
            self._size = facts.st_size
            self.identity = facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
            self.facts = self._read_facts()
        except BaseException:
            self.close()
            raise

    def _bad(self, what: str) -> ImageError:
        return ImageError(f"{self._name}: {what}: {ADVICE}")

    def _read(self, at: int, size: int) -> bytes:
        if not 0 <= at <= self._size - size:
            raise self._bad("it is cut off")
        try:
            data = os.pread(self._descriptor, size, at)
        except OSError as error:
            raise self._bad(f"it cannot be read ({error.strerror})") from None
        if len(data) != size:
            raise self._bad("it is cut off")
        return data

    def _read_facts(self) -> dict[str, Any]:
        if self._size < _START.size or self._read(0, len(MAGIC)) != MAGIC:
            raise ImageError(f"{self._name} is not the file of a saved Guest: lguest-py save makes one")
        _, version, at, size, crc = _START.unpack(self._read(0, _START.size))
        if version != VERSION:
            raise ImageError(
                f"{self._name} has version {version} of the format, and this lguest-py reads {VERSION}: {ADVICE}"
            )
        if size > LONGEST_OBJECT:
            raise self._bad("it is damaged")
        text = self._read(at, size)
        if zlib.crc32(text) != crc:
            raise self._bad("it is damaged")
        facts = json.loads(text)
        if not isinstance(facts, dict) or not isinstance(facts.get("pieces"), dict):
            raise self._bad("it is damaged")
        return facts

    def pieces(self, name: str) -> Iterator[tuple[int, int, Piece]]:
        """Each piece of what is called ``name``: where it is, its bytes, and what ``fill`` takes."""
        for each in self.facts["pieces"].get(name, ()):
            where, size, at, stored, crc = map(int, each)
            if not (0 < stored <= size <= PIECE and where >= 0):
                raise self._bad("it is damaged")
            yield where, size, (where, size, at, stored, crc)

    def fill(self, piece: Piece, into: memoryview) -> None:
        """Read a piece into memory of its size."""
        _, size, at, stored, crc = piece
        if stored < size:
            packed = self._read(at, stored)
            if zlib.crc32(packed) != crc:
                raise self._bad("it is damaged")
            unpacker = zlib.decompressobj()
            try:
                data = unpacker.decompress(packed, size)
            except zlib.error:
                raise self._bad("it is damaged") from None
            if len(data) != size:
                raise self._bad("it is damaged")
            into[:] = data
            return
        done = 0
        while done < size:
            try:
                count = os.preadv(self._descriptor, [into[done:]], at + done)
            except OSError as error:
                raise self._bad(f"it cannot be read ({error.strerror or errno.errorcode})") from None
            if not count:
                raise self._bad("it is cut off")
            done += count
        if zlib.crc32(into) != crc:
            raise self._bad("it is damaged")

    def load(self, name: str, memory: memoryview) -> None:
        """Read all pieces of what is called ``name`` into zeroed memory."""
        for where, size, piece in self.pieces(name):
            if where + size > len(memory):
                raise self._bad("it is damaged")
            self.fill(piece, memory[where : where + size])

    def close(self) -> None:
        """Close it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
