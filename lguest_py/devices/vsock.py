# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-vsock: connections between programs of this machine, at Unix sockets, and programs of the Guest.

Who connects to the socket and says "CONNECT PORT" is asked for in the Guest, and answered "OK" and a number.  What the
Guest connects to, port N of CID 2, is the Unix socket with _N behind the name.  A connection that cannot be, or that
breaks a rule, gets a RST.  Only streams are offered.

Nothing is kept without a bound: a connection has its credit (vsock_connection.py), there are CONNECTIONS of them at
most, and while the Guest has no buffers for answers, what it sends stays in its ring.  Each connection gets its turn.
Source: virtio 1.2, section 5.10.  Read next: vsock_packet.py.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

from lguest_py.devices.device import Defaults, Progress, Say
from lguest_py.devices.errors import GuestError
from lguest_py.devices.virtqueue import Chain, Virtqueue
from lguest_py.devices.vsock_connection import Connection, Phase
from lguest_py.devices.vsock_packet import HEADER, HOST_CID, STREAM, Header, Op, parse
from lguest_py.errors import UsageError
from lguest_py.files.inputs import printable
from lguest_py.files.unix_sockets import Connect, Listener, connected
from lguest_py.hardware import Vsock
from lguest_py.hardware.checks import SOCKET_BYTES
from lguest_py.networks.link import Pieces, after

F_STREAM = 1
CONNECTIONS = 256  # a descriptor each, of 1024 that a process has mostly
ANSWERS = 256  # RSTs that wait for buffers
PACKETS = 64  # per direction and call
CHUNK = 1 << 16  # bytes of a turn
ARRIVALS = 16  # programs per call
LONGEST = SOCKET_BYTES - len("_4294967295")  # bytes of the path
FIRST_PORT, PORTS = 1 << 30, 1 << 30  # of programs here, as the Guest sees them
_EDGES = getattr(select, "EPOLLET", 0) | getattr(select, "EPOLLRDHUP", 0) | select.POLLIN | select.POLLOUT
_RESET_EVENT = bytes(4)  # VIRTIO_VSOCK_EVENT_TRANSPORT_RESET
Key = tuple[int, int]  # ports of the Guest and of this side


