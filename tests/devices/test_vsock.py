# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-vsock: connections both ways, their ends, credit, limits, the file of the socket."""

from __future__ import annotations

import resource
import select
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from vsock_lab import CID, EVENTS, RECEIVE, ROOM, TRANSMIT, VsockLab, data, ops

from lguest_py.devices.device import Progress
from lguest_py.devices.errors import GuestError
from lguest_py.devices.vsock import ANSWERS, CONNECTIONS, F_STREAM, VsockDevice
from lguest_py.devices.vsock_connection import BUFFER, NOBODY, SAY_CONNECT
from lguest_py.devices.vsock_packet import HEADER, SHUTDOWN_RECEIVE, SHUTDOWN_SEND, Op
from lguest_py.errors import UsageError
from lguest_py.hardware import Vsock

BOTH = SHUTDOWN_RECEIVE | SHUTDOWN_SEND
Make = Callable[..., VsockLab]


@pytest.fixture(params=[False, True], ids=["virtio1", "legacy"])
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    labs: list[VsockLab] = []

    def one(**how: int) -> VsockLab:
        labs.append(VsockLab(tmp_path / "vm.sock", legacy=request.param, **how))
        return labs[-1]

    yield one
    for lab in labs:
        lab.close()
        assert not lab.path.exists()
        assert not lab.device._sockets


@pytest.fixture
def lab(make: Make) -> VsockLab:
    return make()


def test_the_guest_learns_its_address_and_that_there_are_streams(tmp_path: Path) -> None:
    device = VsockDevice(Vsock(str(tmp_path / "s"), 0xFFFFFFFE), print)
    assert device.config() == b"\xfe\xff\xff\xff\0\0\0\0"
    assert (device.type, device.features, len(device.queue_sizes)) == (19, F_STREAM, 3)
    device.close()


def test_a_program_here_reaches_a_port_of_the_guest(lab: VsockLab) -> None:
    program = lab.program(b"CONNECT 1234\n")
    ((request, _),) = lab.told()
    assert request[:4] == (2, CID, request.src_port, 1234)
    assert (request.len, request.op, request.buf_alloc) == (0, Op.REQUEST, BUFFER)
    lab.tell(Op.RESPONSE, 1234, request.src_port)
    lab.work()
    assert program.recv(99) == b"OK %d\n" % request.src_port
    program.sendall(b"question")
    assert data(lab.told()) == b"question"
    lab.tell(Op.RW, 1234, request.src_port, b"answer")
    lab.work()
    assert program.recv(99) == b"answer"


def test_the_guest_reaches_a_program_here(lab: VsockLab) -> None:
    program = lab.from_guest(lab.server(52))
    lab.tell(Op.RW, 1000, 52, b"question")
    lab.work()
    assert program.recv(99) == b"question"
    program.sendall(b"answer")
    ((header, content),) = lab.told()
    assert (header[:4], content) == ((2, CID, 52, 1000), b"answer")
    assert header.fwd_cnt == len(b"question")


@pytest.mark.parametrize("port", [0, 1, (1 << 32) - 1])
def test_any_port_will_do(lab: VsockLab, port: int) -> None:
    lab.from_guest(lab.server(port), 7, port)
    lab.from_here(port)


def test_two_connections_to_one_port_are_two(lab: VsockLab) -> None:
    one, one_port = lab.from_here()
    two, two_port = lab.from_here()
    assert one_port != two_port
    lab.tell(Op.RW, 1234, two_port, b"two")
    lab.tell(Op.RW, 1234, one_port, b"one")
    lab.work()
    assert (one.recv(9), two.recv(9)) == (b"one", b"two")


