# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``--on`` can name: a kind of trap, a hypercall, an exception, an interrupt of the machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lguest_py.errors import UsageError
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.mailbox import hypercall_name, vector_name

EXCEPTIONS: Final = 20
SYSCALL: Final = 0x80
NOT_HERE: Final = (2, 9, 15, 18)  # NMI, machine check, and two that no processor raises
GENERAL: Final = {
    "hypercall": (L.HYPERCALL_VECTOR,),
    "fault": (14,),
    "irq": (L.VECTOR_TIMER, L.VECTOR_DOORBELL),
    "syscall": (SYSCALL,),
}


@dataclass(frozen=True)
class Cause:
    """One of these vectors; ``call``: only this hypercall."""

    name: str
    vectors: tuple[int, ...]
    call: int | None = None

    @property
    def is_call(self) -> bool:
        """Whether only an lguest kernel can do it."""
        return self.vectors == GENERAL["hypercall"]


def _key(name: str) -> str:
    return re.sub(r"[-_ ]+", "-", name.strip()).lower()


def names() -> dict[str, Cause]:
    """All of them, by the name that is shown."""
    found = {name: Cause(name, vectors) for name, vectors in GENERAL.items()}
    calls = sorted(value for name, value in vars(L).items() if name.startswith("LHCALL_"))
    found |= {name: Cause(name, GENERAL["hypercall"], call) for call in calls for name in [hypercall_name(call)]}
    vectors = [each for each in range(EXCEPTIONS) if each not in NOT_HERE] + list(GENERAL["irq"])
    found |= {name: Cause(name, (vector,)) for vector in vectors for name in [_key(vector_name(vector))]}
    return found


def find(name: str) -> Cause:
    """The cause of this name, in whatever case and with - or _.  Raises UsageError."""
    every = names()
    for known, cause in every.items():
        if _key(known) == _key(name):
            return cause
    raise UsageError(f"there is no cause {name!r}: give --on one of {', '.join(every)}")
