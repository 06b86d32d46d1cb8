# SPDX-License-Identifier: GPL-2.0-or-later
"""A vsock's driver in Python, and the two programs of a connection.

``VsockLab`` is a started device; ``packets`` are what it told the Guest, ``tell`` is a packet of the Guest's.
Read next: ring_lab.py.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ring_lab import Rig

from lguest_py.devices.device import Progress
from lguest_py.devices.vsock import VsockDevice
from lguest_py.devices.vsock_packet import HEADER, HOST_CID, STREAM, Header, Op
from lguest_py.hardware import Vsock

RECEIVE, TRANSMIT, EVENTS = 0, 1, 2
CID = 3
LAYOUT = struct.Struct("<QQIIIHHIII")
ROOM = 1 << 18  # what this Guest has for a connection
Packet = tuple[Header, bytes]


class VsockLab:
    """A device, its driver, and programs that connect."""

    def __init__(self, path: Path, legacy: bool = False, buffers: int = 64, size: int = 4096) -> None:
        self.path = path
        self.device = VsockDevice(Vsock(str(path)), print)
        self.rig = Rig(self.device, legacy=legacy)
        self.sockets: list[socket.socket] = []
        self.size = size
        self.packets: deque[Packet] = deque()
        self.offer(buffers)

    def offer(self, count: int) -> None:
        """Give the device buffers for packets."""
        for _ in range(count):
            self.rig.drivers[RECEIVE].add([], [HEADER, self.size])
        self.rig.kick(RECEIVE)

    def collect(self, again: bool = True) -> None:
        """Take what the device told; ``again``: it gets the buffers back."""
        driver = self.rig.drivers[RECEIVE]
        for request, written in driver.finished():
            data = driver.read(request)[:written]
            driver.release(request)
            header = Header(*LAYOUT.unpack(data[:HEADER]))
            assert header.len == written - HEADER
            self.packets.append((header, data[HEADER:]))
            if again:
                self.offer(1)
        driver = self.rig.drivers[TRANSMIT]
        for request, _ in driver.finished():
            driver.release(request)

    def work(self) -> None:
        """Let the device work until nothing happens any more."""
        while True:
            before = len(self.packets)
            self.rig.service()
            self.collect()
            if len(self.packets) == before and not self.rig._wait(0.0):
                break

    def once(self) -> Progress:
        """One call of service."""
        progress = self.device.service()
        self.collect()
        return progress

    def told(self) -> list[Packet]:
        """Let it work, and return what the Guest was told since the last call."""
        self.work()
        found = list(self.packets)
        self.packets.clear()
        return found

    def tell(
        self, op: int, guest: int, host: int, data: bytes = b"", *, cuts: Sequence[int] = (), **other: int
    ) -> None:
        """A packet of the Guest's, from its port ``guest`` to port ``host`` of CID 2."""
        words = {"src_cid": CID, "dst_cid": HOST_CID, "src_port": guest, "dst_port": host, "len": len(data)}
        words |= {"type": STREAM, "op": op, "flags": 0, "buf_alloc": ROOM, "fwd_cnt": 0}
        whole = LAYOUT.pack(*(words | other).values()) + data
        pieces, at = [], 0
        for cut in (*(cuts or (HEADER,)), len(whole)):
            pieces.append(whole[at : at + cut])
            at += cut
        self.rig.drivers[TRANSMIT].add([piece for piece in pieces if piece])
        self.rig.kick(TRANSMIT)

    # --- programs -----------------------------------------------------------------------------------------------

    def program(self, line: bytes = b"") -> socket.socket:
        """A program that connects to the device's socket."""
        made = socket.socket(socket.AF_UNIX)
        self.sockets.append(made)
        made.settimeout(20)
        made.connect(str(self.path))
        if line:
            made.sendall(line)
        return made

    def server(self, port: int, backlog: int = 8) -> socket.socket:
        """A program that listens for the Guest's connections to a port."""
        made = socket.socket(socket.AF_UNIX)
        self.sockets.append(made)
        made.settimeout(20)
        made.bind(f"{self.path}_{port}")
        made.listen(backlog)
        return made

    def from_here(self, port: int = 1234) -> tuple[socket.socket, int]:
        """An open connection that a program here began; the program, and its port."""
        program = self.program(b"CONNECT %d\n" % port)
        ((header, _),) = self.told()
        assert (header.op, header.dst_port) == (Op.REQUEST, port)
        self.tell(Op.RESPONSE, port, header.src_port)
        assert self.told() == []
        assert program.recv(99) == b"OK %d\n" % header.src_port
        return program, header.src_port

    def from_guest(self, server: socket.socket, guest: int = 1000, host: int = 52, **other: Any) -> socket.socket:
        """An open connection that the Guest began; the program at its end."""
        self.tell(Op.REQUEST, guest, host, **other)
        ((header, _),) = self.told()
        assert (header.op, header.src_port, header.dst_port) == (Op.RESPONSE, host, guest)
        program, _ = server.accept()
        program.settimeout(20)
        self.sockets.append(program)
        return program

    def close(self) -> None:
        for each in self.sockets:
            each.close()
        self.device.close()


def ops(packets: Sequence[Packet]) -> list[Op]:
    """What the packets are for."""
    return [Op(header.op) for header, _ in packets]


def data(packets: Sequence[Packet]) -> bytes:
    """The data of the packets that have some."""
    return b"".join(content for header, content in packets if header.op == Op.RW)


@contextmanager
def vsocks(folder: Path, legacy: bool) -> Iterator[Callable[..., VsockLab]]:
    """Makes them, and looks at the end whether one left something behind."""
    labs: list[VsockLab] = []

    def one(**how: int) -> VsockLab:
        labs.append(VsockLab(folder / "vm.sock", legacy=legacy, **how))
        return labs[-1]

    yield one
    for lab in labs:
        lab.close()
        assert not lab.path.exists()
        assert not lab.device._sockets
