# SPDX-License-Identifier: GPL-2.0-or-later
"""Open files: lopen, lcreate, read, write, fsync.

Data goes between the file and the caller's buffers (the Guest's memory) by preadv and pwritev.  Flags of the .L dialect
are Linux's numbers of x86, on every Host.  Read next: directories.py.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence

from lguest_py.share.attributes import chmod, chown, permissions
from lguest_py.share.descriptors import Budget
from lguest_py.share.fids import Fid, Fids
from lguest_py.share.tree import Node, Tree, check_name
from lguest_py.share.wire import refused

ACCESS = 3
EXCL, TRUNC, APPEND, DSYNC, DIRECTORY, SYNC = 0o200, 0o1000, 0o2000, 0o10000, 0o200000, 0o4000000
_KEPT = {APPEND: os.O_APPEND, DSYNC: os.O_DSYNC, SYNC: os.O_SYNC, TRUNC: os.O_TRUNC}
_MOST_PIECES = 1024  # of preadv and pwritev (IOV_MAX); what is more is a short read or write
_LAST = (1 << 63) - 1  # offsets


def writes(flags: int) -> bool:
    """Whether an lopen with ``flags`` can change the file."""
    return bool(flags & ACCESS or flags & TRUNC)


def host_flags(flags: int) -> int:
    """The flags for the Host.  O_DIRECT, O_NOATIME and those about terminals mean nothing here."""
    access = flags & ACCESS
    if access == ACCESS:
        raise refused(errno.EINVAL)
    return access | sum(host for flag, host in _KEPT.items() if flags & flag)


def lopen(tree: Tree, fids: Fids, budget: Budget, fid: Fid, flags: int) -> None:
    """Open what ``fid`` stands for."""
    if fid.is_open:
        raise refused(errno.EBADF)
    if flags & DIRECTORY and not fid.node.is_directory:
        raise refused(errno.ENOTDIR)
    if fid.node.is_directory:
        if writes(flags):
            raise refused(errno.EISDIR)
        tree.inside(fid.node)
    budget.take()
    try:
        fids.opened(fid, tree.open(fid.node, host_flags(flags)))
    except OSError:
        budget.give()
        raise


def lcreate(
    tree: Tree, fids: Fids, budget: Budget, fid: Fid, name: bytes, flags: int, mode: int, gid: int
) -> os.stat_result:
    """Create ``name`` in the directory ``fid``, which stands for the open file afterwards; returns its attributes."""
    if fid.is_open:
        raise refused(errno.EBADF)
    check_name(name)
    tree.inside(fid.node)
    directory = fid.node
    budget.take()
    file = -1
    try:
        budget.check()  # for the node
        file, created = _create(tree, directory, name, flags, permissions(stat.S_IFREG, mode))
        node = tree.of_file(file)
    except OSError:
        if file >= 0:
            os.close(file)
        budget.give()
        raise
    fids.move(fid, node, tree.hold(directory), name)
    fids.opened(fid, file)
    if created:
        finish(tree, node, fid.user, gid, mode)
    return node.status()


def _create(tree: Tree, directory: Node, name: bytes, flags: int, mode: int) -> tuple[int, bool]:
    """Open ``name``, made if it is not there; returns the descriptor, and whether it was made."""
    host = host_flags(flags)
    new = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(name, host | new, mode, dir_fd=directory.fd), True
    except FileExistsError:
        if flags & EXCL:
            raise
    node = tree.look(directory, name)
    try:
        if node.is_directory:
            raise refused(errno.EISDIR)
        return tree.open(node, host), False
    finally:
        tree.release(node)


def finish(tree: Tree, node: Node, user: int, gid: int, mode: int) -> None:
    """Give what was just made its owner, if the Launcher can, and its mode: the Guest applied its own umask."""
    if os.geteuid() == 0:
        chown(tree, node, user, gid)
    if stat.S_IMODE(node.status().st_mode) != permissions(node.kind, mode):
        chmod(tree, node, mode)


class WouldWait(Exception):
    """The data must come from the disk."""


def read(fid: Fid, offset: int, pieces: Sequence[memoryview], count: int, at_once: bool) -> int:
    """Fill ``pieces``, of ``count`` bytes, from ``offset`` on; returns how many bytes there were.

    ``at_once``: raise WouldWait if the Host's page cache does not have all of them.
    """
    if fid.file < 0:
        raise refused(errno.EBADF)
    if offset > _LAST:
        raise refused(errno.EINVAL)
    pieces = pieces[:_MOST_PIECES]
    if at_once and fid.nowait:
        try:
            found = os.preadv(fid.file, pieces, offset, os.RWF_NOWAIT)
        except BlockingIOError:
            raise WouldWait from None
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            fid.nowait = False
        else:
            # Older kernels take a short read for the end of the file, so it must be no other.
            if found < count and os.fstat(fid.file).st_size > offset + found and len(pieces) < _MOST_PIECES:
                raise WouldWait
            return found
    return os.preadv(fid.file, pieces, offset)


def write(fid: Fid, offset: int, pieces: Sequence[memoryview]) -> int:
    """Write ``pieces`` at ``offset``, or at the end of a file opened to append; returns how many bytes were."""
    if fid.file < 0:
        raise refused(errno.EBADF)
    if offset > _LAST:
        raise refused(errno.EFBIG)
    return os.pwritev(fid.file, pieces[:_MOST_PIECES], offset)


def fsync(fid: Fid, data_only: int) -> None:
    """Until this returns, what was written may not be on the disk."""
    if fid.file < 0:
        raise refused(errno.EBADF)
    if data_only:
        os.fdatasync(fid.file)
    else:
        os.fsync(fid.file)
