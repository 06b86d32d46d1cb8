# SPDX-License-Identifier: GPL-2.0-or-later
"""The qid, which tells a Guest whether two objects are the same, and whether one changed.

Read next: attributes.py.
"""

from __future__ import annotations

import os
import stat
from hashlib import blake2b

from lguest_py.share.tree import Tree
from lguest_py.share.wire import QID, QID_DIRECTORY, QID_FILE, QID_SYMLINK

_TYPES = {stat.S_IFDIR: QID_DIRECTORY, stat.S_IFLNK: QID_SYMLINK}


def inode_path(root: int, device: int, inode: int) -> int:
    """The path of a qid: the inode on the device of the root, and elsewhere something as unique."""
    if device == root:
        return inode
    return int.from_bytes(blake2b(b"%d %d" % (device, inode), digest_size=8).digest(), "little")


def qid_of(tree: Tree, status: os.stat_result) -> bytes:
    """The qid; its version changes with the content."""
    changed = status.st_mtime_ns
    version = (changed ^ changed >> 32 ^ status.st_size << 8) & 0xFFFFFFFF
    kind = _TYPES.get(stat.S_IFMT(status.st_mode), QID_FILE)
    return QID.pack(kind, version, inode_path(tree.root.device, status.st_dev, status.st_ino))
