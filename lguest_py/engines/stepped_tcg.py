# SPDX-License-Identifier: GPL-2.0-or-later
"""SteppedTcg: the tcg engine with a stepper (stepping.py), by QEMU's gdb stub.

QEMU inherits one end of a socket for it: it makes none, so its walls are those of any machine (tcg.py), and nobody else
can connect.  Read next: gdb_stub.py.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Mapping

from lguest_py.engines.gdb_stub import GdbStub
from lguest_py.engines.stepping import MachineGoneError, State, Stepper
from lguest_py.engines.tcg import TcgEngine, socket_pair

JOIN_SECONDS = 10.0


class TcgStepper:
    """See Stepper."""

    anywhere = True

    def __init__(self, stub: GdbStub) -> None:
        self._stub = stub
        self._there: set[int] = set()  # breakpoints

    def _breakpoints(self, wanted: Collection[int]) -> None:
        for each in self._there.difference(wanted):
            self._stub.breakpoint(each, False)
        for each in set(wanted) - self._there:
            self._stub.breakpoint(each, True)
        self._there = set(wanted)

    def run_to(self, places: Mapping[int, int], seconds: float) -> bool:
        """See Stepper."""
        if self._stub.eip() in places:  # from a breakpoint the stub would not go on, and a step takes no notice of one
            self._stub.step()  # QEMU then throws away all that it has translated
            if self._stub.eip() in places:
                return True
        self._breakpoints(places)
        return self._stub.go(seconds)

    def release(self) -> None:
        """Let the machine run."""
        self._breakpoints(())
        self._stub.run_on()

    def step(self) -> None:
        """See Stepper."""
        self._stub.step()

    def general(self) -> State:
        """See Stepper."""
        return self._stub.general()

    def state(self) -> State:
        """See Stepper."""
        return self._stub.registers()


class SteppedTcg(TcgEngine):
    """It."""

    def __init__(self, memory_bytes: int, work: Callable[[Stepper], None]) -> None:
        """``work`` is called in a thread."""
        super().__init__(memory_bytes)
        self._work = work
        with contextlib.ExitStack() as stack:
            self._stub, self._qemu_stub = socket_pair(stack)
            stack.pop_all()
        self._thread: threading.Thread | None = None

    def _more(self) -> list[int]:
        return [self._qemu_stub.fileno()]

    def arguments(self) -> list[str]:
        """With the stub, and with a CPU that stands still at first."""
        chardev = f"socket,id=stub,fd={self._qemu_stub.fileno()}"
        return [*super().arguments(), "-chardev", chardev, "-gdb", "chardev:stub", "-S"]

    def start(self, entry: int, ebx: int, tsc: int = 0) -> None:
        """As the engine, and the thread."""
        super().start(entry, ebx, tsc)
        self._qemu_stub.close()
        self._thread = threading.Thread(target=self._run, name="lguest-py stepper", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(MachineGoneError, TimeoutError):
            stepper = TcgStepper(GdbStub(self._stub))
            self._work(stepper)
            stepper.release()

    def stop(self) -> None:
        """As the engine: QEMU's end ends the thread, too."""
        super().stop()
        if self._thread:
            self._thread.join(JOIN_SECONDS)

    def close(self) -> None:
        """As the engine."""
        super().close()
        self._stub.close()
        self._qemu_stub.close()
