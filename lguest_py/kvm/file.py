# SPDX-License-Identifier: GPL-2.0-or-later
"""File: the base class of Kvm, Vm and Vcpu, each a file descriptor that accepts ioctls.

Read next: system.py.
"""

from __future__ import annotations

import errno
import os
import warnings
from types import TracebackType
from typing import Any, Self, TypeAlias

from lguest_py.kvm import ioctls
from lguest_py.kvm._kvm import ffi, lib
from lguest_py.kvm.errors import KvmError

Buffer: TypeAlias = bytearray | memoryview


class File:
    """Owns ``fd``. Closed by ``close`` or at the end of a ``with`` block."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """The file descriptor; -1 once closed."""
        return self._fd

    def ioctl(self, name: str, argument: int | Buffer | None = None) -> int:
        """Any ioctl by its name in <linux/kvm.h>, with a number or a writable buffer that holds its struct.

        Returns the ioctl's result, at least 0. Raises KvmError; KeyError for an unknown name;
        ValueError for a buffer that is smaller than the struct; TypeError for one that is missing.
        """
        known = ioctls.find(name)
        if argument is None or isinstance(argument, int):
            if known.size and argument is None:
                raise TypeError(f"{name} takes a struct of {known.size} bytes")
            return self._value(name, argument or 0)
        with ffi.from_buffer("char[]", argument, require_writable=True) as pointer:
            if len(pointer) < known.size:
                raise ValueError(f"{name} takes a struct of {known.size} bytes, not {len(pointer)}")
            return self._pointer(name, pointer, bytes=len(pointer))

    def _value(self, name: str, value: int = 0, **shown: object) -> int:
        """An ioctl with a number; ``shown`` are its arguments for an error message."""
        number = ioctls.find(name).number
        while True:
            result = lib.kvm_ioctl_value(self._fd, number, value)
            if result != -errno.EINTR:
                return self._checked(name, result, shown or ({"value": value} if value else {}))

    def _pointer(self, name: str, pointer: Any, **shown: object) -> int:
        """An ioctl with a pointer to its struct."""
        number = ioctls.find(name).number
        while True:
            result = lib.kvm_ioctl_pointer(self._fd, number, pointer)
            if result != -errno.EINTR:
                return self._checked(name, result, shown)

    def _checked(self, name: str, result: int, shown: dict[str, object]) -> int:
        if result < 0:
            text = ", ".join(
                f"{key}={value:#x}" if isinstance(value, int) and value > 9 else f"{key}={value}"
                for key, value in shown.items()
            )
            raise KvmError(name, text, -result)
        return result

    def close(self) -> None:
        """Close the file descriptor. A second call has no effect."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=2, source=self)
            self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {f'fd {self._fd}' if self._fd >= 0 else 'closed'}>"
