# SPDX-License-Identifier: GPL-2.0-or-later
"""Extended attributes: those of users (user.*) on regular files and directories; the others are not supported.

Txattrwalk makes a fid that is read: a value, or the list of names.  Txattrcreate makes of a fid one that is
written, and its clunk sets the value.  Read next: server.py.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence

from lguest_py.share.tree import Node, Tree
from lguest_py.share.wire import refused

LONGEST = 65536  # of a value, and of a list
_FLAGS = os.XATTR_CREATE | os.XATTR_REPLACE


class Attribute:
    """A value on its way.  ``size``: how long the value will be that is written; None: it is read."""

    def __init__(self, name: bytes, value: bytes = b"", size: int | None = None, flags: int = 0) -> None:
        self.name, self.size, self.flags = name, size, flags
        self._value = bytearray(value)

    @property
    def length(self) -> int:
        """Bytes of the value that are there."""
        return len(self._value)

    def read(self, offset: int, count: int) -> bytes:
        """Part of the value."""
        if self.size is not None:
            raise refused(errno.EBADF)
        return bytes(self._value[offset : offset + count])

    def write(self, offset: int, pieces: Sequence[memoryview]) -> int:
        """The next part of the value; parts come in order."""
        count = sum(map(len, pieces))
        if self.size is None:
            raise refused(errno.EBADF)
        if offset != len(self._value) or offset + count > self.size:
            raise refused(errno.EINVAL)
        for piece in pieces:
            self._value += piece
        return count

    def set(self, tree: Tree, node: Node) -> None:
        """Set what was written.  No bytes and XATTR_REPLACE is how Linux says: remove."""
        if self.size is None:
            return
        if self.size != len(self._value):
            raise refused(errno.EINVAL)
        file = _open(tree, node)
        try:
            if not self.size and self.flags == os.XATTR_REPLACE:
                os.removexattr(file, self.name)
            else:
                os.setxattr(file, self.name, bytes(self._value), self.flags)
        finally:
            os.close(file)


def _check(node: Node, name: bytes) -> None:
    if not name.startswith(b"user.") or node.kind not in (stat.S_IFREG, stat.S_IFDIR):
        raise refused(errno.EOPNOTSUPP)
    if len(name) > 255:
        raise refused(errno.ERANGE)
    if b"\0" in name or name == b"user.":
        raise refused(errno.EINVAL)


def _open(tree: Tree, node: Node) -> int:
    """A descriptor to reach the attributes of ``node`` by; whoever may only write the file can do that too."""
    try:
        return tree.open(node, os.O_RDONLY)
    except PermissionError:
        if node.is_directory:
            raise
        return tree.open(node, os.O_WRONLY)


def walk(tree: Tree, node: Node, name: bytes) -> Attribute:
    """The value of ``name``, or with no name the names of all, each with a NUL behind it."""
    if name:
        _check(node, name)
    elif node.kind not in (stat.S_IFREG, stat.S_IFDIR):
        return Attribute(name)
    file = _open(tree, node)
    try:
        if name:
            return Attribute(name, os.getxattr(file, name))
        names = [os.fsencode(each) for each in os.listxattr(file)]
        return Attribute(name, b"".join(each + b"\0" for each in names if each.startswith(b"user.")))
    finally:
        os.close(file)


def create(node: Node, name: bytes, size: int, flags: int) -> Attribute:
    """What takes the value of ``name``."""
    _check(node, name)
    if size > LONGEST:
        raise refused(errno.E2BIG)
    if flags & ~_FLAGS:
        raise refused(errno.EINVAL)
    return Attribute(name, b"", size, flags)
