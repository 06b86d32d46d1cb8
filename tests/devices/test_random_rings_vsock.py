# SPDX-License-Identifier: GPL-2.0-or-later
"""Random rings for a vsock, with programs that connect, listen, talk and go away at random."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random

import pytest
from random_rings import rings, throw
from vsock_lab import CID, LAYOUT

from lguest_py.devices.vsock import CONNECTIONS, VsockDevice
from lguest_py.devices.vsock_connection import BUFFER
from lguest_py.devices.vsock_packet import HEADER, HOST_CID, Op
from lguest_py.hardware import Vsock

PORTS = (51, 52, 53)  # a server that reads, one that does not, nobody
OFTEN = (Op.REQUEST, Op.RESPONSE, Op.RW, Op.RW, Op.RW, Op.SHUTDOWN, Op.CREDIT_UPDATE, Op.CREDIT_REQUEST)


def packet(chance: Random, device: VsockDevice) -> bytes:
    """A packet that a Guest may send, or nearly."""
    data = bytes(chance.choice((0, 0, 1, 100, 5000, 70_000)))
    op = chance.choice(OFTEN) if chance.random() < 0.9 else chance.randrange(12)
    guest, host = chance.randrange(4), chance.choice(PORTS)
    if device._table and chance.random() < 0.7:
        guest, host = chance.choice(list(device._table))
    cids = (CID, HOST_CID) if chance.random() < 0.97 else (chance.getrandbits(64), chance.choice((0, 3, 1 << 63)))
    length = len(data) if chance.random() < 0.97 else chance.choice((0, 1, len(data) + 1, (1 << 32) - 1))
    room = chance.choice((0, 1, 4096, 1 << 18, (1 << 32) - 1))
    kind = 1 if chance.random() < 0.97 else chance.getrandbits(16)
    count = chance.choice((0, 0, 0, chance.getrandbits(32)))
    return LAYOUT.pack(*cids, guest, host, length, kind, op, chance.randrange(4), room, count) + data


class World:
    """What happens outside of the Guest."""

    def __init__(self, folder: Path, device: VsockDevice) -> None:
        self.path, self.device = folder / "vm.sock", device
        self.programs: list[socket.socket] = []
        self.servers = []
        for port in PORTS[:2]:
            server = socket.socket(socket.AF_UNIX)
            server.bind(f"{self.path}_{port}")
            server.listen(4)
            server.setblocking(False)
            self.servers.append(server)

    def turn(self, chance: Random) -> None:
        """A program does something."""
        kind = chance.randrange(5)
        with suppress(OSError):
            if kind == 0 and len(self.programs) < 40:
                made = socket.socket(socket.AF_UNIX)
                made.setblocking(False)
                self.programs.append(made)
                made.connect(str(self.path))
                made.send(chance.choice((b"", b"CONNECT 2\n", b"CONNECT 3\ndata", b"CONN", b"nonsense\n")))
            elif kind == 1 and len(self.programs) < 40:
                self.programs.append(chance.choice(self.servers).accept()[0])
                self.programs[-1].setblocking(False)
            elif self.programs and kind == 2:
                self.programs.pop(chance.randrange(len(self.programs))).close()
            elif self.programs:
                each = chance.choice(self.programs)
                each.send(bytes(chance.choice((1, 5000, 200_000))))
                each.recv(chance.choice((1, 1 << 20)))
                if chance.random() < 0.1:
                    each.shutdown(chance.choice((socket.SHUT_RD, socket.SHUT_WR)))

    def check(self) -> None:
        """Nothing grows without a bound."""
        connections = {*self.device._sockets.values(), *self.device._table.values()}
        assert len(connections) <= CONNECTIONS
        assert all(len(each.pending) <= BUFFER for each in connections)
        assert all(each.socket for each in self.device._sockets.values())

    def close(self) -> None:
        for each in (*self.programs, *self.servers):
            each.close()


@pytest.mark.timeout(3600)
def test_random_rings(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    said: list[str] = []
    with ExitStack() as stack:
        device = VsockDevice(Vsock(str(tmp_path / "vm.sock")), said.append)
        stack.callback(device.close)
        world = World(tmp_path, device)
        stack.callback(world.close)

        def shapes(chance: Random, queue: int) -> tuple[Sequence[bytes], Sequence[int]]:
            world.turn(chance)
            world.check()
            if queue == 0:
                return [], chance.choice(([HEADER, 4096], [4096], [HEADER, 64], [10, 40, 100], [HEADER], [70_000]))
            if queue == 2:
                return [], [chance.choice((4, 4, 64, 3))]
            whole = packet(chance, device)
            cut = chance.choice((HEADER, HEADER, chance.randrange(1, len(whole))))
            return [piece for piece in (whole[:cut], whole[cut:]) if piece], []

        counts = throw(device, rings(request), shapes)
    assert not said
    assert counts["answered"] > counts["guest error"] > 0
    assert counts["no error"] > 0
