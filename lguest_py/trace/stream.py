# SPDX-License-Identifier: GPL-2.0-or-later
"""From the bytes of a trace to world switches, samples and the Launcher's events, with times in nanoseconds.

A switch is told when the Guest is entered again: only then its duration is known.  Times are those of the Guest's
machine, from the Guest's first instruction on.  Nothing in a record is trusted: a time that runs backwards counts as
none.

The Launcher has another clock.  Each block of records says when it was taken by it, and the newest record in it
cannot be of later: the closest pair of the last ones tells how the clocks are related.
Read before: lguest_py/shared_memory/trace_blocks.py.  Read next: causes.py, text.py.
"""

from __future__ import annotations

import json
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from lguest_py.errors import LguestError
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.trace_blocks import COUNT, DROPPED, EVENT, EVENTS, FACTS, RECORDS, TAKEN, Blocks

RECORD = struct.Struct("<HHIQQQIIIIIIII")
STACK = struct.Struct("<HBBI14I")
FIELDS = ("kind", "cs", "lost", "entered", "left", "idle", "eip", "eax", "directory", "fast_paths", "data")
WORD = struct.Struct("<H")
PAIRS = 64  # of the two clocks, of which the closest counts
assert RECORD.size == STACK.size == L.TRACE_RECORD.size
assert tuple(L.TRACE_RECORD.fields) == FIELDS
assert tuple(L.TRACE_STACK.fields) == ("kind", "count", "ring", "lost", "addresses")


class Switch(NamedTuple):
    """One exit of the Guest, and what followed until it was entered again.

    ``host_ns`` and ``idle_ns`` are None where records were lost behind it, or it was the last one.
    """

    at_ns: int  # when it exited
    guest_ns: int  # how long it had run
    host_ns: int | None  # in the Host kernel, without
    idle_ns: int | None  # when it was idle
    vector: int
    ring: int
    cs: int
    eip: int
    eax: int
    directory: int
    answered: int  # traps that the Switcher has answered by itself since the exit before
    data: tuple[int, int, int, int]
    lost: int  # records before it


class Sample(NamedTuple):
    """Where the Guest was: eip, then return addresses.  ``host``: it waited there for the Host kernel."""

    at_ns: int
    addresses: tuple[int, ...]
    ring: int
    host: bool
    vector: int  # of the exit before


class Event(NamedTuple):
    """Something that the Launcher did."""

    at_ns: int
    duration_ns: int
    kind: int
    number: int


class Lost(NamedTuple):
    """So many records are missing here, because who reads was slow."""

    records: int


@dataclass(frozen=True)
class Facts:
    """What the records are of.  A machine that starts again has a number of its own."""

    values: dict[str, Any]

    @property
    def machine(self) -> int:
        """Its number."""
        return int(self.values["machine"])


Item = Switch | Sample | Event | Lost | Facts


