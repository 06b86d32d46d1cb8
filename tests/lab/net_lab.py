# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames and peers for tests of network cards.

Read next: tests/devices/test_net.py.
"""

from __future__ import annotations

import select
import socket
import struct

from lguest_py.devices.net import Net
from lguest_py.networks.stream import Stream

MAC = bytes.fromhex("026c67000001")


def frame(size: int, seed: int = 1) -> bytes:
    """An Ethernet frame of ``size`` bytes, each seed another."""
    body = bytes((seed * 131 + 7 * n) & 0xFF for n in range(251))
    return (MAC + b"\x02lg\0\0\2" + b"\x88\xb5" + body * (size // 251 + 1))[:size]


def packed(*frames: bytes) -> bytes:
    """The frames as they stand in a stream."""
    return b"".join(struct.pack("!I", len(each)) + each for each in frames)


class Peer:
    """The other end of a stream link."""

    def __init__(self) -> None:
        ours, self.socket = socket.socketpair()
        self.socket.settimeout(10)
        self.link = Stream("peer", ours, MAC, 65520)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200_000)  # so that it gets full
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        self.said: list[str] = []

    def card(self) -> Net:
        """A card on it."""
        return Net.on(self.link, "network 0", self.said.append)

    def give(self, *frames: bytes) -> None:
        """Send frames to the Guest."""
        self.socket.sendall(packed(*frames))

    def take(self) -> bytes:
        """A frame from the Guest."""
        size = struct.unpack("!I", self._exactly(4))[0]
        return self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            assert more, "the link was closed"
            data += more
        return data

    def nothing(self, seconds: float = 0.05) -> bool:
        """Whether no byte waits to be taken."""
        return not select.select([self.socket], [], [], seconds)[0]

    def close(self) -> None:
        """Both ends."""
        self.socket.close()
        self.link.close()
