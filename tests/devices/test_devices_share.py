# SPDX-License-Identifier: GPL-2.0-or-later
"""The share as a virtio device: chains, order, what takes long, resets."""

from __future__ import annotations

import errno
import os
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from p9_client import Client, message, through
from ring_lab import Rig

from lguest_py.devices.errors import GuestError
from lguest_py.devices.share import REQUESTS, Share9p
from lguest_py.errors import UsageError
from lguest_py.hardware import Share
from lguest_py.share.server import Server
from lguest_py.share.wire import T


class Setup:
    """A folder, its device, the driver and a client that is attached."""

    def __init__(self, folder: Path, readonly: bool = False, legacy: bool = False) -> None:
        self.said: list[str] = []
        self.device = Share9p(Share(str(folder), "tag", readonly), self.said.append)
        self.rig = Rig(self.device, legacy=legacy)
        self.client = self.connect()

    def connect(self) -> Client:
        client = Client(through(self.rig))
        client.attach()
        return client


@pytest.fixture(params=[False, True], ids=["virtio1", "legacy"])
def setup(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Setup]:
    (tmp_path / "s").mkdir()
    made = Setup(tmp_path / "s", legacy=request.param)
    yield made
    made.device.close()


def test_the_configuration_is_the_tag(tmp_path: Path) -> None:
    device = Share9p(Share(str(tmp_path), "größe"), print)
    tag = "größe".encode()
    assert device.config() == struct.pack("<H", len(tag)) + tag
    device.close()


@pytest.mark.parametrize("name", ["none", "file", "a\0b"])
def test_what_cannot_be_shared_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match=r"cannot be.*folder") as caught:
        Share9p(Share(str(tmp_path / name)), print)
    assert "\n" not in str(caught.value)


def test_large_data_both_ways(setup: Setup, tmp_path: Path) -> None:
    data = os.urandom(300_000)
    client = setup.client
    client.version(1 << 20)
    client.attach()
    client.msize = 1 << 20
    client.walk(0, 1)
    client.lcreate(1, b"f")
    assert client.write(1, 0, data) == len(data)
    assert (tmp_path / "s/f").read_bytes() == data
    assert client.read(1, 0, len(data) + 5) == data


def test_requests_are_answered_in_their_order_and_many_give_way(setup: Setup) -> None:
    driver = setup.rig.drivers[0]
    driver.finished()
    count = REQUESTS + 10
    for n in range(count):
        driver.add([message(T.CLUNK, n, struct.pack("<I", 1000))], [11])
    setup.rig.interrupts.clear()
    assert setup.device.service() > 0
    assert setup.rig.interrupts == [0]
    setup.rig.service()
    done = driver.finished()
    replies = [struct.unpack("<IBHI", driver.read(request)) for request, _ in done]
    assert replies == [(11, 7, n, errno.EBADF) for n in range(count)]


@pytest.mark.parametrize(
    ("readable", "writable"),
    [([b"abc"], [100]), ([], [100]), ([bytes(100)], []), ([message(T.CLUNK, 1, bytes(4))], [10])],
)
def test_chains_without_room_break_the_device(setup: Setup, readable: list[bytes], writable: list[int]) -> None:
    setup.rig.drivers[0].add(readable, writable)
    with pytest.raises(GuestError, match="share tag"):
        setup.device.service()
    setup.device.reset()


def test_a_reset_forgets_fids_and_the_device_works_again(setup: Setup) -> None:
    client = setup.client
    client.walk(0, 1)
    client.lcreate(1, b"f")
    setup.rig.reset()
    assert setup.device.service() == 0
    setup.rig.start()
    client = setup.connect()
    with pytest.raises(OSError, match="Bad file"):
        client.getattr(1)
    client.at(1, b"f")


