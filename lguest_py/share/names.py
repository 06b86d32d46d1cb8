# SPDX-License-Identifier: GPL-2.0-or-later
"""Making, linking, renaming and removing names in the directories of the folder.

Read next: attributes.py.
"""

from __future__ import annotations

import errno
import os
import stat

from lguest_py.share.fids import Fid, Fids
from lguest_py.share.openfiles import finish
from lguest_py.share.tree import Node, Tree, check_name
from lguest_py.share.wire import refused

REMOVE_DIRECTORY = 0x200  # AT_REMOVEDIR
LONGEST_TARGET = 4095
_MADE = (stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK)


def _place(tree: Tree, fid: Fid, name: bytes) -> int:
    """The descriptor of the directory ``fid``, for ``name`` in it."""
    check_name(name)
    tree.inside(fid.node)
    return fid.node.fd


def _new_place(tree: Tree, fid: Fid, name: bytes) -> int:
    """As _place, with room for the node of what will be made."""
    place = _place(tree, fid, name)
    tree.check_room()
    return place


def _made(tree: Tree, fid: Fid, name: bytes, gid: int, kind: int, mode: int) -> os.stat_result:
    """Finish what was made as ``name``; returns its attributes."""
    node = tree.look(fid.node, name)
    try:
        if node.kind == kind:  # else somebody on the Host was faster, and it is theirs
            finish(tree, node, fid.user, gid, mode)
        return node.status()
    finally:
        tree.release(node)


def mkdir(tree: Tree, fid: Fid, name: bytes, mode: int, gid: int) -> os.stat_result:
    """Tmkdir; returns the attributes of the new directory."""
    os.mkdir(name, mode & 0o777, dir_fd=_new_place(tree, fid, name))
    return _made(tree, fid, name, gid, stat.S_IFDIR, mode)


def symlink(tree: Tree, fid: Fid, name: bytes, target: bytes, gid: int) -> os.stat_result:
    """Tsymlink.  The target is text: only the Guest follows it, in its own tree."""
    if b"\0" in target:
        raise refused(errno.EINVAL)
    if len(target) > LONGEST_TARGET:
        raise refused(errno.ENAMETOOLONG)
    os.symlink(target, name, dir_fd=_new_place(tree, fid, name))
    return _made(tree, fid, name, gid, stat.S_IFLNK, 0o777)


def mknod(tree: Tree, fid: Fid, name: bytes, mode: int, gid: int) -> os.stat_result:
    """Tmknod, of a regular file, FIFO or socket.  Devices would be the Host's, so there are none."""
    kind = stat.S_IFMT(mode) or stat.S_IFREG
    if kind not in _MADE:
        raise refused(errno.EPERM if kind in (stat.S_IFCHR, stat.S_IFBLK) else errno.EINVAL)
    os.mknod(name, kind | mode & 0o777, dir_fd=_new_place(tree, fid, name))
    return _made(tree, fid, name, gid, kind, mode)


def readlink(tree: Tree, node: Node) -> bytes:
    """The text of a symbolic link."""
    if node.kind != stat.S_IFLNK:
        raise refused(errno.EINVAL)
    return os.readlink(b"", dir_fd=node.fd)


def link(tree: Tree, directory: Fid, fid: Fid, name: bytes) -> None:
    """Tlink: one more name for what ``fid`` stands for."""
    place = _place(tree, directory, name)
    if fid.node.is_directory:
        raise refused(errno.EPERM)
    path, proc = tree.by_descriptor(fid.node)
    os.link(path, name, src_dir_fd=proc, dst_dir_fd=place, follow_symlinks=True)


def rename(tree: Tree, fids: Fids, old: Fid, old_name: bytes, new: Fid, new_name: bytes) -> None:
    """Trenameat.  Fids that were reached by the old name have the new one."""
    old_place, new_place = _place(tree, old, old_name), _place(tree, new, new_name)
    os.rename(old_name, new_name, src_dir_fd=old_place, dst_dir_fd=new_place)
    _renamed(tree, fids, old.node, old_name, new.node, new_name)


def _renamed(tree: Tree, fids: Fids, old: Node, old_name: bytes, new: Node, new_name: bytes) -> None:
    for fid in fids:
        if fid.parent is old and fid.name == old_name:
            fid.parent, fid.name = tree.hold(new), new_name
            tree.release(old)


def _own_place(tree: Tree, fid: Fid) -> Node:
    """The directory in which ``fid`` still has its name."""
    if not fid.parent:
        raise refused(errno.EBUSY)  # the root
    tree.inside(fid.parent)
    if not tree.is_still(fid.parent, fid.name, fid.node):
        raise refused(errno.ESTALE)
    return fid.parent


def rename_fid(tree: Tree, fids: Fids, fid: Fid, directory: Fid, name: bytes) -> None:
    """Trename, of older kernels."""
    place = _place(tree, directory, name)
    old, old_name = _own_place(tree, fid), fid.name
    os.rename(old_name, name, src_dir_fd=old.fd, dst_dir_fd=place)
    _renamed(tree, fids, old, old_name, directory.node, name)


def unlink(tree: Tree, fid: Fid, name: bytes, flags: int) -> None:
    """Tunlinkat."""
    if flags & ~REMOVE_DIRECTORY:
        raise refused(errno.EINVAL)
    place = _place(tree, fid, name)
    if flags:
        os.rmdir(name, dir_fd=place)
    else:
        os.unlink(name, dir_fd=place)


def remove(tree: Tree, fid: Fid) -> None:
    """Tremove, of older kernels."""
    place = _own_place(tree, fid)
    if fid.node.is_directory:
        os.rmdir(fid.name, dir_fd=place.fd)
    else:
        os.unlink(fid.name, dir_fd=place.fd)
