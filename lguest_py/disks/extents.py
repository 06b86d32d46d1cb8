# SPDX-License-Identifier: GPL-2.0-or-later
"""A set of sectors, for an overlay: which of a disk's sectors it holds.

A bit a sector in whole numbers of Python, one for each chunk of the disk that has any.  Read next: overlay.py.
"""

from __future__ import annotations

from collections.abc import Iterator

CHUNK = 2048  # sectors
_FULL = (1 << CHUNK) - 1


class Sectors:
    """The set.  Ranges are (first, count)."""

    def __init__(self) -> None:
        self._chunks: dict[int, int] = {}

    def add(self, first: int, count: int) -> None:
        """Put a range into the set."""
        while count:
            chunk, start = divmod(first, CHUNK)
            part = min(count, CHUNK - start)
            bits = self._chunks.get(chunk, 0) | ((1 << part) - 1) << start
            self._chunks[chunk] = _FULL if bits == _FULL else bits  # full ones share one object
            first, count = first + part, count - part

    def runs(self, first: int, count: int) -> Iterator[tuple[int, int, bool]]:
        """The range in pieces (first, count, whether the set has it), neighbours of one kind together."""
        begin, last = first, None
        for at, part, held in self._pieces(first, count):
            if held is not last:
                if last is not None:
                    yield begin, at - begin, last
                begin, last = at, held
            end = at + part
        if last is not None:
            yield begin, end - begin, last

    def _pieces(self, first: int, count: int) -> Iterator[tuple[int, int, bool]]:
        while count:
            chunk, start = divmod(first, CHUNK)
            part = min(count, CHUNK - start)
            bits = self._chunks.get(chunk, 0) >> start & (1 << part) - 1
            held = bool(bits & 1)
            if held:
                bits = ~bits
            if bits:  # up to the first bit of the other kind
                part = min(part, (bits & -bits).bit_length() - 1)
            yield first, part, held
            first, count = first + part, count - part
