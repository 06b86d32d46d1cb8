# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-vsock: credit, buffers of any shape, what a driver must not do, limits."""

from __future__ import annotations

import resource
import select
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from vsock_lab import CID, EVENTS, RECEIVE, ROOM, TRANSMIT, VsockLab, data, ops, vsocks

from lguest_py.devices.device import Progress
from lguest_py.devices.errors import GuestError
from lguest_py.devices.vsock import ANSWERS, CONNECTIONS
from lguest_py.devices.vsock_connection import BUFFER
from lguest_py.devices.vsock_packet import HEADER, SHUTDOWN_RECEIVE, SHUTDOWN_SEND, Op

BOTH = SHUTDOWN_RECEIVE | SHUTDOWN_SEND
Make = Callable[..., VsockLab]


@pytest.fixture(params=[False, True], ids=["virtio1", "legacy"])
def make_vsock(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    with vsocks(tmp_path, request.param) as make:
        yield make


@pytest.fixture
def vsock(make_vsock: Make) -> VsockLab:
    return make_vsock()


def test_the_guest_gets_no_more_than_it_has_room_for(vsock: VsockLab) -> None:
    program = vsock.from_guest(vsock.server(52), buf_alloc=10_000)
    program.sendall(bytes(range(250)) * 100)
    packets = vsock.told()
    assert len(data(packets)) == 10_000
    assert ops(packets).count(Op.CREDIT_REQUEST) == 1
    assert vsock.told() == []  # once is enough
    vsock.tell(Op.CREDIT_UPDATE, 1000, 52, buf_alloc=10_000, fwd_cnt=4_000)
    packets += vsock.told()
    assert len(data(packets)) == 14_000
    vsock.tell(Op.CREDIT_UPDATE, 1000, 52, buf_alloc=20_000, fwd_cnt=14_000)
    packets += vsock.told()
    assert data(packets) == bytes(range(250)) * 100


def test_a_count_that_cannot_be_gives_no_credit(vsock: VsockLab) -> None:
    program = vsock.from_guest(vsock.server(52), buf_alloc=10, fwd_cnt=1)  # it had nothing
    program.sendall(b"x" * 100)
    assert data(vsock.told()) == b""


def test_counts_go_around(vsock: VsockLab) -> None:
    program = vsock.from_guest(vsock.server(52))
    connection = vsock.device._table[1000, 52]
    start = (1 << 32) - 5
    connection.given = connection.taken = connection.forwarded = connection._told_forwarded = start
    vsock.tell(Op.CREDIT_UPDATE, 1000, 52, buf_alloc=8, fwd_cnt=start)
    program.sendall(b"0123456789")
    packets = vsock.told()
    assert data(packets) == b"01234567"
    vsock.tell(Op.RW, 1000, 52, b"abcdefgh", buf_alloc=8, fwd_cnt=3)
    packets = vsock.told()
    assert data(packets) == b"89"
    assert packets[-1][0].fwd_cnt == 3
    assert program.recv(99) == b"abcdefgh"


def test_a_program_that_does_not_read_holds_this_connection_only(vsock: VsockLab) -> None:
    slow = vsock.from_guest(vsock.server(52))
    quick, port = vsock.from_here()
    sent = seen = 0
    while sent - seen + 8192 <= BUFFER:  # as a Guest that keeps to its credit
        vsock.tell(Op.RW, 1000, 52, bytes([sent >> 13 & 255]) * 8192)
        sent += 8192
        for header, _ in vsock.told():
            assert header.op == Op.CREDIT_UPDATE
            seen = header.fwd_cnt
        assert len(vsock.device._table[1000, 52].pending) <= BUFFER
        assert sent < 100 * BUFFER
    assert vsock.device.service() is Progress.IDLE
    assert not vsock.rig._wait(0.0)  # and it costs nothing
    vsock.tell(Op.RW, 1234, port, b"quick")
    vsock.work()
    assert quick.recv(99) == b"quick"
    got = b""
    while len(got) < sent:
        got += slow.recv(1 << 20)
        vsock.work()
    assert got == b"".join(bytes([number & 255]) * 8192 for number in range(sent >> 13))
    assert vsock.packets[-1][0].op == Op.CREDIT_UPDATE  # it may go on
    assert vsock.packets[-1][0].fwd_cnt > sent - BUFFER


def test_a_guest_that_asks_for_credit_is_answered(vsock: VsockLab) -> None:
    program = vsock.from_guest(vsock.server(52))
    vsock.tell(Op.RW, 1000, 52, b"12345")
    vsock.tell(Op.CREDIT_REQUEST, 1000, 52)
    ((header, _),) = vsock.told()
    assert (header.op, header.fwd_cnt, header.buf_alloc) == (Op.CREDIT_UPDATE, 5, BUFFER)
    assert program.recv(9) == b"12345"


def test_a_guest_beyond_its_credit_loses_the_connection(vsock: VsockLab) -> None:
    vsock.from_guest(vsock.server(52))
    answers: list[Op] = []
    for _ in range(8 + (1 << 22) // BUFFER):
        vsock.tell(Op.RW, 1000, 52, bytes(BUFFER // 2))
        answers += ops(vsock.told())
    assert Op.RST in answers
    assert not vsock.device._table


def test_a_guest_without_buffers_holds_the_programs_only(make_vsock: Make) -> None:
    vsock = make_vsock(buffers=0)
    program = vsock.program(b"CONNECT 1\n")
    assert vsock.told() == []
    assert vsock.device.service() is Progress.IDLE
    assert not vsock.rig._wait(0.0)
    vsock.offer(1)
    vsock.device.service()
    vsock.collect(again=False)
    ((request, _),) = vsock.packets
    vsock.packets.clear()
    vsock.tell(Op.RESPONSE, 1, request.src_port)
    program.sendall(b"x" * 10_000)
    vsock.rig.service()
    vsock.collect(again=False)
    assert not vsock.packets
    vsock.offer(2)
    vsock.rig.service()
    vsock.collect(again=False)
    assert [len(content) for _, content in vsock.packets] == [4096, 4096]


def test_buffers_are_filled_whatever_their_shape(make_vsock: Make) -> None:
    vsock = make_vsock(buffers=0)
    driver = vsock.rig.drivers[RECEIVE]
    for sizes in ([10, 40, 1], [HEADER + 100], [HEADER, 1, 1], [43, 1, 50], [HEADER + 7, 3000]):
        driver.add([], sizes)
    vsock.rig.kick(RECEIVE)
    program = vsock.program(b"CONNECT 5\n")
    vsock.rig.service()
    vsock.collect(again=False)
    vsock.tell(Op.RESPONSE, 5, vsock.packets[0][0].src_port)
    whole = bytes(range(256)) * 10
    program.sendall(whole)
    vsock.rig.service()
    vsock.collect(again=False)
    assert [len(content) for _, content in vsock.packets] == [0, 100, 2, 51 - 1, 2560 - 152]
    assert data(list(vsock.packets)) == whole


@pytest.mark.parametrize("cuts", [(1,), (40, 3, 1, 1), (HEADER + 3,), (HEADER, 1, 1, 1)])
def test_packets_of_the_guest_may_have_any_shape(vsock: VsockLab, cuts: tuple[int, ...]) -> None:
    program = vsock.from_guest(vsock.server(52))
    vsock.tell(Op.RW, 1000, 52, b"0123456789", cuts=cuts)
    vsock.tell(Op.RW, 1000, 52, b"abcdefghij", cuts=cuts, len=3)  # what is behind counts for nothing
    vsock.tell(Op.RW, 1000, 52, b"", cuts=cuts[:1])
    assert vsock.told() == []
    assert program.recv(99) == b"0123456789abc"


# --- what a driver must not do -------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [op for op in Op if op not in (Op.REQUEST, Op.RST)] + [8, 0xFFFF])
def test_a_packet_for_no_connection_gets_a_reset(vsock: VsockLab, op: int) -> None:
    vsock.tell(op, 5, 6, b"data")
    ((header, _),) = vsock.told()
    assert (header.op, header[:4], header.len) == (Op.RST, (2, CID, 6, 5), 0)


def test_a_reset_for_no_connection_gets_no_answer(vsock: VsockLab) -> None:
    vsock.tell(Op.RST, 5, 6)
    vsock.tell(Op.RST, 5, 6, dst_cid=77, type=9)
    assert vsock.told() == []


@pytest.mark.parametrize("other", [{"dst_cid": 77}, {"src_cid": 4}, {"type": 2}, {"dst_cid": (1 << 64) - 1}])
def test_an_address_or_a_type_that_is_not_ours_gets_a_reset(vsock: VsockLab, other: dict[str, Any]) -> None:
    vsock.server(52)
    vsock.tell(Op.REQUEST, 1000, 52, **other)
    ((header, _),) = vsock.told()
    assert header.op == Op.RST
    assert (header.src_cid, header.dst_cid) == (other.get("dst_cid", 2), other.get("src_cid", CID))
    assert header.type == other.get("type", 1)
    assert not vsock.device._table


@pytest.mark.parametrize("op", [Op.NONE, Op.REQUEST, Op.RESPONSE, 8, 0xFFFF])
def test_a_packet_that_an_open_connection_cannot_get_ends_it(vsock: VsockLab, op: int) -> None:
    program = vsock.from_guest(vsock.server(52))
    vsock.tell(op, 1000, 52)
    assert ops(vsock.told()) == [Op.RST]
    assert program.recv(9) == b""


@pytest.mark.parametrize("op", [Op.NONE, Op.REQUEST, Op.RW, Op.SHUTDOWN, Op.CREDIT_UPDATE, Op.CREDIT_REQUEST, 99])
def test_only_a_response_makes_a_connection(vsock: VsockLab, op: int) -> None:
    program = vsock.program(b"CONNECT 5\n")
    ((request, _),) = vsock.told()
    vsock.tell(op, 5, request.src_port)
    assert ops(vsock.told()) == [Op.RST]
    assert program.recv(9) == b""


def test_a_response_before_the_question_makes_none(make_vsock: Make) -> None:
    vsock = make_vsock(buffers=0)
    program = vsock.program(b"CONNECT 5\n")
    vsock.work()
    ((_, host),) = vsock.device._table
    vsock.tell(Op.RESPONSE, 5, host)
    vsock.work()
    assert not vsock.device._table
    assert program.recv(9) == b""


def test_data_after_the_end_of_data_ends_the_connection(vsock: VsockLab) -> None:
    vsock.from_guest(vsock.server(52))
    vsock.tell(Op.SHUTDOWN, 1000, 52, flags=SHUTDOWN_SEND)
    vsock.tell(Op.RW, 1000, 52, b"more")
    assert ops(vsock.told()) == [Op.RST]


@pytest.mark.parametrize("other", [{"len": 5}, {"len": (1 << 32) - 1}])
def test_a_packet_that_says_more_than_it_has_breaks_a_rule(vsock: VsockLab, other: dict[str, Any]) -> None:
    vsock.tell(Op.RW, 1, 2, b"four", **other)
    with pytest.raises(GuestError, match="fewer bytes than it says"):
        vsock.rig.service()


@pytest.mark.parametrize(
    ("queue", "readable", "writable"),
    [
        (TRANSMIT, [b"short"], []),
        (TRANSMIT, [], [HEADER]),
        (TRANSMIT, [bytes(HEADER)], [1]),
        (RECEIVE, [], [HEADER]),
        (RECEIVE, [], [1]),
        (RECEIVE, [b"x"], [4096]),
        (EVENTS, [], [3]),
        (EVENTS, [b"x"], []),
    ],
)
def test_a_buffer_that_cannot_be_breaks_a_rule(
    make_vsock: Make, queue: int, readable: list[bytes], writable: list[int]
) -> None:
    vsock = make_vsock(buffers=0)
    vsock.device._broken = True
    vsock.program(b"CONNECT 5\n")
    vsock.rig.drivers[queue].add(readable, writable)
    with pytest.raises(GuestError, match=r"vsock .* queue"):
        vsock.rig.service()


def test_answers_wait_in_the_ring_while_the_guest_has_no_buffers(make_vsock: Make) -> None:
    vsock = make_vsock(buffers=0)
    sent = 0
    for _ in range(3 * ANSWERS // 64):
        for _ in range(64):
            try:
                vsock.tell(Op.RW, 1, 2)
            except MemoryError:
                break
            sent += 1
        vsock.rig.service()
        vsock.collect()
    assert len(vsock.device._resets) == ANSWERS
    assert ANSWERS < sent < 3 * ANSWERS  # the Guest's own ring is full
    assert vsock.device.service() is Progress.IDLE
    vsock.offer(8)
    assert len(vsock.told()) == sent


# --- limits --------------------------------------------------------------------------------------------------------


def test_connections_beyond_the_limit_get_a_reset(vsock: VsockLab) -> None:
    server = vsock.server(52, backlog=4096)
    for guest in range(CONNECTIONS + 20):
        vsock.tell(Op.REQUEST, guest, 52)
        vsock.work()
    answers = ops(vsock.told())
    assert answers.count(Op.RESPONSE) == CONNECTIONS
    assert answers.count(Op.RST) == 20
    program = vsock.program(b"CONNECT 5\n")  # nor does a program here get one
    assert vsock.told() == []
    with pytest.raises(ConnectionResetError):
        program.recv(99)
    vsock.tell(Op.SHUTDOWN, 3, 52, flags=BOTH)
    assert ops(vsock.told()) == [Op.RST]
    vsock.from_here()
    server.close()


def test_programs_that_say_nothing_are_limited_too(vsock: VsockLab) -> None:
    server = vsock.server(52)
    silent = []
    for _ in range(CONNECTIONS + 3):
        silent.append(vsock.program())
        vsock.work()
    assert len(vsock.device._sockets) == CONNECTIONS
    assert silent[-1].recv(9) == b""
    vsock.tell(Op.REQUEST, 1, 52)
    assert ops(vsock.told()) == [Op.RST]
    for each in silent:
        each.close()
    vsock.from_guest(server)


def test_programs_that_are_gone_and_a_guest_that_does_not_care_are_limited_too(vsock: VsockLab) -> None:
    for _ in range(CONNECTIONS):
        vsock.from_here()[0].close()
        assert vsock.told()[-1][0].flags == BOTH
    assert not vsock.device._sockets
    vsock.tell(Op.REQUEST, 1, 52)
    vsock.server(52)
    assert ops(vsock.told()) == [Op.RST]


def test_without_descriptors_a_program_waits_and_the_guest_gets_a_reset(vsock: VsockLab) -> None:
    server, (first, port) = vsock.server(52), vsock.from_here()
    program = vsock.program(b"CONNECT 5\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (program.fileno() + 1, hard))
    try:
        vsock.tell(Op.REQUEST, 1, 52)
        assert ops(vsock.told()) == [Op.RST]
        assert vsock.device.service() is Progress.IDLE
        vsock.tell(Op.RST, 1234, port)  # one is free again
        assert ops(vsock.told()) == [Op.REQUEST]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert first.recv(9) == b""
    vsock.from_guest(server)


def test_the_work_of_one_call_is_bounded_and_each_connection_gets_its_turn(vsock: VsockLab) -> None:
    loud, quiet = vsock.from_guest(vsock.server(52), 1, 52), vsock.from_guest(vsock.server(53), 2, 53)
    loud.setblocking(False)
    while select.select([], [loud], [], 0)[1]:
        loud.send(bytes(1 << 16))
    quiet.sendall(b"quiet")
    vsock.once()
    ports = [header.src_port for header, _ in vsock.packets]
    assert 53 in ports
    for _ in range(200):
        vsock.tell(Op.CREDIT_REQUEST, 2, 53)
    assert vsock.device.service() is Progress.MORE


def test_the_room_of_the_lab_is_that_of_linux() -> None:
    assert ROOM == BUFFER == 256 << 10
