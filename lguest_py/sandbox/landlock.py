# SPDX-License-Identifier: GPL-2.0-or-later
"""Landlock: which files a process may still open, by three system calls through ctypes.

A ruleset denies what it handles, except below the places of its rules.  A descriptor that is open stays as it is.
Landlock holds for the thread that asks and for what it starts later, so it comes before any other thread.
The bindings in the package index are development versions, so this is one of our own.
Source: Linux, Documentation/userspace-api/landlock.rst.  Read next: walls.py, child.py.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE = 1 << 4, 1 << 5
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
READ = READ_FILE | READ_DIR
RUN = READ | EXECUTE
_MAKE = MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_SYM
CHANGE = WRITE_FILE | TRUNCATE | REMOVE_DIR | REMOVE_FILE | REFER | _MAKE
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV  # a rule for one file may have no others
_SINCE = ((1, (1 << 13) - 1), (2, REFER), (3, TRUNCATE), (5, IOCTL_DEV))  # the ABI that has them
_NETWORK, _SCOPES = 3, 3  # TCP bind and connect, ABI 4; abstract sockets and signals to others, ABI 6
_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every processor
_VERSION, _PATH_BENEATH = 1, 1

Rule = tuple[str | int, int]  # a path or a descriptor, and the rights below it


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library


def _call(number: int, *arguments: int | bytes | None) -> int:
    """The system call.  Raises OSError."""
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result: int = _library().syscall(ctypes.c_long(number), *given)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


@cache
def version() -> tuple[int, str]:
    """The kernel's Landlock ABI; 0, and why there is none."""
    if sys.platform != "linux":
        return 0, "it is a part of Linux"
    try:
        return _call(_CREATE, None, 0, _VERSION), ""
    except OSError as error:
        why = {errno.ENOSYS: "this kernel has none", errno.EOPNOTSUPP: "it is off in this kernel (lsm=)"}
        return 0, why.get(error.errno or 0, error.strerror or "refused")


def refers() -> bool:
    """Whether a ruleset can allow a name to move to another folder (Linux 5.19); else none can be moved."""
    return version()[0] >= 2


def ruleset(rules: Iterable[Rule], network: bool = False) -> int:
    """A descriptor of a ruleset that allows these only, and TCP if ``network``.  Places may not be there.

    Raises OSError.
    """
    abi, _ = version()
    handled = sum(rights for since, rights in _SINCE if abi >= since)
    wanted = struct.pack("<QQQ", handled, 0 if network else _NETWORK, _SCOPES)
    found = _call(_CREATE, wanted, 24 if abi >= 6 else 16 if abi >= 4 else 8, 0)
    try:
        for place, rights in rules:
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                _allow(found, place, rights & handled)
    except BaseException:
        os.close(found)
        raise
    return found


def _allow(found: int, place: str | int, rights: int) -> None:
    opened = os.open(place, os.O_PATH | os.O_CLOEXEC) if isinstance(place, str) else place
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            rights &= _OF_FILES
        if rights:
            _call(_ADD, found, _PATH_BENEATH, struct.pack("<Qi", rights, opened), 0)
    finally:
        if isinstance(place, str):
            os.close(opened)


def restrict(found: int) -> None:
    """Put this thread behind the ruleset, which needs no-new-privs.  Raises OSError."""
    _call(_RESTRICT, found, 0)
