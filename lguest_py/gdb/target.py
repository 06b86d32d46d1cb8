# SPDX-License-Identifier: GPL-2.0-or-later
"""What a stub is about: one processor with its memory.

Read next: stub.py; guest.py and host.py, the two that there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

SIGINT, SIGTRAP = 2, 5
SOFTWARE, HARDWARE, WRITE, READ, ACCESS = range(5)  # kinds of breakpoints and watchpoints, as in Z packets


class NotPossibleError(Exception):
    """It cannot be done; the text says why."""


@dataclass(frozen=True)
class Stop:
    """Why a processor stopped: a signal of gdb's, and what more gdb can be told ("swbreak:;", "watch:c0100000;")."""

    signal: int = SIGTRAP
    more: str = ""


class Target(Protocol):
    """A processor.  What looks at it or changes it is called only while it stands still."""

    def registers(self) -> list[bytes]:
        """The bytes of lguest_py.gdb.registers.ALL."""

    def set_register(self, name: str, value: int) -> None:
        """Raises NotPossibleError."""

    def read(self, address: int, count: int) -> bytes:
        """Memory, as far as it is mapped."""

    def write(self, address: int, data: bytes) -> None:
        """Memory.  Raises NotPossibleError, and then nothing was written."""

    def insert(self, kind: int, address: int, size: int) -> None:
        """A breakpoint or watchpoint.  Raises NotPossibleError."""

    def remove(self, kind: int, address: int, size: int) -> None:
        """One that was inserted."""

    def resume(self, step: bool) -> None:
        """Go on, for one instruction or until something happens."""

    def interrupt(self) -> None:
        """Ask it to stop."""

    def stopped(self) -> Stop | None:
        """Why it stopped, once; None: it has not."""

    def leave(self) -> None:
        """gdb is gone: as it was before, and on."""

    def monitor(self, command: str) -> str:
        """What gdb's ``monitor`` command prints."""
