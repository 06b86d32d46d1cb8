# SPDX-License-Identifier: GPL-2.0-or-later
"""Which devices work in a round, and which descriptors the Launcher waits for."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack

import pytest

from lguest_py.devices.device import Defaults, Progress
from lguest_py.devices.rounds import Rounds
from lguest_py.devices.virtqueue import Virtqueue
from lguest_py.files.poller import READABLE, WRITABLE, Poller


class Device(Defaults):
    """Has nothing but descriptors, and a script of what it says after it worked."""

    name, type, queue_sizes, features = "probe", 1, (), 0

    def __init__(self) -> None:
        self.reads: list[int] = []
        self.writes: list[int] = []
        self.says: list[Progress] = []
        self.count = self.settled = 0

    def config(self) -> bytes:
        return b""

    def write_config(self, offset: int, data: bytes) -> None:
        pass

    def start(self, queues: Sequence[Virtqueue], features: int, config_changed: Callable[[], None]) -> None:
        pass

    def reset(self) -> None:
        pass

    def kick(self, queue: int) -> None:
        pass

    def watched(self) -> Collection[int]:
        return self.reads

    def blocked(self) -> Collection[int]:
        return self.writes

    def service(self) -> Progress:
        self.count += 1
        return self.says.pop(0) if self.says else Progress.IDLE

    def settle(self) -> None:
        self.settled += 1

    def close(self) -> None:
        pass


class Slot:
    """A device's place on a bus."""

    def __init__(self) -> None:
        self.device = Device()
        self.running = self.due = True

    def service(self) -> Progress:
        return self.device.service()


class Setup:
    """Two devices and a pipe for each."""

    def __init__(self) -> None:
        self.poller = Poller()
        self.slots = [Slot(), Slot()]
        self.devices = [slot.device for slot in self.slots]
        self.rounds = Rounds(self.slots, self.poller)
        self.pipes = [os.pipe() for _ in self.slots]
        for device, (read, _) in zip(self.devices, self.pipes, strict=True):
            device.reads = [read]

    def round(self) -> Progress:
        self.rounds.happened(self.poller.wait(0))
        return self.rounds.service()

    def counts(self) -> list[int]:
        return [device.count for device in self.devices]


@pytest.fixture
def setup() -> Iterator[Setup]:
    made = Setup()
    with ExitStack() as stack:
        for fd in [fd for pipe in made.pipes for fd in pipe]:
            stack.callback(os.close, fd)
        yield made


def test_only_a_device_that_is_due_works(setup: Setup) -> None:
    assert setup.round() is Progress.IDLE
    assert setup.round() is Progress.IDLE
    assert setup.counts() == [1, 1]
    setup.slots[1].due = True
    setup.round()
    assert setup.counts() == [1, 2]


def test_a_descriptor_wakes_its_device_alone(setup: Setup) -> None:
    setup.round()
    os.write(setup.pipes[0][1], b"x")
    setup.round()
    setup.round()
    assert setup.counts() == [3, 1]
    os.read(setup.pipes[0][0], 1)
    setup.round()
    assert setup.counts() == [3, 1]


def test_who_has_more_to_do_or_waits_works_again(setup: Setup) -> None:
    setup.devices[0].says = [Progress.MORE, Progress.BLOCKED, Progress.IDLE]
    setup.devices[1].says = [Progress.IDLE]
    assert [setup.round() for _ in range(4)] == [Progress.MORE, Progress.BLOCKED, Progress.IDLE, Progress.IDLE]
    assert setup.counts() == [3, 1]


def test_one_that_always_has_more_to_do_holds_up_no_other(setup: Setup) -> None:
    setup.devices[0].says = [Progress.MORE] * 10
    setup.round()
    os.write(setup.pipes[1][1], b"x")
    setup.round()
    assert setup.counts() == [2, 2]


def test_what_a_device_waits_for_may_change_whenever_it_works(setup: Setup) -> None:
    read, write = setup.pipes[1]
    setup.round()
    setup.devices[0].reads, setup.devices[0].writes = [], [write]
    setup.slots[0].due = True
    setup.round()
    assert write in setup.poller.wait(0)
    setup.devices[0].writes = []
    setup.round()
    assert setup.counts() == [3, 1]
    assert write not in setup.poller.wait(0)
    os.write(write, b"x")
    assert list(setup.poller.wait(0)) == [read]


def test_who_worked_settles_once_before_the_wait(setup: Setup) -> None:
    setup.rounds.service()
    setup.slots[0].due = True
    setup.rounds.service()
    for _ in range(2):
        setup.rounds.settle()
    assert [slot.device.settled for slot in setup.slots] == [1, 1]
    setup.slots[1].due = True
    setup.rounds.service()
    setup.slots[1].running = False  # reset meanwhile
    setup.rounds.settle()
    assert [slot.device.settled for slot in setup.slots] == [1, 1]


def test_a_device_that_was_stopped_waits_for_nothing(setup: Setup) -> None:
    setup.round()
    setup.slots[0].running, setup.slots[0].due = False, True
    setup.round()
    os.write(setup.pipes[0][1], b"x")
    setup.round()
    assert setup.counts() == [1, 1]
    assert setup.poller.wait(0) == []


def test_a_poller_sees_both_directions_and_forgets() -> None:
    poller = Poller()
    read, write = os.pipe()
    try:
        poller.set(write, WRITABLE)
        poller.set(read, READABLE)
        assert list(poller.wait(10)) == [write]
        os.write(write, b"x")
        assert set(poller.wait(10)) == {read, write}
        poller.set(write, 0)
        poller.set(write, 0)
        poller.set(-1, READABLE)
        assert list(poller.wait(10)) == [read]
        assert poller.anything()
    finally:
        os.close(read)
        os.close(write)
    assert list(poller.wait(10)) == [read]  # closed: whoever owns it finds out


def test_a_regular_file_can_be_waited_for(tmp_path: os.PathLike[str]) -> None:
    fd = os.open(os.path.join(tmp_path, "file"), os.O_RDWR | os.O_CREAT)
    poller = Poller()
    poller.set(fd, READABLE)
    assert list(poller.wait(10)) == [fd]
    os.close(fd)