def test_nobody_listens_here(lab: VsockLab) -> None:
    lab.tell(Op.REQUEST, 1000, 52)
    ((header, _),) = lab.told()
    assert (header.op, header[:4]) == (Op.RST, (2, CID, 52, 1000))
    stale = lab.server(53)
    stale.close()  # its file stays
    lab.tell(Op.REQUEST, 1000, 53)
    assert ops(lab.told()) == [Op.RST]
    busy = lab.server(54, backlog=0)
    for guest in range(4):
        lab.tell(Op.REQUEST, guest, 54)
    assert set(ops(lab.told())) == {Op.RESPONSE, Op.RST}
    busy.accept()[0].close()


def test_nobody_listens_in_the_guest(lab: VsockLab) -> None:
    program = lab.program(b"CONNECT 99\n")
    ((request, _),) = lab.told()
    lab.tell(Op.RST, 99, request.src_port)
    assert lab.told() == []
    assert program.recv(99) == NOBODY % 99
    assert program.recv(99) == b""


@pytest.mark.parametrize(
    "line", [b"\n", b"GET / HTTP/1.1\r\n", b"CONNECT\n", b"CONNECT x\n", b"CONNECT 4294967296\n", b"CONNECT 1 2\n"]
)
def test_a_program_that_says_something_else_is_told(lab: VsockLab, line: bytes) -> None:
    program = lab.program(line)
    assert lab.told() == []
    assert program.recv(99) == SAY_CONNECT
    with pytest.raises(ConnectionResetError) if len(line) > 32 else pytest.MonkeyPatch.context():
        assert program.recv(99) == b""


def test_a_line_without_an_end_is_not_read_for_ever(lab: VsockLab) -> None:
    program = lab.program(b"C" * 40)
    assert lab.told() == []
    with pytest.raises(ConnectionResetError):
        program.recv(99)


@pytest.mark.parametrize("said", [b"", b"CONN", b"CONNECT 1"])
def test_a_program_that_goes_away_before_its_line_is_complete(lab: VsockLab, said: bytes) -> None:
    program = lab.program(said)
    lab.work()
    assert len(lab.device._sockets) == 1
    program.close()
    assert lab.told() == []
    assert not lab.device._sockets


def test_a_line_may_come_in_parts_and_with_what_follows(lab: VsockLab) -> None:
    program = lab.program()
    for part in (b"CON", b"NECT 12", b"34\r"):
        program.sendall(part)
        assert lab.told() == []
    program.sendall(b"\nfollows")
    ((request, _),) = lab.told()
    lab.tell(Op.RESPONSE, 1234, request.src_port)
    assert data(lab.told()) == b"follows"


def test_a_program_that_sends_all_and_closes_at_once_is_heard(lab: VsockLab) -> None:
    program = lab.program(b"CONNECT 1111\ntest\n")
    program.close()
    ((request, _),) = lab.told()
    lab.tell(Op.RESPONSE, 1111, request.src_port)
    packets = lab.told()
    assert data(packets) == b"test\n"
    assert packets[-1][0].op == Op.SHUTDOWN
    assert packets[-1][0].flags == BOTH
    lab.tell(Op.RST, 1111, request.src_port)
    assert lab.told() == []


# --- the ends ------------------------------------------------------------------------------------------------------


def test_each_direction_ends_by_itself_first_here(lab: VsockLab) -> None:
    program = lab.from_guest(lab.server(52))
    program.sendall(b"all")
    program.shutdown(socket.SHUT_WR)
    packets = lab.told()
    assert ops(packets) == [Op.RW, Op.SHUTDOWN]
    assert packets[1][0].flags == SHUTDOWN_SEND
    lab.tell(Op.RW, 1000, 52, b"answer")  # the other direction works
    lab.work()
    assert program.recv(99) == b"answer"
    lab.tell(Op.SHUTDOWN, 1000, 52, flags=BOTH)
    assert ops(lab.told()) == [Op.RST]
    assert program.recv(99) == b""


