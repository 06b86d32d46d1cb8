# SPDX-License-Identifier: GPL-2.0-or-later
"""What a machine must offer, whichever engine makes it.

switcher/layouts/machine.h is the same contract seen from inside.  An engine knows nothing of lguest: it gives
RAM that Python shares, runs code in it, passes a doorbell out and an interrupt in, and says how it ended.

Read next: lguest_py/engines/tcg.py or lguest_py/engines/kvm.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from lguest_py.errors import EngineError, LguestError
from lguest_py.files.descriptors import as_descriptor_error

SMALLER: Final = "give the Guest less (--memory)"

INSTALL_QEMU = "install QEMU for x86 (Debian: apt-get install qemu-system-x86)"


@dataclass(frozen=True)
class MachineFacts:
    """Where the machine's few devices are (struct machine, switcher/layouts/machine.h)."""

    doorbell_port: int  # the Host kernel writes a byte here to wake the Launcher
    doorbell_pin: int  # I/O APIC pin of the Launcher's interrupt
    doorbell_ack_port: int  # base of a 16550 to be emptied after each interrupt, or 0
    debug_port: int  # text for the developer, a byte at a time
    exit_port: int  # a write ends the machine
    tsc_khz: int  # 0: the Host kernel measures it


@dataclass(frozen=True)
class MachineEnd:
    """How the machine itself stopped running.

    ``exited`` is True when the Host kernel wrote to the exit port: struct mailbox says the rest.  When it
    is False the machine broke (triple fault, the emulator died, KVM refused) and ``detail`` says how.
    """

    exited: bool
    detail: str = ""


def no_memory(memory_bytes: int, error: OSError) -> LguestError:
    """What to raise when there is no memory for a VM of this size."""
    if too_few := as_descriptor_error(error):
        return too_few
    return EngineError(f"no memory for a VM of {memory_bytes >> 20} MiB ({error.strerror}): {SMALLER}")


class Engine(Protocol):
    """One VM.  Not safe for use by several threads, but for ``interrupt``.

    Life: construct (makes RAM), fill ``memory``, ``start``, then wait for ``fileno`` to be readable and call
    ``poll`` each time, until it returns a MachineEnd; ``close`` at any time, more than once if need be.
    """

    name: str  # "kvm" or "tcg"
    about: str  # one phrase for the user: "QEMU 7.2.22 emulates the CPU"
    facts: MachineFacts
    memory: memoryview  # the VM's RAM from address 0, writable, format "B"

    def start(self, entry: int, ebx: int) -> None:
        """Run from ``entry`` (VM-physical) in 32-bit protected mode, paging off, with this ebx.

        Raises lguest_py.errors.EngineError when the machine cannot be started.
        """

    def fileno(self) -> int:
        """A file descriptor that is readable when the doorbell rang or the machine ended."""

    def poll(self) -> MachineEnd | None:
        """Take note of doorbells rung so far; how the machine ended, if it did.  Never blocks."""

    def interrupt(self) -> None:
        """Raise the doorbell interrupt in the machine.  Never blocks; after the end it does nothing."""

    def stop(self) -> None:
        """Let the machine run no further; ``memory`` and ``debug_text`` stay, and change no more.

        Where it has not ended by itself, it stops between any two instructions.
        """

    def debug_text(self) -> str:
        """What was written to the debug port so far."""

    def close(self) -> None:
        """End the machine now and give everything back.  No process is left; ``memory`` becomes invalid."""


class EngineAround:
    """An engine that does something of its own around another one: override what it changes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.about, self.facts, self.memory = engine.name, engine.about, engine.facts, engine.memory

    def start(self, entry: int, ebx: int) -> None:
        """The other's, as all below."""
        self._engine.start(entry, ebx)

    def fileno(self) -> int:
        """The other's."""
        return self._engine.fileno()

    def poll(self) -> MachineEnd | None:
        """The other's."""
        return self._engine.poll()

    def interrupt(self) -> None:
        """The other's."""
        self._engine.interrupt()

    def stop(self) -> None:
        """The other's."""
        self._engine.stop()

    def debug_text(self) -> str:
        """The other's."""
        return self._engine.debug_text()

    def close(self) -> None:
        """The other's."""
        self._engine.close()