class VsockDevice(Defaults):
    """Virtio device 19.  Queue 0 brings packets to the Guest, queue 1 takes its own, queue 2 has events."""

    type = 19
    queue_sizes = (256, 256, 64)
    features = F_STREAM

    def __init__(self, spec: Vsock, say: Say, connect: Connect = connected) -> None:
        self.name = f"vsock {printable(spec.path)}"
        self._cid, self._connect = spec.cid, connect
        lasting = os.path.abspath(spec.path)  # a program that has a Machine may change its folder
        self._path = lasting if len(os.fsencode(lasting)) <= LONGEST else spec.path
        if not hasattr(select, "epoll"):
            raise UsageError(f"{self.name}: this system has no epoll, as Linux has: leave it out")
        self._epoll = select.epoll()
        try:
            self._listener = Listener(spec.path, "a vsock's socket", backlog=128)
        except BaseException:
            self._epoll.close()
            raise
        self._fd = (self._epoll.fileno(),)
        self._epoll.register(self._listener.fileno(), select.POLLIN | select.EPOLLET)
        self._sockets: dict[int, Connection] = {}  # by descriptor: all that have one
        self._last_port = FIRST_PORT - 1
        self._arriving = False  # a program may wait to be accepted
        self._broken = False  # connections were lost by a reset, which the next driver is told
        self._forget()

    def _forget(self) -> None:
        """The state without a driver."""
        self._queues: Sequence[Virtqueue] = ()
        self._table: dict[Key, Connection] = {}
        self._resets: deque[Header] = deque()
        self._active: dict[Connection, None] = {}  # in turn: to these the Guest is to be sent something
        self._buffers: list[tuple[Chain, Pieces, int]] = []  # taken from the ring: where data goes, and its bytes
        self._room = 0  # the sum of these bytes

    def config(self) -> bytes:
        """See Device."""
        return self._cid.to_bytes(8, "little")

    def start(self, queues: Sequence[Virtqueue], features: int, config_changed: Callable[[], None]) -> None:
        """See Device."""
        self._queues = queues

    def reset(self) -> None:
        """See Device; what the Guest sent before is still for the programs."""
        self._broken = self._broken or bool(self._table)
        for connection in [*self._table.values(), *self._sockets.values()]:
            if connection.phase is not Phase.GREETING:
                self._release(connection)
        self._forget()

    def watched(self) -> Collection[int]:
        """See Device; who connects before the Guest has a driver waits."""
        return self._fd if self._queues else ()

    def service(self) -> Progress:
        """See Device."""
        if not self._queues:
            return Progress.IDLE
        receive, transmit, events = self._queues
        try:
            self._tell_of_reset(events)
            self._look()
            more = self._take(transmit)
            more = self._give(receive) or (more and len(self._resets) < ANSWERS)
        finally:
            for queue in self._queues:
                queue.notify()
        return Progress.MORE if more or self._arriving else Progress.IDLE

    def save(self) -> dict[str, Any]:
        """See Device: its connections end, which the Guest is told."""
        return {"broken": self._broken or bool(self._table)}

    def restore(self, state: dict[str, Any]) -> None:
        """See Device."""
        self._broken = bool(state["broken"])

    def close(self) -> None:
        """See Device."""
        for connection in list(self._sockets.values()):
            connection.close()
        self._sockets.clear()
        self._epoll.close()
        self._listener.close()

    # --- programs here ------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """What happened to the sockets."""
        for fd, what in self._epoll.poll(0, CONNECTIONS):
            connection = self._sockets.get(fd)
            if connection:
                connection.happened(what)
                self._follow(connection)
            else:
                self._arriving = True
        if self._arriving:
            self._accept()

    def _accept(self) -> None:
        for _ in range(ARRIVALS):
            arrived = self._listener.accept()
            if not arrived:
                self._arriving = False
                return
            if self._full:
                arrived.close()
            else:
                self._add(Connection(arrived, Phase.GREETING))

    def _add(self, connection: Connection) -> None:
        self._sockets[connection.fd] = connection
        self._epoll.register(connection.fd, _EDGES)  # tells at once what has happened already

    @property
    def _full(self) -> bool:
        return len(self._sockets) + sum(not each.socket for each in self._table.values()) >= CONNECTIONS

    def _follow(self, connection: Connection) -> None:
        """After something happened to it."""
        if connection.phase is Phase.GREETING and connection.readable:
            if not connection.greeting():
                self._release(connection)
                return
            if connection.guest_port >= 0:
                self._name(connection)
        elif connection.phase is Phase.ENDED and not connection.pending:
            self._release(connection)
        if connection.active:
            self._active[connection] = None

    def _name(self, connection: Connection) -> None:
        """Give a program's connection a port that is free, and ask the Guest."""
        while True:
            self._last_port = FIRST_PORT + (self._last_port + 1 - FIRST_PORT) % PORTS
            key = connection.guest_port, self._last_port
            if key not in self._table:
                break
        connection.ask(self._last_port)
        self._table[key] = connection

    def _release(self, connection: Connection) -> None:
        """The Guest's side of it is over, and ours when the program has all."""
        self._active.pop(connection, None)
        if not connection.end():
            self._closed(connection)

    def _closed(self, connection: Connection) -> None:
        """Its socket is closed, and another may have the same descriptor by now."""
        if self._sockets.get(connection.fd) is connection:
            del self._sockets[connection.fd]
            self._arriving = True  # for want of a descriptor somebody may wait

    # --- the Guest's packets ------------------------------------------------------------------------------------

    def _take(self, queue: Virtqueue) -> bool:
        """Take packets; whether there may be more."""
        for _ in range(PACKETS):
            if len(self._resets) >= ANSWERS:
                return True
            chain = queue.pop()
            if not chain:
                return False
            found = parse(chain.readable) if chain.readable and not chain.writable else None
            if not found:
                raise GuestError(f"{queue.name}: a packet of fewer bytes than it says, or with a buffer to write to")
            header, data = found
            connection = self._table.get((header.src_port, header.dst_port))
            if (header.src_cid, header.dst_cid, header.type) != (self._cid, HOST_CID, STREAM):
                self._refuse(header)
            elif connection:
                self._pass(connection, header, data)
            elif header.op != Op.REQUEST or not self._open(header):
                self._refuse(header)
            queue.push(chain, 0)
        return True

    def _refuse(self, header: Header) -> None:
        if header.op != Op.RST:
            self._resets.append(header.reset())

    def _pass(self, connection: Connection, header: Header, data: Pieces) -> None:
        """A packet for a connection."""
        if header.op == Op.RST:
            connection.refused()
        elif connection.packet(header, data):
            if connection.active:
                self._active[connection] = None
            return
        else:
            self._refuse(header)
        del self._table[header.src_port, header.dst_port]
        self._release(connection)

    def _open(self, header: Header) -> bool:
        """The Guest wants a connection; whether it gets one."""
        if self._full:
            return False
        try:
            sock = self._connect(f"{self._path}_{header.dst_port}")
        except OSError:
            return False
        connection = Connection(sock, Phase.OPEN, header.src_port, header.dst_port)
        connection.packet(header._replace(op=Op.CREDIT_UPDATE), ())
        self._table[header.src_port, header.dst_port] = connection
        self._add(connection)
        self._active[connection] = None
        return True

    # --- packets to the Guest -----------------------------------------------------------------------------------

    def _give(self, queue: Virtqueue) -> bool:
        """Send packets; whether there may be more now."""
        for _ in range(PACKETS):
            if not (self._resets or self._active):
                return False
            if not self._find_room(queue, 1):
                return False
            if self._resets:
                self._put(queue, self._resets.popleft())
                continue
            connection = next(iter(self._active))
            del self._active[connection]
            if op := connection.owed:
                self._put(queue, self._header(connection, op))
                if not connection.socket:
                    self._closed(connection)
            elif connection.has_data:
                self._send_data(queue, connection)
            if connection.active:
                self._active[connection] = None
        return bool(self._resets or self._active)

    def _header(self, connection: Connection, op: Op, size: int = 0) -> Header:
        ends = HOST_CID, self._cid, connection.host_port, connection.guest_port
        return Header(*ends, size, STREAM, op, *connection.told(op))

    def _find_room(self, queue: Virtqueue, need: int) -> bool:
        """Take buffers for so many bytes, if the Guest gives as many; whether there is one."""
        while self._room < need and (chain := queue.pop()):
            size = sum(map(len, chain.writable)) - HEADER
            if size <= 0 or chain.readable:
                raise GuestError(f"{queue.name}: a buffer without room for data, or that is not to be written to")
            pieces = chain.writable
            data = pieces[1:] if len(pieces[0]) == HEADER else after(pieces, HEADER)
            self._buffers.append((chain, data, size))
            self._room += size
        return self._room > 0

    def _put(self, queue: Virtqueue, header: Header) -> None:
        """Fill the first buffer with a packet without data."""
        chain, _, size = self._buffers.pop(0)
        self._room -= size
        header.write(chain.writable)
        queue.push(chain, HEADER)

    def _send_data(self, queue: Virtqueue, connection: Connection) -> None:
        """Read from the program into the Guest's buffers, a packet to each that this fills."""
        self._find_room(queue, min(connection.credit, CHUNK))
        left = connection.read([piece for _, data, _ in self._buffers for piece in data])
        used: list[tuple[Chain, int]] = []
        while left:
            chain, _, size = self._buffers[len(used)]
            count = min(size, left)
            self._header(connection, Op.RW, count).write(chain.writable)
            used.append((chain, HEADER + count))
            self._room -= size
            left -= count
        del self._buffers[: len(used)]
        queue.push_all(used)

    def _tell_of_reset(self, queue: Virtqueue) -> None:
        """The connections of the driver before are gone."""
        if not self._broken or not (chain := queue.pop()):
            return
        if chain.readable or len(chain.writable[0]) < len(_RESET_EVENT):
            raise GuestError(f"{queue.name}: a buffer without room for an event, or that is not to be written to")
        self._broken = False
        chain.writable[0][: len(_RESET_EVENT)] = _RESET_EVENT
        queue.push(chain, len(_RESET_EVENT))
