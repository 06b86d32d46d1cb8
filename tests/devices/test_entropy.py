# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtio entropy device: its sources, slow ones among them, and bad rings."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ring_lab import Rig

from lguest_py.devices.device import Progress
from lguest_py.devices.entropy import CHAINS, PIECE, EntropyDevice
from lguest_py.devices.errors import GuestError
from lguest_py.errors import UsageError
from lguest_py.hardware import Entropy

Make = Callable[[str], tuple[EntropyDevice, Rig, list[str]]]


@pytest.fixture(params=[False, True], ids=["virtio1", "legacy"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    made: list[EntropyDevice] = []

    def one(path: str) -> tuple[EntropyDevice, Rig, list[str]]:
        said: list[str] = []
        made.append(EntropyDevice(Entropy(path), said.append))
        return made[-1], Rig(made[-1], legacy=request.param), said

    yield one
    for device in made:
        device.close()


def test_the_operating_system_gives_other_bytes_each_time(make: Make) -> None:
    device, rig, said = make("")
    one, two = rig.request(0, [], [64]), rig.request(0, [], [64])
    assert len(one) == len(two) == 64
    assert one != two
    assert len(rig.request(0, [], [1])) == 1
    assert len(rig.request(0, [], [100_000])) == PIECE  # a device may write less than there is room for
    assert len(rig.request(0, [], [7, 9])) == 7
    assert not device.watched()
    assert not said


@pytest.mark.parametrize("path", ["/dev/random", "/dev/urandom"])
def test_a_device_of_the_host(make: Make, path: str) -> None:
    _, rig, said = make(path)
    assert len(rig.request(0, [], [32])) == 32
    assert not said


def test_a_file_is_read_once_and_then_the_operating_system(make: Make, tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"0123456789")
    _, rig, said = make(str(tmp_path / "bytes"))
    assert rig.request(0, [], [6]) == b"012345"
    assert rig.request(0, [], [6]) == b"6789"
    assert not said
    assert len(rig.request(0, [], [6])) == 6
    assert len(rig.request(0, [], [6])) == 6
    assert said == [f"{tmp_path}/bytes is at its end: the Guest gets this machine's own random bytes from now on"]


def test_a_slow_source_is_not_waited_for(make: Make, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    device, rig, said = make(str(tmp_path / "fifo"))
    driver = rig.drivers[0]
    wanted = [driver.add([], [8]) for _ in range(2)]
    rig.kick(0)
    assert device.service() is Progress.IDLE
    assert not driver.finished()
    assert len(device.watched()) == 1
    for round_ in range(2):  # a writer that comes and goes
        writer = os.open(tmp_path / "fifo", os.O_WRONLY | os.O_NONBLOCK)
        os.write(writer, b"abc%d" % round_)
        os.close(writer)
        assert rig.service() is Progress.IDLE
        (done,) = driver.finished()
        assert (done[0], driver.read(done[0])[: done[1]]) == (wanted[round_], b"abc%d" % round_)
        assert bool(device.watched()) is (round_ == 0)
    assert not said


def test_a_reset_forgets_what_waits(make: Make, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    device, rig, _ = make(str(tmp_path / "fifo"))
    rig.drivers[0].add([], [8])
    rig.service()
    assert device.watched()
    rig.reset()
    assert not device.watched()
    assert device.service() is Progress.IDLE
    rig.start()
    writer = os.open(tmp_path / "fifo", os.O_WRONLY | os.O_NONBLOCK)
    os.write(writer, b"x")
    os.close(writer)
    assert rig.request(0, [], [8]) == b"x"


def test_the_work_of_one_call_is_bounded(make: Make) -> None:
    device, rig, _ = make("")
    driver = rig.drivers[0]
    for _ in range(CHAINS + 1):
        driver.add([], [16])
    assert device.service() is Progress.MORE
    assert len(driver.finished()) == CHAINS
    assert device.service() is Progress.IDLE
    assert len(driver.finished()) == 1


def test_a_buffer_that_cannot_be_filled_breaks_a_rule(make: Make) -> None:
    _, rig, _ = make("")
    rig.drivers[0].add([b"x"], [])
    with pytest.raises(GuestError, match="entropy: a buffer to read from"):
        rig.service()


def test_a_source_that_fails_is_told_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    _, rig, said = make("/dev/zero")
    really = os.read

    def fails(fd: int, size: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{fd}") == "/dev/zero":
            raise OSError(5, "Input/output error")
        return really(fd, size)

    monkeypatch.setattr(os, "read", fails)
    assert len(rig.request(0, [], [5])) == 5
    assert len(rig.request(0, [], [5])) == 5
    assert [line for line in said if "cannot be read any more (Input/output error)" in line] == said
    assert len(said) == 1


@pytest.mark.parametrize("name", ["none", "folder", "socket", "a\nb"])
def test_what_gives_no_bytes_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        with pytest.raises(UsageError, match=r"cannot give random bytes.*as /dev/random") as caught:
            EntropyDevice(Entropy(str(tmp_path / name)), print)
    assert str(caught.value).isprintable()
