# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk's driver in Python: chains without a ring, and each request waited for.

What is wrong with rings themselves is tested by tests/lab/devices/ring_lab.py; here chains are cut as a test likes.
"""

from __future__ import annotations

import select
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from lguest_py.devices import block_request as R
from lguest_py.devices.block import Block
from lguest_py.devices.virtqueue import Chain, Virtqueue

LIMIT = 20.0  # seconds for one request


@dataclass
class Answer:
    """A chain that came back: the status, the bytes before it, and the count that the device gave."""

    status: int
    data: bytes
    written: int


class PlainQueue:
    """Has the methods of a Virtqueue that a device calls."""

    def __init__(self) -> None:
        self.waiting: list[Chain] = []
        self.used: list[tuple[Chain, int]] = []
        self.notified = 0
        self.heads = 0

    def available(self) -> int:
        return len(self.waiting)

    def pop(self) -> Chain | None:
        return self.waiting.pop(0) if self.waiting else None

    def push(self, chain: Chain, written: int) -> None:
        self.used.append((chain, written))

    def notify(self) -> None:
        self.notified += 1

    def offer(self, readable: Sequence[bytes], writable: Sequence[int]) -> Chain:
        """A chain with these bytes, then with room for so many."""
        outward = tuple(memoryview(bytearray(piece)) for piece in readable)
        chain = Chain(self.heads, outward, tuple(memoryview(bytearray(b"\xee" * size)) for size in writable))
        self.heads += 1
        self.waiting.append(chain)
        return chain


class DiskDriver:
    """Drives a Block that it starts; ``features`` None: all that are offered."""

    def __init__(self, disk: Block, features: int | None = None) -> None:
        self.disk = disk
        self.queue = PlainQueue()
        self.start(features)

    def start(self, features: int | None = None) -> None:
        accepted = self.disk.features if features is None else features
        self.disk.start([cast(Virtqueue, self.queue)], accepted, lambda: None)

    def ask(
        self,
        kind: int,
        sector: int = 0,
        data: bytes = b"",
        room: int = 0,
        cuts: Sequence[int] = (),
        joined: bool = False,
    ) -> Chain:
        """Offer a request; ``cuts``: sizes of the buffers, in turn; ``joined``: the status is in the data's buffer."""
        outward = struct.pack("<IIQ", kind, 0, sector) + data
        sizes = list(cuts) or [16, len(outward)]
        readable, at, turn = [], 0, 0
        while at < len(outward):
            size = max(1, sizes[turn % len(sizes)])
            readable.append(outward[at : at + size])
            at, turn = at + size, turn + 1
        inward = [room + 1] if joined or not room else [room, 1]
        if cuts and room:
            inward, left = [], room + (1 if joined else 0)
            while left:
                size = min(left, max(1, sizes[turn % len(sizes)]))
                inward.append(size)
                left, turn = left - size, turn + 1
            inward += [] if joined else [1]
        return self.queue.offer(readable, inward)

    def service(self) -> None:
        self.disk.kick(0)
        self.disk.service()

    def wait(self, *chains: Chain) -> list[Answer]:
        """Serve the disk until these came back."""
        self.service()
        while not all(any(chain is used for used, _ in self.queue.used) for chain in chains):
            if not self.queue.waiting:
                assert select.select(self.disk.watched(), [], [], LIMIT)[0], "the disk does not answer"
            self.service()
        answers = []
        for chain in chains:
            (written,) = (count for used, count in self.queue.used if used is chain)
            inward = b"".join(chain.writable)
            answers.append(Answer(inward[-1], inward[:-1], written))
        self.queue.used = [pair for pair in self.queue.used if not any(pair[0] is chain for chain in chains)]
        return answers

    def do(self, kind: int, sector: int = 0, data: bytes = b"", room: int = 0, **more: Any) -> Answer:
        (answer,) = self.wait(self.ask(kind, sector, data, room, **more))
        return answer

    def read(self, sector: int, count: int, **more: Any) -> bytes:
        answer = self.do(R.IN, sector, room=512 * count, **more)
        assert answer.status == R.OK
        assert answer.written == 512 * count + 1
        return answer.data

    def write(self, sector: int, data: bytes, **more: Any) -> None:
        answer = self.do(R.OUT, sector, data, **more)
        assert (answer.status, answer.written) == (R.OK, 1)

    def flush(self) -> None:
        assert self.do(R.FLUSH).status == R.OK

    def ranges(self, kind: int, *ranges: tuple[int, int, int]) -> int:
        return self.do(kind, data=b"".join(struct.pack("<QII", *each) for each in ranges)).status
