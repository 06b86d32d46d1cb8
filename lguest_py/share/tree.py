# SPDX-License-Identifier: GPL-2.0-or-later
"""The shared folder, and what keeps the Guest inside it.

A node is an object of the folder: a descriptor opened with O_PATH, which nothing can exchange for another object.
Names are followed one at a time, from a node, without following symbolic links; ``..`` is no name.  A node is opened
for reading or writing only through its own descriptor, after a look at its kind: no FIFO, socket or device is opened.
A directory that was moved out of the folder while the Guest had it gives nothing any more.

/proc/self/fd is how Linux opens what a descriptor refers to.  It is kept open, because --chroot hides it later.
Read next: fids.py, then the operations: openfiles.py, names.py, attributes.py, directories.py, xattrs.py.
"""

from __future__ import annotations

import errno
import os
import stat

from lguest_py.share.descriptors import Budget
from lguest_py.share.wire import refused

LONGEST_NAME = 255
# File systems whose answers come from this machine.  On others (network, FUSE) a call can take very long.
LOCAL = frozenset(
    b"ext2 ext3 ext4 xfs btrfs f2fs bcachefs zfs tmpfs ramfs overlay squashfs erofs iso9660 udf vfat msdos exfat "
    b"ntfs3 hfsplus jfs nilfs2 reiserfs minix ubifs rootfs devtmpfs".split()
)
CLOSED = frozenset({b"proc"})  # has the Launcher's own memory in it
_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 4096


def check_name(name: bytes) -> None:
    """Raise what POSIX has for a name that cannot be made or removed."""
    if len(name) > LONGEST_NAME:
        raise refused(errno.ENAMETOOLONG)
    if not name:
        raise refused(errno.ENOENT)
    if b"/" in name or b"\0" in name or name in (b".", b".."):
        raise refused(errno.EINVAL)


class Node:
    """An object of the folder.  Fids share it; the last that lets go closes the descriptor."""

    __slots__ = ("device", "fd", "inode", "kind", "local", "refs")

    def __init__(self, fd: int, status: os.stat_result, local: bool) -> None:
        self.fd = fd
        self.device, self.inode = status.st_dev, status.st_ino
        self.kind = stat.S_IFMT(status.st_mode)  # of an inode, for ever
        self.local = local
        self.refs = 1

    @property
    def is_directory(self) -> bool:
        """Whether names can be followed from here."""
        return self.kind == stat.S_IFDIR

    def status(self) -> os.stat_result:
        """Its attributes, now."""
        return os.stat(self.fd)


