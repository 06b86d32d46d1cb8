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
        self.rest = b""  # of what a test sends in parts

    def card(self) -> Net:
        """A card on it."""
        return Net.on(self.link, "network 0", self.said.append)

    def give(self, *frames: bytes) -> None:
        """Send frames to the Guest."""
        self.socket.sendall(packed(*frames))

    def take(self) -> bytes:
        """A frame from the Guest."""
        return self._exactly(int.from_bytes(self._exactly(4), "big"))

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


def checksum(data: bytes) -> int:
    """The Internet checksum of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp(source: tuple[str, int], target: tuple[str, int], data: bytes, macs: bytes) -> bytes:
    """A frame with a UDP datagram; ``macs``: the target's, then the source's."""
    packet = struct.pack("!HHHH", source[1], target[1], 8 + len(data), 0) + data
    addresses = socket.inet_aton(source[0]), socket.inet_aton(target[0])
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(packet), 0, 0, 64, 17, 0, *addresses)
    return macs + b"\x08\x00" + header[:10] + struct.pack("!H", checksum(header)) + header[12:] + packet


def payload(frame_: bytes) -> bytes:
    """What a frame with a UDP datagram carries; nothing if it has none."""
    return frame_[42:] if frame_[12:14] == b"\x08\x00" and frame_[23] == 17 else b""


DHCP_MAGIC = bytes.fromhex("63825363")
ASK_MASK, ASK_ROUTER, ASK_MTU = 1, 3, 26


def dhcp_question(mac: bytes, kind: int = 1) -> bytes:
    """The frame of a DHCP client that looks for a server."""
    options = bytes((53, 1, kind, 55, 3, ASK_MASK, ASK_ROUTER, ASK_MTU, 255))
    fixed = struct.pack("!BBBBIHH16x16s192x", 1, 1, 6, 0, 0x1234, 0, 0, mac)
    return udp(("0.0.0.0", 68), ("255.255.255.255", 67), fixed + DHCP_MAGIC + options, b"\xff" * 6 + mac)


def dhcp_answer(data: bytes) -> tuple[str, dict[int, bytes]]:
    """The address offered, and the options."""
    assert data[236:240] == DHCP_MAGIC
    options, rest = {}, data[240:]
    while rest and rest[0] != 255:
        if rest[0]:
            options[rest[0]] = rest[2 : 2 + rest[1]]
        rest = rest[2 + rest[1] :] if rest[0] else rest[1:]
    return socket.inet_ntoa(data[16:20]), options
