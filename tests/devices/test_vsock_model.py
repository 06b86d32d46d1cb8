# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections of virtio-vsock against a model: a Guest that keeps the rules, and programs that do as they like.

All that one side sent arrives at the other in order, as long as that side listens; nobody gets more than it has room
for; a Guest that keeps the rules gets a RST only as the answer to its own end.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from vsock_lab import VsockLab

from lguest_py.devices.vsock_connection import BUFFER
from lguest_py.devices.vsock_packet import SHUTDOWN_RECEIVE, SHUTDOWN_SEND, Op

BOTH = SHUTDOWN_RECEIVE | SHUTDOWN_SEND
PORT = 52
MOST = 1 << 22
PATTERN = bytes(number * 7 % 251 for number in range(MOST + (1 << 20)))
SIZES = st.sampled_from((0, 1, 100, 5000, 30_000))
ROOMS = st.sampled_from((200, 5000, 1 << 18))


@dataclass(eq=False)
class Stream:
    """What the model knows of one connection.  Amounts count bytes of PATTERN."""

    guest: int  # ports
    host: int
    program: socket.socket | None
    room: int  # that the Guest has
    open: bool = True  # for the Guest
    sent: int = 0  # by the Guest
    got: int = 0  # by the Guest
    freed: int = 0  # of that, used by its program
    device_freed: int = 0  # of sent, as the device told
    flags: int = 0  # the Guest's SHUTDOWN
    device_flags: int = 0
    program_sent: int = 0
    program_got: int = 0
    program_flags: int = 0  # the program's own shutdown
    ops: list[Op] = field(default_factory=list)

    @property
    def credit(self) -> int:
        return BUFFER - (self.sent - self.device_freed)

    def read(self, size: int) -> int:
        """The program reads; how many bytes."""
        if not self.program or self.program_flags & SHUTDOWN_RECEIVE:
            return 0
        with suppress(BlockingIOError, ConnectionResetError):
            data = self.program.recv(size)
            assert data == PATTERN[self.program_got : self.program_got + len(data)]
            self.program_got += len(data)
            return len(data)
        return 0


