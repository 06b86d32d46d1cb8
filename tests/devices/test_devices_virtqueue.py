# SPDX-License-Identifier: GPL-2.0-or-later
"""The device's side of a virtqueue, against an honest driver and a hostile one."""

from __future__ import annotations

import random
import re
import struct
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from ring_lab import Driver

from lguest_py.devices.errors import GuestError
from lguest_py.devices.virtqueue import (
    AVAIL_NO_INTERRUPT,
    DESC_INDIRECT,
    DESC_NEXT,
    DESC_WRITE,
    F_INDIRECT_DESC,
    Virtqueue,
    legacy_ring,
)
from lguest_py.shared_memory import _layouts as L

RAM = 0x40000
RING = 0x20000
SIZE = 256


class Pair:
    """Both sides of one ring in 256 KiB of memory."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(RAM))
        self.interrupts = 0
        self.queue = Virtqueue("queue", self.memory, self._interrupt)
        self.queue.enable(legacy_ring(RING, SIZE, 4096))
        self.driver = Driver(self.memory, RING)

    def _interrupt(self) -> None:
        self.interrupts += 1


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_the_layout_is_the_legacy_one() -> None:
    """Offsets of a 256-entry ring from virtio 1.0, 2.4.2: 4096 + 518 bytes, then the used ring on the next page."""
    ring = legacy_ring(0x10000, 256, 4096)
    assert (ring.descriptors, ring.available, ring.used) == (0x10000, 0x10000 + 4096, 0x10000 + 8192)
    assert ring.end - 0x10000 == 10246


def test_nothing_is_available_at_first(pair: Pair) -> None:
    assert pair.queue.pop() is None
    assert pair.queue.available() == 0


def test_a_chain_comes_with_its_bytes_and_goes_back(pair: Pair) -> None:
    pair.memory[0x100:0x105] = b"hello"
    pair.driver.chain((0x100, 5, 0), (0x200, 3, DESC_WRITE), (0x300, 2, DESC_WRITE))
    assert pair.queue.available() == 1
    chain = pair.queue.pop()
    assert chain is not None
    assert [bytes(piece) for piece in chain.readable] == [b"hello"]
    assert [len(piece) for piece in chain.writable] == [3, 2]
    chain.writable[0][:] = b"abc"
    assert bytes(pair.memory[0x200:0x203]) == b"abc"
    pair.queue.push(chain, 3)
    assert pair.driver.used() == [(0, 3)]
    assert pair.queue.pop() is None


def test_buffers_that_meet_at_a_page_are_one(pair: Pair) -> None:
    """Not those that meet elsewhere, and not one to read with one to write."""
    pair.driver.chain(
        *((0x1000 * page, 0x1000, 0) for page in (3, 4, 5, 9)),
        (0xA000, 0x10, 0),
        (0xA010, 0x10, 0),
        *((0x1000 * page, 0x1000, DESC_WRITE) for page in (6, 7, 1, 2)),
        (0x8000, 1, DESC_WRITE),
    )
    chain = pair.queue.pop()
    assert chain is not None
    assert [len(piece) for piece in chain.readable] == [0x3000, 0x1010, 0x10]
    assert [len(piece) for piece in chain.writable] == [0x2000, 0x2000, 1]
    for piece, place in zip(chain.writable, (0x6000, 0x1000, 0x8000), strict=True):
        piece[:] = bytes([place >> 12]) * len(piece)
        assert bytes(pair.memory[place : place + len(piece)]) == bytes(piece)


def test_indices_wrap_at_65536(pair: Pair) -> None:
    for round_trip in range(66_000):
        head = round_trip % SIZE
        pair.driver.send(head, 0x100, b"x")
        chain = pair.queue.pop()
        assert chain is not None
        assert chain.head == head
        pair.queue.push(chain, round_trip)
        assert pair.driver.used() == [(head, round_trip)]


def test_one_interrupt_for_what_was_pushed_and_none_for_nothing(pair: Pair) -> None:
    pair.queue.notify()
    assert pair.interrupts == 0
    for head in range(2):
        pair.driver.send(head, 0x100, b"x")
        chain = pair.queue.pop()
        assert chain is not None
        pair.queue.push(chain, 0)
    pair.queue.notify()
    pair.queue.notify()
    assert pair.interrupts == 1


def test_no_interrupt_when_the_driver_asked_for_none(pair: Pair) -> None:
    pair.driver.avail_flags = AVAIL_NO_INTERRUPT
    pair.driver.send(0, 0x100, b"x")
    chain = pair.queue.pop()
    assert chain is not None
    pair.queue.push(chain, 0)
    pair.queue.notify()
    assert pair.interrupts == 0


def test_a_disabled_queue_has_nothing_and_starts_anew(pair: Pair) -> None:
    pair.driver.send(7, 0x100, b"x")
    chain = pair.queue.pop()
    assert chain is not None
    pair.queue.disable()
    before = bytes(pair.memory)
    assert pair.queue.available() == 0
    assert pair.queue.pop() is None
    pair.queue.push(chain, 0)
    pair.queue.push_all(((chain, 0),))
    pair.queue.notify()
    assert pair.memory == before
    assert pair.interrupts == 0
    pair.memory[RING : RING + 10246] = bytes(10246)
    pair.queue.enable(legacy_ring(RING, SIZE, 4096))
    pair.driver = Driver(pair.memory, RING)
    pair.driver.send(3, 0x100, b"y")
    chain = pair.queue.pop()
    assert chain is not None
    assert chain.head == 3


def test_the_last_byte_of_memory_may_be_used(pair: Pair) -> None:
    pair.driver.receive(0, RAM - 1, 1)
    chain = pair.queue.pop()
    assert chain is not None
    assert len(chain.writable[0]) == 1


def linked(driver: Driver, *links: tuple[int, int]) -> None:
    """Offer descriptor 0 of several of one byte, each with (flags, the next one)."""
    for index, (flags, following) in enumerate(links):
        driver.describe(index, 0, 1, flags, following)
    driver.offer(0)


HOSTILE: dict[str, Callable[[Driver], object]] = {
    "available index": lambda d: setattr(d, "avail_index", SIZE + 1),
    "descriptor 256": lambda d: d.offer(SIZE),
    "descriptor 65535": lambda d: linked(d, (DESC_NEXT, 0xFFFF)),
    "loops": lambda d: linked(d, (DESC_NEXT, 1), (DESC_NEXT, 0)),
    "1 bytes at 0x40000 are beyond": lambda d: d.receive(0, RAM, 1),
    "2 bytes at 0x3ffff are beyond": lambda d: d.receive(0, RAM - 1, 2),
    "at 0x100000000 are beyond": lambda d: d.receive(0, 1 << 32, 1),
    "at 0xffffffffffffffff are beyond": lambda d: d.receive(0, (1 << 64) - 1, 1),
    "4294967295 bytes": lambda d: d.receive(0, 0, 0xFFFFFFFF),
    "no bytes": lambda d: d.receive(0, 0, 0),
    "indirect": lambda d: linked(d, (DESC_INDIRECT, 0)),
    "after one to write": lambda d: d.chain((0, 1, DESC_WRITE), (0, 1, 0)),
    "more bytes than": lambda d: d.chain((0, RAM, 0), (0, 1, 0)),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_broken_rule_ends_the_guest(pair: Pair, what: str) -> None:
    HOSTILE[what](pair.driver)
    with pytest.raises(GuestError, match=re.escape(what)):
        pair.queue.pop()


@pytest.mark.parametrize("part", ["descriptors", "available", "used"])
def test_a_ring_whose_parts_are_not_aligned(pair: Pair, part: str) -> None:
    ring = legacy_ring(RING, SIZE, 4096)
    with pytest.raises(GuestError, match="cannot be at"):
        pair.queue.enable(replace(ring, **{part: getattr(ring, part) + 1}))


def test_more_chains_than_descriptors(pair: Pair) -> None:
    """The driver offers one again before the device is done with it."""
    for number in range(SIZE):
        pair.driver.receive(number, 0x100, 1)
        assert pair.queue.pop()
    pair.driver.receive(0, 0x100, 1)
    with pytest.raises(GuestError, match="available index"):
        pair.queue.pop()


def test_indirect_descriptors(pair: Pair) -> None:
    """None that was not agreed on, none in an indirect table, none of a broken length, none that goes on."""
    table = 0x2000
    pair.driver.describe(0, table, 16, DESC_INDIRECT, 0)
    pair.driver.offer(0)
    with pytest.raises(GuestError, match="not agreed on"):
        pair.queue.pop()
    struct.pack_into("<QIHH", pair.memory, table, table, 16, DESC_INDIRECT, 0)
    for length, flags, what in (
        (16, DESC_INDIRECT, "in another"),
        (24, DESC_INDIRECT, "of 24 bytes"),
        (16, DESC_INDIRECT | DESC_NEXT, "with flags 5"),
    ):
        pair.queue.disable()
        pair.queue.enable(legacy_ring(RING, SIZE, 4096), F_INDIRECT_DESC)
        pair.driver = Driver(pair.memory, RING)
        pair.memory[RING + 16 * SIZE + 2 : RING + 16 * SIZE + 4] = b"\0\0"
        pair.driver.describe(0, table, length, flags, 1)
        pair.driver.offer(0)
        with pytest.raises(GuestError, match=what):
            pair.queue.pop()


def test_a_full_length_chain_is_no_loop(pair: Pair) -> None:
    pair.driver.chain(*((0x100, 1, 0) for _ in range(SIZE)))
    chain = pair.queue.pop()
    assert chain is not None
    assert len(chain.readable) == SIZE


def test_any_ring_at_all_ends_in_chains_or_in_a_guest_error() -> None:
    """Random bytes in the ring: nothing else is raised, nothing loops, and every buffer is within memory."""
    seen = {"chain": 0, "error": 0, "empty": 0}
    for seed in range(300):
        chance = random.Random(seed)
        pair = Pair()
        for _ in range(64):
            pair.driver.describe(
                chance.randrange(SIZE),
                chance.choice((chance.randrange(RAM), chance.getrandbits(64))) if seed % 3 == 0 else 0x100,
                chance.choice((1, 2, chance.randrange(RAM), chance.getrandbits(32))) if seed % 3 == 1 else 1,
                chance.randrange(8) if seed % 3 == 2 else chance.randrange(4),
                chance.randrange(SIZE + seed % 2),
            )
            pair.driver.offer(chance.randrange(SIZE))
        try:
            while chain := pair.queue.pop():
                seen["chain"] += 1
                assert all(len(piece) for piece in (*chain.readable, *chain.writable))
                pair.queue.push(chain, 0)
            seen["empty"] += 1
        except GuestError:
            seen["error"] += 1
    assert seen["chain"] > 0
    assert seen["error"] > 0


def test_what_a_device_wrote_is_said_before_the_driver_sees_it(pair: Pair) -> None:
    """By the page: nothing while the buffer is out, then its pages and no others; the used ring's stay."""
    wrote, rings = pair.queue._wrote, slice(RING + 8192 >> 12, (RING + 8192 >> 12) + 1)
    assert sum(wrote) == wrote[rings.start] == L.DEVICE_RING
    pair.driver.chain((0x100, 16, 0), (0x3FFF, 2, DESC_WRITE), (0x8000, 0x1000, DESC_WRITE))
    chain = pair.queue.pop()
    assert chain is not None
    assert sum(wrote) == L.DEVICE_RING
    pair.queue.push(chain, 0)
    assert [page for page in range(len(wrote)) if wrote[page] == L.DEVICE_WROTE] == [3, 4, 8]
    wrote[:] = bytes(len(wrote))
    pair.driver.receive(9, RING + 8192 + 2048, 8)  # beside the used ring
    chain = pair.queue.pop()
    assert chain is not None
    pair.queue.push_all(((chain, 8),))
    assert sum(wrote) == wrote[rings.start] == L.DEVICE_RING


