# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring of the trace in the machine's memory (switcher/layouts/machine.h), as the Launcher reads it.

The Host kernel writes records and moves the head, the Launcher moves the tail.  The Guest can reach neither.
Read before: host_kernel/core/trace.c.  Read next: trace_blocks.py, the form in which the records go on.
"""

from __future__ import annotations

from lguest_py.errors import LguestError
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View

RECORD = L.TRACE_RECORD.size
WRAP = 0xFFFFFFFF
assert L.TRACE_STACK.size == RECORD
assert L.TRACE_ADDRESS + L.TRACE_RECORDS * RECORD <= 0xA0000
assert L.PCI_ADDRESS + L.PCI_SLOTS * L.PCI_FUNCTION.size <= L.TRACE_ADDRESS


class TraceRing:
    """It, in ``memory``."""

    def __init__(self, memory: memoryview) -> None:
        self._mailbox = View(memory, L.MAILBOX_ADDRESS, L.MAILBOX)
        self._records = memory[L.TRACE_ADDRESS : L.TRACE_ADDRESS + L.TRACE_RECORDS * RECORD]

    def want(self, on: bool, rate: int = 0) -> None:
        """What the Host kernel finds when it starts, or goes on after it stood still.

        ``rate``: samples a second.
        """
        if on and not self._mailbox["trace"]:
            self._mailbox["trace_tail"] = self._mailbox["trace_head"]
        self._mailbox["trace_rate"] = rate
        self._mailbox["trace"] = int(on)

    @property
    def tsc_khz(self) -> int:
        """The rate of its times; 0: not known yet."""
        return self._mailbox["tsc_khz"]

    @property
    def guest_tsc(self) -> int:
        """When the Guest was entered for the first time."""
        return self._mailbox["guest_tsc"]

    def pending(self) -> int:
        """How many records wait.  Raises LguestError for what cannot be."""
        count = (self._mailbox["trace_head"] - self._mailbox["trace_tail"]) & WRAP
        if count > L.TRACE_RECORDS:
            raise LguestError(f"the Host kernel's trace holds {count} records of {L.TRACE_RECORDS}: this is a bug")
        return count

    def take(self, most: int) -> bytes:
        """The oldest records, at most so many: their bytes."""
        tail = self._mailbox["trace_tail"]
        count = min(self.pending(), most)
        first = tail % L.TRACE_RECORDS * RECORD
        taken = bytes(self._records[first : first + count * RECORD])
        taken += bytes(self._records[: count * RECORD - len(taken)])
        self._mailbox["trace_tail"] = (tail + count) & WRAP
        return taken
