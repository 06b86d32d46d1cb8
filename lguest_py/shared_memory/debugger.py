# SPDX-License-Identifier: GPL-2.0-or-later
"""The Launcher's side of struct debugger (switcher/layouts/machine.h): what gdb wants of the Guest.

Read next: lguest_py/gdb/guest.py, which uses it; host_kernel/debugger/debugger.c, the other side.
"""

from __future__ import annotations

from collections.abc import Sequence

from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View, words
from lguest_py.shared_memory.mailbox import barrier

CONTROLS = "cr0", "cr2", "cr3", "cr4"


def _word(field: str) -> int:
    return L.DEBUGGER.fields[field][0] // 4


_STOPS, _SEEN, _WANTED = _word("stops"), _word("seen"), _word("wanted")
_DONE, _REQUEST = _word("done"), _word("request")


class Debugger:
    """It, in the machine's memory."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._view = View(memory, L.DEBUGGER_ADDRESS, L.DEBUGGER)
        self._words = words(memory[L.DEBUGGER_ADDRESS : L.DEBUGGER_ADDRESS + L.DEBUGGER.size // 4 * 4], "I")

    def pending(self) -> bool:
        """Whether the Guest stopped by itself, and ``seen`` was not called since."""
        return self._words[_STOPS] != self._words[_SEEN]

    def why(self) -> tuple[int, int]:
        """Why it stopped last: DEBUGGER_…, and which debug registers, as bits."""
        return self._view["cause"], self._view["hits"]

    def seen(self) -> None:
        """The last stop is known: the machine goes on when nothing else holds it."""
        self._words[_SEEN] = self._words[_STOPS]
        barrier()

    def want(self, what: int, registers: Sequence[int] = (0, 0, 0, 0), control: int = 0) -> None:
        """DEBUGGER_…, and debug registers, from the next time on that the machine goes on."""
        for number, value in enumerate(registers):
            self._view["registers", number] = value
        self._view["control"] = control
        self._words[_WANTED] = what
        barrier()

    def write(self, physical: int, data: bytes) -> int:
        """Ask for a write to the Guest's memory, in one page; the number of the request, for ``done``."""
        assert len(data) <= L.DEBUGGER_BYTES
        self._view["address"], self._view["count"] = physical, len(data)
        self._view.bytes("data")[: len(data)] = data
        barrier()
        number = self._words[_REQUEST] = (self._words[_REQUEST] + 1) & 0xFFFFFFFF
        barrier()
        return number

    def withdraw(self) -> None:
        """The last request is not wanted any more."""
        self._words[_REQUEST] = self._words[_DONE]
        barrier()

    def done(self, number: int) -> bool:
        """Whether the request was done."""
        return self._words[_DONE] == number

    def controls(self) -> dict[str, int]:
        """The Guest's control registers, when it stopped or stood still."""
        return {name: self._view[name] for name in CONTROLS}

    def has_hardware(self) -> bool:
        """Whether the processor's breakpoints go off."""
        return self._view["hardware"] == 1

    def fpu(self) -> bytes:
        """What fxsave wrote of a machine that stands still."""
        at = self._view["processor"] + L.SAVED_PROCESSOR.fields["fpu"][0]
        return bytes(self._memory[at : at + 512])

    def forget(self) -> None:
        """There is no debugger, whatever the memory of a saved machine says."""
        self.want(0)
        self.seen()
        self.withdraw()
