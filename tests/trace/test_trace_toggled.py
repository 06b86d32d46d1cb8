# SPDX-License-Identifier: GPL-2.0-or-later
"""A trace that is turned on and off all the time, while the Guest has breakpoints and has none.

Breakpoints change how the Host kernel enters the Guest (host_kernel/machine/second_return.c), as the trace does.
Read next: breakpoints_kernel.S, host_kernel/core/trace.c; tests/host_kernel/test_debug_registers.py.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from hostile_lab import SWITCHERS, harmless, run_image
from small_kernel import small_kernel
from trace_lab import Kept

from lguest_py.files.poller import READABLE, Poller
from lguest_py.launcher.result import End, Outcome
from lguest_py.launcher.tracing import Reader, Tracing
from lguest_py.launcher.vm import Vm
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.trace.stream import Stream, Switch

ROUNDS = 0x7FFFFFFF  # of 40 world switches: without end
MOST = 5  # times


class Toggler:
    """A Control that turns the trace on and off whenever it is asked, up to MOST times."""

    def __init__(self, tracing: Tracing) -> None:
        self.tracing, self.kept = tracing, list[Kept]()
        self._reader: Reader | None = None
        self._always, self._end = os.pipe()
        os.write(self._end, b"!")

    def prepare(self, vm: Vm) -> None:
        """See Control."""

    def begin(self, poller: Poller) -> None:
        """See Control."""
        poller.set(self._always, READABLE)

    def service(self, ready: Collection[int], vm: Vm) -> Outcome | None:
        """See Control."""
        if self._reader:
            self.tracing.drain()
            self.tracing.remove(self._reader)
            self._reader = None
        elif len(self.kept) == MOST:
            vm.pause()
            vm.resume()
            return Outcome(End.LEFT, "it still obeys")
        else:
            self.kept.append(Kept())
            self._reader = self.tracing.add(self.kept[-1], 10_000)
        vm.retrace()
        return None

    def close(self) -> None:
        os.close(self._always)
        os.close(self._end)


@SWITCHERS
def test_it_is_turned_on_and_off_while_there_are_breakpoints(engine_name: str, switcher: Switcher) -> None:
    guest = small_kernel(Path(__file__).with_name("breakpoints_kernel.S"), {"ROUNDS": ROUNDS})
    tracing = Tracing()
    toggler = Toggler(tracing)
    try:
        done = harmless(run_image(engine_name, guest, switcher=switcher, tracing=tracing, control=toggler))
    finally:
        toggler.close()
    assert done.result.outcome.reason == "it still obeys", done.result.outcome
    assert len(toggler.kept) == MOST
    seen = 0
    for kept in toggler.kept:
        stream = Stream("it")
        found = list(stream.feed(bytes(kept.data)))
        assert stream.odd == 0
        seen += len([each for each in found if isinstance(each, Switch)])
    assert 0 < seen < done.result.snapshot.switches
