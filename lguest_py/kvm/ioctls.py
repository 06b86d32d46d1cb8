# SPDX-License-Identifier: GPL-2.0-or-later
"""The numbers in <linux/kvm.h> by name: ioctls, capabilities, exit reasons.

The tables are generated when the extension is built (_build.py), from the headers of the build system.
Read next: file.py, which uses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from lguest_py.kvm._kvm import ffi, lib


@dataclass(frozen=True)
class Ioctl:
    """One ioctl. ``number`` encodes its direction and its argument's size (Linux's asm-generic/ioctl.h)."""

    name: str
    number: int

    @property
    def size(self) -> int:
        """Bytes of its argument without a trailing array; 0 for an integer or no argument."""
        return self.number >> 16 & 0x3FFF

    @property
    def reads(self) -> bool:
        """Whether KVM is declared to write the argument."""
        return bool(self.number >> 31 & 1)

    @property
    def writes(self) -> bool:
        """Whether KVM is declared to read the argument."""
        return bool(self.number >> 30 & 1)


def _table(constants: object) -> dict[str, int]:
    return {ffi.string(entry.name).decode(): entry.number for entry in constants}  # type: ignore[attr-defined]


@cache
def ioctls() -> dict[str, Ioctl]:
    """All ioctls whose argument has a layout on this processor, by name."""
    return {name: Ioctl(name, number) for name, number in _table(lib.kvm_ioctls).items()}


@cache
def capabilities() -> dict[str, int]:
    """All KVM_CAP_ numbers by name."""
    return _table(lib.kvm_capabilities)


@cache
def exit_names() -> dict[int, str]:
    """The KVM_EXIT_ names by number."""
    return {number: name for name, number in _table(lib.kvm_exits).items()}


def find(name: str) -> Ioctl:
    """The ioctl of this name. Raises KeyError for a name that the headers do not have."""
    try:
        return ioctls()[name]
    except KeyError:
        raise KeyError(f"{name} is not an ioctl of the <linux/kvm.h> that this was built with") from None


def capability(name: str) -> int:
    """The number of a KVM_CAP_ name. Raises KeyError as ``find`` does."""
    try:
        return capabilities()[name]
    except KeyError:
        raise KeyError(f"{name} is not a capability of the <linux/kvm.h> that this was built with") from None
