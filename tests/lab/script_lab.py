# SPDX-License-Identifier: GPL-2.0-or-later
"""A Guest that does what a list says: stores, reads, hypercalls, at once or by the ring.

Where the list says so, the test looks into the Host's memory, or changes it, while the Guest waits.

For tests of page tables and counters.  Read before: hostile_lab.py, shadow_model.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from unittest.mock import patch

from hostile_code import DATA, EAX, ESI, RAM_END, le32, mov
from hostile_lab import LONG, Run, image_of, run_image
from shadow_model import Modelled

from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.mailbox import Mailbox

LIST, LIST_END = 0x500000, 0x700000
DONE = 0x3F0000  # a word that tells that the list was done to its end
STORE, CHECK, TOUCH, FINISH, WRONG = 0x100, 0x101, 0x102, 0x103, 99
Call = tuple[int, ...]  # a hypercall's number and arguments
Look = Callable[[memoryview], None]
HCALLS, STATUS = (DATA + L.LGUEST_DATA.fields[name][0] for name in ("hcalls", "hcall_status"))
ASK: Call = (L.LHCALL_NOTIFY, RAM_END)  # it holds the Guest until the Launcher has seen it


def _interpreter() -> bytes:
    """Four words at a time: what to do, and up to three arguments, in eax, ebx, ecx and edx."""
    load = b"\x8b\x06\x8b\x5e\x04\x8b\x4e\x08\x8b\x56\x0c\x83\xc6\x10"
    cases = (
        (STORE, b"\x89\x0b"),
        (CHECK, b"\x39\x0b\x74\x07" + mov(EAX, WRONG) + b"\xcd\x1f"),
        (TOUCH, b"\x8b\x03"),
        (FINISH, b""),
    )
    code = load
    for what, does in cases:
        body = does + (b"\xe9" + le32(-(len(code) + 7 + len(does) + 5)) if what != FINISH else b"")
        if what == FINISH:
            code += b"\x3d" + le32(what) + b"\x74\x07" + b"\xcd\x1f\xe9" + le32(-(len(code) + 14))
        else:
            code += b"\x3d" + le32(what) + b"\x75" + bytes([len(body)]) + body
    return mov(ESI, LIST) + code


class Script:
    """The list."""

    def __init__(self) -> None:
        self._words: list[int] = []
        self._cursor = 0

    def _add(self, what: int, *arguments: int) -> None:
        self._words += [what, *arguments, 0, 0, 0][:4]

    def store(self, address: int, value: int) -> None:
        """A word."""
        self._add(STORE, address, value)

    def check(self, address: int, value: int) -> None:
        """A word must be this, or the Guest dies (unknown hypercall WRONG)."""
        self._add(CHECK, address, value)

    def touch(self, address: int) -> None:
        """Read a word."""
        self._add(TOUCH, address)

    def call(self, *call: int) -> None:
        """A hypercall."""
        self._add(*call)

    def ask(self) -> None:
        """The test's next look."""
        self.call(*ASK)

    def ring(self, calls: Sequence[Call]) -> None:
        """Hypercalls that the Host does in one drain of the ring."""
        status = bytearray([L.HCALL_FREE]) * L.HCALL_RING
        assert len(calls) <= L.HCALL_RING
        for each in calls:
            entry = HCALLS + self._cursor * L.HYPERCALL_ENTRY.size
            for index, value in enumerate([*each, 0, 0, 0][:4]):
                self.store(entry + 4 * index, value)
            status[self._cursor] = 0
            self._cursor = (self._cursor + 1) % L.HCALL_RING
        for index in range(0, L.HCALL_RING, 4):  # the lean Switcher looks only where the next one is
            self.store(STATUS + index, int.from_bytes(status[index : index + 4], "little"))
        self.call(L.LHCALL_FLUSH_ASYNC)

    def run(
        self,
        engine_name: str,
        switcher: Switcher,
        looks: Sequence[Look] = (),
        more: Mapping[int, bytes] | None = None,
        dies: bool = False,
    ) -> Run:
        """Boot it, with ``more`` in its memory; each of ``looks`` gets the memory when the list asks.

        ``dies``: it is killed before the list's end.
        """
        self.store(DONE, 1)
        self._add(FINISH)
        assert 4 * len(self._words) <= LIST_END - LIST
        words = struct.pack(f"<{len(self._words)}I", *(each & 0xFFFFFFFF for each in self._words))
        waiting, done = list(looks), []
        consume = Mailbox.consume_notify

        def look_first(mailbox: Mailbox) -> bool:
            if mailbox.next_notify() == RAM_END and waiting and Modelled.last:
                waiting.pop(0)(Modelled.last.memory)
            return consume(mailbox)

        class Ended(Modelled):
            def _look(self) -> None:
                super()._look()
                done.append(self.memory[self.guest.start + DONE])

        with patch.object(Mailbox, "consume_notify", look_first):
            image = image_of("lguest", _interpreter(), more={LIST: words, **(more or {})})
            ran = run_image(engine_name, image, b"", LONG, watched=Ended, switcher=switcher)
        outcome = ran.result.outcome
        expected = (End.KILLED, [0]) if dies else (End.POWERED_OFF, [1])
        assert (outcome.end, done) == expected, outcome
        assert not waiting
        return ran
