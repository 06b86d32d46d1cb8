# SPDX-License-Identifier: GPL-2.0-or-later
"""A trace in a file of boot --trace, and on its way to lguest-py trace: blocks, behind a line that names the form.

A block is a letter, the length of its content, and that:

    F  facts, a JSON object: of the Guest, and what the times below mean.  One for each machine, before its records
    R  when they were taken (CLOCK_MONOTONIC, nanoseconds), and records as they were in the ring (trace_ring.py)
    E  events of the Launcher: begin, end (the same clock), kind, number; several
    D  how many records were dropped here, because who reads is slow

Read next: lguest_py/launcher/tracing.py, which writes them; lguest_py/trace/stream.py, which reads.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from lguest_py.errors import LguestError

MAGIC = b"lguest-py trace 1\n"
FACTS, RECORDS, EVENTS, DROPPED = b"F", b"R", b"E", b"D"
HEADER = struct.Struct("<cI")
TAKEN = struct.Struct("<Q")
EVENT = struct.Struct("<QQII")
COUNT = struct.Struct("<Q")
LONGEST = 1 << 22  # bytes of a block's content
WAIT, TEXT, REGISTER, NOTIFY, DEVICES = range(5)  # kinds of events
EVENT_NAMES = "waits", "console text", "register of a device", "notification", "devices work"


def block(kind: bytes, content: bytes) -> bytes:
    """One of them."""
    return HEADER.pack(kind, len(content)) + content


def facts_block(facts: Mapping[str, Any]) -> bytes:
    """One with facts."""
    return block(FACTS, json.dumps(facts).encode())


class Blocks:
    """Cuts a stream into blocks, and raises LguestError where it is none.  ``name`` is the stream's in messages."""

    def __init__(self, name: str) -> None:
        self._name, self._heard, self._begun = name, bytearray(), False

    @property
    def whole(self) -> bool:
        """Whether it may end here."""
        return self._begun and not self._heard

    def _wrong(self) -> LguestError:
        return LguestError(f"{self._name} is no trace of lguest-py, or a damaged one: make it anew")

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(letter, content) of each block that is complete with ``data``."""
        heard = self._heard
        heard += data
        if not self._begun:
            if not MAGIC.startswith(bytes(heard[: len(MAGIC)])):
                raise self._wrong()
            if len(heard) < len(MAGIC):
                return
            del heard[: len(MAGIC)]
            self._begun = True
        at = 0
        while len(heard) - at >= HEADER.size:
            kind, length = HEADER.unpack_from(heard, at)
            if length > LONGEST:
                raise self._wrong()
            if len(heard) - at - HEADER.size < length:
                break
            at += HEADER.size
            yield kind, bytes(heard[at : at + length])
            at += length
        del heard[:at]
