# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb's hardware breakpoints and watchpoints in a processor's four debug registers.

They are taken from the last one down: a kernel that uses some itself begins with the first.
Source: Intel SDM vol. 3, 18.2.4.  Read next: guest.py.
"""

from __future__ import annotations

from lguest_py.gdb.target import ACCESS, HARDWARE, SOFTWARE, WRITE, NotPossibleError

COUNT = 4
_TYPES = {SOFTWARE: 0, HARDWARE: 0, WRITE: 1, ACCESS: 3}
_LENGTHS = {1: 0, 2: 1, 4: 3}
_NAMES = {SOFTWARE: "swbreak", HARDWARE: "hwbreak", WRITE: "watch", ACCESS: "awatch"}
_LONGEST = 16  # bytes watched by all four

_Used = tuple[int, int, int, int, int]  # kind, address and size as gdb gave them; address and size of this register


def _parts(address: int, size: int) -> list[tuple[int, int]]:
    """A range as aligned pieces of 1, 2 and 4 bytes."""
    parts = []
    while size:
        here = next(each for each in (4, 2, 1) if address % each == 0 and each <= size)
        parts.append((address, here))
        address, size = address + here, size - here
    return parts


class Registers:
    """What is in them."""

    def __init__(self) -> None:
        self._used: list[_Used | None] = [None] * COUNT

    def insert(self, kind: int, address: int, size: int) -> None:
        """Raises NotPossibleError where there are not enough."""
        if kind not in _TYPES or not 0 < size <= _LONGEST:
            raise NotPossibleError("a debug register cannot do that")
        parts = [(address, 1)] if kind in (SOFTWARE, HARDWARE) else _parts(address, size)
        free = [number for number in reversed(range(COUNT)) if self._used[number] is None]
        if len(parts) > len(free):
            raise NotPossibleError("the processor has four debug registers")
        for number, part in zip(free, parts, strict=False):
            self._used[number] = kind, address, size, *part

    def remove(self, kind: int, address: int, size: int) -> None:
        """All of one that was inserted."""
        for number, used in enumerate(self._used):
            if used and used[:3] == (kind, address, size):
                self._used[number] = None

    def addresses(self) -> tuple[int, ...]:
        """DR0 to DR3."""
        return tuple(used[3] if used else 0 for used in self._used)

    def control(self) -> int:
        """DR7."""
        value = 0
        for number, used in enumerate(self._used):
            if used:
                kind = _TYPES[used[0]] | _LENGTHS[used[4]] << 2
                value |= 2 << 2 * number | kind << 16 + 4 * number
        return value

    def why(self, hits: int) -> str:
        """For a stop reply: which of them it was."""
        for number, used in enumerate(self._used):
            if used and hits >> number & 1:
                where = f"{used[1]:x}" if used[0] in (WRITE, ACCESS) else ""
                return f"{_NAMES[used[0]]}:{where};"
        return ""