@pytest.mark.parametrize("out", [False, True])
def test_a_disabled_queue_may_have_written_to_what_it_keeps(pair: Pair, out: bool) -> None:
    if out:
        pair.driver.receive(9, 0x100, 8)
        assert pair.queue.pop()
    pair.queue.disable()
    wrote = pair.queue._wrote
    assert sum(wrote) == (len(wrote) if out else 1) * L.DEVICE_WROTE


@pytest.mark.parametrize("part", ["descriptors", "available", "used"])
def test_a_buffer_that_is_the_ring_which_describes_it(pair: Pair, part: str) -> None:
    """What was popped stays as it was read; what the device wrote there counts from the next chain on."""
    ring = pair.driver.ring
    place, size = {name: (at, size) for name, at, size, _ in ring.parts}[
        {"descriptors": "descriptor table", "available": "available ring", "used": "used ring"}[part]
    ]
    pair.driver.chain((0x100, 4, 0), (place, size, DESC_WRITE))
    chain = pair.queue.pop()
    assert chain is not None
    written = bytearray(size)
    if part == "descriptors":
        struct.pack_into("<QIHH", written, 16 * 5, 0x700, 7, DESC_WRITE, 0)
    elif part == "available":
        struct.pack_into("<HHHH", written, 0, 0, 2, 5, 5)
    else:
        written[:] = b"\xee" * size
    chain.writable[0][:] = written
    pair.queue.push(chain, size)
    assert pair.driver.used_index == 1
    assert struct.unpack_from("<II", pair.memory, ring.used + 4) == (0, size)
    if part != "available":
        pair.driver.offer(5)
    if part != "descriptors":
        pair.driver.describe(5, 0x700, 7, DESC_WRITE)
    chain = pair.queue.pop()
    assert chain is not None
    assert (chain.head, chain.readable, [len(piece) for piece in chain.writable]) == (5, (), [7])


