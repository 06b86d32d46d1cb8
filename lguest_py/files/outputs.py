# SPDX-License-Identifier: GPL-2.0-or-later
"""Write a file that a user named: a regular file whole or not at all, anything else in place.

A regular file is written to a temporary one beside it, which then replaces it with the same mode and owner.  A
symbolic link stays, and its target is written.  A device, a FIFO and a descriptor ("-", /dev/stdout, /dev/fd/N)
are written to as they stand.  Read next: lguest_py/kernels/mkinitrd.py.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
from collections.abc import Iterator
from typing import BinaryIO

from lguest_py.errors import LguestError
from lguest_py.files.descriptors import check

STDOUT = "-"
_DESCRIPTOR = re.compile(r"/(?:dev|proc/(?:self|thread-self|\d+))/fd/(\d+)")
_STANDARD = {STDOUT: 1, "/dev/stdout": 1, "/dev/stderr": 2}
_MOST_LINKS = 40  # symbolic links that Linux follows


def descriptor(path: str) -> int | None:
    """The open descriptor of this process that ``path`` names, itself or by symbolic links; None: it names a file."""
    place = path
    for _ in range(_MOST_LINKS):
        if place in _STANDARD:
            return _STANDARD[place]
        if match := _DESCRIPTOR.fullmatch(place):
            of = place.split("/")[2]
            return int(match[1]) if not of.isdecimal() or int(of) == os.getpid() else None
        try:
            place = os.path.join(os.path.dirname(place), os.readlink(place))
        except (OSError, ValueError):
            return None
    return None


def _regular(path: str) -> bool:
    """Whether ``path`` is a regular file, or nothing yet.  Raises OSError for a directory."""
    if path.endswith("/") or not path:
        raise OSError(errno.EISDIR if path else errno.ENOENT, os.strerror(errno.EISDIR if path else errno.ENOENT))
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:  # or a link that leads to nothing yet
        return True
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return stat.S_ISREG(mode)


@contextlib.contextmanager
def _through(fd: int) -> Iterator[BinaryIO]:
    with os.fdopen(fd, "wb") as file:
        yield file


def _fresh(directory: str) -> tuple[int, str]:
    """A new file there, with the mode that the umask and the directory give; its descriptor and its name."""
    while True:
        name = os.path.join(directory, f".lguest-py-{os.urandom(6).hex()}")
        with contextlib.suppress(FileExistsError):
            return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), name


def _as_before(fd: int, path: str) -> None:
    """Give the new file the old one's owner, as far as this user may, and its mode.  Raises OSError."""
    try:
        old = os.stat(path)
    except FileNotFoundError:
        return
    if not os.access(path, os.W_OK):  # replacing it would need no right to write it
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    new, mode = os.fstat(fd), stat.S_IMODE(old.st_mode)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(fd, old.st_uid, old.st_gid)
        except PermissionError:
            mode &= 0o777  # no set-user-ID for another owner
    os.fchmod(fd, mode)


@contextlib.contextmanager
def _replacing(path: str) -> Iterator[BinaryIO]:
    place = os.path.realpath(path)
    fd, temporary = _fresh(os.path.dirname(place))
    try:
        with os.fdopen(fd, "wb") as file:
            _as_before(fd, place)
            yield file
        os.replace(temporary, place)
        temporary = ""
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _opened(path: str) -> contextlib.AbstractContextManager[BinaryIO]:
    number = descriptor(path)
    if number is not None:
        if sys.stdout:
            sys.stdout.flush()  # what was printed before comes before
        return _through(os.dup(number))
    if _regular(path):
        return _replacing(path)
    return _through(os.open(path, os.O_WRONLY | os.O_CLOEXEC))


@contextlib.contextmanager
def writing(path: str, advice: str) -> Iterator[BinaryIO]:
    """A file to write; it replaces ``path`` at the end of the context, unless an exception ended it.

    ``advice`` says what to do when it cannot be written, which raises LguestError; BrokenPipeError where the reader
    of a pipe is gone.
    """
    try:
        with _opened(path) as file:
            yield file
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        check(error)
        name = path if path.isprintable() else repr(path)
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise LguestError(f"{name} cannot be written ({why}): {advice}") from None
