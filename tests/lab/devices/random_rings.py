# SPDX-License-Identifier: GPL-2.0-or-later
"""Throw random rings at a device: requests that keep the rules, requests with a few bits changed, and plain noise.

    counts = throw(device, rings(pytest_request), shapes)
    assert counts["answered"] and counts["guest error"]

The only exception that a device may raise is GuestError.  Each ring depends only on its number, so that a failure can
be repeated alone: ``throw(device, 1, shapes, first=NUMBER)``.

``shapes(chance, queue)`` gives a request that the device's driver could make: the bytes that it writes and the sizes of
what it wants to be filled.  Read next: ring_lab.py.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import pytest
from ring_lab import Rig

from lguest_py.devices.device import Device, Progress
from lguest_py.devices.errors import GuestError
from lguest_py.devices.virtqueue import DESC_INDIRECT, DESC_NEXT, DESC_WRITE, F_EVENT_IDX, F_INDIRECT_DESC

MEMORY = 1 << 19
ROUNDS = 8  # of service for one ring
IN_CI, NIGHTLY = 5_000, 100_000
Shapes = Callable[[Random, int], tuple[Sequence[bytes], Sequence[int]]]


def rings(request: pytest.FixtureRequest) -> int:
    """How many to throw: more with --nightly."""
    return NIGHTLY if request.config.getoption("nightly") else IN_CI


def noise(chance: Random, queue: int) -> tuple[Sequence[bytes], Sequence[int]]:
    """Buffers of any kind, for a device without a better idea."""
    lengths = (1, 2, 16, 64, 512, 4096)
    readable = [chance.randbytes(chance.choice(lengths)) for _ in range(chance.randrange(3))]
    writable = [chance.choice(lengths) for _ in range(chance.randrange(3))]
    return (readable, writable) if readable or writable else ([b"x"], writable)


def _address(chance: Random) -> int:
    return chance.choice((chance.randrange(MEMORY), MEMORY - 1, MEMORY, (1 << 64) - 1, chance.getrandbits(64), 0))


def _length(chance: Random) -> int:
    return chance.choice((0, 1, 16, 32, 512, chance.randrange(MEMORY), 0xFFFFFFFF, chance.getrandbits(32)))


def _scribble(rig: Rig, chance: Random, queue: int) -> None:
    """Change some of what a driver wrote: descriptors, tables, entries and indices of the ring, or data."""
    driver = rig.drivers[queue]
    size = driver.size
    for _ in range(chance.randrange(1, 4)):
        kind = chance.randrange(6)
        if kind == 0:
            flags = chance.choice((0, DESC_NEXT, DESC_WRITE, DESC_INDIRECT, 3, chance.getrandbits(16)))
            index = chance.randrange(min(size, 16))
            driver.describe(index, _address(chance), _length(chance), flags, chance.randrange(size + 1))
        elif kind == 1:
            driver.offer(chance.choice((chance.randrange(size), size, 0xFFFF)))
        elif kind == 2:
            driver.avail_index += chance.choice((1, size, size + 1, 0x8000, chance.getrandbits(16)))
        elif kind == 3 and driver.requests:
            request = chance.choice(list(driver.requests.values()))
            place, length = chance.choice([*request.readable, *request.writable, *filter(None, [request.table])])
            at = place + chance.randrange(length)
            rig.memory[at] ^= 1 << chance.randrange(8)
        elif kind == 4:
            at = driver.ring.descriptors + chance.randrange(16 * min(size, 16))
            rig.memory[at] ^= 1 << chance.randrange(8)
        else:
            driver.avail_flags = chance.getrandbits(16)
            driver.used_event = chance.getrandbits(16)


def _fill(rig: Rig, chance: Random, shapes: Shapes) -> None:
    for _ in range(chance.randrange(1, 5)):
        queue = chance.randrange(len(rig.drivers))
        try:
            rig.drivers[queue].add(*shapes(chance, queue), direct=chance.randrange(3))
        except MemoryError:
            continue
        if chance.random() < 0.5:
            _scribble(rig, chance, queue)


def _one(rig: Rig, chance: Random, shapes: Shapes, counts: Counter[str]) -> None:
    rig.legacy = chance.random() < 0.3
    rig.ring_features = chance.choice((0, F_INDIRECT_DESC, F_EVENT_IDX, F_INDIRECT_DESC | F_EVENT_IDX))
    offered = rig.device.features
    rig.features = offered if chance.random() < 0.5 else offered & chance.getrandbits(64)
    rig.memory[:] = bytes(MEMORY)
    rig.start()
    for _ in range(chance.randrange(1, 4)):
        _fill(rig, chance, shapes)
        if chance.random() < 0.05:
            size = len(rig.device.config())
            rig.device.write_config(chance.randrange(size + 1), chance.randbytes(chance.choice((1, 2, 4))))
        for queue in range(len(rig.drivers)):
            rig.device.kick(queue)
        for _ in range(ROUNDS):
            if rig.device.service() is not Progress.MORE:
                break
        if chance.random() < 0.02:
            time.sleep(0.002)  # what works in the background comes to its end, mostly
            rig.device.service()
        for driver in rig.drivers:
            for head, _ in driver.used():
                counts["answered" if driver.requests.pop(head, None) else "answered noise"] += 1


def throw(device: Device, count: int, shapes: Shapes = noise, first: int = 0) -> Counter[str]:
    """Throw ``count`` random rings at a device that was not started; what became of them."""
    counts: Counter[str] = Counter()
    rig = Rig(device, memory_bytes=MEMORY)
    rig.reset()
    for number in range(first, first + count):
        chance = Random(number)
        try:
            _one(rig, chance, shapes, counts)
            counts["no error"] += 1
        except GuestError:
            counts["guest error"] += 1
        except Exception as error:
            raise AssertionError(f"{device.name}, ring {number}: {type(error).__name__}: {error}") from error
        rig.reset()
    return counts