def test_a_ring_that_is_rewritten_while_it_is_drained(pair: Pair) -> None:
    """Another thread writes descriptors and indices: chains of the Guest's memory or a GuestError; both are seen."""
    stop, seen = threading.Event(), {"chain": 0, "error": 0}

    def rewrite() -> None:
        chance = random.Random(5)
        while not stop.is_set():
            address = chance.choice((chance.randrange(RAM), RAM - 1, 1 << 40))
            length = chance.choice((0, 1, 0x1000, chance.getrandbits(32)))
            flags = chance.choice((DESC_WRITE, DESC_NEXT, DESC_NEXT | DESC_WRITE, DESC_INDIRECT))
            pair.driver.describe(chance.randrange(4), address, length, flags, chance.choice((0, 1, 2, 3, SIZE)))
            if not chance.randrange(8):
                pair.driver.offer(chance.choice((0, 1, 2, SIZE)))

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(1_000_000):
            try:
                pair.driver.describe(0, 0x100, 1, DESC_WRITE)
                pair.driver.offer(0)
                while chain := pair.queue.pop():
                    seen["chain"] += 1
                    total = sum(len(piece) for piece in (*chain.readable, *chain.writable))
                    assert 0 < total <= RAM
                    pair.queue.push(chain, 0)
            except GuestError:
                seen["error"] += 1
                pair.queue.disable()
                pair.queue.enable(legacy_ring(RING, SIZE, 4096))
                pair.driver.avail_index = 0
            if min(seen.values()) >= 40:
                break
    finally:
        stop.set()
        writer.join()
    assert min(seen.values()) >= 40, seen