class Vsocks(RuleBasedStateMachine):
    """Both ends of some connections."""

    streams = Bundle("streams")

    @initialize(legacy=st.booleans(), buffers=st.sampled_from((1, 4, 64)), size=st.sampled_from((60, 4096)))
    def begin(self, legacy: bool, buffers: int, size: int) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.lab = VsockLab(self.folder / "s", legacy, buffers, size)
        self.server = self.lab.server(PORT)
        self.known: dict[tuple[int, int], Stream] = {}
        self.over: list[Stream] = []
        self.programs: list[socket.socket] = []
        self.last_port = 1000

    # --- both sides see what came -------------------------------------------------------------------------------

    def work(self) -> None:
        for header, data in self.lab.told():
            stream = self.known.get((header.dst_port, header.src_port))
            if not stream:
                assert header.op == Op.RST
                continue
            stream.ops.append(Op(header.op))
            stream.device_freed = header.fwd_cnt
            assert stream.device_freed <= stream.sent
            assert header.buf_alloc == BUFFER or header.op == Op.RST
            if header.op == Op.RW:
                assert not stream.device_flags & SHUTDOWN_SEND
                assert data == PATTERN[stream.got : stream.got + len(data)]
                stream.got += len(data)
                assert stream.got - stream.freed <= stream.room
            elif header.op == Op.SHUTDOWN:
                assert header.flags & ~stream.device_flags
                assert header.flags | stream.device_flags == header.flags
                stream.device_flags = header.flags
            elif header.op == Op.RST:
                assert stream.flags == BOTH
                self.end(stream)

    def end(self, stream: Stream) -> None:
        """The Guest knows it no more."""
        stream.open = False
        self.over.append(self.known.pop((stream.guest, stream.host)))

    def tell(self, stream: Stream, op: Op, data: bytes = b"", flags: int = 0) -> None:
        more: dict[str, Any] = {"flags": flags, "buf_alloc": stream.room, "fwd_cnt": stream.freed}
        self.lab.tell(op, stream.guest, stream.host, data, **more)

    # --- connections --------------------------------------------------------------------------------------------

    @rule(target=streams, room=ROOMS)
    def the_guest_connects(self, room: int) -> Stream:
        self.last_port += 1
        stream = Stream(self.last_port, PORT, None, room)
        self.known[stream.guest, stream.host] = stream
        self.tell(stream, Op.REQUEST)
        self.work()
        assert stream.ops[:1] == [Op.RESPONSE]
        stream.program, _ = self.server.accept()
        stream.program.setblocking(False)
        self.programs.append(stream.program)
        return stream

    @rule(target=streams, room=ROOMS, early=st.sampled_from((0, 1, 9000)))
    def a_program_connects(self, room: int, early: int) -> Stream:
        """``early``: bytes that it sends without waiting for the OK."""
        self.last_port += 1
        self.work()
        program = self.lab.program(b"CONNECT %d\n" % self.last_port + PATTERN[:early])
        ((header, _),) = self.lab.told()
        assert (header.op, header.dst_port) == (Op.REQUEST, self.last_port)
        stream = Stream(self.last_port, header.src_port, program, room, program_sent=early)
        self.known[stream.guest, stream.host] = stream
        self.tell(stream, Op.RESPONSE)
        self.work()
        assert program.recv(99) == b"OK %d\n" % header.src_port
        program.setblocking(False)
        return stream

    # --- the Guest ----------------------------------------------------------------------------------------------

    @rule(stream=streams, size=SIZES | st.just(BUFFER))
    def the_guest_sends(self, stream: Stream, size: int) -> None:
        size = min(size, stream.credit, MOST - stream.sent)
        if stream.open and not stream.flags & SHUTDOWN_SEND:
            self.tell(stream, Op.RW, PATTERN[stream.sent : stream.sent + size])
            stream.sent += size

    @rule(stream=streams, size=SIZES)
    def the_guest_uses(self, stream: Stream, size: int) -> None:
        stream.freed = min(stream.freed + size, stream.got)
        if stream.open:
            self.tell(stream, Op.CREDIT_UPDATE)

    @rule(stream=streams)
    def the_guest_asks_for_credit(self, stream: Stream) -> None:
        if stream.open:
            self.tell(stream, Op.CREDIT_REQUEST)
            self.work()
            assert stream.ops[-1] in (Op.CREDIT_UPDATE, Op.RW, Op.SHUTDOWN, Op.CREDIT_REQUEST, Op.RST)

    @rule(stream=streams, flags=st.sampled_from((SHUTDOWN_RECEIVE, SHUTDOWN_SEND, BOTH)))
    def the_guest_ends(self, stream: Stream, flags: int) -> None:
        if stream.open and stream.flags != BOTH:
            stream.flags |= flags
            self.tell(stream, Op.SHUTDOWN, flags=stream.flags)
            self.work()
            assert stream.open is (stream.flags != BOTH)

    @rule(stream=streams)
    def the_guest_resets(self, stream: Stream) -> None:
        if stream.open:
            self.work()
        if stream.open:
            self.tell(stream, Op.RST)
            self.end(stream)

    # --- the program --------------------------------------------------------------------------------------------

    @rule(stream=streams, size=SIZES)
    def the_program_sends(self, stream: Stream, size: int) -> None:
        size = min(size, MOST - stream.program_sent)
        if stream.program and size:
            with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                stream.program_sent += stream.program.send(PATTERN[stream.program_sent : stream.program_sent + size])

    @rule(stream=streams, size=SIZES)
    def the_program_reads(self, stream: Stream, size: int) -> None:
        stream.read(size)

    @rule(stream=streams, flags=st.sampled_from((SHUTDOWN_RECEIVE, SHUTDOWN_SEND)))
    def the_program_ends(self, stream: Stream, flags: int) -> None:
        if stream.program:
            with suppress(OSError):
                stream.program.shutdown(socket.SHUT_WR if flags == SHUTDOWN_SEND else socket.SHUT_RD)
            stream.program_flags |= flags

    @rule(stream=consumes(streams))
    def the_program_closes(self, stream: Stream) -> None:
        assert stream.program
        stream.program.close()
        stream.program, stream.program_flags = None, BOTH
        self.settle(stream)

    # --- all of it ----------------------------------------------------------------------------------------------

    @rule()
    def time_passes(self) -> None:
        self.work()

    @rule()
    def the_guest_restarts(self) -> None:
        self.work()
        self.lab.rig.reset()
        self.lab.rig.start()
        self.lab.packets.clear()
        self.lab.offer(16)
        for stream in list(self.known.values()):
            self.end(stream)

    @invariant()
    def nothing_grows(self) -> None:
        if hasattr(self, "lab"):
            assert all(len(each.pending) <= BUFFER for each in self.lab.device._sockets.values())

    def settle(self, stream: Stream) -> None:
        """All that can arrive arrives."""
        while True:
            before = stream.program_got, stream.got, stream.device_freed, len(stream.ops)
            self.work()
            while stream.read(1 << 20):
                pass
            if stream.open and stream.freed < stream.got:
                stream.freed = stream.got
                self.tell(stream, Op.CREDIT_UPDATE)
            self.work()
            if before == (stream.program_got, stream.got, stream.device_freed, len(stream.ops)):
                break
        if not stream.program_flags & SHUTDOWN_RECEIVE:
            assert stream.program_got == stream.sent
        if stream.open and not stream.flags & SHUTDOWN_RECEIVE:
            assert stream.got == stream.program_sent
            assert bool(stream.device_flags & SHUTDOWN_SEND) is bool(stream.program_flags & SHUTDOWN_SEND)
        if stream.open:
            assert stream.credit > BUFFER // 2 or stream.device_freed == stream.sent
            assert stream.program or stream.device_flags == BOTH

    def teardown(self) -> None:
        if not hasattr(self, "lab"):
            return
        try:
            for stream in [*self.known.values(), *self.over]:
                self.settle(stream)
        finally:
            for program in self.programs:
                program.close()
            self.lab.close()
            shutil.rmtree(self.folder)


TestVsocks = Vsocks.TestCase
TestVsocks.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
