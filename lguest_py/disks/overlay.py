# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk over another one that is only read: what is written is kept in a file without a name, and goes with it.

The file has each sector where the disk has it, and holes between them.  Read next: extents.py.
"""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace

from lguest_py.disks.backend import SECTOR, Backend, Buffers, cut, length
from lguest_py.disks.extents import Sectors
from lguest_py.disks.raw import Raw
from lguest_py.errors import LguestError


def _scratch(size: int) -> int:
    """A descriptor of a sparse file of ``size`` bytes that is gone when it is closed."""
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:  # O_TMPFILE where there is that
            os.truncate(file.fileno(), size)
            return os.dup(file.fileno())
    except OSError as error:
        raise LguestError(
            f"{folder} cannot hold what is written to an overlay ({error.strerror}): give another folder by TMPDIR"
        ) from None


class Overlay:
    """See the module.  Backend says what the methods do."""

    def __init__(self, base: Backend) -> None:
        self.facts = replace(base.facts, readonly=False, discards=True)
        self._base = base
        size = self.facts.size
        self._scratch = Raw(_scratch(size), size, readonly=False)
        self._lock = threading.Lock()
        self._held = Sectors()

    def _runs(self, offset: int, buffers: Buffers) -> Iterator[tuple[Backend, int, Buffers]]:
        """Each piece of a read: where from, its offset, its buffers."""
        with self._lock:
            runs = list(self._held.runs(offset // SECTOR, length(buffers) // SECTOR))
        if len(runs) == 1:
            yield (self._scratch if runs[0][2] else self._base), offset, buffers
            return
        for first, count, held in runs:
            piece = cut(buffers, first * SECTOR - offset, count * SECTOR)
            yield (self._scratch if held else self._base), first * SECTOR, piece

    def read_now(self, offset: int, buffers: Buffers) -> bool:
        """See Backend."""
        return all(disk.read_now(at, piece) for disk, at, piece in self._runs(offset, buffers))

    def read(self, offset: int, buffers: Buffers) -> None:
        """See Backend."""
        for disk, at, piece in self._runs(offset, buffers):
            disk.read(at, piece)

    def writes_quickly(self) -> bool:
        """See Backend."""
        return self._scratch.writes_quickly()

    def write(self, offset: int, buffers: Buffers, through: bool) -> None:
        """See Backend; nothing of an overlay outlives the run, so none is written through."""
        with _named():
            self._scratch.write(offset, buffers, False)
        self._hold(offset, length(buffers))

    def _hold(self, offset: int, size: int) -> None:
        with self._lock:
            self._held.add(offset // SECTOR, size // SECTOR)

    def needs_flush(self) -> bool:
        """See Backend."""
        return False

    def flush(self) -> None:
        """See Backend."""

    def discard(self, offset: int, length: int) -> None:
        """See Backend."""
        self.zero(offset, length, True)

    def zero(self, offset: int, length: int, unmap: bool) -> None:
        """See Backend: a hole in the file."""
        with _named():
            self._scratch.zero(offset, length, True)
        self._hold(offset, length)

    def held(self) -> Iterator[tuple[int, int]]:
        """The ranges (offset, bytes) that it holds."""
        with self._lock:
            runs = list(self._held.runs(0, self.facts.size // SECTOR))
        for first, count, held in runs:
            if held:
                yield first * SECTOR, count * SECTOR

    def close(self) -> None:
        """See Backend."""
        self._scratch.abandon()
        self._base.close()


class _named:
    """Says in an OSError of too little room where the room is missing."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            text = f"{error.strerror} in {tempfile.gettempdir()}, where the overlay is kept: give another by TMPDIR"
            raise OSError(error.errno, text) from None
