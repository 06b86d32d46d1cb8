# SPDX-License-Identifier: GPL-2.0-or-later
"""Attributes of files: what getattr, setattr and statfs say and do.

Owners: the Guest sees the real ones.  A chown that the Launcher may not do is answered as if it were done, because
cp -a and tar would fail otherwise (QEMU's security_model=none).  The Guest never gives a regular file of the Host the
bits setuid and setgid: the program would run as the Launcher's user, for any user of the Host.
Read next: names.py.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import time
from collections.abc import Iterable

from lguest_py.share.fids import Fid
from lguest_py.share.qids import qid_of
from lguest_py.share.tree import Node, Tree
from lguest_py.share.wire import refused

BASIC = 0x7FF  # the fields of getattr that a stat fills
MODE, UID, GID, SIZE, ATIME, MTIME, ATIME_SET, MTIME_SET = 1, 2, 4, 8, 0x10, 0x20, 0x80, 0x100
_UNCHANGED = 0xFFFFFFFF
_GETATTR = struct.Struct("<Q13sIIIQQQQQQQQQQQQQQQ")
_STATFS = struct.Struct("<IIQQQQQQI")
_V9FS_MAGIC = 0x01021997
_SECOND = 1_000_000_000


def permissions(kind: int, mode: int) -> int:
    """The permission bits that an object of the Host gets when the Guest wants ``mode``."""
    return mode & (0o7777 if kind == stat.S_IFDIR else 0o1777)


def getattr_(tree: Tree, node: Node, iounit: int) -> bytes:
    """The reply to Tgetattr.

    The block size is what programs such as cp use for their buffers, so it is as large as one message carries.
    """
    status = node.status()
    block = status.st_blksize or 4096
    if node.kind == stat.S_IFREG and 0 < block < iounit:
        block *= iounit // block
    times = []
    for when in (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns):
        times += [(when // _SECOND) & 0xFFFFFFFFFFFFFFFF, when % _SECOND]
    return _GETATTR.pack(
        BASIC, qid_of(tree, status), status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_rdev,
        status.st_size, block, status.st_blocks, *times, 0, 0, 0, 0,
    )  # fmt: skip


def chown(tree: Tree, node: Node, uid: int, gid: int) -> None:
    """Change the owner; what an unprivileged Launcher may not change stays."""
    path, proc = tree.by_descriptor(node)
    wanted = [-1 if each == _UNCHANGED else each for each in (uid, gid)]
    try:
        os.chown(path, *wanted, dir_fd=proc)
    except OSError as error:
        if os.geteuid() == 0 or error.errno not in (errno.EPERM, errno.EINVAL):
            raise


def chmod(tree: Tree, node: Node, mode: int) -> None:
    """Change the permissions; a symbolic link has none."""
    if node.kind == stat.S_IFLNK:
        raise refused(errno.EOPNOTSUPP)
    path, proc = tree.by_descriptor(node)
    os.chmod(path, permissions(node.kind, mode), dir_fd=proc)


def _truncate(tree: Tree, fids: Iterable[Fid], fid: Fid, size: int) -> None:
    if fid.node.kind == stat.S_IFDIR:
        raise refused(errno.EISDIR)
    if size >= 1 << 63:
        raise refused(errno.EFBIG)
    if fid.node.kind != stat.S_IFREG:
        raise refused(errno.EINVAL)
    if fid.file >= 0 and _resize(fid.file, size):
        return
    try:
        file = tree.open(fid.node, os.O_WRONLY)
    except PermissionError:
        # The mode forbids it now; a program that opened the file before that may go on.
        if any(other.node is fid.node and other.file >= 0 and _resize(other.file, size) for other in fids):
            return
        raise
    try:
        os.ftruncate(file, size)
    finally:
        os.close(file)


def _resize(file: int, size: int) -> bool:
    """Change the size of an open file; False: it is not open for writing."""
    try:
        os.ftruncate(file, size)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EBADF):
            return False
        raise
    return True


def setattr_(
    tree: Tree, fids: Iterable[Fid], fid: Fid, valid: int, mode: int, uid: int, gid: int, size: int, *times: int
) -> None:
    """Tsetattr.  The owner is first, whose change clears bits of the mode; times are last, since the size sets one."""
    node = fid.node
    if valid & (UID | GID):
        chown(tree, node, uid if valid & UID else _UNCHANGED, gid if valid & GID else _UNCHANGED)
    if valid & MODE:
        chmod(tree, node, mode)
    if valid & SIZE:
        _truncate(tree, fids, fid, size)
    if valid & (ATIME | MTIME):
        _set_times(tree, node, valid, times)


def _set_times(tree: Tree, node: Node, valid: int, times: tuple[int, ...]) -> None:
    path, proc = tree.by_descriptor(node)
    if valid & (ATIME | MTIME | ATIME_SET | MTIME_SET) == ATIME | MTIME:
        os.utime(path, dir_fd=proc)  # now: whoever may write may say so
        return
    if times[1] >= _SECOND or times[3] >= _SECOND:
        raise refused(errno.EINVAL)
    status = node.status()
    chosen = []
    for which, exact, kept, at in (
        (ATIME, ATIME_SET, status.st_atime_ns, 0),
        (MTIME, MTIME_SET, status.st_mtime_ns, 2),
    ):
        if not valid & which:
            chosen.append(kept)
        elif valid & exact:
            chosen.append(_seconds(times[at]) * _SECOND + times[at + 1])
        else:
            chosen.append(time.time_ns())
    os.utime(path, ns=(chosen[0], chosen[1]), dir_fd=proc)


def _seconds(value: int) -> int:
    """Seconds since 1970, before it too; what no file system knows is refused."""
    signed = value - (1 << 64) if value >> 63 else value
    if abs(signed) >= 1 << 40:
        raise refused(errno.EINVAL)
    return signed


def statfs(node: Node) -> bytes:
    """The reply to Tstatfs."""
    is_ = os.statvfs(node.fd)
    return _STATFS.pack(
        _V9FS_MAGIC, is_.f_bsize, is_.f_blocks * is_.f_frsize // is_.f_bsize, is_.f_bfree * is_.f_frsize // is_.f_bsize,
        is_.f_bavail * is_.f_frsize // is_.f_bsize, is_.f_files, is_.f_ffree, is_.f_fsid & 0xFFFFFFFFFFFFFFFF,
        is_.f_namemax,
    )  # fmt: skip
