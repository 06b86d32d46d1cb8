# SPDX-License-Identifier: GPL-2.0-or-later
"""What every back end of a disk does.  Offsets and lengths are in bytes, within the disk, and whole sectors.

All methods but ``close`` may be called by several threads at once.  Each raises OSError when the Host fails.
Read next: raw.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

SECTOR = 512
Buffers = Sequence[memoryview]


@dataclass(frozen=True)
class Facts:
    """What a disk is like; it never changes."""

    size: int  # bytes, a multiple of SECTOR
    readonly: bool
    block: int = SECTOR  # the unit that the Guest is to address
    physical: int = 4096  # the unit that is cheap to write
    discards: bool = True  # whether ``discard`` and ``zero`` may be offered


class Backend(Protocol):
    """One disk."""

    facts: Facts

    def read_now(self, offset: int, buffers: Buffers) -> bool:
        """Fill ``buffers`` if that needs no waiting; False: nothing is promised about them, ask ``read``."""

    def read(self, offset: int, buffers: Buffers) -> None:
        """Fill ``buffers``."""

    def write(self, offset: int, buffers: Buffers, through: bool) -> None:
        """Write ``buffers``; ``through``: not only to a cache."""

    def writes_quickly(self) -> bool:
        """Whether ``write`` (not ``through``) can be expected to take no longer than a copy in memory."""

    def flush(self) -> None:
        """Return when what was written before is where no loss of power destroys it."""

    def needs_flush(self) -> bool:
        """Whether ``flush`` has anything to do."""

    def discard(self, offset: int, length: int) -> None:
        """The Guest does not need these bytes any more."""

    def zero(self, offset: int, length: int, unmap: bool) -> None:
        """Make these bytes zero; ``unmap``: their room on the Host may be given back."""

    def close(self) -> None:
        """Write out what was written behind, and release everything.  Raises OSError when that fails."""


def length(buffers: Buffers) -> int:
    """The bytes in all of them."""
    return sum(map(len, buffers))


def skip(buffers: Buffers, count: int) -> list[memoryview]:
    """What follows the first ``count`` bytes."""
    rest = []
    for buffer in buffers:
        if count >= len(buffer):
            count -= len(buffer)
        else:
            rest.append(buffer[count:])
            count = 0
    return rest


def cut(buffers: Buffers, start: int, count: int) -> list[memoryview]:
    """``count`` bytes from ``start`` on."""
    part = []
    for buffer in buffers:
        if start >= len(buffer):
            start -= len(buffer)
            continue
        piece = buffer[start : start + count]
        start = 0
        count -= len(piece)
        if piece:
            part.append(piece)
        if not count:
            break
    return part
