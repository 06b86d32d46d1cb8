# SPDX-License-Identifier: GPL-2.0-or-later
"""RAM that another process can map by a file name, because QEMU takes no file descriptor for it.

Read next: tcg.py.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import sys

from lguest_py.errors import EngineError
from lguest_py.files.descriptors import check

SHARED = "/dev/shm"
OPEN_FILES = "/proc/self/fd"


class Ram:
    """``map`` is the memory, ``name`` the file that the other process opens; it inherits the descriptors ``passed``."""

    def __init__(self, size: int, *, by_descriptor: bool = False) -> None:
        """Raises OSError for lack of memory, EngineError where no file can have a name.

        ``by_descriptor``: the other process names the descriptor itself.
        """
        self._path = ""  # a file to delete
        self._fd, self.name = self._memfd(size, by_descriptor) or self._in_a_directory(size)
        self.passed = () if self._path else (self._fd,)
        try:
            self.map = mmap.mmap(self._fd, size)
        except OSError:
            self.close()
            raise

    @staticmethod
    def _memfd(size: int, by_descriptor: bool) -> tuple[int, str] | None:
        """(descriptor, name) of a memfd, which is freed with its last user and has a name only in /proc; None without
        it.
        """
        if sys.platform != "linux":
            return None
        fd = os.memfd_create("lguest-py")
        try:
            if by_descriptor or os.path.exists(OPEN_FILES):  # what is in it, a process that changed its user cannot see
                os.ftruncate(fd, size)
                return fd, f"{OPEN_FILES}/{fd}"
        except OSError:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def _in_a_directory(self, size: int) -> tuple[int, str]:
        """(descriptor, name) of a new file, for a system without /proc.  Raises EngineError."""
        directories = list(dict.fromkeys(filter(None, (SHARED, os.environ.get("TMPDIR"), "/tmp", "/var/tmp"))))
        for directory in directories:
            path = os.path.join(os.path.abspath(directory), f"lguest-py.{os.getpid()}.{os.urandom(6).hex()}")
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except OSError as error:
                check(error)
                continue
            self._path = path
            try:
                os.posix_fallocate(fd, 0, size)  # reserve the space, because a store without it raises SIGBUS
                return fd, path
            except OSError:
                os.close(fd)
                self.opened()
        raise EngineError(
            f"QEMU must open the VM's memory ({size >> 20} MiB) by a name: there is no /proc, and no room in "
            f"{', '.join(directories)}: mount -t proc proc /proc"
        )

    def touched(self) -> tuple[tuple[int, int], ...]:
        """The ranges without holes; all of it where the file system does not tell."""
        size, found, end = len(self.map), [], 0
        try:
            while end < size:
                start = os.lseek(self._fd, end, os.SEEK_DATA)
                end = os.lseek(self._fd, start, os.SEEK_HOLE)
                found.append((start, min(end, size)))
        except OSError as error:
            if error.errno != errno.ENXIO:  # that one: no data from there on
                return ((0, size),)
        return tuple(found)

    def opened(self) -> None:
        """Delete the name: the other process has opened the file."""
        if self._path:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            self._path = ""

    def close(self) -> None:
        """Release everything but ``map``."""
        self.opened()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
