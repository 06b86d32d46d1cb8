# SPDX-License-Identifier: GPL-2.0-or-later
"""Engine: the interface that both engines implement.

switcher/layouts/machine.h is the same interface seen from inside the VM.  An engine is independent of lguest: it
shares the VM's RAM with Python, runs code in it, delivers a doorbell out and an interrupt in, and reports the end.

Read next: lguest_py/engines/tcg.py or lguest_py/engines/kvm.py.
Next in the book: tcg.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from lguest_py.errors import EngineError, LguestError
from lguest_py.files.descriptors import as_descriptor_error

LESS_MEMORY: Final = "give the Guest less (--memory)"

INSTALL_QEMU = "install QEMU for x86 (Debian: apt-get install qemu-system-x86)"


@dataclass(frozen=True)
class MachineFacts:
    """Ports and pins of the VM's devices (struct machine, switcher/layouts/machine.h)."""

    doorbell_port: int  # the Host kernel writes a byte here to wake the Launcher
    doorbell_pin: int  # I/O APIC pin of the Launcher's interrupt
    doorbell_ack_port: int  # base of a 16550 to be emptied after each interrupt, or 0
    debug_port: int  # text for the developer, a byte at a time
    exit_port: int  # a write ends the machine
    tsc_khz: int  # 0: the Host kernel measures it


@dataclass(frozen=True)
class MachineEnd:
    """Why the VM stopped running.

    ``exited`` is True when the Host kernel wrote to the exit port; struct mailbox has the details.  It is False after a
    failure of the VM (triple fault, death of the emulator, KVM error), which ``detail`` describes.
    """

    exited: bool
    detail: str = ""


def no_memory(memory_bytes: int, error: OSError) -> LguestError:
    """The error to raise when ``error`` prevents a VM with this much RAM."""
    if too_few := as_descriptor_error(error):
        return too_few
    return EngineError(f"no memory for a VM of {memory_bytes >> 20} MiB ({error.strerror}): {LESS_MEMORY}")


class Engine(Protocol):
    """One VM.  Only ``interrupt`` may be called from several threads.

    Order of use: construct (allocates RAM), fill ``memory``, ``start``, then wait until ``fileno`` is readable and call
    ``poll``, until it returns a MachineEnd.  ``close`` is possible at any time and more than once.
    """

    name: str  # "kvm" or "tcg"
    description: str  # one phrase for the user: "QEMU 7.2.22 emulates the CPU"
    facts: MachineFacts
    memory: memoryview  # the VM's RAM from address 0, writable, format "B"

    def start(self, entry: int, ebx: int, tsc: int = 0) -> None:
        """Run from ``entry`` (VM-physical) in 32-bit protected mode, paging off, with this ebx.

        The time-stamp counter counts from ``tsc`` on (0: from anywhere).

        Raises lguest_py.errors.EngineError when the VM cannot be started.
        """

    def fileno(self) -> int:
        """A file descriptor that is readable after a doorbell and at the end of the VM."""

    def poll(self) -> MachineEnd | None:
        """Clear pending doorbells; the end of the VM, or None while it runs.  Never blocks."""

    def interrupt(self) -> None:
        """Raise the doorbell interrupt in the VM.  Never blocks; has no effect after the end."""

    def stop(self) -> None:
        """Stop the VM.  ``memory`` and ``debug_text`` remain and no longer change.

        A VM that runs stops at an arbitrary instruction boundary.
        """

    def debug_text(self) -> str:
        """The text written to the debug port so far."""

    def touched(self) -> tuple[tuple[int, int], ...]:
        """Ranges (start, end) of ``memory`` outside which it is zero and was never touched."""

    def close(self) -> None:
        """Stop the VM and release its resources.  No process is left; ``memory`` becomes invalid."""


class EngineWrapper:
    """An engine that delegates to another one; a subclass overrides what it changes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.description = engine.name, engine.description
        self.facts, self.memory = engine.facts, engine.memory

    def start(self, entry: int, ebx: int, tsc: int = 0) -> None:
        """Delegates, as do all methods below."""
        self._engine.start(entry, ebx, tsc)

    def fileno(self) -> int:
        """Delegates."""
        return self._engine.fileno()

    def poll(self) -> MachineEnd | None:
        """Delegates."""
        return self._engine.poll()

    def interrupt(self) -> None:
        """Delegates."""
        self._engine.interrupt()

    def stop(self) -> None:
        """Delegates."""
        self._engine.stop()

    def debug_text(self) -> str:
        """Delegates."""
        return self._engine.debug_text()

    def touched(self) -> tuple[tuple[int, int], ...]:
        """Delegates."""
        return self._engine.touched()

    def close(self) -> None:
        """Delegates."""
        self._engine.close()
