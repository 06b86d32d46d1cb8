# SPDX-License-Identifier: GPL-2.0-or-later
"""Engines for benchmarks: QEMU with a clock that counts instructions (-icount), and another Host kernel.

With -icount a tick of the time-stamp counter is one instruction (1 GHz), so runs are reproducible on a busy machine.
The cost of an instruction does not show: a load of CR3 counts as one.

    with counting_machine("bzImage", command_line="…") as machine:
        machine.wait(timeout=60)

Read next: micro.py, which measures.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, get_args

from lguest_py import engines
from lguest_py.bench.native import ICOUNT, failure_message
from lguest_py.console.expect import Console, Keyboard, Wake
from lguest_py.engines import Choice
from lguest_py.engines.base import Engine, EngineWrapper
from lguest_py.engines.tcg import TcgEngine
from lguest_py.errors import LguestError, UsageError
from lguest_py.launcher.launcher import Launcher, Settings
from lguest_py.launcher.report import headline
from lguest_py.launcher.result import End
from lguest_py.launcher.tracing import Tracing
from lguest_py.launcher.vm_memory import HOST_KERNELS, Switcher, built
from lguest_py.machine import Machine
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.mailbox import Snapshot

ADVICE = "try again, and lguest-py doctor --self-test, which tells what does not work here"


class CountingEngine(TcgEngine):
    """The tcg engine with a clock that counts instructions."""

    def arguments(self) -> list[str]:
        """QEMU's command line."""
        return [*super().arguments(), *ICOUNT]


class HostKernelOverride(EngineWrapper):
    """An engine that starts ``image`` (lguest_py/_images) instead of the Host kernel in its memory.

    Where that is the one for PAE, it is ``image`` with "_pae" behind its name.
    """

    def __init__(self, engine: Engine, image: str) -> None:
        super().__init__(engine)
        self._image = Path(image)

    def start(self, entry: int, ebx: int, tsc: int = 0) -> None:
        """Start the engine with the other Host kernel."""
        pae = built(HOST_KERNELS[True]).read_bytes()
        form = "_pae" if self.memory[L.HOST_KERNEL_BASE : L.HOST_KERNEL_BASE + len(pae)] == pae else ""
        kernel = built(f"{self._image.stem}{form}{self._image.suffix}").read_bytes()
        self.memory[L.HOST_KERNEL_BASE : L.HOST_KERNEL_BASE + len(kernel)] = kernel
        super().start(entry, ebx, tsc)


def parse_switcher(name: str) -> Switcher:
    """The Switcher of this name.  Raises UsageError."""
    if name not in get_args(Switcher):
        raise UsageError(f"there is no Switcher {name!r}: give one of {', '.join(get_args(Switcher))}")
    return cast(Switcher, name)


def run_machine(
    settings: Settings, make: Callable[[int], Engine], tracing: Tracing | None = None
) -> tuple[str, Snapshot]:
    """Boot a benchmark, up to its power-off; its console output.  Raises LguestError for another end."""
    keyboard, quiet = Keyboard(), Wake()
    console = Console(keyboard, quiet.fileno())
    try:
        result = Launcher(settings, make, keyboard, console, tracing=tracing).run()
    finally:
        keyboard.close()
        quiet.close()
    if result.outcome.end is not End.POWERED_OFF:
        message = failure_message(console.output)
        raise LguestError(f"the measurement failed, with {message!r}: {headline(result)}; {ADVICE}")
    return console.output, result.snapshot


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
    return Choice(lambda size: HostKernelOverride(make(size), host_kernel), choice.name, choice.why)


class _CountingMachine(Machine):
    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, engine="tcg", **settings)
        self._choice = choose("tcg", counted=True)


def counting_machine(*arguments: Any, **settings: Any) -> Machine:
    """A lguest_py.Machine on the tcg engine with -icount; the arguments are its own, without ``engine``."""
    return _CountingMachine(*arguments, **settings)
