# SPDX-License-Identifier: GPL-2.0-or-later
"""A seccomp filter: which system calls a process may still make, by the C library libseccomp through ctypes.

libseccomp knows the numbers of each processor, and writes the filter's program.  Its own Python module comes with a
distribution's Python only, and the one in the package index has had no release since 2021.
Source: seccomp_rule_add(3).  Read next: syscalls.py, what the Launcher may call.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterable

LIBRARY = "libseccomp.so.2"
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
_MASKED_EQUAL = 7
_TSYNC, _OPTIMIZE, _TREE = 4, 8, 2
Check = tuple[int, int, int]  # an argument's number: what of it, masked, must be equal to what


class UnavailableError(Exception):
    """Why there can be no filter, in some words."""


class _Compare(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("how", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


class Filter:
    """A filter that refuses with EPERM what it does not allow.  Raises UnavailableError."""

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise UnavailableError("it is a part of Linux")
        try:
            library = ctypes.CDLL(LIBRARY)
        except OSError:
            raise UnavailableError(f"{LIBRARY} is not installed (Debian: libseccomp2)") from None
        library.seccomp_init.restype = ctypes.c_void_p
        self._library = library
        self._context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(ERRNO | errno.EPERM)))
        if not self._context:
            raise UnavailableError("libseccomp has no memory")
        library.seccomp_attr_set(self._context, _OPTIMIZE, ctypes.c_uint32(_TREE))

    def add(self, names: Iterable[str], *checks: Check, action: int = ALLOW) -> None:
        """Do ``action`` for these system calls, if all ``checks`` hold.  A name that is not known is left out."""
        given = (_Compare * len(checks))(*(_Compare(each[0], _MASKED_EQUAL, *each[1:]) for each in checks))
        for name in names:
            number = self._library.seccomp_syscall_resolve_name(name.encode())
            if number != -1:
                done = self._library.seccomp_rule_add_array(
                    self._context, ctypes.c_uint32(action), number, len(checks), given
                )
                if done:
                    raise UnavailableError(f"libseccomp refuses {name} ({os.strerror(-done)})")

    def load(self) -> None:
        """Put all threads of this process behind it, which needs no-new-privs.  Raises UnavailableError."""
        self._library.seccomp_attr_set(self._context, _TSYNC, ctypes.c_uint32(1))
        done = self._library.seccomp_load(self._context)
        if done:
            raise UnavailableError(f"this kernel or container refuses it ({os.strerror(-done)})")

    def close(self) -> None:
        """Release the library's memory."""
        if self._context:
            self._library.seccomp_release(self._context)
            self._context = ctypes.c_void_p()
