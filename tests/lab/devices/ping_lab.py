# SPDX-License-Identifier: GPL-2.0-or-later
"""A station at the other end of a network card: it answers ARP and ping, and pings.

Sources: RFC 826 (ARP), RFC 791 (IPv4), RFC 792 (ICMP).  Used by tests/guest_kernel/test_guest_devices.py.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

from lguest_py.networks.stream import Stream

GUEST_MAC = bytes.fromhex("026c67000001")
MAC = b"\x02\x02\x02\x02\x02\x02"
ADDRESS = "10.9.8.1"
_ETHERNET = struct.Struct("!6s6sH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_ICMP = struct.Struct("!BBHHH")
_LENGTH = struct.Struct("!I")
ARP, IPV4, ICMP = 0x806, 0x800, 1
ECHO_REPLY, ECHO_REQUEST = 0, 8
PING_ID = 0x7777


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(source: bytes, target: bytes, message: bytes) -> bytes:
    """An IPv4 packet that carries an ICMP message."""
    fields = 0x45, 0, _IPV4.size + len(message), 0, 0, 64, ICMP
    header = _IPV4.pack(*fields, 0, source, target)
    return _IPV4.pack(*fields, checksum(header), source, target) + message


def echo(kind: int, sequence: int, data: bytes, identity: int = PING_ID) -> bytes:
    """An ICMP echo message."""
    message = _ICMP.pack(kind, 0, 0, identity, sequence) + data
    return _ICMP.pack(kind, 0, checksum(message), identity, sequence) + data


class Station:
    """Answers as ``ADDRESS``; use it in a ``with``.  ``link`` is the card's back end."""

    def __init__(self) -> None:
        ours, self._socket = socket.socketpair()
        self.link = Stream("station", ours, GUEST_MAC, 1500)
        self.arp_questions = 0
        self.strange = 0  # frames that are not from the Guest's address
        self.echo_requests: list[bytes] = []  # their data
        self.echo_replies: list[tuple[int, bytes]] = []  # their sequence numbers and data
        self.answered = threading.Event()
        self.damage = False  # the answers to pings are wrong
        self._own = socket.inet_aton(ADDRESS)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Station:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()
        self.link.close()

    def ping(self, address: str, sequence: int, data: bytes) -> None:
        """Send an echo request to the Guest; the answer is in ``echo_replies`` when ``answered`` is set."""
        self._send(IPV4, packet(self._own, socket.inet_aton(address), echo(ECHO_REQUEST, sequence, data)))

    def ask(self, address: str) -> None:
        """Ask for the Guest's MAC."""
        ours = MAC, self._own, bytes(6), socket.inet_aton(address)
        self._send(ARP, _ARP.pack(1, IPV4, 6, 4, 1, *ours), to=b"\xff" * 6)

    def _send(self, kind: int, payload: bytes, to: bytes = GUEST_MAC) -> None:
        frame = (_ETHERNET.pack(to, MAC, kind) + payload).ljust(60, b"\0")
        self._socket.sendall(_LENGTH.pack(len(frame)) + frame)

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while prefix := self._socket.recv(_LENGTH.size, socket.MSG_WAITALL):
                frame = self._socket.recv(_LENGTH.unpack(prefix)[0], socket.MSG_WAITALL)
                if len(frame) < _ETHERNET.size:
                    continue
                _, source, kind = _ETHERNET.unpack_from(frame)
                if source != GUEST_MAC:
                    self.strange += 1
                elif kind == ARP:
                    self._arp(frame[_ETHERNET.size :])
                elif kind == IPV4:
                    self._ipv4(frame[_ETHERNET.size :])

    def _arp(self, data: bytes) -> None:
        _, _, _, _, operation, mac, address, _, target = _ARP.unpack_from(data)
        if operation == 1 and target == self._own:
            self.arp_questions += 1
            self._send(ARP, _ARP.pack(1, IPV4, 6, 4, 2, MAC, self._own, mac, address))

    def _ipv4(self, data: bytes) -> None:
        fields = _IPV4.unpack_from(data)
        message = data[_IPV4.size : fields[2]]
        assert not checksum(data[: _IPV4.size])
        assert not checksum(message)
        kind, _, _, identity, sequence = _ICMP.unpack_from(message)
        body = message[_ICMP.size :]
        if kind == ECHO_REQUEST:
            self.echo_requests.append(body)
            answer = body[:-1] + bytes([body[-1] ^ 1]) if self.damage else body
            self._send(IPV4, packet(self._own, fields[8], echo(ECHO_REPLY, sequence, answer, identity)))
        elif kind == ECHO_REPLY and identity == PING_ID:
            self.echo_replies.append((sequence, body))
            self.answered.set()
