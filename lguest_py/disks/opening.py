# SPDX-License-Identifier: GPL-2.0-or-later
"""Open what a user gave as a disk: look what it is, lock it, choose its back end.

Read next: backend.py, raw.py, qemu_nbd.py, overlay.py.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable

from lguest_py.disks import formats, locks
from lguest_py.disks.backend import SECTOR, Backend
from lguest_py.disks.overlay import Overlay
from lguest_py.disks.raw import Raw
from lguest_py.errors import LguestError, UsageError
from lguest_py.files.descriptors import check
from lguest_py.files.inputs import printable
from lguest_py.hardware import Disk

BLKSSZGET = 0x1268  # Linux: include/uapi/linux/fs.h; the size of a logical sector
_KINDS = (
    (stat.S_ISDIR, "is a directory"),
    (stat.S_ISFIFO, "is a FIFO"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a character device"),
)
_GIVE = "give an image file (truncate -s 1G FILE makes an empty one) or a block device"


def open_disk(spec: Disk, say: Callable[[str], None]) -> Backend:
    """The back end of a disk, locked.  Raises UsageError for what cannot be one, or LguestError."""
    name = printable(spec.path)
    image_format: str = spec.format
    reads_only = spec.readonly or spec.overlay
    descriptor = _open(spec.path, name, reads_only)
    try:
        if image_format == "auto":
            image_format = formats.choose(spec.path, name, descriptor)
        if image_format == "raw":
            base: Backend = _raw(descriptor, name, reads_only, say)
            descriptor = -1
        else:
            from lguest_py.disks.qemu_nbd import open_image

            base = open_image(spec.path, name, image_format, reads_only)
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    if not spec.overlay:
        return base
    try:
        return Overlay(base)
    except BaseException:
        base.close()
        raise


def _open(path: str, name: str, readonly: bool) -> int:
    """A descriptor of the file or block device ``path``."""
    if path == "-":
        raise UsageError(f"a disk cannot be the standard input: {_GIVE}")
    try:
        problem(os.stat(path), name)  # before it is opened: that of a device may do something
        flags = os.O_RDONLY if readonly else os.O_RDWR
        if not readonly and stat.S_ISBLK(os.stat(path).st_mode):
            flags |= os.O_EXCL  # refused while it is mounted
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise UsageError(f"disk {name} does not exist: {_GIVE}") from None
    except (OSError, ValueError) as error:
        raise _cannot_open(error, name, readonly) from None
    try:
        problem(os.fstat(descriptor), name)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _cannot_open(error: OSError | ValueError, name: str, readonly: bool) -> LguestError:
    if isinstance(error, ValueError):  # a NUL in the name
        return UsageError(f"disk {name} cannot be opened ({error}): {_GIVE}")
    check(error)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        if readonly:
            return UsageError(f"disk {name} may not be read ({error.strerror}): give yourself read permission")
        return UsageError(
            f"disk {name} may not be written ({error.strerror}): add readonly, or overlay for writes that are thrown "
            "away, or give yourself write permission"
        )
    if error.errno == errno.EBUSY:
        return UsageError(f"disk {name} is in use by this computer (mounted?): unmount it first, or add readonly")
    return UsageError(f"disk {name} cannot be opened ({error.strerror}): {_GIVE}")


def problem(facts: os.stat_result, name: str) -> None:
    """Raises UsageError for what is neither a file nor a block device."""
    for test, what in _KINDS:
        if test(facts.st_mode):
            raise UsageError(f"disk {name} {what}: {_GIVE}")


def _raw(descriptor: int, name: str, readonly: bool, say: Callable[[str], None]) -> Raw:
    """The raw disk that the descriptor is; owns it only when it returns."""
    try:
        if not locks.lock(descriptor, not readonly):
            raise LguestError(
                f"disk {name} is in use by another program or disk, and would be destroyed: end that first, or use a "
                "copy (several may use one file when all have readonly or overlay)"
            )
    except OSError as error:
        say(f"disk {name} cannot be locked ({error.strerror}): take care that nothing else writes it meanwhile")
    device = stat.S_ISBLK(os.fstat(descriptor).st_mode)
    os.set_blocking(descriptor, True)
    size = os.lseek(descriptor, 0, os.SEEK_END)
    if size < (SECTOR if device else 1):
        raise UsageError(f"disk {name} is empty: give it a size first (truncate -s 1G FILE)")
    if size % SECTOR:
        more = SECTOR - size % SECTOR
        say(f"disk {name} ends within a sector: the Guest sees {more} zero bytes after it")
    block = SECTOR
    if device:
        block = struct.unpack("i", fcntl.ioctl(descriptor, BLKSSZGET, bytes(4)))[0]
    return Raw(descriptor, size, readonly, device, block)