class Tree:
    """The folder that is open as ``folder``; ``proc`` is /proc/self.  It owns both."""

    def __init__(self, folder: int, proc: int, budget: Budget) -> None:
        self._budget = budget
        self._proc = proc
        self._local: dict[int, bool] = {}  # by device
        self._closed: set[int] = set()  # devices
        self._nodes: dict[tuple[int, int], Node] = {}
        self.root = self._node(folder)
        self._prefix = self._whereabouts(self.root.fd)

    @classmethod
    def open_folder(cls, path: str, budget: Budget) -> Tree:
        """That of ``path``; raises OSError."""
        proc = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return cls(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), proc, budget)
        except OSError:
            os.close(proc)
            raise

    def another(self) -> Tree:
        """The same folder with no nodes; this one may be in use meanwhile."""
        return Tree(os.dup(self.root.fd), os.dup(self._proc), self._budget)

    def close(self) -> None:
        """Let go of the root, and of /proc."""
        if self._proc >= 0:
            self.release(self.root)
            os.close(self._proc)
            self._proc = -1

    # Nodes.

    def _node(self, fd: int) -> Node:
        """The node of ``fd``, which is closed when there is one already."""
        try:
            status = os.stat(fd)
            local = self._local.get(status.st_dev)
            if local is None:
                local = self._local[status.st_dev] = self._is_local(fd, status.st_dev)
            # Inode numbers of network and FUSE file systems may not be unique.
            if local and (known := self._nodes.get((status.st_dev, status.st_ino))):
                os.close(fd)
                known.refs += 1
                return known
            self._budget.take()
        except OSError:
            os.close(fd)
            raise
        node = Node(fd, status, local)
        if local:
            self._nodes[status.st_dev, status.st_ino] = node
        return node

    def check_room(self) -> None:
        """Raise ENFILE unless there may be one node more."""
        self._budget.check()

    def hold(self, node: Node) -> Node:
        """One more reference."""
        node.refs += 1
        return node

    def release(self, node: Node | None) -> None:
        """One reference less."""
        if not node:
            return
        node.refs -= 1
        if not node.refs:
            if node.local:
                del self._nodes[node.device, node.inode]
            os.close(node.fd)
            self._budget.give()

    def child(self, directory: Node, name: bytes) -> Node:
        """What ``name`` is in ``directory``; the caller releases it."""
        check_name(name)
        self.inside(directory)
        return self.look(directory, name)

    def look(self, directory: Node, name: bytes) -> Node:
        """As child, after the checks."""
        return self._node(os.open(name, _PATH, dir_fd=directory.fd))

    def of_file(self, file: int) -> Node:
        """The node of what is open as ``file``."""
        return self._node(os.open(f"fd/{file}", os.O_PATH | os.O_CLOEXEC, dir_fd=self._proc))

    def is_still(self, directory: Node, name: bytes, node: Node) -> bool:
        """Whether ``name`` in ``directory`` is ``node``."""
        try:
            status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == (node.device, node.inode)

    # Opening what a node refers to.

    def open(self, node: Node, flags: int) -> int:
        """A descriptor of ``node`` for reading or writing, of which only regular files and directories have one."""
        if node.kind not in (stat.S_IFREG, stat.S_IFDIR):
            raise refused(errno.ELOOP if node.kind == stat.S_IFLNK else errno.ENXIO)
        if node.device in self._closed:
            raise refused(errno.EACCES)
        return os.open(f"fd/{node.fd}", flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=self._proc)

    def by_descriptor(self, node: Node) -> tuple[str, int]:
        """A path and its dir_fd that lead to ``node`` itself, symbolic link or not, for calls that need a path."""
        return f"fd/{node.fd}", self._proc

    # Whether a directory is still in the folder.

    def inside(self, directory: Node) -> None:
        """Raise ENOTDIR or ESTALE unless ``directory`` is one, in the folder."""
        if directory.kind != stat.S_IFDIR:
            raise refused(errno.ENOTDIR)
        if directory is self.root:
            return
        try:
            where = self._whereabouts(directory.fd)
            if where.startswith(self._prefix):
                return
            self._prefix = self._whereabouts(self.root.fd)  # the folder itself may have moved
            if where.startswith(self._prefix):
                return
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            if self._climbs_to_root(directory):
                return
        raise refused(errno.ESTALE)

    def _whereabouts(self, fd: int) -> bytes:
        """The path of a directory, with a slash at its end."""
        return os.readlink(b"fd/%d" % fd, dir_fd=self._proc).rstrip(b"/") + b"/"

    def _climbs_to_root(self, directory: Node) -> bool:
        """For paths that are longer than one system call can say."""
        fd, root = os.dup(directory.fd), (self.root.device, self.root.inode)
        try:
            before = None
            for _ in range(_DEEPEST):
                status = os.stat(fd)
                now = status.st_dev, status.st_ino
                if now in (root, before):
                    return now == root
                before = now
                above = os.open("..", _PATH | os.O_DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = above
        finally:
            os.close(fd)
        return False

    # What kind of file system.

    def _is_local(self, fd: int, device: int) -> bool:
        """Whether calls on ``fd`` are answered by this machine; where that cannot be learnt, no."""
        try:
            mount = _field(self._read(f"fdinfo/{fd}"), b"mnt_id:")
            for line in self._read("mountinfo").splitlines():
                words = line.split()
                if words and words[0] == mount:
                    kind = words[words.index(b"-") + 1]
                    if kind in CLOSED:
                        self._closed.add(device)
                    return kind in LOCAL
        except (OSError, ValueError, IndexError):
            pass
        return False

    def _read(self, name: str) -> bytes:
        with open(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc), "rb") as file:
            return file.read()


def _field(text: bytes, name: bytes) -> bytes:
    return next((line.split()[1] for line in text.splitlines() if line.startswith(name)), b"")
