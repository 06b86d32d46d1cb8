# SPDX-License-Identifier: GPL-2.0-or-later
"""Fids: the numbers by which a Guest names objects, and what is open behind each.

Read next: openfiles.py.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress

from lguest_py.share.descriptors import Budget
from lguest_py.share.directories import Listing
from lguest_py.share.tree import Node, Tree
from lguest_py.share.wire import NO_FID, refused
from lguest_py.share.xattrs import Attribute

MOST = 1 << 17  # fids of one share; each is some hundred bytes of the Launcher
MOST_ATTRIBUTES = 256  # of them with an extended attribute, which is up to 64 KiB


class Fid:
    """A node, with the directory and the name by which it was reached (None: the root), and what was opened."""

    __slots__ = ("attribute", "file", "listing", "name", "node", "nowait", "parent", "user")

    def __init__(self, node: Node, parent: Node | None, name: bytes, user: int) -> None:
        self.node, self.parent, self.name, self.user = node, parent, name, user
        self.file = -1  # the descriptor of an open file or directory
        self.nowait = True  # whether the file system can say that a read would wait
        self.listing: Listing | None = None  # what was read of an open directory
        self.attribute: Attribute | None = None  # an extended attribute that is read or written

    @property
    def is_open(self) -> bool:
        """Whether it was opened, or stands for an extended attribute."""
        return self.file >= 0 or self.attribute is not None


class Fids:
    """The table; it owns the descriptors of open files and counts them."""

    def __init__(self, tree: Tree, budget: Budget) -> None:
        self._tree = tree
        self._budget = budget
        self._table: dict[int, Fid] = {}
        self._attributes = 0

    def __getitem__(self, number: int) -> Fid:
        fid = self._table.get(number)
        if fid is None:
            raise refused(errno.EBADF)
        return fid

    def get(self, number: int) -> Fid | None:
        """The fid, or None."""
        return self._table.get(number)

    def __iter__(self) -> Iterator[Fid]:
        return iter(self._table.values())

    def __len__(self) -> int:
        return len(self._table)

    def check_new(self, number: int) -> None:
        """Raise unless ``number`` can be a new fid."""
        if number == NO_FID or number in self._table:
            raise refused(errno.EBADF)
        if len(self._table) >= MOST:
            raise refused(errno.ENFILE)

    def add(self, number: int, fid: Fid) -> None:
        """Give ``fid`` a number that check_new allowed."""
        self._table[number] = fid

    def take(self, number: int) -> Fid:
        """Remove ``number`` and return what it was; the caller gives it to ``drop``."""
        fid = self[number]
        del self._table[number]
        return fid

    def drop(self, fid: Fid) -> None:
        """Close and release all that ``fid`` has."""
        self.close_file(fid)
        if fid.attribute:
            self._attributes -= 1
        self._tree.release(fid.node)
        self._tree.release(fid.parent)

    def move(self, fid: Fid, node: Node, parent: Node | None, name: bytes) -> None:
        """``fid`` stands for ``node`` now; takes over the references to ``node`` and ``parent``."""
        self._tree.release(fid.node)
        self._tree.release(fid.parent)
        fid.node, fid.parent, fid.name = node, parent, name

    def check_attribute(self) -> None:
        """Raise ENFILE when there are too many extended attributes on their way."""
        if self._attributes >= MOST_ATTRIBUTES:
            raise refused(errno.ENFILE)

    def give_attribute(self, fid: Fid, attribute: Attribute) -> None:
        """``fid`` stands for an extended attribute, which check_attribute allowed."""
        fid.attribute = attribute
        self._attributes += 1

    def opened(self, fid: Fid, descriptor: int) -> None:
        """``fid`` was opened as ``descriptor``, for which the caller took from the budget."""
        fid.file = descriptor

    def close_file(self, fid: Fid) -> None:
        """Close what lopen or lcreate opened."""
        if fid.listing:
            fid.listing.close()
            fid.listing = None
        if fid.file >= 0:
            descriptor, fid.file = fid.file, -1
            self._budget.give()
            with suppress(OSError):  # of what was written behind; fsync is how the Guest learns of it
                os.close(descriptor)

    def clear(self) -> None:
        """Drop all."""
        while self._table:
            self.drop(self._table.popitem()[1])