class Slow:
    """Makes the writes of the server wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        original = Server._write

        def write(server: Server, *args: Any) -> bytes:
            self.begun.set()
            assert self.go.wait(60)
            return original(server, *args)

        monkeypatch.setattr(Server, "_write", write)
        monkeypatch.setattr(Server, "may_wait", lambda server, head: len(head) > 4 and head[4] == T.WRITE)


@pytest.fixture
def slow(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    setup.client.walk(0, 1)
    setup.client.lcreate(1, b"f")
    made = Slow(monkeypatch)
    yield made
    made.go.set()


def write_request(tag: int, data: bytes, offset: int = 0) -> list[bytes]:
    return [message(T.WRITE, tag, struct.pack("<IQI", 1, offset, len(data)) + data)]


def wait_for(setup: Setup, count: int) -> list[tuple[int, int]]:
    """(type, tag) of the next ``count`` replies."""
    driver, until = setup.rig.drivers[0], time.monotonic() + 60
    found: list[tuple[int, int]] = []
    while len(found) < count:
        setup.rig.service(0.01)
        for request, written in driver.finished():
            assert written >= 7
            found.append(struct.unpack_from("<xxxxBH", driver.read(request)))
        assert time.monotonic() < until
    return found


def test_what_takes_long_keeps_nobody_and_comes_in_order(setup: Setup, slow: Slow, tmp_path: Path) -> None:
    driver = setup.rig.drivers[0]
    driver.add(write_request(1, b"first"), [11])
    driver.add([message(T.READ, 2, struct.pack("<IQI", 1, 0, 100))], [11, 100])
    for _ in range(3):
        assert setup.device.service() == 0
        assert driver.finished() == []
    assert slow.begun.wait(60)
    slow.go.set()
    assert wait_for(setup, 2) == [(T.WRITE + 1, 1), (T.READ + 1, 2)]
    assert (tmp_path / "s/f").read_bytes() == b"first"
    assert setup.client.read(1, 0, 100) == b"first"
    assert setup.rig.interrupts


def test_a_write_that_takes_long_of_a_kernel_that_leaves_its_data_out_of_the_size(
    setup: Setup, slow: Slow, tmp_path: Path
) -> None:
    slow.go.set()
    header = message(T.WRITE, 1, struct.pack("<IQI", 1, 0, 5000))
    setup.rig.drivers[0].add([header, b"x" * 4096, b"y" * 904], [11])
    assert wait_for(setup, 1) == [(T.WRITE + 1, 1)]
    assert (tmp_path / "s/f").read_bytes() == b"x" * 4096 + b"y" * 904


def test_a_flush_ends_what_was_not_begun_and_waits_for_what_was(setup: Setup, slow: Slow, tmp_path: Path) -> None:
    driver = setup.rig.drivers[0]
    driver.add(write_request(1, b"first"), [11])
    driver.add(write_request(2, b"second"), [11])
    setup.device.service()
    assert slow.begun.wait(60)
    driver.add([message(T.FLUSH, 3, struct.pack("<H", 2))], [11])
    driver.add([message(T.FLUSH, 4, struct.pack("<H", 99))], [11])
    replies = wait_for(setup, 3)
    assert replies.index((7, 2)) < replies.index((T.FLUSH + 1, 3))
    assert (T.FLUSH + 1, 4) in replies
    driver.add([message(T.FLUSH, 5, struct.pack("<H", 1))], [11])
    setup.device.service()
    assert driver.finished() == []
    slow.go.set()
    assert wait_for(setup, 2) == [(T.WRITE + 1, 1), (T.FLUSH + 1, 5)]
    assert (tmp_path / "s/f").read_bytes() == b"first"


def test_a_reset_leaves_what_takes_long_and_its_memory_alone(setup: Setup, slow: Slow, tmp_path: Path) -> None:
    driver = setup.rig.drivers[0]
    driver.add(write_request(1, b"first"), [11])
    driver.add(write_request(2, b"second"), [11])
    setup.device.service()
    assert slow.begun.wait(60)
    setup.rig.reset()
    buffer = setup.rig.memory.obj
    assert isinstance(buffer, bytearray)
    del driver
    setup.rig.drivers, setup.rig.queues = [], []
    setup.rig.memory.release()
    buffer.append(0)  # raises BufferError if anything still has a part of it
    setup.rig.memory = memoryview(bytearray(8 << 20))
    setup.rig.start()
    client = setup.connect()
    client.at(1, b"f")
    threads = [thread for thread in threading.enumerate() if thread.name == "share"]
    slow.go.set()
    for thread in threads:
        thread.join(60)
    assert (tmp_path / "s/f").read_bytes() == b"first"  # the one that was begun, and no other
    assert client.getattr(1).size == 5


def test_a_guest_that_resets_what_hangs_gets_no_endless_number_of_threads(setup: Setup, slow: Slow) -> None:
    replies = []
    for _ in range(12):
        setup.rig.drivers[0].add(write_request(1, b"first"), [11])
        setup.device.service()
        answered = [setup.rig.drivers[0].read(request) for request, _ in setup.rig.drivers[0].finished()]
        replies += answered
        assert answered or slow.begun.wait(60)
        slow.begun.clear()
        setup.rig.reset()
        setup.rig.start()
        setup.connect().at(1, b"f")
        setup.rig.drivers[0].finished()
    assert replies == [struct.pack("<IBHI", 11, 7, 1, errno.EBUSY)] * 4
    assert len([thread for thread in threading.enumerate() if thread.name == "share"]) == 8
    slow.go.set()


def test_the_end_does_not_wait_for_what_takes_long(setup: Setup, slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lguest_py.share.session.GRACE", 0.01)
    setup.rig.drivers[0].add(write_request(1, b"first"), [11])
    setup.device.service()
    assert slow.begun.wait(60)
    setup.device.close()
    assert not slow.go.is_set()


def test_an_error_of_the_disk_is_told_to_the_user_once(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    setup.client.walk(0, 1)
    setup.client.lcreate(1, b"f")

    def fails(*args: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "preadv", fails)
    for _ in range(3):
        with pytest.raises(OSError, match="Input/output error"):
            setup.client.read(1, 0, 10)
    assert len(setup.said) == 1
    assert "Input/output error" in setup.said[0]


def test_data_that_is_not_in_the_page_cache_comes_from_the_thread(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(20_000)
    (tmp_path / "s/f").write_bytes(data)
    setup.client.at(1, b"f")
    setup.client.lopen(1)
    names: list[str] = []
    cached = 0
    original = os.preadv

    def preadv(file: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        names.append(threading.current_thread().name)
        if flags & os.RWF_NOWAIT:
            if offset >= cached:
                raise BlockingIOError(errno.EAGAIN, "")
            view = memoryview(data)[offset : min(cached, offset + sum(map(len, buffers)))]
            count = original(file, buffers, offset)
            return min(len(view), count)
        return original(file, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", preadv)
    main = threading.current_thread().name
    for known, expected in ((0, [main, "share"]), (5_000, [main, "share"]), (20_000, [main])):
        cached = known
        names.clear()
        assert setup.client.read(1, 0, 10_000) == data[:10_000]
        assert names == expected
    names.clear()
    assert setup.client.read(1, 19_000, 10_000) == data[19_000:]  # short, and the end of the file
    assert names == [main]


def test_a_file_system_that_cannot_say_whether_it_waits(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s/f").write_bytes(b"content")
    setup.client.at(1, b"f")
    setup.client.lopen(1)
    original, tries = os.preadv, []

    def preadv(file: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        tries.append(flags)
        if flags:
            raise OSError(errno.EOPNOTSUPP, "")
        return original(file, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    assert setup.client.read(1, 0, 100) == b"content"
    assert setup.client.read(1, 3, 100) == b"tent"
    assert tries == [os.RWF_NOWAIT, 0, 0]


def test_writes_go_to_the_thread_while_they_take_long(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.client.walk(0, 1)
    setup.client.lcreate(1, b"f")
    original, names, now = os.pwritev, [], [0.0]
    takes = iter([0.0, 1.0, 1.0, 0.0, 0.0])

    def pwritev(file: int, buffers: list[memoryview], offset: int) -> int:
        names.append(threading.current_thread().name)
        now[0] += next(takes)
        return original(file, buffers, offset)

    monkeypatch.setattr(os, "pwritev", pwritev)
    monkeypatch.setattr("lguest_py.share.server.perf_counter", lambda: now[0])
    for n in range(5):
        setup.client.write(1, n, b"x")
    main = threading.current_thread().name
    assert names == [main, main, "share", "share", main]
    assert (tmp_path / "s/f").read_bytes() == b"xxxxx"


def test_an_fsync_is_done_by_the_thread(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: names.append(threading.current_thread().name))
    setup.client.walk(0, 1)
    setup.client.lcreate(1, b"f")
    setup.client.call(T.FSYNC, 1, 0)
    assert names == ["share"]