def test_each_direction_ends_by_itself_first_in_the_guest(lab: VsockLab) -> None:
    program = lab.from_guest(lab.server(52))
    lab.tell(Op.RW, 1000, 52, b"all")
    lab.tell(Op.SHUTDOWN, 1000, 52, flags=SHUTDOWN_SEND)
    assert lab.told() == []
    assert program.recv(99) == b"all"
    assert program.recv(99) == b""
    program.sendall(b"answer")
    assert data(lab.told()) == b"answer"
    program.close()
    ((header, _),) = lab.told()
    assert (header.op, header.flags) == (Op.SHUTDOWN, BOTH)
    lab.tell(Op.RST, 1000, 52)
    assert lab.told() == []


def test_a_guest_that_does_not_receive_any_more(lab: VsockLab) -> None:
    program = lab.from_guest(lab.server(52))
    lab.tell(Op.SHUTDOWN, 1000, 52, flags=SHUTDOWN_RECEIVE)
    assert lab.told() == []
    with pytest.raises(BrokenPipeError):
        program.sendall(b"x")
    lab.tell(Op.RW, 1000, 52, b"still")
    lab.work()
    assert program.recv(99) == b"still"
    program.close()
    ((header, _),) = lab.told()
    assert (header.op, header.flags) == (Op.SHUTDOWN, BOTH)


def test_a_program_that_closed_takes_no_more_and_what_it_sent_arrives(lab: VsockLab) -> None:
    program = lab.from_guest(lab.server(52), buf_alloc=3)
    program.sendall(b"abcdef")
    program.close()
    packets = lab.told()
    assert data(packets) == b"abc"
    assert [header.flags for header, _ in packets if header.op == Op.SHUTDOWN] == [SHUTDOWN_RECEIVE]
    lab.tell(Op.RW, 1000, 52, b"on its way already", buf_alloc=3)  # no offence
    assert lab.told() == []
    lab.tell(Op.CREDIT_UPDATE, 1000, 52, buf_alloc=100, fwd_cnt=3)
    packets = lab.told()
    assert data(packets) == b"def"
    assert (packets[-1][0].op, packets[-1][0].flags) == (Op.SHUTDOWN, BOTH)


def test_what_the_guest_sent_before_it_closed_arrives_however_slow_the_program_is(lab: VsockLab) -> None:
    program = lab.from_guest(lab.server(52))
    sent = 0
    while sent < 3 * BUFFER // 2:  # the socket takes some of it
        lab.tell(Op.RW, 1000, 52, bytes([sent >> 14]) * 16384)
        sent += 16384
        assert Op.RST not in ops(lab.told())
        if lab.device._table[1000, 52].pending:
            break
    lab.tell(Op.SHUTDOWN, 1000, 52, flags=BOTH)
    assert ops(lab.told()) == [Op.RST]  # at once: the Guest need not wait
    assert not lab.device._table
    lab.rig.reset()  # not even a restart changes that
    lab.rig.start()
    got = b""
    while piece := program.recv(1 << 16):
        got += piece
        lab.rig.service()
    assert got == b"".join(bytes([number]) * 16384 for number in range(sent >> 14))


def test_a_name_can_be_used_again_at_once(lab: VsockLab) -> None:
    server = lab.server(52)
    for _ in range(3):
        lab.from_guest(server)
        lab.tell(Op.SHUTDOWN, 1000, 52, flags=BOTH)
        assert ops(lab.told()) == [Op.RST]


# --- credit --------------------------------------------------------------------------------------------------------


def test_the_guest_gets_no_more_than_it_has_room_for(lab: VsockLab) -> None:
    program = lab.from_guest(lab.server(52), buf_alloc=10_000)
    program.sendall(bytes(range(250)) * 100)
    packets = lab.told()
    assert len(data(packets)) == 10_000
    assert ops(packets).count(Op.CREDIT_REQUEST) == 1
    assert lab.told() == []  # once is enough
    lab.tell(Op.CREDIT_UPDATE, 1000, 52, buf_alloc=10_000, fwd_cnt=4_000)
    packets += lab.told()
    assert len(data(packets)) == 14_000
    lab.tell(Op.CREDIT_UPDATE, 1000, 52, buf_alloc=20_000, fwd_cnt=14_000)
    packets += lab.told()
    assert data(packets) == bytes(range(250)) * 100


