# SPDX-License-Identifier: GPL-2.0-or-later
"""Listing a directory.

The offset of an entry is its number in the listing, because a 32-bit Guest's C library cannot take the 64-bit positions
of ext4 or xfs (EOVERFLOW).  The directory is read as far as the Guest asks; what was read is kept, packed, for a Guest
that goes back.  All that is kept is bounded: the listing that was used least recently is forgotten, and read anew when
the Guest asks for more of it.  Read next: xattrs.py.
"""

from __future__ import annotations

import errno
import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import Protocol

from lguest_py.share.descriptors import Budget
from lguest_py.share.qids import inode_path
from lguest_py.share.tree import Node, Tree
from lguest_py.share.wire import QID_DIRECTORY, QID_FILE, QID_SYMLINK, refused

MOST_BYTES = 64 << 20  # of all listings of a share together
MOST_ENTRIES = 1024  # of one reply: a longer one would keep the Launcher from its other work
_DIRECTORY, _FILE, _SYMLINK, _UNKNOWN = (QID_DIRECTORY, 4), (QID_FILE, 8), (QID_SYMLINK, 10), (QID_FILE, 0)  # DT_
_ENTRY = struct.Struct("<BIQQBH")  # qid, offset of the next, type, length of the name


class _Scan(Iterator["os.DirEntry[str]"], Protocol):
    def close(self) -> None: ...


class Listing:
    """What was read of the directory ``node``, open as ``file``."""

    def __init__(self, budget: Budget, root: int, file: int, node: Node, parent: Node | None) -> None:
        self._budget, self._root, self._file = budget, root, file
        self._device = node.device
        above = parent or node
        self._first = (b".", node.device, node.inode), (b"..", above.device, above.inode)
        self._scan: _Scan | None = None
        self.forget()

    def close(self) -> None:
        """Forget all, and close what is open besides the fid's own descriptor."""
        self.forget()

    def forget(self) -> None:
        """Begin anew with the next call of ``entries``."""
        self._packed = bytearray()
        self._ends = array("I")  # where each entry ends
        self._end = self._begun = False
        if self._scan:
            self._scan.close()
            self._scan = None
            self._budget.give()

    @property
    def weight(self) -> int:
        """Bytes that it keeps."""
        return len(self._packed) + 4 * len(self._ends)

    def entries(self, offset: int, count: int) -> bytes:
        """Whole entries after ``offset``, in at most ``count`` bytes."""
        if not self._begun:
            self._begin()
        while len(self._ends) < offset + MOST_ENTRIES and not self._end:
            start = self._ends[offset - 1] if 0 < offset <= len(self._ends) else 0
            if offset <= len(self._ends) and len(self._packed) - start > count:
                break
            self._more()
        if offset >= len(self._ends):
            return b""
        start = self._ends[offset - 1] if offset else 0
        last = min(bisect_right(self._ends, start + count), offset + MOST_ENTRIES)
        if last <= offset:
            raise refused(errno.EINVAL)  # not one entry fits
        return bytes(self._packed[start : self._ends[last - 1]])

    def _begin(self) -> None:
        self._budget.take()  # scandir has a descriptor of its own
        try:
            os.lseek(self._file, 0, os.SEEK_SET)
            self._scan = os.scandir(self._file)
        except OSError:
            self._budget.give()
            raise
        self._begun = True
        for name, device, inode in self._first:
            self._append(name, device, inode, _DIRECTORY)

    def _more(self) -> None:
        """Read one entry more, or see the end."""
        assert self._scan
        entry = next(self._scan, None)
        if entry is None:
            self._end = True
            return
        if entry.is_symlink():
            kind = _SYMLINK
        elif entry.is_dir(follow_symlinks=False):
            kind = _DIRECTORY
        else:
            kind = _FILE if entry.is_file(follow_symlinks=False) else _UNKNOWN
        self._append(os.fsencode(entry.name), self._device, entry.inode(), kind)

    def _append(self, name: bytes, device: int, inode: int, kind: tuple[int, int]) -> None:
        path = inode_path(self._root, device, inode)
        self._packed += _ENTRY.pack(kind[0], 0, path, len(self._ends) + 1, kind[1], len(name)) + name
        self._ends.append(len(self._packed))


class Listings:
    """All listings of a share, in the order of their use."""

    def __init__(self, tree: Tree, budget: Budget) -> None:
        self._tree, self._budget = tree, budget
        self._used: dict[int, Listing] = {}

    def begin(self, file: int, node: Node, parent: Node | None) -> Listing:
        """That of the directory ``node``, open as ``file``."""
        if file < 0 or not node.is_directory:
            raise refused(errno.EBADF)
        return Listing(self._budget, self._tree.root.device, file, node, parent)

    def read(self, listing: Listing, offset: int, count: int) -> bytes:
        """The data of Rreaddir.  An offset of 0 reads the directory anew."""
        if offset >= 1 << 32:
            raise refused(errno.EINVAL)
        if not offset:
            listing.forget()
        found = listing.entries(offset, count)
        self._used.pop(id(listing), None)
        self._used[id(listing)] = listing
        self._bound()
        return found

    def _bound(self) -> None:
        """Forget the oldest while all together are too much."""
        self._used = {key: each for key, each in self._used.items() if each.weight}
        weight = sum(each.weight for each in self._used.values())
        for key in list(self._used)[:-1]:
            if weight <= MOST_BYTES:
                return
            weight -= self._used[key].weight
            self._used.pop(key).forget()
