# SPDX-License-Identifier: GPL-2.0-or-later
"""A link over a stream socket: each frame behind its length, four bytes in network order.

This is what QEMU, passt and libslirp's helpers speak.  A frame arrives in as many parts as the kernel likes, so
the position in the stream outlives every call, and a reset of the Guest too.  With a frame the prefix of the next one
is read: one system call a frame.

passt up to 2023 loses its place if what it reads ends within a prefix.  The kernel splits only what is longer than
36 KiB (one socket buffer), so frames are written together up to less than that, and a longer one is written alone.

Read next: passt.py, whose socket it is.
"""

from __future__ import annotations

import bisect
import os
import socket
import struct
from collections.abc import Sequence

from lguest_py.networks.link import ETHERNET, LONGEST, MOST_PIECES, LinkGone, Offload, Pieces, after, first

_PREFIX = struct.Struct("!I")
_TOGETHER = 0x7000  # bytes written at once
SOCKET_BYTES = 1 << 22  # wanted; the system's limit may be lower


class Stream:
    """A connected stream socket, which it owns."""

    headers = False
    offloads = Offload.NONE
    verified = False

    def __init__(self, name: str, sock: socket.socket, mac: bytes, mtu: int) -> None:
        self.name, self.mac, self.mtu = name, mac, mtu
        self._socket = sock
        sock.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BYTES)
        self._fd = sock.fileno()
        self._prefix = memoryview(bytearray(_PREFIX.size))
        self._prefix_got = 0
        self._size = self._left = 0  # of the frame whose prefix was read, and what of it was not
        self._into: list[memoryview] = []  # where that goes
        self._skipping = False
        self._nowhere = memoryview(bytearray(LONGEST))
        self.unsent: list[memoryview] = []  # the rest of a frame that was sent in part
        self._taken_back = False  # by the Guest: it is not the first of the frames to send

    def fileno(self) -> int:
        """See Link."""
        return self._fd

    def configure(self, header_bytes: int, wanted: Offload) -> None:
        """See Link; there is nothing to agree on."""

    def _gone(self, how: str) -> LinkGone:
        return LinkGone(how)

    def _read(self, pieces: list[memoryview]) -> int:
        """Bytes read; 0: there are none yet."""
        try:
            count = os.readv(self._fd, pieces)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._gone(os.strerror(error.errno or 0)) from None
        if not count:
            raise self._gone("it closed the connection")
        return count

    def _prefixed(self, count: int) -> None:
        """``count`` more bytes of the prefix came."""
        self._prefix_got += count
        if self._prefix_got == _PREFIX.size:
            size: int = _PREFIX.unpack(self._prefix)[0]
            if not ETHERNET <= size <= LONGEST:
                raise LinkGone(f"it sent a frame of {size} bytes")
            self._size = self._left = size
            self._prefix_got = 0

    def _advance(self) -> bool:
        """Read more of the frame, and the next one's prefix; whether the frame is complete."""
        count = self._read([*self._into, self._prefix])
        if count < self._left:
            if count:
                self._into, self._left = after(self._into, count), self._left - count
            return False
        more, self._size, self._left, self._into = count - self._left, 0, 0, []
        if more:
            self._prefixed(more)
        return True

    def waiting(self) -> int:
        """See Link; the size is always known."""
        if self._skipping:
            if not self._advance():
                return 0
            self._skipping = False
        if not self._size:
            self._prefixed(self._read([self._prefix[self._prefix_got :]]))
        return self._size

    def receive(self, pieces: Pieces) -> int:
        """See Link."""
        size = self._size
        if not self._into:
            self._into = [pieces[0][:size]] if len(pieces[0]) >= size else first(pieces, size)
        return size if self._advance() else 0

    def skip(self) -> bool:
        """See Link; the next ``waiting`` reads it."""
        self._into = [self._nowhere[: self._left]]
        self._skipping = True
        return True

    def _write(self, pieces: Sequence[memoryview | bytes]) -> int:
        """Bytes written; 0: there is no room."""
        try:
            return os.writev(self._fd, pieces)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._gone(os.strerror(error.errno or 0)) from None

    def send(self, frames: Sequence[Pieces]) -> int:
        """See Link.  A frame counts as taken when its last byte went."""
        taken = 0
        if self.unsent:
            self.unsent = after(self.unsent, self._write(self.unsent))
            if self.unsent:
                return 0
            taken, self._taken_back = 0 if self._taken_back else 1, False
        while taken < len(frames):
            batch: list[memoryview | bytes] = []
            ends: list[int] = []
            total = 0
            for pieces in frames[taken:]:
                size = sum(map(len, pieces))
                if batch and (total + size > _TOGETHER or len(batch) + len(pieces) >= MOST_PIECES):
                    break
                batch.append(_PREFIX.pack(size))
                batch += pieces if len(pieces) < MOST_PIECES else (b"".join(pieces),)
                total += _PREFIX.size + size
                ends.append(total)
            count = self._write(batch)
            if count == total:
                taken += len(ends)
                continue
            whole = bisect.bisect_right(ends, count)
            if count > (ends[whole - 1] if whole else 0):  # in the middle of a frame
                self.unsent = first(after(batch, count), ends[whole] - count)
            return taken + whole
        return taken

    def abandon(self) -> None:
        """See Link."""
        if self._into:
            self.skip()
        if self.unsent:
            self.unsent = [memoryview(b"".join(self.unsent))]
            self._taken_back = True

    def close(self) -> None:
        """See Link."""
        self._socket.close()
