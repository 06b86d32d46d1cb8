# SPDX-License-Identifier: GPL-2.0-or-later
"""A console at a Unix socket: one program at a time, output that is kept or waits, the file of the socket."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from ring_lab import Rig

from lguest_py.devices.device import Progress
from lguest_py.devices.extra_console import KEPT, LIMIT, TAKEN, ExtraConsole
from lguest_py.hardware import Console

RECEIVE, TRANSMIT = 0, 1


class Setup:
    """A started console, its driver, and programs that connect."""

    def __init__(self, path: Path, legacy: bool) -> None:
        self.path = path
        self.device = ExtraConsole(Console(str(path)), print)
        self.rig = Rig(self.device, legacy=legacy)
        self.programs: list[socket.socket] = []

    def connect(self) -> socket.socket:
        program = socket.socket(socket.AF_UNIX)
        program.settimeout(20)
        program.connect(str(self.path))
        self.programs.append(program)
        self.rig.service()
        return program

    def print(self, data: bytes) -> None:
        """The Guest prints, and goes on when it may."""
        self.rig.request(TRANSMIT, [data])

    def offer(self, size: int = 64) -> None:
        """The Guest waits for input."""
        self.rig.drivers[RECEIVE].add([], [size])
        self.rig.kick(RECEIVE)
        self.rig.service()

    def read(self) -> list[bytes]:
        """The input that came."""
        self.rig.service(0.2)
        driver = self.rig.drivers[RECEIVE]
        return [driver.read(request)[:written] for request, written in driver.finished()]

    def close(self) -> None:
        for program in self.programs:
            program.close()
        self.device.close()


@pytest.fixture(params=[False, True], ids=["virtio1", "legacy"])
def setup(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Setup]:
    made = Setup(tmp_path / "socket", request.param)
    yield made
    made.close()
    assert list(tmp_path.iterdir()) == []


def test_both_directions(setup: Setup) -> None:
    program = setup.connect()
    setup.print(b"login: ")
    assert program.recv(99) == b"login: "
    setup.offer()
    program.sendall(b"root\n")
    assert setup.read() == [b"root\n"]
    program.sendall(b"more")  # the Guest offers no buffer yet
    assert setup.read() == []
    setup.offer(2)
    setup.offer(9)
    assert setup.read() == [b"mo", b"re"]


def test_the_last_output_is_kept_for_who_connects(setup: Setup) -> None:
    for _ in range(5):
        setup.print(b"-" * 40_000)
    setup.print(b"the end")
    program = setup.connect()
    setup.rig.service(0.2)
    got = b""
    while select.select([program], [], [], 0.3)[0]:
        got += program.recv(1 << 20)
        setup.rig.service()
    assert len(got) == KEPT
    assert got.endswith(b"---the end")


def test_a_program_that_does_not_read_holds_this_console_only(setup: Setup) -> None:
    program = setup.connect()
    driver = setup.rig.drivers[TRANSMIT]
    sent = done = 0
    while sent - done < 2 * LIMIT:  # until the Guest's own buffers are not given back
        try:
            driver.add([bytes([sent // 40_000]) * 40_000])
            sent += 40_000
        except MemoryError:
            break
        setup.rig.kick(TRANSMIT)
        assert setup.device.service() is not Progress.BLOCKED
        for request, _ in driver.finished():
            driver.release(request)
            done += 40_000
    assert sent - done > 2 * 40_000
    assert len(setup.device._waiting) <= LIMIT
    got = b""
    while len(got) < sent:
        got += program.recv(1 << 20)
        setup.rig.service()
    assert got == b"".join(bytes([number]) * 40_000 for number in range(sent // 40_000))


def test_a_program_that_goes_away_in_the_middle_holds_nothing(setup: Setup) -> None:
    program = setup.connect()
    driver = setup.rig.drivers[TRANSMIT]
    for _ in range(20):
        driver.add([b"x" * 40_000])
    setup.rig.kick(TRANSMIT)
    setup.rig.service()
    assert len(driver.requests) > len(driver.finished())
    program.close()
    setup.rig.service(0.3)
    driver.finished()
    assert not driver.requests
    setup.print(b"new")
    assert len(setup.device._waiting) == KEPT


def test_one_program_at_a_time(setup: Setup) -> None:
    first = setup.connect()
    second = setup.connect()
    assert second.recv(99) == TAKEN
    assert second.recv(99) == b""
    setup.print(b"x")
    assert first.recv(9) == b"x"
    first.close()
    third = setup.connect()  # while nothing was to be said to the first
    setup.print(b"y")
    assert third.recv(9) == b"y"


def test_a_program_that_only_listens_gets_all(setup: Setup) -> None:
    program = setup.connect()
    setup.offer()
    program.sendall(b"uname\n")
    program.shutdown(socket.SHUT_WR)  # as a pipe into nc does
    assert setup.read() == [b"uname\n"]
    setup.offer()
    setup.rig.service(0.2)
    assert len(setup.device.watched()) == 1  # its end of file would be readable without an end
    setup.print(b"Linux")
    assert program.recv(99) == b"Linux"


def test_a_restart_keeps_the_program_and_its_input(setup: Setup) -> None:
    program = setup.connect()
    setup.offer(2)
    program.sendall(b"abcd")
    assert setup.read() == [b"ab"]
    setup.rig.reset()
    assert setup.device.watched() == ()
    setup.rig.start()
    setup.offer(9)
    assert setup.read() == [b"cd"]
    setup.print(b"again")
    assert program.recv(99) == b"again"