class Stream:
    """``feed`` it the bytes.  ``name`` is for messages."""

    def __init__(self, name: str) -> None:
        self._blocks, self._name = Blocks(name), name
        self._khz = self._zero = 0
        self._switch: Switch | None = None  # whose duration is not known yet
        self._left = self._lost = 0
        self._fast_paths: int | None = None
        self._sample: list[int] = []
        self._sample_of: tuple[int, int, bool, int] | None = None
        self._clocks: deque[int] = deque(maxlen=PAIRS)  # monotonic less the machine's, nanoseconds
        self._events: list[tuple[int, int, int, int]] = []
        self.odd = 0  # records that cannot be
        self.damaged = False

    @property
    def begun(self) -> bool:
        """Whether facts have come."""
        return self._khz > 0

    def feed(self, data: bytes) -> Iterator[Item]:
        """What these bytes complete.  Raises LguestError for what is no trace."""
        for kind, content in self._blocks.feed(data):
            if kind == RECORDS and self._khz:
                yield from self._records(content)
            elif kind == EVENTS:
                self._events += [each for each in EVENT.iter_unpack(content[: len(content) // EVENT.size * EVENT.size])]
            elif kind == DROPPED and len(content) == COUNT.size:
                yield from self._finish()
                yield Lost(COUNT.unpack(content)[0])
            elif kind == FACTS:
                yield from self._finish()
                yield self._facts(content)

    def end(self) -> Iterator[Item]:
        """What is left at the end.  Raises LguestError where there was no trace at all."""
        if not self._blocks.whole:
            self.damaged = True
        if not self.begun:
            why = "is no trace of lguest-py, or one of a Guest that did not run"
            raise LguestError(f"{self._name} {why}: make it anew")
        yield from self._finish()
        yield from self._launcher()

    def _facts(self, content: bytes) -> Facts:
        try:
            values = json.loads(content)
            self._khz, self._zero = int(values["tsc_khz"]), int(values["guest_tsc"])
            facts = Facts(values)
            if self._khz <= 0 or facts.machine <= 0:
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            raise LguestError(f"{self._name} is no trace of lguest-py, or a damaged one: make it anew") from None
        self._fast_paths = None
        self._clocks.clear()
        return facts

    def _ns(self, ticks: int) -> int:
        return ticks * 1_000_000 // self._khz

    def _at(self, tsc: int) -> int:
        return self._ns(tsc - self._zero)

    def _finish(self) -> Iterator[Item]:
        """The switch whose end is not known, and the sample that is open."""
        yield from self._close_sample()
        if self._switch:
            yield self._switch
            self._switch = None

    def _close_sample(self) -> Iterator[Sample]:
        if self._sample_of:
            at, ring, host, vector = self._sample_of
            yield Sample(at, tuple(self._sample), ring, host, vector)
            self._sample_of = None

    def _records(self, content: bytes) -> Iterator[Item]:
        (taken,) = TAKEN.unpack_from(content)
        records = memoryview(content)[TAKEN.size :]
        size = RECORD.size
        for at in range(0, len(records) - size + 1, size):
            (kind,) = WORD.unpack_from(records, at)
            if kind <= L.TRAP_NONE:
                yield from self._exit(RECORD.unpack_from(records, at))
            elif L.TRACE_SAMPLE <= kind <= L.TRACE_SAMPLE_MORE:
                yield from self._stack(kind, STACK.unpack_from(records, at))
            else:
                self.odd += 1
        if self._left:
            self._clocks.append(taken - self._at(self._left))
        yield from self._launcher()

    def _exit(self, found: tuple[int, ...]) -> Iterator[Item]:
        vector, cs, lost, entered, left, idle, eip, eax, directory, fast_paths, *data = found
        lost += self._lost
        self._lost = 0
        yield from self._close_sample()
        if before := self._switch:
            self._switch = None
            if not lost and entered >= self._left:
                waits = self._ns(entered - idle) if self._left <= idle <= entered else 0
                before = before._replace(host_ns=self._ns(entered - self._left) - waits, idle_ns=waits)
            yield before
        if left < entered:
            self.odd += 1
            entered = left
        answered = 0 if self._fast_paths is None else (fast_paths - self._fast_paths) & 0xFFFFFFFF
        self._fast_paths, self._left = fast_paths, left
        self._switch = Switch(
            self._at(left), self._ns(left - entered), None, None, vector, cs & 3, cs, eip, eax, directory, answered,
            (data[0], data[1], data[2], data[3]), lost,
        )  # fmt: skip

    def _stack(self, kind: int, found: tuple[int, ...]) -> Iterator[Item]:
        _, count, ring, lost, *addresses = found
        self._lost += lost
        del addresses[count:]
        if kind == L.TRACE_SAMPLE_MORE:
            self._sample += addresses if self._sample_of else ()
            return
        yield from self._close_sample()
        if self._switch and addresses:
            self._sample_of = self._switch.at_ns, ring & 3, kind == L.TRACE_SAMPLE_HOST, self._switch.vector
            self._sample = addresses

    def _launcher(self) -> Iterator[Event]:
        """Events, once the clocks are related."""
        if not self._clocks:
            return
        offset = min(self._clocks)
        for begun, ended, kind, number in self._events:
            yield Event(begun - offset, max(ended - begun, 0), kind, number)
        self._events.clear()
