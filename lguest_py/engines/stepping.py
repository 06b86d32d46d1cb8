# SPDX-License-Identifier: GPL-2.0-or-later
"""Stepper: what an engine offers to who watches its CPU, one instruction after the other.

It is used by one function, which the engine calls in a thread of its own while the CPU stands still at reset.  When
that returns, the machine runs on as any.  Memory is the engine's ``memory``.
Read next: stepped_tcg.py, stepped_kvm.py; lguest_py/watch/recorder.py, which uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

GENERAL: Final = ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp")
SEGMENTS: Final = ("cs", "ss", "ds", "es", "fs", "gs")
CONTROL: Final = ("cr0", "cr2", "cr3", "cr4")
TABLES: Final = ("gdt", "gdt_limit", "idt", "idt_limit", "tr", "tss", "ldt")  # tss: its base; tr, ldt: selectors
REGISTERS: Final = (*GENERAL, "eip", "eflags", *SEGMENTS, *CONTROL, *TABLES)
State = dict[str, int]  # of each of REGISTERS


class MachineGoneError(Exception):
    """The machine ended, or is to end."""


class Stepper(Protocol):
    """A CPU that stands still between two calls.  Each method raises MachineGoneError when the machine has ended."""

    anywhere: bool  # whether it can stop at an instruction of one byte, whatever stands behind it

    def run_to(self, places: Mapping[int, int], seconds: float) -> bool:
        """Run until an instruction at one of these places is next; False: none was, for so long.

        ``places``: virtual address -> where it is in the engine's memory.  One that is next now does not count.
        """

    def step(self) -> None:
        """Execute one instruction.  Interrupts wait, as far as the engine can hold them back."""

    def general(self) -> State:
        """Those of GENERAL and eip, which is quicker than all."""

    def state(self) -> State:
        """The registers."""
