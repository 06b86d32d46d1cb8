# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtqueues against a model, with random honest drivers, and random bytes against nothing but their rules."""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ring_lab import Arena, Driver, Request, data_of, modern_ring

from lguest_py.devices.errors import GuestError
from lguest_py.devices.virtqueue import (
    DESC_INDIRECT,
    DESC_NEXT,
    DESC_WRITE,
    F_EVENT_IDX,
    F_INDIRECT_DESC,
    Chain,
    Ring,
    Virtqueue,
    legacy_ring,
)

RAM = 1 << 18
RING, BUFFERS = 0x1000, 0x10000
QUICK = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FEATURES = st.sampled_from((0, F_INDIRECT_DESC, F_EVENT_IDX, F_INDIRECT_DESC | F_EVENT_IDX))
STARTS = st.sampled_from((0, 1, 0x7FFE, 0xFFF0, 0xFFFE, 0xFFFF))  # so that indices wrap


@dataclass
class Sent:
    """What the model knows of a request."""

    request: Request
    data: bytes
    sizes: list[int]


class Model:
    """Both ends of a queue, and plain lists of what must come out of it."""

    def __init__(self, features: int, legacy: bool, size: int, start: int) -> None:
        self.memory = memoryview(bytearray(RAM))
        self.features = features
        self.interrupts = 0
        ring = legacy_ring(RING, size, 4096) if legacy else modern_ring(RING, size)
        self.queue = Virtqueue("queue", self.memory, self._interrupt)
        self.queue.enable(ring, features)
        self.driver = Driver(self.memory, ring, features, Arena(BUFFERS, RAM))
        self._begin_at(start)
        self.offered: deque[Sent] = deque()
        self.popped: list[tuple[Sent, Chain]] = []
        self.pushed: list[tuple[Sent, int]] = []
        self.unsignalled = 0  # pushed since the device's last notify
        self.device_sleeps = False  # it found nothing, and waits to be notified
        self.indices = start  # of the next used entry

    def _begin_at(self, start: int) -> None:
        """As if ``start`` requests had gone through."""
        self.queue._next_avail = self.queue._seen_avail = self.queue._next_used = start
        self.driver.avail_index = self.driver.seen = self.driver._kicked = self.driver.used_event = start
        self.driver.set_word(self.driver.ring.used + 2, start)
        if self.features & F_EVENT_IDX:
            self.driver.set_word(self.driver.ring.used + 4 + 8 * self.driver.size, start)

    def _interrupt(self) -> None:
        self.interrupts += 1

    def add(self, readable: list[bytes], writable: list[int], direct: int) -> None:
        try:
            request = self.driver.add(readable, writable, direct)
        except MemoryError:
            return
        self.offered.append(Sent(request, b"".join(readable), writable))

    def kick(self) -> None:
        """A driver's notification; none may be lost while the device sleeps."""
        wanted = self.driver.wants_notify()
        if self.device_sleeps and self.offered:
            assert wanted
        if wanted:
            self.device_sleeps = False

    def pop(self) -> None:
        chain = self.queue.pop()
        if not self.offered:
            assert chain is None
            self.device_sleeps = True
            return
        assert chain is not None
        self.device_sleeps = False
        sent = self.offered.popleft()
        assert chain.head == sent.request.head
        assert data_of(chain.readable) == sent.data
        assert [len(piece) for piece in chain.writable] == sent.sizes
        self.popped.append((sent, chain))

    def push(self, which: list[int], together: bool) -> None:
        chains: list[tuple[Sent, Chain]] = []
        for number in which:
            if self.popped:
                chains.append(self.popped.pop(number % len(self.popped)))
        answers = []
        for sent, chain in chains:
            written = sum(sent.sizes)
            for piece in chain.writable:
                piece[:] = bytes([len(self.pushed) & 0xFF]) * len(piece)
            self.pushed.append((sent, written))
            answers.append((chain, written))
        if together:
            self.queue.push_all(answers)
        else:
            for chain, written in answers:
                self.queue.push(chain, written)
        self.unsignalled += len(answers)

    def notify(self) -> None:
        """The device's interrupt comes exactly when the driver asked for one of what was pushed."""
        asked = [(self.indices + n) & 0xFFFF for n in range(self.unsignalled)]
        if self.features & F_EVENT_IDX:
            expected = self.driver.used_event in asked
        else:
            expected = bool(asked) and not self.driver.avail_flags & 1
        self.interrupts = 0
        self.queue.notify()
        assert self.interrupts == int(expected)
        self.indices = (self.indices + self.unsignalled) & 0xFFFF
        self.unsignalled = 0

    def collect(self) -> None:
        for request, written in self.driver.finished():
            sent, expected = self.pushed.pop(0)
            assert request is sent.request
            assert written == expected
            assert len(set(self.driver.read(request))) <= 1
            self.driver.release(request)

    def ask(self, event: int) -> None:
        """The driver's wish for interrupts."""
        if self.features & F_EVENT_IDX:
            self.driver.used_event = (self.driver.seen + event) & 0xFFFF
        else:
            self.driver.avail_flags = event & 1


PIECES = st.lists(st.binary(min_size=1, max_size=40), max_size=3)
SIZES = st.lists(st.integers(1, 40), max_size=3)