def test_a_count_that_cannot_be_gives_no_credit(lab: VsockLab) -> None:
    program = lab.from_guest(lab.server(52), buf_alloc=10, fwd_cnt=1)  # it had nothing
    program.sendall(b"x" * 100)
    assert data(lab.told()) == b""


def test_counts_go_around(lab: VsockLab) -> None:
    program = lab.from_guest(lab.server(52))
    connection = lab.device._table[1000, 52]
    start = (1 << 32) - 5
    connection.given = connection.taken = connection.forwarded = connection._told_forwarded = start
    lab.tell(Op.CREDIT_UPDATE, 1000, 52, buf_alloc=8, fwd_cnt=start)
    program.sendall(b"0123456789")
    packets = lab.told()
    assert data(packets) == b"01234567"
    lab.tell(Op.RW, 1000, 52, b"abcdefgh", buf_alloc=8, fwd_cnt=3)
    packets = lab.told()
    assert data(packets) == b"89"
    assert packets[-1][0].fwd_cnt == 3
    assert program.recv(99) == b"abcdefgh"


def test_a_program_that_does_not_read_holds_this_connection_only(lab: VsockLab) -> None:
    slow = lab.from_guest(lab.server(52))
    quick, port = lab.from_here()
    sent = seen = 0
    while sent - seen + 8192 <= BUFFER:  # as a Guest that keeps to its credit
        lab.tell(Op.RW, 1000, 52, bytes([sent >> 13 & 255]) * 8192)
        sent += 8192
        for header, _ in lab.told():
            assert header.op == Op.CREDIT_UPDATE
            seen = header.fwd_cnt
        assert len(lab.device._table[1000, 52].pending) <= BUFFER
        assert sent < 100 * BUFFER
    assert lab.device.service() is Progress.IDLE
    assert not lab.rig._wait(0.0)  # and it costs nothing
    lab.tell(Op.RW, 1234, port, b"quick")
    lab.work()
    assert quick.recv(99) == b"quick"
    got = b""
    while len(got) < sent:
        got += slow.recv(1 << 20)
        lab.work()
    assert got == b"".join(bytes([number & 255]) * 8192 for number in range(sent >> 13))
    assert lab.packets[-1][0].op == Op.CREDIT_UPDATE  # it may go on
    assert lab.packets[-1][0].fwd_cnt > sent - BUFFER


def test_a_guest_that_asks_for_credit_is_answered(lab: VsockLab) -> None:
    program = lab.from_guest(lab.server(52))
    lab.tell(Op.RW, 1000, 52, b"12345")
    lab.tell(Op.CREDIT_REQUEST, 1000, 52)
    ((header, _),) = lab.told()
    assert (header.op, header.fwd_cnt, header.buf_alloc) == (Op.CREDIT_UPDATE, 5, BUFFER)
    assert program.recv(9) == b"12345"


