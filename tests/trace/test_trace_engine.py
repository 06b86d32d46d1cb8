# SPDX-License-Identifier: GPL-2.0-or-later
"""Each exit of the tiny Guest has a record, with both Switchers, on both engines.

Read next: test_trace_guest.py, the same from the command line.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from trace_lab import Kept

from lguest_py import engines
from lguest_py.bench.counting import run_machine
from lguest_py.images import open_image
from lguest_py.launcher.launcher import Settings
from lguest_py.launcher.tracing import Tracing
from lguest_py.launcher.vm_memory import Switcher, built
from lguest_py.shared_memory import _layouts as L
from lguest_py.trace.causes import GENERAL, cause
from lguest_py.trace.stream import Event, Facts, Stream, Switch


@pytest.mark.parametrize("switcher", ["lean", "classic"])
def test_each_exit_has_a_record(engine_name: str, switcher: Switcher) -> None:
    tracing, kept = Tracing({"engine": engine_name}), Kept()
    tracing.add(kept)
    guest = open_image(str(built("guest.elf")))
    settings = Settings(guest, 16 << 20, "run=uptime;echo it", timeout=300, switcher=switcher)
    text, snapshot = run_machine(settings, engines.choose(engine_name).make, tracing)
    assert "\nit" in text.replace("\r", "")
    stream = Stream("it")
    found = [*stream.feed(bytes(kept.data)), *stream.end()]
    exits = [each for each in found if isinstance(each, Switch)]
    assert Counter(each.vector for each in exits) == snapshot.by_vector
    assert not any(each.lost for each in exits)
    assert stream.odd == 0
    assert [each.values["switcher"] for each in found if isinstance(each, Facts)] == [switcher]
    for first, second in pairwise(exits):
        assert first.host_ns is not None
        assert first.idle_ns is not None
        spent = first.host_ns + first.idle_ns + second.guest_ns
        assert abs(second.at_ns - first.at_ns - spent) < 5, "nothing is between them"
    last = [each for each in snapshot.last if each.hypercall][-1]
    assert last.hypercall
    assert cause(exits[-1]) == f"hypercall {last.hypercall.text.split(' ')[0]}"
    assert exits[-1].data == last.arguments
    assert {cause(each) for each in exits if each.vector == GENERAL} <= {"in", "out"}, "the instruction was read"
    assert any(isinstance(each, Event) for each in found)


class NotTaking(Tracing):
    """One that takes nothing out of the ring until the end."""

    ended = False

    def drain(self) -> None:
        """See Tracing."""
        if self.ended:
            super().drain()

    def end(self) -> None:
        """See Tracing."""
        self.ended = True
        self.drain()
        super().end()


def test_a_full_ring_loses_what_is_new_and_counts_it(engine_name: str) -> None:
    tracing, kept = NotTaking({"engine": engine_name}), Kept()
    tracing.add(kept)
    settings = Settings(open_image(str(built("guest.elf"))), 16 << 20, "run=bench", timeout=300)
    _, snapshot = run_machine(settings, engines.choose(engine_name).make, tracing)
    stream = Stream("it")
    found = [*stream.feed(bytes(kept.data)), *stream.end()]
    exits = [each for each in found if isinstance(each, Switch)]
    assert snapshot.switches > L.TRACE_RECORDS
    assert len(exits) == L.TRACE_RECORDS
    assert exits[0].at_ns < 10**9
    assert [each.at_ns for each in exits] == sorted(each.at_ns for each in exits), "the oldest are kept"
    assert not any(each.lost for each in exits), "what is lost is told by the record behind it"
