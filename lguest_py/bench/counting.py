# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines to measure on: QEMU with a clock that counts instructions, or any engine with another Host kernel.

With the counting clock a tick of the time-stamp counter is one instruction (1 GHz), whatever else the computer does:
two runs agree.  It tells nothing of what an instruction costs: a load of CR3 counts as one.

    with counting_machine("bzImage", command_line="…") as machine:
        machine.wait(timeout=60)

Read next: micro.py, which measures.
"""

from __future__ import annotations

from typing import Any

from lguest_py import _layouts as L
from lguest_py import engines
from lguest_py.bench.native import ICOUNT
from lguest_py.engines import Choice
from lguest_py.engines.base import Engine, MachineEnd
from lguest_py.engines.tcg import TcgEngine
from lguest_py.errors import UsageError
from lguest_py.machine import Machine
from lguest_py.vm_memory import built

ADVICE = "try again, and lguest-py doctor --self-test, which tells what does not work here"


class CountingEngine(TcgEngine):
    """The tcg engine, whose time is the number of instructions."""

    def arguments(self) -> list[str]:
        """QEMU's command line."""
        return [*super().arguments(), *ICOUNT]


class OtherHostKernel:
    """An engine that starts ``image`` (lguest_py/_images) in place of the Host kernel that was put into its memory."""

    def __init__(self, engine: Engine, image: str) -> None:
        self._engine = engine
        self._kernel = built(image).read_bytes()
        self.name, self.about, self.facts, self.memory = engine.name, engine.about, engine.facts, engine.memory

    def start(self, entry: int, ebx: int) -> None:
        """Start the engine with the other Host kernel."""
        self.memory[L.HOST_KERNEL_BASE : L.HOST_KERNEL_BASE + len(self._kernel)] = self._kernel
        self._engine.start(entry, ebx)

    def fileno(self) -> int:
        """The engine's."""
        return self._engine.fileno()

    def poll(self) -> MachineEnd | None:
        """The engine's."""
        return self._engine.poll()

    def interrupt(self) -> None:
        """The engine's."""
        self._engine.interrupt()

    def debug_text(self) -> str:
        """The engine's."""
        return self._engine.debug_text()

    def close(self) -> None:
        """The engine's."""
        self.memory.release()
        self._engine.close()


def choose(engine: str, counted: bool = False, host_kernel: str = "") -> Choice:
    """As lguest_py.engines.choose; ``counted``: with the counting clock; ``host_kernel``: an image to start instead.

    Raises NoEngineError, and UsageError when what is to be counted is not the tcg engine's.
    """
    if counted and engine == "kvm":
        raise UsageError("instructions are counted by the tcg engine only: give --engine tcg, or no --icount")
    choice = engines.choose("tcg" if counted else engine)
    make = CountingEngine if counted else choice.make
    if not host_kernel:
        return Choice(make, choice.name, choice.why)
    return Choice(lambda size: OtherHostKernel(make(size), host_kernel), choice.name, choice.why)


class _CountingMachine(Machine):
    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, engine="tcg", **settings)
        self._choice = choose("tcg", counted=True)


def counting_machine(*arguments: Any, **settings: Any) -> Machine:
    """A lguest_py.Machine, but for ``engine``: on the tcg engine with the counting clock."""
    return _CountingMachine(*arguments, **settings)
