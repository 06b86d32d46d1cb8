# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-vsock: connections both ways, their ends, a restart, the file of the socket.

Read next: test_vsock_limits.py.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from vsock_lab import CID, EVENTS, VsockLab, data, ops, vsocks

from lguest_py.devices.vsock import F_STREAM, VsockDevice
from lguest_py.devices.vsock_connection import BUFFER, NOBODY, SAY_CONNECT
from lguest_py.devices.vsock_packet import SHUTDOWN_RECEIVE, SHUTDOWN_SEND, Op
from lguest_py.hardware import Vsock

BOTH = SHUTDOWN_RECEIVE | SHUTDOWN_SEND


@pytest.fixture(params=[False, True], ids=["virtio1", "legacy"])
def vsock(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[VsockLab]:
    with vsocks(tmp_path, request.param) as make:
        yield make()


def test_the_guest_learns_its_address_and_that_there_are_streams(tmp_path: Path) -> None:
    device = VsockDevice(Vsock(str(tmp_path / "s"), 0xFFFFFFFE), print)
    assert device.config() == b"\xfe\xff\xff\xff\0\0\0\0"
    assert (device.type, device.features, len(device.queue_sizes)) == (19, F_STREAM, 3)
    device.close()


def test_a_program_here_reaches_a_port_of_the_guest(vsock: VsockLab) -> None:
    program = vsock.program(b"CONNECT 1234\n")
    ((request, _),) = vsock.told()
    assert request[:4] == (2, CID, request.src_port, 1234)
    assert (request.len, request.op, request.buf_alloc) == (0, Op.REQUEST, BUFFER)
    vsock.tell(Op.RESPONSE, 1234, request.src_port)
    vsock.work()
    assert program.recv(99) == b"OK %d\n" % request.src_port
    program.sendall(b"question")
    assert data(vsock.told()) == b"question"
    vsock.tell(Op.RW, 1234, request.src_port, b"answer")
    vsock.work()
    assert program.recv(99) == b"answer"


def test_the_guest_reaches_a_program_here(vsock: VsockLab) -> None:
    program = vsock.from_guest(vsock.server(52))
    vsock.tell(Op.RW, 1000, 52, b"question")
    vsock.work()
    assert program.recv(99) == b"question"
    program.sendall(b"answer")
    ((header, content),) = vsock.told()
    assert (header[:4], content) == ((2, CID, 52, 1000), b"answer")
    assert header.fwd_cnt == len(b"question")


@pytest.mark.parametrize("port", [0, 1, (1 << 32) - 1])
def test_any_port_will_do(vsock: VsockLab, port: int) -> None:
    vsock.from_guest(vsock.server(port), 7, port)
    vsock.from_here(port)


def test_two_connections_to_one_port_are_two(vsock: VsockLab) -> None:
    one, one_port = vsock.from_here()
    two, two_port = vsock.from_here()
    assert one_port != two_port
    vsock.tell(Op.RW, 1234, two_port, b"two")
    vsock.tell(Op.RW, 1234, one_port, b"one")
    vsock.work()
    assert (one.recv(9), two.recv(9)) == (b"one", b"two")


def test_nobody_listens_here(vsock: VsockLab) -> None:
    vsock.tell(Op.REQUEST, 1000, 52)
    ((header, _),) = vsock.told()
    assert (header.op, header[:4]) == (Op.RST, (2, CID, 52, 1000))
    stale = vsock.server(53)
    stale.close()  # its file stays
    vsock.tell(Op.REQUEST, 1000, 53)
    assert ops(vsock.told()) == [Op.RST]
    busy = vsock.server(54, backlog=0)
    for guest in range(4):
        vsock.tell(Op.REQUEST, guest, 54)
    assert set(ops(vsock.told())) == {Op.RESPONSE, Op.RST}
    busy.accept()[0].close()


def test_nobody_listens_in_the_guest(vsock: VsockLab) -> None:
    program = vsock.program(b"CONNECT 99\n")
    ((request, _),) = vsock.told()
    vsock.tell(Op.RST, 99, request.src_port)
    assert vsock.told() == []
    assert program.recv(99) == NOBODY % 99
    assert program.recv(99) == b""


@pytest.mark.parametrize(
    "line", [b"\n", b"GET / HTTP/1.1\r\n", b"CONNECT\n", b"CONNECT x\n", b"CONNECT 4294967296\n", b"CONNECT 1 2\n"]
)
def test_a_program_that_says_something_else_is_told(vsock: VsockLab, line: bytes) -> None:
    program = vsock.program(line)
    assert vsock.told() == []
    assert program.recv(99) == SAY_CONNECT
    with pytest.raises(ConnectionResetError) if len(line) > 32 else pytest.MonkeyPatch.context():
        assert program.recv(99) == b""


def test_a_line_without_an_end_is_not_read_for_ever(vsock: VsockLab) -> None:
    program = vsock.program(b"C" * 40)
    assert vsock.told() == []
    with pytest.raises(ConnectionResetError):
        program.recv(99)


@pytest.mark.parametrize("said", [b"", b"CONN", b"CONNECT 1"])
def test_a_program_that_goes_away_before_its_line_is_complete(vsock: VsockLab, said: bytes) -> None:
    program = vsock.program(said)
    vsock.work()
    assert len(vsock.device._sockets) == 1
    program.close()
    assert vsock.told() == []
    assert not vsock.device._sockets


def test_a_line_may_come_in_parts_and_with_what_follows(vsock: VsockLab) -> None:
    program = vsock.program()
    for part in (b"CON", b"NECT 12", b"34\r"):
        program.sendall(part)
        assert vsock.told() == []
    program.sendall(b"\nfollows")
    ((request, _),) = vsock.told()
    vsock.tell(Op.RESPONSE, 1234, request.src_port)
    assert data(vsock.told()) == b"follows"


def test_a_program_that_sends_all_and_closes_at_once_is_heard(vsock: VsockLab) -> None:
    program = vsock.program(b"CONNECT 1111\ntest\n")
    program.close()
    ((request, _),) = vsock.told()
    vsock.tell(Op.RESPONSE, 1111, request.src_port)
    packets = vsock.told()
    assert data(packets) == b"test\n"
    assert packets[-1][0].op == Op.SHUTDOWN
    assert packets[-1][0].flags == BOTH
    vsock.tell(Op.RST, 1111, request.src_port)
    assert vsock.told() == []


# --- the ends ------------------------------------------------------------------------------------------------------


def test_each_direction_ends_by_itself_first_here(vsock: VsockLab) -> None:
    program = vsock.from_guest(vsock.server(52))
    program.sendall(b"all")
    program.shutdown(socket.SHUT_WR)
    packets = vsock.told()
    assert ops(packets) == [Op.RW, Op.SHUTDOWN]
    assert packets[1][0].flags == SHUTDOWN_SEND
    vsock.tell(Op.RW, 1000, 52, b"answer")  # the other direction works
    vsock.work()
    assert program.recv(99) == b"answer"
    vsock.tell(Op.SHUTDOWN, 1000, 52, flags=BOTH)
    assert ops(vsock.told()) == [Op.RST]
    assert program.recv(99) == b""


def test_each_direction_ends_by_itself_first_in_the_guest(vsock: VsockLab) -> None:
    program = vsock.from_guest(vsock.server(52))
    vsock.tell(Op.RW, 1000, 52, b"all")
    vsock.tell(Op.SHUTDOWN, 1000, 52, flags=SHUTDOWN_SEND)
    assert vsock.told() == []
    assert program.recv(99) == b"all"
    assert program.recv(99) == b""
    program.sendall(b"answer")
    assert data(vsock.told()) == b"answer"
    program.close()
    ((header, _),) = vsock.told()
    assert (header.op, header.flags) == (Op.SHUTDOWN, BOTH)
    vsock.tell(Op.RST, 1000, 52)
    assert vsock.told() == []


def test_a_guest_that_does_not_receive_any_more(vsock: VsockLab) -> None:
    program = vsock.from_guest(vsock.server(52))
    vsock.tell(Op.SHUTDOWN, 1000, 52, flags=SHUTDOWN_RECEIVE)
    assert vsock.told() == []
    with pytest.raises(BrokenPipeError):
        program.sendall(b"x")
    vsock.tell(Op.RW, 1000, 52, b"still")
    vsock.work()
    assert program.recv(99) == b"still"
    program.close()
    ((header, _),) = vsock.told()
    assert (header.op, header.flags) == (Op.SHUTDOWN, BOTH)


def test_a_program_that_closed_takes_no_more_and_what_it_sent_arrives(vsock: VsockLab) -> None:
    program = vsock.from_guest(vsock.server(52), buf_alloc=3)
    program.sendall(b"abcdef")
    program.close()
    packets = vsock.told()
    assert data(packets) == b"abc"
    assert [header.flags for header, _ in packets if header.op == Op.SHUTDOWN] == [SHUTDOWN_RECEIVE]
    vsock.tell(Op.RW, 1000, 52, b"on its way already", buf_alloc=3)  # no offence
    assert vsock.told() == []
    vsock.tell(Op.CREDIT_UPDATE, 1000, 52, buf_alloc=100, fwd_cnt=3)
    packets = vsock.told()
    assert data(packets) == b"def"
    assert (packets[-1][0].op, packets[-1][0].flags) == (Op.SHUTDOWN, BOTH)


def test_what_the_guest_sent_before_it_closed_arrives_however_slow_the_program_is(vsock: VsockLab) -> None:
    program = vsock.from_guest(vsock.server(52))
    sent = 0
    while sent < 3 * BUFFER // 2:  # the socket takes some of it
        vsock.tell(Op.RW, 1000, 52, bytes([sent >> 14]) * 16384)
        sent += 16384
        assert Op.RST not in ops(vsock.told())
        if vsock.device._table[1000, 52].pending:
            break
    vsock.tell(Op.SHUTDOWN, 1000, 52, flags=BOTH)
    assert ops(vsock.told()) == [Op.RST]  # at once: the Guest need not wait
    assert not vsock.device._table
    vsock.rig.reset()  # not even a restart changes that
    vsock.rig.start()
    got = b""
    while piece := program.recv(1 << 16):
        got += piece
        vsock.rig.service()
    assert got == b"".join(bytes([number]) * 16384 for number in range(sent >> 14))


def test_a_name_can_be_used_again_at_once(vsock: VsockLab) -> None:
    server = vsock.server(52)
    for _ in range(3):
        vsock.from_guest(server)
        vsock.tell(Op.SHUTDOWN, 1000, 52, flags=BOTH)
        assert ops(vsock.told()) == [Op.RST]


# --- a restart -----------------------------------------------------------------------------------------------------


def test_after_a_restart_the_connections_are_gone_and_the_driver_is_told(vsock: VsockLab) -> None:
    program, _ = vsock.from_here()
    asked = vsock.program(b"CONNECT 6\n")
    vsock.work()
    waiting = vsock.program(b"CONNE")
    vsock.work()
    vsock.rig.reset()
    assert vsock.device.watched() == ()
    assert program.recv(9) == asked.recv(9) == b""
    waiting.sendall(b"CT 7\n")
    vsock.rig.start()
    vsock.packets.clear()
    events = vsock.rig.drivers[EVENTS]
    vsock.rig.service()  # the driver may be late with its buffers
    event = events.add([], [4])
    events.add([], [4])
    vsock.rig.kick(EVENTS)
    vsock.offer(9)
    assert [header.dst_port for header, _ in vsock.told()] == [7]  # who was not connected yet is now
    ((done, written),) = events.finished()
    assert (done, events.read(done), written) == (event, bytes(4), 4)


def test_a_driver_that_starts_without_a_past_is_told_nothing(vsock: VsockLab) -> None:
    vsock.rig.reset()
    vsock.rig.start()
    vsock.rig.drivers[EVENTS].add([], [4])
    vsock.rig.kick(EVENTS)
    vsock.rig.service()
    assert not vsock.rig.drivers[EVENTS].finished()


# --- the socket ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deep", [False, True])
def test_a_relative_name_lasts_where_there_is_room_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deep: bool
) -> None:
    folder = tmp_path / ("x" * 100 if deep else "x")
    folder.mkdir()
    monkeypatch.chdir(folder)
    with vsocks(Path(), False) as make:
        lab = make()
        server = lab.server(52)
        if not deep:
            monkeypatch.chdir("/")
        lab.from_guest(server)
        monkeypatch.chdir(folder)
