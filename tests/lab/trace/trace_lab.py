# SPDX-License-Identifier: GPL-2.0-or-later
"""Traces made by a test, and a reader of Perfetto's format that shares nothing with the writer.

Read next: lguest_py/trace/stream.py; tests/trace.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lguest_py.shared_memory import trace_blocks as blocks
from lguest_py.trace.stream import Item, Stream

KHZ = 1_000_000  # a tick is a nanosecond
FACTS: dict[str, Any] = {"tsc_khz": KHZ, "guest_tsc": 1000, "machine": 1, "name": "it", "engine": "tcg", "image": ""}


def exit_record(
    entered: int,
    left: int,
    vector: int = 14,
    *,
    cs: int = 0x61,
    eip: int = 0xC0001234,
    idle: int = 0,
    eax: int = 0,
    lost: int = 0,
    fast_paths: int = 0,
    data: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> bytes:
    return struct.pack("<HHIQQQ8I", vector, cs, lost, entered, left, idle, eip, eax, 0, fast_paths, *data)


def stack_record(kind: int, *addresses: int, ring: int = 1, lost: int = 0) -> bytes:
    words = [*addresses, *(0,) * (14 - len(addresses))]
    return struct.pack("<HBBI14I", kind, len(addresses), ring, lost, *words)


def records_block(*records: bytes, taken: int = 0) -> bytes:
    return blocks.block(blocks.RECORDS, struct.pack("<Q", taken) + b"".join(records))


def trace(*records: bytes, **facts: Any) -> bytes:
    """A whole one."""
    return blocks.MAGIC + blocks.facts_block({**FACTS, **facts}) + records_block(*records)


def items(data: bytes, step: int = 1 << 20) -> list[Item]:
    """All that is in it, fed in pieces of so many bytes."""
    stream = Stream("it")
    found = [item for at in range(0, len(data), step) for item in stream.feed(data[at : at + step])]
    return found + list(stream.end())


class Kept:
    """A Sink (lguest_py.launcher.tracing) that keeps all."""

    room = 1 << 30

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data


Fields = dict[int, list[Any]]


def fields(raw: bytes) -> Fields:
    """A protobuf message: its fields by number; raises ValueError for what is none."""
    found: Fields = {}
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            if at >= len(raw) or shift > 63:
                raise ValueError("a number is cut off")
            byte = raw[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(raw):
        key = number()
        field_number, wire = key >> 3, key & 7
        if not field_number:
            raise ValueError("field 0")
        if wire == 0:
            found.setdefault(field_number, []).append(number())
        elif wire == 2:
            length = number()
            if at + length > len(raw):
                raise ValueError("a message is cut off")
            found.setdefault(field_number, []).append(raw[at : at + length])
            at += length
        else:
            raise ValueError(f"wire type {wire}")
    return found


@dataclass
class Slice:
    """As ui.perfetto.dev would show it."""

    track: str
    name: str
    begun: int
    ended: int = -1
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Timeline:
    """A whole trace."""

    processes: dict[int, str] = field(default_factory=dict)
    tracks: dict[int, str] = field(default_factory=dict)
    slices: list[Slice] = field(default_factory=list)
    instants: list[tuple[str, str]] = field(default_factory=list)

    def on(self, track: str) -> list[Slice]:
        return [each for each in self.slices if each.track == track]


def _names(interned: Fields, table: int) -> Iterator[tuple[int, str]]:
    for raw in interned.get(table, []):
        entry = fields(raw)
        yield entry[1][0], entry[2][0].decode()


def timeline(raw: bytes) -> Timeline:
    """Read one as trace_processor does; raises KeyError, IndexError or ValueError where it would complain."""
    found, open_slices = Timeline(), dict[int, list[Slice]]()
    names, notes = dict[int, str](), dict[int, str]()
    for number, packet_raw in enumerate(fields(raw)[1]):
        packet = fields(packet_raw)
        assert packet[10] == [1], "one sequence"
        assert packet[13] == [3 if number == 0 else 2], "names by number hold from the first packet on"
        for interned in packet.get(12, []):
            names |= _names(fields(interned), 2)
            notes |= _names(fields(interned), 3)
        for raw_track in packet.get(60, []):
            track = fields(raw_track)
            if 3 in track:
                found.processes[fields(track[3][0])[1][0]] = fields(track[3][0])[6][0].decode()
            else:
                thread = fields(track[4][0])
                assert thread[1][0] in found.processes
                found.tracks[track[1][0]] = thread[5][0].decode()
        for raw_event in packet.get(11, []):
            event, at = fields(raw_event), packet[8][0]
            uuid = event[11][0]
            track_name = found.tracks[uuid]
            if event[9] == [1]:
                told = {notes[each[1][0]]: each.get(3, [b""])[0] if 3 in each else each[6][0].decode()
                        for each in map(fields, event.get(4, []))}  # fmt: skip
                made = Slice(track_name, names[event[10][0]], at, notes=told)
                found.slices.append(made)
                open_slices.setdefault(uuid, []).append(made)
            elif event[9] == [2]:
                open_slices[uuid].pop().ended = at
            else:
                found.instants.append((track_name, names[event[10][0]]))
    assert not any(open_slices.values()), "every slice ends"
    return found