def test_a_guest_beyond_its_credit_loses_the_connection(lab: VsockLab) -> None:
    lab.from_guest(lab.server(52))
    answers: list[Op] = []
    for _ in range(8 + (1 << 22) // BUFFER):
        lab.tell(Op.RW, 1000, 52, bytes(BUFFER // 2))
        answers += ops(lab.told())
    assert Op.RST in answers
    assert not lab.device._table


def test_a_guest_without_buffers_holds_the_programs_only(make: Make) -> None:
    lab = make(buffers=0)
    program = lab.program(b"CONNECT 1\n")
    assert lab.told() == []
    assert lab.device.service() is Progress.IDLE
    assert not lab.rig._wait(0.0)
    lab.offer(1)
    lab.device.service()
    lab.collect(again=False)
    ((request, _),) = lab.packets
    lab.packets.clear()
    lab.tell(Op.RESPONSE, 1, request.src_port)
    program.sendall(b"x" * 10_000)
    lab.rig.service()
    lab.collect(again=False)
    assert not lab.packets
    lab.offer(2)
    lab.rig.service()
    lab.collect(again=False)
    assert [len(content) for _, content in lab.packets] == [4096, 4096]


def test_buffers_are_filled_whatever_their_shape(make: Make) -> None:
    lab = make(buffers=0)
    driver = lab.rig.drivers[RECEIVE]
    for sizes in ([10, 40, 1], [HEADER + 100], [HEADER, 1, 1], [43, 1, 50], [HEADER + 7, 3000]):
        driver.add([], sizes)
    lab.rig.kick(RECEIVE)
    program = lab.program(b"CONNECT 5\n")
    lab.rig.service()
    lab.collect(again=False)
    lab.tell(Op.RESPONSE, 5, lab.packets[0][0].src_port)
    whole = bytes(range(256)) * 10
    program.sendall(whole)
    lab.rig.service()
    lab.collect(again=False)
    assert [len(content) for _, content in lab.packets] == [0, 100, 2, 51 - 1, 2560 - 152]
    assert data(list(lab.packets)) == whole


@pytest.mark.parametrize("cuts", [(1,), (40, 3, 1, 1), (HEADER + 3,), (HEADER, 1, 1, 1)])
def test_packets_of_the_guest_may_have_any_shape(lab: VsockLab, cuts: tuple[int, ...]) -> None:
    program = lab.from_guest(lab.server(52))
    lab.tell(Op.RW, 1000, 52, b"0123456789", cuts=cuts)
    lab.tell(Op.RW, 1000, 52, b"abcdefghij", cuts=cuts, len=3)  # what is behind counts for nothing
    lab.tell(Op.RW, 1000, 52, b"", cuts=cuts[:1])
    assert lab.told() == []
    assert program.recv(99) == b"0123456789abc"


# --- what a driver must not do -------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [op for op in Op if op not in (Op.REQUEST, Op.RST)] + [8, 0xFFFF])
def test_a_packet_for_no_connection_gets_a_reset(lab: VsockLab, op: int) -> None:
    lab.tell(op, 5, 6, b"data")
    ((header, _),) = lab.told()
    assert (header.op, header[:4], header.len) == (Op.RST, (2, CID, 6, 5), 0)


def test_a_reset_for_no_connection_gets_no_answer(lab: VsockLab) -> None:
    lab.tell(Op.RST, 5, 6)
    lab.tell(Op.RST, 5, 6, dst_cid=77, type=9)
    assert lab.told() == []


@pytest.mark.parametrize("other", [{"dst_cid": 77}, {"src_cid": 4}, {"type": 2}, {"dst_cid": (1 << 64) - 1}])
def test_an_address_or_a_type_that_is_not_ours_gets_a_reset(lab: VsockLab, other: dict[str, Any]) -> None:
    lab.server(52)
    lab.tell(Op.REQUEST, 1000, 52, **other)
    ((header, _),) = lab.told()
    assert header.op == Op.RST
    assert (header.src_cid, header.dst_cid) == (other.get("dst_cid", 2), other.get("src_cid", CID))
    assert header.type == other.get("type", 1)
    assert not lab.device._table


@pytest.mark.parametrize("op", [Op.NONE, Op.REQUEST, Op.RESPONSE, 8, 0xFFFF])
def test_a_packet_that_an_open_connection_cannot_get_ends_it(lab: VsockLab, op: int) -> None:
    program = lab.from_guest(lab.server(52))
    lab.tell(op, 1000, 52)
    assert ops(lab.told()) == [Op.RST]
    assert program.recv(9) == b""


@pytest.mark.parametrize("op", [Op.NONE, Op.REQUEST, Op.RW, Op.SHUTDOWN, Op.CREDIT_UPDATE, Op.CREDIT_REQUEST, 99])
def test_only_a_response_makes_a_connection(lab: VsockLab, op: int) -> None:
    program = lab.program(b"CONNECT 5\n")
    ((request, _),) = lab.told()
    lab.tell(op, 5, request.src_port)
    assert ops(lab.told()) == [Op.RST]
    assert program.recv(9) == b""


def test_a_response_before_the_question_makes_none(make: Make) -> None:
    lab = make(buffers=0)
    program = lab.program(b"CONNECT 5\n")
    lab.work()
    ((_, host),) = lab.device._table
    lab.tell(Op.RESPONSE, 5, host)
    lab.work()
    assert not lab.device._table
    assert program.recv(9) == b""


def test_data_after_the_end_of_data_ends_the_connection(lab: VsockLab) -> None:
    lab.from_guest(lab.server(52))
    lab.tell(Op.SHUTDOWN, 1000, 52, flags=SHUTDOWN_SEND)
    lab.tell(Op.RW, 1000, 52, b"more")
    assert ops(lab.told()) == [Op.RST]


@pytest.mark.parametrize("other", [{"len": 5}, {"len": (1 << 32) - 1}])
def test_a_packet_that_says_more_than_it_has_breaks_a_rule(lab: VsockLab, other: dict[str, Any]) -> None:
    lab.tell(Op.RW, 1, 2, b"four", **other)
    with pytest.raises(GuestError, match="fewer bytes than it says"):
        lab.rig.service()


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
    make: Make, queue: int, readable: list[bytes], writable: list[int]
) -> None:
    lab = make(buffers=0)
    lab.device._broken = True
    lab.program(b"CONNECT 5\n")
    lab.rig.drivers[queue].add(readable, writable)
    with pytest.raises(GuestError, match=r"vsock .* queue"):
        lab.rig.service()


def test_answers_wait_in_the_ring_while_the_guest_has_no_buffers(make: Make) -> None:
    lab = make(buffers=0)
    sent = 0
    for _ in range(3 * ANSWERS // 64):
        for _ in range(64):
            try:
                lab.tell(Op.RW, 1, 2)
            except MemoryError:
                break
            sent += 1
        lab.rig.service()
        lab.collect()
    assert len(lab.device._resets) == ANSWERS
    assert ANSWERS < sent < 3 * ANSWERS  # the Guest's own ring is full
    assert lab.device.service() is Progress.IDLE
    lab.offer(8)
    assert len(lab.told()) == sent


# --- limits --------------------------------------------------------------------------------------------------------


def test_connections_beyond_the_limit_get_a_reset(lab: VsockLab) -> None:
    server = lab.server(52, backlog=4096)
    for guest in range(CONNECTIONS + 20):
        lab.tell(Op.REQUEST, guest, 52)
        lab.work()
    answers = ops(lab.told())
    assert answers.count(Op.RESPONSE) == CONNECTIONS
    assert answers.count(Op.RST) == 20
    program = lab.program(b"CONNECT 5\n")  # nor does a program here get one
    assert lab.told() == []
    with pytest.raises(ConnectionResetError):
        program.recv(99)
    lab.tell(Op.SHUTDOWN, 3, 52, flags=BOTH)
    assert ops(lab.told()) == [Op.RST]
    lab.from_here()
    server.close()


def test_programs_that_say_nothing_are_limited_too(lab: VsockLab) -> None:
    server = lab.server(52)
    silent = []
    for _ in range(CONNECTIONS + 3):
        silent.append(lab.program())
        lab.work()
    assert len(lab.device._sockets) == CONNECTIONS
    assert silent[-1].recv(9) == b""
    lab.tell(Op.REQUEST, 1, 52)
    assert ops(lab.told()) == [Op.RST]
    for each in silent:
        each.close()
    lab.from_guest(server)


def test_programs_that_are_gone_and_a_guest_that_does_not_care_are_limited_too(lab: VsockLab) -> None:
    for _ in range(CONNECTIONS):
        lab.from_here()[0].close()
        assert lab.told()[-1][0].flags == BOTH
    assert not lab.device._sockets
    lab.tell(Op.REQUEST, 1, 52)
    lab.server(52)
    assert ops(lab.told()) == [Op.RST]


def test_without_descriptors_a_program_waits_and_the_guest_gets_a_reset(lab: VsockLab) -> None:
    server, (first, port) = lab.server(52), lab.from_here()
    program = lab.program(b"CONNECT 5\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (program.fileno() + 1, hard))
    try:
        lab.tell(Op.REQUEST, 1, 52)
        assert ops(lab.told()) == [Op.RST]
        assert lab.device.service() is Progress.IDLE
        lab.tell(Op.RST, 1234, port)  # one is free again
        assert ops(lab.told()) == [Op.REQUEST]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert first.recv(9) == b""
    lab.from_guest(server)


def test_the_work_of_one_call_is_bounded_and_each_connection_gets_its_turn(lab: VsockLab) -> None:
    loud, quiet = lab.from_guest(lab.server(52), 1, 52), lab.from_guest(lab.server(53), 2, 53)
    loud.setblocking(False)
    while select.select([], [loud], [], 0)[1]:
        loud.send(bytes(1 << 16))
    quiet.sendall(b"quiet")
    lab.once()
    ports = [header.src_port for header, _ in lab.packets]
    assert 53 in ports
    for _ in range(200):
        lab.tell(Op.CREDIT_REQUEST, 2, 53)
    assert lab.device.service() is Progress.MORE


# --- a restart -----------------------------------------------------------------------------------------------------


def test_after_a_restart_the_connections_are_gone_and_the_driver_is_told(lab: VsockLab) -> None:
    program, _ = lab.from_here()
    asked = lab.program(b"CONNECT 6\n")
    lab.work()
    waiting = lab.program(b"CONNE")
    lab.work()
    lab.rig.reset()
    assert lab.device.watched() == ()
    assert program.recv(9) == asked.recv(9) == b""
    waiting.sendall(b"CT 7\n")
    lab.rig.start()
    lab.packets.clear()
    events = lab.rig.drivers[EVENTS]
    lab.rig.service()  # the driver may be late with its buffers
    event = events.add([], [4])
    events.add([], [4])
    lab.rig.kick(EVENTS)
    lab.offer(9)
    assert [header.dst_port for header, _ in lab.told()] == [7]  # who was not connected yet is now
    ((done, written),) = events.finished()
    assert (done, events.read(done), written) == (event, bytes(4), 4)


def test_a_driver_that_starts_without_a_past_is_told_nothing(lab: VsockLab) -> None:
    lab.rig.reset()
    lab.rig.start()
    lab.rig.drivers[EVENTS].add([], [4])
    lab.rig.kick(EVENTS)
    lab.rig.service()
    assert not lab.rig.drivers[EVENTS].finished()


# --- the socket ----------------------------------------------------------------------------------------------------


def test_only_this_user_may_connect(lab: VsockLab) -> None:
    assert stat.S_IMODE(lab.path.stat().st_mode) == 0o600


def test_a_socket_that_nobody_listens_at_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    device = VsockDevice(Vsock(str(path)), print)
    with pytest.raises(UsageError, match="another program listens there"):
        VsockDevice(Vsock(str(path)), print)
    assert path.exists()
    path.unlink()
    path.write_text("made by someone else meanwhile")
    device.close()
    assert path.exists()


@pytest.mark.parametrize("name", ["folder", "file", "none/socket"])
def test_where_no_socket_can_be_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match=r"cannot be a vsock's socket.*name") as caught:
        VsockDevice(Vsock(str(tmp_path / name)), print)
    assert str(caught.value).isprintable()
    assert (tmp_path / "file").read_text() == "mine"


def test_the_room_of_the_lab_is_that_of_linux() -> None:
    assert ROOM == BUFFER == 256 << 10
