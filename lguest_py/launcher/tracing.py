# SPDX-License-Identifier: GPL-2.0-or-later
"""The trace, in the Launcher: it takes the records out of the ring, adds its own events, and passes both on to sinks.

Without a sink nothing is recorded, here or in the Host kernel.  A sink that does not keep up loses records, and is told
how many; the Guest does not wait for one.  A Guest that starts again is traced on.
Read before: lguest_py/shared_memory/trace_ring.py.  Read next: lguest_py/control/tracers.py, lguest_py/cli/boot.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from lguest_py.shared_memory.trace_blocks import (
    COUNT,
    DEVICES,
    DROPPED,
    EVENT,
    EVENTS,
    MAGIC,
    RECORDS,
    TAKEN,
    block,
    facts_block,
)
from lguest_py.shared_memory.trace_ring import RECORD, TraceRing

AT_ONCE = 1024  # records of a block
MOST_EVENTS = 256  # of a block
SHORTEST = 2_000  # nanoseconds of the devices' work that is an event: else each look at nothing would be one


class Sink(Protocol):
    """Where a trace goes."""

    @property
    def room(self) -> int:
        """How many bytes it takes now."""

    def write(self, data: bytes) -> None:
        """Append ``data``; never blocks."""


class Reader:
    """A sink, and what it wants."""

    def __init__(self, sink: Sink, rate: int) -> None:
        self.sink, self.rate = sink, rate
        self.dropped = 0

    def give(self, data: bytes, records: int = 0) -> None:
        """Pass a block on, or count what is lost."""
        told = block(DROPPED, COUNT.pack(self.dropped)) if self.dropped else b""
        if self.sink.room < len(told) + len(data):
            self.dropped += records
            return
        self.dropped = 0
        self.sink.write(told + data)


class Tracing:
    """``facts``: of the Guest, for whoever reads.  ``on``: something is recorded."""

    def __init__(self, facts: Mapping[str, Any] | None = None) -> None:
        self.facts: dict[str, Any] = dict(facts or {})
        self.on = False
        self._readers: list[Reader] = []
        self._ring: TraceRing | None = None
        self._machines = 0
        self._told = False  # the readers know this machine's facts
        self._events: list[bytes] = []

    @property
    def readers(self) -> int:
        """How many there are."""
        return len(self._readers)

    def begin(self, memory: memoryview, more: Mapping[str, Any]) -> None:
        """A machine is made, and has not started.  ``more``: facts of it alone."""
        self._ring, self._told = TraceRing(memory), False
        self._machines += 1
        self.facts |= {**more, "machine": self._machines}
        self.obey()

    def obey(self) -> None:
        """Let the Host kernel find what the readers want, when it looks: at its start, or when it goes on."""
        if self._ring:
            self._ring.want(bool(self._readers), max((each.rate for each in self._readers), default=0))

    def restored(self) -> None:
        """The memory is that of a machine that was saved, perhaps while it was traced: what the ring held is old."""
        if self._ring:
            self._ring.want(False)
        self.obey()

    def add(self, sink: Sink, rate: int = 0) -> Reader:
        """One more sink, which wants so many samples a second.  Then the machine must ``obey``."""
        reader = Reader(sink, rate)
        reader.give(MAGIC)
        if self._told:
            reader.give(facts_block(self.facts))
        self._readers.append(reader)
        self.on = True
        return reader

    def remove(self, reader: Reader) -> None:
        """Give it nothing more.  Then the machine must ``obey``."""
        with suppress(ValueError):
            self._readers.remove(reader)
        self.on = bool(self._readers)

    def _all(self, data: bytes, records: int = 0) -> None:
        for each in self._readers:
            each.give(data, records)

    def event(self, kind: int, begun: int, number: int = 0) -> None:
        """Something that the Launcher did from ``begun`` (time.monotonic_ns) until now."""
        now = time.monotonic_ns()
        if kind == DEVICES and now - begun < SHORTEST:
            return
        self._events.append(EVENT.pack(begun, now, kind, number & 0xFFFFFFFF))
        if len(self._events) >= MOST_EVENTS:
            self._flush_events()

    def _flush_events(self) -> None:
        if self._events and self._told:
            self._all(block(EVENTS, b"".join(self._events)))
        self._events.clear()

    def urgent(self) -> bool:
        """Whether records wait that the Host kernel may not ring the doorbell for again."""
        return self._ring is not None and self._ring.pending() >= AT_ONCE

    def drain(self) -> None:
        """Pass on what there is.  Raises LguestError for a ring that cannot be."""
        ring = self._ring
        if not self.on or not ring:
            return
        if not self._told and ring.tsc_khz and ring.guest_tsc:
            self.facts |= {"tsc_khz": ring.tsc_khz, "guest_tsc": ring.guest_tsc}
            self._all(facts_block(self.facts))
            self._told = True
        while self._told and (taken := ring.take(AT_ONCE)):
            now = TAKEN.pack(time.monotonic_ns())
            self._all(block(RECORDS, now + taken), len(taken) // RECORD)
        self._flush_events()

    def end(self) -> None:
        """The machine's memory goes."""
        self._ring = None


class FileSink:
    """A sink that is a file: boot --trace.  ``output`` writes from a thread of its own."""

    def __init__(self, output: Any, failed: Callable[[OSError], None]) -> None:
        self._output, self._failed = output, failed
        self._told = False

    @property
    def room(self) -> int:
        """See Sink."""
        if self._output.error and not self._told:
            self._told = True
            self._failed(self._output.error)
        return 0 if self._told else int(self._output.room)

    def write(self, data: bytes) -> None:
        """See Sink."""
        self._output.write(data)