@QUICK
@given(FEATURES, st.booleans(), st.sampled_from((1, 2, 8, 256)), STARTS, st.data())
def test_honest_drivers_get_what_the_model_says(
    features: int, legacy: bool, size: int, start: int, data: st.DataObject
) -> None:
    model = Model(features, legacy, size, start)
    for step in data.draw(st.lists(st.integers(0, 6), min_size=5, max_size=60)):
        match step:
            case 0 | 1:
                readable, writable = data.draw(PIECES), data.draw(SIZES)
                if readable or writable:
                    model.add(readable, writable, data.draw(st.integers(0, 2)))
                if step == 0:
                    model.kick()
            case 2:
                model.pop()
            case 3:
                model.push(data.draw(st.lists(st.integers(0, 9), max_size=4)), data.draw(st.booleans()))
            case 4:
                model.notify()
            case 5:
                model.collect()
            case 6:
                model.ask(data.draw(st.integers(0, 3)))
    model.kick()
    while model.offered:
        model.pop()
    model.pop()
    model.push([0] * len(model.popped), True)
    model.notify()
    model.collect()
    assert not model.driver.requests


@QUICK
@given(FEATURES, st.sampled_from((1, 4, 64)))
def test_no_wake_up_is_lost(features: int, size: int) -> None:
    """A driver that sleeps until an interrupt, and a device that sleeps until a notification, never both do."""
    model = Model(features, False, size, 0xFFF8)
    for number in range(40):
        model.pop()
        assert model.device_sleeps
        model.collect()
        model.add([b"x"], [], 0)
        model.kick()
        assert not model.device_sleeps, number
        model.pop()
        model.push([0], False)
        before = model.queue._pushed
        assert before == 1
        model.notify()
        assert model.interrupts == 1, number


EDGES = RAM - 1, RAM, (1 << 64) - 1, RING
ADDRESSES = st.one_of(st.integers(0, RAM), st.sampled_from(EDGES), st.integers(0, 2**64 - 1))
LENGTHS = st.one_of(st.sampled_from((0, 1, 16, 32, 48, 4096)), st.integers(0, 2**32 - 1))
FLAGS = st.one_of(st.sampled_from((0, DESC_NEXT, DESC_WRITE, DESC_INDIRECT, 3)), st.integers(0, 0xFFFF))
DESCRIPTORS = st.lists(st.tuples(ADDRESSES, LENGTHS, FLAGS, st.integers(0, 20)), min_size=1, max_size=16)


@QUICK
@given(FEATURES, DESCRIPTORS, DESCRIPTORS, st.lists(st.integers(0, 20), max_size=8), st.integers(0, 40))
def test_any_descriptors_at_all_end_in_chains_or_in_a_guest_error(
    features: int,
    descriptors: list[tuple[int, int, int, int]],
    table: list[tuple[int, int, int, int]],
    heads: list[int],
    more: int,
) -> None:
    memory = memoryview(bytearray(RAM))
    queue = Virtqueue("queue", memory, lambda: None)
    ring = modern_ring(RING, 16)
    queue.enable(ring, features)
    driver = Driver(memory, ring)
    for place, entries in ((ring.descriptors, descriptors), (0x8000, table)):
        for number, entry in enumerate(entries):
            struct.pack_into("<QIHH", memory, place + 16 * number, *entry)
    for number, (_, length, flags, following) in enumerate(descriptors):
        if flags & DESC_INDIRECT and number % 2:
            driver.describe(number, 0x8000, length & 0xF0, flags, following)
    for head in heads:
        driver.offer(head)
    driver.avail_index += more
    try:
        while chain := queue.pop():
            pieces = [*chain.readable, *chain.writable]
            assert 0 < sum(map(len, pieces)) <= RAM
            assert all(len(piece) for piece in pieces)
            queue.push(chain, 0)
    except GuestError:
        pass


RING_SIZES = st.integers(0, 16).map(lambda bits: 1 << bits) | st.integers(0, 1 << 17)
RING_PLACES = st.integers(0, RAM // 16 + 1).map(lambda number: number * 16) | ADDRESSES


@QUICK
@given(RING_SIZES, RING_PLACES, RING_PLACES, RING_PLACES)
def test_any_ring_at_all_is_within_memory_or_refused(size: int, descriptors: int, available: int, used: int) -> None:
    memory = memoryview(bytearray(RAM))
    queue = Virtqueue("queue", memory, lambda: None)
    ring = Ring(size, descriptors, available, used)
    try:
        queue.enable(ring, F_EVENT_IDX)
    except GuestError:
        assert queue.pop() is None
        return
    assert size in [1 << n for n in range(16)]
    assert max(address + length for _, address, length, _ in ring.parts) <= RAM
    queue.available()


def test_a_long_indirect_chain_may_be_longer_than_its_ring() -> None:
    """Linux makes such chains, whatever 2.7.5.3.1 says, and QEMU takes up to 1024."""
    model = Model(F_INDIRECT_DESC, False, 2, 0)
    model.add([b"x"] * 200, [1] * 100, 0)
    model.pop()
    assert len(model.popped) == 1


def test_an_indirect_table_may_follow_direct_descriptors() -> None:
    model = Model(F_INDIRECT_DESC, False, 8, 0)
    model.add([b"ab", b"cd", b"ef"], [3, 4], 2)
    assert model.driver.requests[model.offered[0].request.head].table
    model.pop()
    assert len(model.popped[0][1].readable) == 3
