# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets of gdb's remote protocol: ``$data#checksum``, acknowledged by + or -, and a bare 0x03 for Ctrl-C.

Nothing that a client sends is an error here: what is no packet is skipped, and a packet that is too long or has another
checksum is refused with -.
Read next: stub.py.
"""

from __future__ import annotations

from collections.abc import Iterator

LONGEST = 0x4000  # bytes of a packet's data, which qSupported tells gdb
INTERRUPT = b"\x03"
_ESCAPE = 0x7D
_ESCAPED = b"#$}*"


def unescaped(data: bytes) -> bytes:
    """Binary data as it was before } took the place of some bytes."""
    found, rest = bytearray(), iter(data)
    for byte in rest:
        found.append(next(rest, 0) ^ 0x20 if byte == _ESCAPE else byte)
    return bytes(found)


def escaped(data: bytes) -> bytes:
    """Binary data with } in place of the bytes that frame a packet."""
    if not any(byte in _ESCAPED for byte in data):
        return data
    return b"".join(bytes((_ESCAPE, byte ^ 0x20)) if byte in _ESCAPED else bytes((byte,)) for byte in data)


def checksum(data: bytes) -> bytes:
    """The two digits behind #."""
    return b"%02x" % (sum(data) & 0xFF)


def framed(data: bytes) -> bytes:
    """A whole packet."""
    return b"$" + data + b"#" + checksum(data)


class Framing:
    """One connection's.  ``acknowledges``: each packet is answered by + or -, until gdb asks for none of that."""

    def __init__(self) -> None:
        self.acknowledges = True
        self._heard = bytearray()
        self._last = b""  # packet that was sent, for a -
        self.waiting = bytearray()  # to be sent

    def hear(self, data: bytes) -> Iterator[bytes]:
        """The packets that ``data`` completes, and INTERRUPT for each Ctrl-C between them."""
        self._heard += data
        while self._heard:
            if self._heard[0] != 0x24:
                start = self._heard.find(b"$")
                between = bytes(self._heard if start < 0 else self._heard[:start])
                del self._heard[: len(between)]
                if b"-" in between and self.acknowledges:
                    self.waiting += self._last
                yield from (INTERRUPT for _ in range(between.count(INTERRUPT)))
                continue
            end = self._heard.find(b"#", 1)
            too_long = (end if end >= 0 else len(self._heard)) > LONGEST + 1
            if too_long:
                del self._heard[: end if end >= 0 else len(self._heard)]
                self._acknowledge(b"-")
                continue
            if end < 0 or len(self._heard) < end + 3:
                return
            packet, digits = bytes(self._heard[1:end]), bytes(self._heard[end + 1 : end + 3])
            del self._heard[: end + 3]
            if self.acknowledges and digits.lower() != checksum(packet):
                self._acknowledge(b"-")
                continue
            self._acknowledge(b"+")
            yield packet

    def _acknowledge(self, how: bytes) -> None:
        if self.acknowledges:
            self.waiting += how

    def send(self, data: bytes) -> None:
        """A packet with this data; it goes to ``waiting``."""
        self._last = framed(data)
        self.waiting += self._last
