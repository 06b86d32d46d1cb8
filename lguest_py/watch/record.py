# SPDX-License-Identifier: GPL-2.0-or-later
"""A recorded world switch, as data: all that is shown of it, in whatever way, and its JSON.

Read next: recorder.py, which makes one; text.py, page.py and terminal.py, which show it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

VERSION: Final = 1
Phase = Literal["guest", "exit", "host", "entry", "fast"]
PHASES: Final[dict[Phase, str]] = {
    "guest": "in the Guest",
    "exit": "Guest → Host",
    "host": "in the Host kernel",
    "entry": "Host → Guest",
    "fast": "in the Switcher only",
}
Owner = Literal["Host", "Guest", "both"]


@dataclass(frozen=True)
class Word:
    """A word on a stack.  ``label``: what it is; ``by``: who put it there, or ""; ``new``: this step did."""

    address: int
    value: int
    label: str = ""
    by: str = ""
    new: bool = False


@dataclass(frozen=True)
class Stack:
    """Words of a stack, from the highest address down, and whose it is."""

    name: str
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Change:
    """A register that changed."""

    name: str
    old: int
    new: int


@dataclass(frozen=True)
class Step:
    """One instruction, after it was executed; in the Host kernel: all until it enters the Guest or returns.

    ``file`` and ``line``: where it stands in the sources, or "" and 0.  ``note`` is its comment there, ``why`` the one
    above it.
    """

    phase: Phase
    code: str
    note: str
    why: str
    file: str
    line: int
    eip: int  # where it stands
    state: dict[str, int]
    changes: tuple[Change, ...]
    did: str
    owners: dict[str, Owner]  # of cr3, gdt, idt, tss
    stack: Stack  # where esp is
    frame: Stack  # the page that both worlds have

    @property
    def ring(self) -> int:
        """Where the CPU is then."""
        return self.state["cs"] & 3


@dataclass(frozen=True)
class Record:
    """A round trip: from the Guest's instruction to its next one, by whatever way."""

    cause: str  # "hypercall SET_PTE (0x…)"
    switcher: str
    engine: str
    image: str
    steps: tuple[Step, ...]
    end: str = ""  # why it does not end in the Guest, or ""
    version: int = field(default=VERSION)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @property
    def switched(self) -> bool:
        """Whether a world switch took place at all."""
        return any(step.owners["cr3"] == "Host" for step in self.steps)

    @property
    def summary(self) -> str:
        """What took place, in a sentence."""
        steps = self.steps
        exits, entries = (sum(step.phase == each for step in steps) for each in ("exit", "entry"))
        loads = sum(change.name == "cr3" for step in steps if step.phase != "host" for change in step.changes)
        if self.switched:
            back = f", {entries} back" if entries else ""
            return f"{exits} instructions to the Host kernel{back}, {loads} loads of CR3"
        if fast := sum(step.phase == "fast" for step in steps):
            return f"no world switch: the Switcher answered with {fast} instructions, in the Guest's page tables"
        return "no world switch, and no instruction of the Switcher's: the gate leads to the Guest's own kernel"
