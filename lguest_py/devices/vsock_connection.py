# SPDX-License-Identifier: GPL-2.0-or-later
"""One connection of virtio-vsock: a stream between a program here, at a Unix socket, and one in the Guest.

Each side tells the other how much it has room for (buf_alloc) and how much of what came it has passed on (fwd_cnt); the
difference to what was sent is the credit.  What a program here does not take at once is kept, up to the room that the
Guest was told of; what the Guest does not take stays in the socket.  Each direction ends by itself: an end of file here
is a SHUTDOWN there, and the other way round.

No call waits.  ``readable`` and ``writable`` are what epoll told and no call has refuted since (edge triggered).
Source: virtio 1.2, section 5.10.6.  Read next: vsock.py.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
from collections.abc import Sequence
from enum import Enum, auto

from lguest_py.devices.vsock_packet import SHUTDOWN_RECEIVE, SHUTDOWN_SEND, Header, Op
from lguest_py.networks.link import MOST_PIECES, Pieces, after, first

BUFFER = 1 << 18  # bytes of the Guest that are kept for a program that does not read
GREETING = 32  # bytes of the longest line
MODULUS = 1 << 32
_CONNECT = re.compile(rb"CONNECT +([0-9]{1,10})\r?\n")
SAY_CONNECT = b"lguest-py: say CONNECT and a port of the Guest, as CONNECT 1234\n"
NOBODY = b"lguest-py: nobody listens at port %d of the Guest\n"
_BOTH = SHUTDOWN_RECEIVE | SHUTDOWN_SEND


class Phase(Enum):
    """How far a connection is."""

    GREETING = auto()  # the program has not said to which port
    ASKED = auto()  # the Guest was, or will be, and did not answer
    OPEN = auto()
    ENDED = auto()  # for the Guest; what it sent before is still for the program


class Connection:
    """``host_port`` and ``guest_port`` are its name for the Guest; negative: not known yet."""

    def __init__(self, sock: socket.socket, phase: Phase, guest_port: int = -1, host_port: int = -1) -> None:
        self.phase = phase
        self.guest_port, self.host_port = guest_port, host_port
        self.socket: socket.socket | None = sock
        self.fd = sock.fileno()
        self.readable = self.writable = False
        self._first = Op.RESPONSE if phase is Phase.OPEN else Op.NONE  # what the Guest must hear before all else
        self.pending = bytearray()  # of the Guest, for the program
        self.taken = self.forwarded = 0  # bytes of the Guest that came, and that the program has (or nobody ever will)
        self._told_forwarded = 0
        self.given = 0  # bytes that the Guest was sent
        self._guest_room = self._guest_forwarded = 0
        self._guest_flags = self._told_flags = self._passed_flags = 0  # of SHUTDOWN: theirs, ours, theirs in effect
        self._finished = False  # the program will send nothing more
        self._deaf = False  # it will not take anything more
        self._gone = False  # it closed its end
        self._wants_answer = False  # the Guest wants to know our credit
        self._asked_credit = False  # the Guest was asked for its, since it had some

    # --- the Guest's side ---------------------------------------------------------------------------------------

    def packet(self, header: Header, data: Pieces) -> bool:
        """A packet of the Guest came.  False: the connection ends, with a RST."""
        self._guest_room, self._guest_forwarded = header.buf_alloc, header.fwd_cnt
        if self.credit:
            self._asked_credit = False
        if self.phase is Phase.ASKED:
            if header.op != Op.RESPONSE or self._first:
                return False
            self.phase = Phase.OPEN
            self._say(b"OK %d\n" % self.host_port)
            return True
        if header.op == Op.RW:
            return not self._guest_flags & SHUTDOWN_SEND and self._take(data, header.len)
        if header.op == Op.SHUTDOWN:
            self._guest_flags |= header.flags & _BOTH
            if self._guest_flags != _BOTH:
                self._pass_ends()
            return self._guest_flags != _BOTH
        if header.op == Op.CREDIT_REQUEST:
            self._wants_answer = True
            return True
        return header.op == Op.CREDIT_UPDATE

    def _take(self, data: Pieces, size: int) -> bool:
        """Data of the Guest, in its own memory."""
        if size > BUFFER - len(self.pending):
            return False
        self.taken = (self.taken + size) % MODULUS
        sent = 0
        if not self.pending and size and not self._deaf:
            sent = self._send(data[:MOST_PIECES])
        if self._deaf:
            self.forwarded = self.taken
        elif sent < size:
            for piece in after(data, sent):
                self.pending += piece
            self.flush()
        return True

    def _send(self, data: Sequence[memoryview | bytes | bytearray]) -> int:
        """Give the program bytes; how many it took."""
        if not self.socket:
            self._be_deaf()
            return 0
        try:
            sent = self.socket.sendmsg(data, (), socket.MSG_NOSIGNAL)
        except BlockingIOError:
            self.writable = False
            return 0
        except OSError:
            self._be_deaf()
            return 0
        self.forwarded = (self.forwarded + sent) % MODULUS
        return sent

    def _be_deaf(self) -> None:
        """The program will not take what is kept for it."""
        self._deaf = True
        self.pending.clear()
        self.forwarded = self.taken

    def flush(self) -> None:
        """Give the program what was kept."""
        while self.pending and self.writable:
            if sent := self._send((self.pending,)):
                del self.pending[:sent]
        self._pass_ends()

    def _pass_ends(self) -> None:
        """The Guest's SHUTDOWN becomes the socket's, once: epoll tells of it."""
        due = self._guest_flags & ~self._passed_flags
        if self.pending:
            due &= ~SHUTDOWN_SEND
        if not due or not self.socket:
            return
        self._passed_flags |= due
        with contextlib.suppress(OSError):  # the program may be gone
            how = {SHUTDOWN_SEND: socket.SHUT_WR, SHUTDOWN_RECEIVE: socket.SHUT_RD, _BOTH: socket.SHUT_RDWR}
            self.socket.shutdown(how[due])

    def _say(self, line: bytes) -> None:
        """A line of ours to the program, whose socket is new and so has room for it."""
        if self.socket:
            try:
                self.socket.send(line, socket.MSG_NOSIGNAL)
            except OSError:  # it does not read: a program may connect, send all it has to, and close
                self._be_deaf()

    # --- the program's side -------------------------------------------------------------------------------------

    def happened(self, events: int) -> None:
        """What epoll says of the socket."""
        if events & select.EPOLLOUT:
            self.writable = True
        if events & (select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
            self.readable = True
        if events & (select.EPOLLHUP | select.EPOLLERR):
            self._gone = True
            self._be_deaf()
        if self.phase in (Phase.OPEN, Phase.ENDED):
            self.flush()

    def greeting(self) -> bool:
        """Look for the line that says the port: sets ``guest_port`` then.  False: it will never come."""
        assert self.socket
        try:
            line = self.socket.recv(GREETING, socket.MSG_PEEK)
            self.readable = False
            end = line.find(b"\n") + 1
            if not end:
                return bool(line) and len(line) < GREETING and not self._gone
            self.socket.recv(end)
        except BlockingIOError:
            self.readable = False
            return not self._gone
        except OSError:
            return False
        match = _CONNECT.fullmatch(line[:end])
        if not match or int(match[1]) >= MODULUS:
            self._say(SAY_CONNECT)
            return False
        self.guest_port = int(match[1])
        self.readable = True  # there may be more behind the line
        return True

    def ask(self, host_port: int) -> None:
        """Ask the Guest for a connection to ``guest_port``."""
        self.host_port, self.phase, self._first = host_port, Phase.ASKED, Op.REQUEST

    def refused(self) -> None:
        """The Guest did not want it."""
        if self.phase is Phase.ASKED:
            self._say(NOBODY % self.guest_port)

    @property
    def credit(self) -> int:
        """The bytes that the Guest has room for, by its own word."""
        return max(0, self._guest_room - (self.given - self._guest_forwarded) % MODULUS)

    @property
    def has_data(self) -> bool:
        """Whether there may be data, or the end of it, that the Guest has room for."""
        return self._may_read and self.credit > 0

    @property
    def _may_read(self) -> bool:
        wanted = self.phase is Phase.OPEN and not self._guest_flags & SHUTDOWN_RECEIVE
        return wanted and self.readable and not self._finished

    def read(self, pieces: Pieces) -> int:
        """Read data into the Guest's memory, as much as it has room for; how many bytes."""
        credit = self.credit
        room = first(pieces[:MOST_PIECES], credit) if sum(map(len, pieces)) > credit else pieces[:MOST_PIECES]
        try:
            count = os.readv(self.fd, room)
        except BlockingIOError:
            self.readable = False
            return 0
        except OSError:  # the program closed its end without reading all
            count, self._gone = 0, True
            self._be_deaf()
        self._finished = not count
        self.given = (self.given + count) % MODULUS
        return count

    # --- what the Guest is to be told ---------------------------------------------------------------------------

    @property
    def flags(self) -> int:
        """Our SHUTDOWN."""
        finished = self._finished or (self._gone and self._guest_flags & SHUTDOWN_RECEIVE)
        return (SHUTDOWN_SEND if finished else 0) | (SHUTDOWN_RECEIVE if self._deaf else 0)

    @property
    def owed(self) -> Op:
        """The packet without data that the Guest is to get now."""
        if self._first or self.phase is not Phase.OPEN:
            return self._first
        if self.flags != self._told_flags and not (self._gone and self.has_data):  # one packet with both flags
            return Op.SHUTDOWN
        thinks = BUFFER - (self.taken - self._told_forwarded) % MODULUS  # that we have room for
        if self._wants_answer or (self.forwarded != self._told_forwarded and thinks < BUFFER // 2):
            return Op.CREDIT_UPDATE
        if self._may_read and not self.credit and not self._asked_credit:
            return Op.CREDIT_REQUEST
        return Op.NONE

    def told(self, op: Op) -> tuple[int, int, int]:
        """The Guest gets this packet: the flags, the room and the count in it."""
        flags = 0
        self._told_forwarded, self._wants_answer = self.forwarded, False
        if op is Op.SHUTDOWN:
            flags = self._told_flags = self.flags
            if flags == _BOTH:
                self._close()
        elif op is Op.CREDIT_REQUEST:
            self._asked_credit = True
        elif op is self._first:
            self._first = Op.NONE
        return flags, BUFFER, self.forwarded

    @property
    def active(self) -> bool:
        """Whether the Guest is to be sent something."""
        return bool(self.owed) or self.has_data

    # --- the end ------------------------------------------------------------------------------------------------

    def end(self) -> bool:
        """The Guest's side is over.  Whether the program is to get more; if not, the socket is closed."""
        self.phase = Phase.ENDED
        if not self.pending:
            self._close()
        return self.socket is not None

    def _close(self) -> None:
        if self.socket:
            self.socket.close()  # epoll forgets it
            self.socket = None

    def close(self) -> None:
        """The end of the run."""
        self.writable = True
        self.flush()
        self._close()
