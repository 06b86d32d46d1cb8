# SPDX-License-Identifier: GPL-2.0-or-later
"""A trace in Perfetto's own format, for ui.perfetto.dev and trace_processor: a timeline with three tracks.

Guest: where it ran until each exit, by function.  Host kernel: what it did then, by cause.  Launcher: its events.
A Guest that starts again is a process of its own, whose times begin at 0, too.

The format is protobuf: messages of numbered fields, of which this needs two kinds, numbers and bytes.  Names are sent
once and then by number.  Field numbers: protos/perfetto/trace of perfetto.dev.
Read before: stream.py.  Read next: tests/trace/perfetto_reader.py, which reads it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO, Final

from lguest_py.shared_memory.trace_blocks import EVENT_NAMES
from lguest_py.trace.causes import cause, detail
from lguest_py.trace.names import Names
from lguest_py.trace.stream import Event, Facts, Item, Lost, Switch

PACKET: Final = 1  # of Trace
TIMESTAMP, SEQUENCE, TRACK_EVENT, INTERNED, FLAGS, TRACK_DESCRIPTOR = 8, 10, 11, 12, 13, 60  # of TracePacket
UUID, TRACK_NAME, PROCESS, THREAD = 1, 2, 3, 4  # of TrackDescriptor
PROCESS_PID, PROCESS_NAME = 1, 6  # of ProcessDescriptor
THREAD_PID, THREAD_TID, THREAD_NAME = 1, 2, 5  # of ThreadDescriptor
ANNOTATIONS, TYPE, NAME_NUMBER, TRACK = 4, 9, 10, 11  # of TrackEvent
EVENT_NAME_TABLE, ANNOTATION_NAME_TABLE = 2, 3  # of InternedData
NAME_IID, NAME_TEXT = 1, 2
ANNOTATION_IID, ANNOTATION_NUMBER, ANNOTATION_TEXT = 1, 3, 6  # of DebugAnnotation
BEGIN, END, INSTANT = 1, 2, 3
CLEARED, NEEDED = 1, 2  # of FLAGS: whether names by number hold
GUEST, HOST, LAUNCHER = "Guest", "Host kernel", "Launcher"
PROGRAM = "a program (ring 3)"
LARGEST = 1 << 16  # bytes that are gathered before they are written


def varint(value: int) -> bytes:
    """A number, seven bits a byte."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def number(field: int, value: int) -> bytes:
    """A field with a number."""
    return varint(field << 3) + varint(value)


def data(field: int, value: bytes | str) -> bytes:
    """A field with a text or a message."""
    raw = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(raw)) + raw


class Perfetto:
    """An Output that writes to ``file``."""

    def __init__(self, names: Names, file: BinaryIO) -> None:
        self._names, self._file = names, file
        self._buffer = bytearray()
        self._known: dict[tuple[int, str], int] = {}  # (which table, name): its number
        self._new = b""  # interned data for the next packet
        self._machine = 0
        self._first = True

    def _packet(self, content: bytes) -> None:
        flags = CLEARED | NEEDED if self._first else NEEDED
        self._first = False
        content += number(SEQUENCE, 1) + number(FLAGS, flags)
        if self._new:
            content += data(INTERNED, self._new)
            self._new = b""
        self._buffer += data(PACKET, content)
        if len(self._buffer) > LARGEST:
            self._flush()

    def _flush(self) -> None:
        self._file.write(self._buffer)
        self._buffer.clear()

    def _interned(self, table: int, name: str) -> int:
        found = self._known.get((table, name))
        if found is None:
            found = self._known[table, name] = len(self._known) + 1
            self._new += data(table, number(NAME_IID, found) + data(NAME_TEXT, name))
        return found

    def _track(self, name: str) -> int:
        return 16 * self._machine + 1 + (GUEST, HOST, LAUNCHER).index(name)

    def _tracks(self, facts: Facts) -> None:
        self._machine = facts.machine
        title = f"{facts.values.get('name', 'Guest')}" + (f", boot {facts.machine}" if facts.machine > 1 else "")
        pid = facts.machine
        process = number(PROCESS_PID, pid) + data(PROCESS_NAME, f"lguest-py {title}")
        self._packet(data(TRACK_DESCRIPTOR, number(UUID, 16 * pid) + data(PROCESS, process)))
        for place, name in enumerate((GUEST, HOST, LAUNCHER), 1):
            thread = number(THREAD_PID, pid) + number(THREAD_TID, 16 * pid + place) + data(THREAD_NAME, name)
            self._packet(data(TRACK_DESCRIPTOR, number(UUID, self._track(name)) + data(THREAD, thread)))

    def _slice(self, track: str, begun: int, ended: int, name: str, notes: Mapping[str, int | str]) -> None:
        """Something that lasted; nothing before 0 is shown."""
        if ended < 0 or not self._machine:
            return
        event = number(TYPE, BEGIN) + number(TRACK, self._track(track))
        event += number(NAME_NUMBER, self._interned(EVENT_NAME_TABLE, name))
        for key, value in notes.items():
            note = number(ANNOTATION_IID, self._interned(ANNOTATION_NAME_TABLE, key))
            is_number = isinstance(value, int)
            note += number(ANNOTATION_NUMBER, int(value)) if is_number else data(ANNOTATION_TEXT, str(value))
            event += data(ANNOTATIONS, note)
        self._packet(number(TIMESTAMP, max(begun, 0)) + data(TRACK_EVENT, event))
        event = number(TYPE, END) + number(TRACK, self._track(track))
        self._packet(number(TIMESTAMP, ended) + data(TRACK_EVENT, event))

    def _switch(self, one: Switch) -> None:
        kernel = one.ring == 1
        where = (self._names.function(one.eip) or f"{one.eip:08x}") if kernel else PROGRAM
        notes: dict[str, int | str] = {"left at": self._names.place(one.eip) if kernel else f"{one.eip:08x}"}
        if one.answered:
            notes["answered by the Switcher"] = one.answered
        notes = {key: each for key, each in notes.items() if each}
        self._slice(GUEST, one.at_ns - one.guest_ns, one.at_ns, where, notes)
        if one.lost:
            self._instant(HOST, one.at_ns, f"{one.lost} records lost")
        if one.host_ns is None:
            return
        told = {"eip": f"{one.eip:08x}", "detail": detail(one)}
        end = one.at_ns + one.host_ns
        self._slice(HOST, one.at_ns, end, cause(one), {key: each for key, each in told.items() if each})
        if one.idle_ns:
            self._slice(HOST, end, end + one.idle_ns, "idle", {})

    def _instant(self, track: str, at: int, name: str) -> None:
        event = number(TYPE, INSTANT) + number(TRACK, self._track(track))
        event += number(NAME_NUMBER, self._interned(EVENT_NAME_TABLE, name))
        self._packet(number(TIMESTAMP, max(at, 0)) + data(TRACK_EVENT, event))

    def take(self, item: Item) -> None:
        """See Output."""
        if isinstance(item, Switch):
            self._switch(item)
        elif isinstance(item, Facts):
            self._tracks(item)
        elif isinstance(item, Event):
            name = EVENT_NAMES[item.kind] if item.kind < len(EVENT_NAMES) else f"event {item.kind}"
            notes = {"number": item.number} if item.number else {}
            self._slice(LAUNCHER, item.at_ns, item.at_ns + item.duration_ns, name, notes)
        elif isinstance(item, Lost) and self._machine:
            self._instant(HOST, 0, f"{item.records} records lost")

    def end(self) -> None:
        """See Output."""
        self._flush()
