# SPDX-License-Identifier: GPL-2.0-or-later
"""Open and read a file that a user named: a wrong one raises one clear line, and never blocks.

Read next: outputs.py, cancellation.py.
"""

from __future__ import annotations

import io
import os
import stat
from typing import BinaryIO

from lguest_py.errors import ImageError
from lguest_py.files.cancellation import STEP, point
from lguest_py.files.descriptors import check


def printable(path: str) -> str:
    """The path, escaped where it would break the line or control the terminal."""
    return path if path.isprintable() else repr(path)


_kept: dict[str, int] = {}


def keep(path: str) -> None:
    """Open the file now, for later calls of ``open_regular`` that cannot follow its name any more (--chroot)."""
    _kept[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _open(path: str) -> int:
    if path in _kept:
        descriptor = os.dup(_kept[path])
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor
    # Opening a FIFO would wait for a writer.
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))


def open_regular(path: str, advice: str) -> tuple[BinaryIO, int]:
    """Open ``path`` for reading; returns the file and its size in bytes (not 0).

    ``advice`` says what to give instead.  Raises ImageError for what cannot be opened, is not a regular
    file, or is empty.
    """
    name = printable(path)
    try:
        descriptor = _open(path)
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist: {advice}") from None
    except PermissionError:
        raise ImageError(f"{name} may not be read: give yourself read permission, or {advice}") from None
    except (OSError, ValueError) as error:
        check(error)
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ImageError(f"{name} cannot be opened ({reason}): {advice}") from None
    facts = os.fstat(descriptor)
    problem = ""
    if stat.S_ISDIR(facts.st_mode):
        problem = "is a directory"
    elif not stat.S_ISREG(facts.st_mode):
        problem = "is not a regular file"
    elif facts.st_size == 0:
        problem = "is empty"
    if problem:
        os.close(descriptor)
        raise ImageError(f"{name} {problem}: {advice}")
    return os.fdopen(descriptor, "rb"), facts.st_size


def read_exactly(file: BinaryIO, offset: int, size: int, name: str) -> bytes:
    """``size`` bytes at ``offset``.  Raises ImageError when they are not there or cannot be read."""
    try:
        file.seek(offset)
        data = file.read(size)
    except OSError as error:
        raise ImageError(f"{name} cannot be read ({error.strerror}): check the file and its disk") from None
    if len(data) != size:
        raise ImageError(f"{name} ends early ({len(data)} of {size} bytes at {offset:#x} are there): copy it anew")
    return data


def read_large(file: BinaryIO, offset: int, size: int, name: str) -> memoryview:
    """The same of what may be hundreds of MiB: in steps, and without a copy where it is in memory already."""
    if isinstance(file, io.BytesIO) and offset + size <= len(file.getvalue()):
        return memoryview(file.getvalue())[offset : offset + size]
    data = memoryview(bytearray(size))
    for start in range(0, size, STEP):
        piece = read_exactly(file, offset + start, min(STEP, size - start), name)
        data[start : start + len(piece)] = piece
        point()
    return data
