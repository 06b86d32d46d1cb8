# SPDX-License-Identifier: GPL-2.0-or-later
"""A driver's side of virtqueues, in Python: to test a device without a machine.

``Driver`` is one queue: legacy or virtio 1.x layout, indirect descriptors and event index when agreed on.  ``Rig`` is a
started device with a Driver for each of its queues:

    rig = Rig(device)
    answer = rig.request(0, [header], [512, 1])  # bytes for the device; sizes of what it fills; all that it wrote

Read next: random_rings.py, which throws random ones at a device.
"""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count

from lguest_py.devices.device import Device, Progress
from lguest_py.devices.virtqueue import (
    DESC_INDIRECT,
    DESC_NEXT,
    DESC_WRITE,
    F_EVENT_IDX,
    F_INDIRECT_DESC,
    RING_FEATURES,
    Ring,
    Virtqueue,
    legacy_ring,
)
from lguest_py.shared_memory import _layouts as L

PIECE = struct.Struct("<QIHH")
DEFAULT_MEMORY = 8 << 20


def modern_ring(address: int, size: int) -> Ring:
    """A virtio 1.x ring at ``address``, its parts far from each other and in another order than the legacy one's."""
    used = address
    available = -(-(used + 6 + 8 * size) // 4096) * 4096 + 2
    descriptors = -(-(available + 6 + 2 * size) // 4096) * 4096 + 16
    return Ring(size, descriptors, available, used)


class Arena:
    """Gives out memory of a range and takes it back."""

    def __init__(self, start: int, end: int) -> None:
        self._free = [(start, end)]

    def take(self, size: int) -> int:
        """The address of ``size`` bytes, a multiple of 16."""
        size = -(-size // 16) * 16
        for number, (start, end) in enumerate(self._free):
            if end - start >= size:
                self._free[number] = start + size, end
                return start
        raise MemoryError(f"the arena has no {size} bytes left")

    def give(self, address: int, size: int) -> None:
        """Take back what ``take`` gave."""
        self._free.append((address, address + -(-size // 16) * 16))
        merged: list[tuple[int, int]] = []
        for start, end in sorted(piece for piece in self._free if piece[0] < piece[1]):
            if merged and merged[-1][1] == start:
                merged[-1] = merged[-1][0], end
            else:
                merged.append((start, end))
        self._free = merged


@dataclass
class Request:
    """What a driver made available: where its buffers are."""

    head: int
    readable: list[tuple[int, int]]  # (address, length)
    writable: list[tuple[int, int]]
    descriptors: list[int]
    table: tuple[int, int] | None  # an indirect table: its address and length


class Driver:
    """One virtqueue in ``memory``.  ``place``: its Ring, or the address of a legacy one of 256 entries."""

    def __init__(self, memory: memoryview, place: Ring | int, features: int = 0, arena: Arena | None = None) -> None:
        self.ring = place if isinstance(place, Ring) else legacy_ring(place, L.LGUEST_RING_SIZE, L.LGUEST_RING_ALIGN)
        self.memory = memory
        self.features = features
        self.size = self.ring.size
        self.address = self.ring.descriptors
        self.seen = 0
        self._arena = arena
        self._free = list(range(self.size))
        self._kicked = 0  # the available index at the last ``wants_notify``
        self.requests: dict[int, Request] = {}

    # The words of the two rings.

    def word(self, address: int) -> int:
        """A 16-bit word."""
        return int(struct.unpack_from("<H", self.memory, address)[0])

    def set_word(self, address: int, value: int) -> None:
        """Write one."""
        struct.pack_into("<H", self.memory, address, value & 0xFFFF)

    @property
    def avail_flags(self) -> int:
        """The driver's flags."""
        return self.word(self.ring.available)

    @avail_flags.setter
    def avail_flags(self, value: int) -> None:
        self.set_word(self.ring.available, value)

    @property
    def avail_index(self) -> int:
        """How many chains were made available, modulo 65536."""
        return self.word(self.ring.available + 2)

    @avail_index.setter
    def avail_index(self, value: int) -> None:
        self.set_word(self.ring.available + 2, value)

    @property
    def used_event(self) -> int:
        """The driver wants an interrupt when the used index passes this."""
        return self.word(self.ring.available + 4 + 2 * self.size)

    @used_event.setter
    def used_event(self, value: int) -> None:
        self.set_word(self.ring.available + 4 + 2 * self.size, value)

    @property
    def used_flags(self) -> int:
        """The device's flags."""
        return self.word(self.ring.used)

    @property
    def used_index(self) -> int:
        """How many chains came back, modulo 65536."""
        return self.word(self.ring.used + 2)

    @property
    def avail_event(self) -> int:
        """The device wants a notification when the available index passes this."""
        return self.word(self.ring.used + 4 + 8 * self.size)

    # Single steps, which may break any rule.

    def describe(self, index: int, address: int, length: int, flags: int = 0, following: int = 0) -> None:
        """Write one descriptor."""
        PIECE.pack_into(self.memory, self.ring.descriptors + 16 * index, address, length, flags, following)

    def offer(self, head: int) -> None:
        """Make the chain from descriptor ``head`` available."""
        index = self.avail_index
        self.set_word(self.ring.available + 4 + 2 * (index % self.size), head)
        self.avail_index = index + 1

    def send(self, head: int, address: int, data: bytes) -> None:
        """Make ``data`` available, which is put at ``address``."""
        self.memory[address : address + len(data)] = data
        self.describe(head, address, len(data))
        self.offer(head)

    def receive(self, head: int, address: int, length: int) -> None:
        """Make a buffer available for the device to fill."""
        self.describe(head, address, length, DESC_WRITE)
        self.offer(head)

    def chain(self, *pieces: tuple[int, int, int]) -> None:
        """One chain of (address, length, flags), from descriptor 0 on."""
        for n, (address, length, flags) in enumerate(pieces):
            more = DESC_NEXT if n + 1 < len(pieces) else 0
            self.describe(n, address, length, flags | more, n + 1)
        self.offer(0)

    def used(self) -> list[tuple[int, int]]:
        """(head, bytes written) of each chain that came back since the last call."""
        result = []
        while self.seen != self.used_index:
            slot = self.ring.used + 4 + 8 * (self.seen % self.size)
            result.append(struct.unpack_from("<II", self.memory, slot))
            self.seen = (self.seen + 1) & 0xFFFF
        return result

    # A driver that keeps the rules.

    def add(self, readable: Iterable[bytes], writable: Iterable[int] = (), direct: int = 0) -> Request:
        """Make buffers available: bytes for the device to read, sizes for it to fill.  Raises MemoryError when full.

        With indirect descriptors, ``direct`` of them stand before the table.
        """
        assert self._arena, "this driver was given no arena"
        sent = list(readable)
        request = Request(-1, [], [], [], None)
        for data in sent:
            address = self._arena.take(len(data))
            self.memory[address : address + len(data)] = data
            request.readable.append((address, len(data)))
        request.writable = [(self._arena.take(size), size) for size in writable]
        pieces = [(*piece, 0) for piece in request.readable] + [(*piece, DESC_WRITE) for piece in request.writable]
        if self.features & F_INDIRECT_DESC and len(pieces) > direct:
            inside = pieces[direct:]
            request.table = self._arena.take(16 * len(inside)), 16 * len(inside)
            for n, (address, length, flags) in enumerate(inside):
                more = DESC_NEXT if n + 1 < len(inside) else 0
                PIECE.pack_into(self.memory, request.table[0] + 16 * n, address, length, flags | more, n + 1)
            pieces = [*pieces[:direct], (*request.table, DESC_INDIRECT)]
        if len(pieces) > len(self._free):
            self._forget(request)
            raise MemoryError("the ring is full")
        request.descriptors = [self._free.pop(0) for _ in pieces]
        for n, (address, length, flags) in enumerate(pieces):
            more = n + 1 < len(pieces)
            following = request.descriptors[n + 1] if more else 0
            self.describe(request.descriptors[n], address, length, flags | (DESC_NEXT if more else 0), following)
        request.head = request.descriptors[0]
        self.requests[request.head] = request
        self.offer(request.head)
        return request

    def wants_notify(self) -> bool:
        """Whether a driver notifies the device of what it made available since the last call."""
        old, new = self._kicked, self.avail_index
        self._kicked = new
        if old == new:
            return False
        if self.features & F_EVENT_IDX:
            return (new - self.avail_event - 1) & 0xFFFF < (new - old) & 0xFFFF
        return not self.used_flags & 1

    def finished(self) -> list[tuple[Request, int]]:
        """The requests that came back since the last call, each with the number of bytes that the device wrote.

        With an event index, the next one that comes back is to raise an interrupt.
        """
        done = [(self.requests.pop(head), written) for head, written in self.used()]
        if self.features & F_EVENT_IDX:
            self.used_event = self.seen
        return done

    def read(self, request: Request) -> bytes:
        """What is in the buffers that the device fills."""
        return b"".join(bytes(self.memory[address : address + size]) for address, size in request.writable)

    def release(self, request: Request) -> None:
        """Use the buffers and descriptors of a finished request again."""
        self._free += request.descriptors
        self._forget(request)

    def _forget(self, request: Request) -> None:
        assert self._arena
        for address, size in [*request.readable, *request.writable, *([request.table] if request.table else [])]:
            self._arena.give(address, size)


class Rig:
    """A device that was started, and a Driver of each of its queues.

    ``features``: what is accepted of the device's own; None: all.  ``legacy``: the layout of the device page.
    """

    def __init__(
        self,
        device: Device,
        features: int | None = None,
        *,
        legacy: bool = False,
        ring_features: int = RING_FEATURES,
        memory_bytes: int = DEFAULT_MEMORY,
    ) -> None:
        self.device = device
        self.features = device.features if features is None else features
        self.legacy, self.ring_features = legacy, ring_features
        self.memory = memoryview(bytearray(memory_bytes))
        self.interrupts: list[int] = []  # numbers of queues
        self.config_changes = 0
        self.start()

    def start(self) -> None:
        """As after a reset: empty rings, and the device knows them."""
        address = 0x1000
        rings = []
        for size in self.device.queue_sizes:
            rings.append(legacy_ring(address, 256, 4096) if self.legacy else modern_ring(address, size))
            address = -(-rings[-1].end // 4096) * 4096
        self.memory[:address] = bytes(address)
        self.arena = Arena(address, len(self.memory))
        self.queues = []
        for number, ring in enumerate(rings):
            interrupt = partial(self.interrupts.append, number)
            queue = Virtqueue(f"{self.device.name} queue {number}", self.memory, interrupt)
            queue.enable(ring, self.ring_features)
            self.queues.append(queue)
        self.drivers = [Driver(self.memory, ring, self.ring_features, self.arena) for ring in rings]
        self.device.start(self.queues, self.features, self._config_changed)

    def _config_changed(self) -> None:
        self.config_changes += 1

    def reset(self) -> None:
        """Reset the device; ``start`` is to follow."""
        self.device.reset()
        for queue in self.queues:
            queue.disable()

    def kick(self, queue: int) -> None:
        """Notify the device if it wants to know."""
        if self.drivers[queue].wants_notify():
            self.device.kick(queue)

    def service(self, seconds: float = 0.0) -> Progress:
        """Let the device work: as long as it has more to do, and then until nothing happened for so many seconds."""
        until = time.monotonic() + 60
        while True:
            progress = self.device.service()
            if progress is Progress.MORE:
                assert time.monotonic() < until, "the device does not come to an end"
                continue
            if not self._wait(seconds):
                return progress

    def _wait(self, seconds: float) -> bool:
        poller = select.poll()
        for fd in self.device.watched():
            poller.register(fd, select.POLLIN)
        for fd in self.device.blocked():
            poller.register(fd, select.POLLOUT)
        return bool(poller.poll(int(1000 * seconds)))

    def request(
        self, queue: int, readable: Iterable[bytes], writable: Iterable[int] = (), seconds: float = 10.0
    ) -> bytes:
        """Make one request, let the device work, and return what it wrote."""
        driver = self.drivers[queue]
        wanted = driver.add(readable, writable)
        self.kick(queue)
        until = time.monotonic() + seconds
        for attempt in count():
            if self.device.service() is not Progress.MORE and attempt:
                self._wait(0.02)
            for request, written in driver.finished():
                data = driver.read(request)[:written]
                driver.release(request)
                if request is wanted:
                    return data
            if time.monotonic() > until:
                break
        raise TimeoutError(f"queue {queue}: the device did not answer")


def data_of(pieces: Sequence[memoryview]) -> bytes:
    """The bytes of a chain's pieces."""
    return b"".join(map(bytes, pieces))
