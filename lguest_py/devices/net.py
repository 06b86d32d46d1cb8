# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtio network card: queue 0 brings frames to the Guest, queue 1 takes its own.

Frames go between the Guest's buffers and the back end's descriptor with no copy in between.  Nothing waits here: while
the back end is full, frames stay in the Guest's ring, and while the Guest has no buffers, frames stay in the back end,
which is then not watched.  A back end that ended is a cable that was pulled out: the link is down, and what the
Guest sends is lost.

Source: virtio 1.2, section 5.1.  Read next: lguest_py/networks/link.py, the back end.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from lguest_py.devices.device import Defaults, Progress, Say
from lguest_py.devices.errors import GuestError
from lguest_py.networks import open_link
from lguest_py.networks.link import ETHERNET, LONGEST, MOST_PIECES, Link, LinkGone, Offload, Pieces, after

if TYPE_CHECKING:
    from lguest_py.devices.virtqueue import Chain, Virtqueue
    from lguest_py.hardware import Network

F_CSUM, F_GUEST_CSUM, F_MTU, F_MAC = 1 << 0, 1 << 1, 1 << 3, 1 << 5
F_GUEST_TSO4, F_GUEST_TSO6, F_GUEST_ECN = 1 << 7, 1 << 8, 1 << 9
F_HOST_TSO4, F_HOST_TSO6, F_HOST_ECN = 1 << 11, 1 << 12, 1 << 13
F_MRG_RXBUF, F_STATUS = 1 << 15, 1 << 16
F_VERSION_1 = 1 << 32
_HEADER, _MERGED_HEADER = 10, 12
_MERGED = struct.Struct("<H")  # the number of buffers, at the end of the longer header
_CONFIG = struct.Struct("<6sHHH")  # MAC, status, queue pairs, MTU
_LINK_UP = 1
_DATA_VALID = 2  # in the header's flags: the checksums of the frame are right
FRAMES = 64  # per direction and call
STALE = 4096  # frames, at a start
PUT_OFF = 2048  # bytes
_OFFERED = (  # what the back end can complete, what that lets the Guest leave out, what it may leave out itself
    (Offload.CHECKSUM, F_CSUM, F_GUEST_CSUM),
    (Offload.TCP4, F_HOST_TSO4, F_GUEST_TSO4),
    (Offload.TCP6, F_HOST_TSO6, F_GUEST_TSO6),
    (Offload.ECN, F_HOST_ECN, F_GUEST_ECN),
)


class Net(Defaults):
    """Virtio device 1, with its back end."""

    type = 1
    queue_sizes = (256, 256)

    def __init__(self, spec: Network, number: int, say: Say) -> None:
        self._connect(open_link(spec, number, say), f"network {number}", say)

    @classmethod
    def on(cls, link: Link, name: str, say: Say) -> Net:
        """A card on a back end that exists."""
        self = cls.__new__(cls)
        self._connect(link, name, say)
        return self

    def _connect(self, link: Link, name: str, say: Say) -> None:
        self.name = name
        self.link = link
        self._say = say
        self._up = True
        self.features = F_MAC | F_STATUS | F_MRG_RXBUF | (F_MTU if link.mtu else 0)
        for offload, sent, received in _OFFERED:
            if offload in link.offloads:
                self.features |= sent | received
        self.features |= F_GUEST_CSUM if link.verified else 0
        self._fd = (link.fileno(),)
        self.dropped_in = self.dropped_out = 0
        self._forget()

    def _forget(self) -> None:
        """The state without a driver."""
        self._in: Virtqueue | None = None
        self._out: Virtqueue | None = None
        self._changed: Callable[[], None] = lambda: None
        self._buffers: list[tuple[Chain, int]] = []  # taken from the ring and not used yet, with their bytes
        self._room = 0  # the sum of these bytes
        self._pieces: Pieces = ()  # the part of the buffers that the next frame goes to
        self._starving = False  # a frame waits for more buffers
        self._most = 0  # buffers that were there at once
        self._frames: list[tuple[Chain, Pieces]] = []  # to send
        self._untold = 0  # bytes of frames to send that the driver was not told to be gone
        self._told = False  # it is told of frames that came

    def config(self) -> bytes:
        """See Device."""
        return _CONFIG.pack(self.link.mac, _LINK_UP if self._up else 0, 1, self.link.mtu)

    def start(self, queues: Sequence[Virtqueue], features: int, config_changed: Callable[[], None]) -> None:
        """See Device."""
        self._in, self._out = queues
        self._changed = config_changed
        self._merging = bool(features & F_MRG_RXBUF)
        self._header = _MERGED_HEADER if features & (F_MRG_RXBUF | F_VERSION_1) else _HEADER
        flags = _DATA_VALID if features & F_GUEST_CSUM and self.link.verified else 0
        self._plain = bytes((flags,)) + bytes(_HEADER - 1)  # a header for a frame that came without
        self._skipped = 0 if self.link.headers else self._header  # bytes in front of what the back end carries
        wanted = Offload.NONE
        if features & F_GUEST_CSUM:  # the others mean nothing without it
            for offload, _, received in _OFFERED:
                wanted |= offload if features & received else Offload.NONE
        if not wanted & (Offload.TCP4 | Offload.TCP6):
            wanted &= Offload.CHECKSUM
        if self._up:
            try:
                self.link.configure(self._header, wanted)
                for _ in range(STALE):  # what came while there was no driver is lost, as with any card
                    if not (self.link.waiting() and self.link.skip()):
                        break
                    self.dropped_in += 1
            except LinkGone as error:
                self._down(error)

    def reset(self) -> None:
        """See Device."""
        if self._up:
            self.link.abandon()
        self._forget()

    def kick(self, queue: int) -> None:
        """See Device."""
        if queue == 0:
            self._starving = False

    def watched(self) -> Collection[int]:
        """See Device; not watched while the Guest has no buffers for what would come."""
        return () if self._starving or not self._up or self._in is None else self._fd

    def blocked(self) -> Collection[int]:
        """See Device."""
        return self._fd if (self._frames or self.link.unsent) and self._up else ()

    def service(self) -> Progress:
        """See Device."""
        try:
            if not self._up:
                return self._lose()
            if self._in is None or self._out is None:
                self.link.send(())
                return Progress.IDLE
            self._told = False
            try:
                more = self._send(self._out)
                return Progress.MORE if self._receive(self._in) or more else Progress.IDLE
            finally:
                self._in.notify()
                # The answer to a small frame may come at once, and one interrupt is enough for both.
                if self._told or self._untold > PUT_OFF:
                    self.settle()
        except LinkGone as error:
            self._down(error)
            return Progress.MORE

    def settle(self) -> None:
        """See Device."""
        self._untold = 0
        if self._out:
            self._out.notify()

    def close(self) -> None:
        """See Device."""
        self.link.close()

    def _down(self, error: LinkGone) -> None:
        """The back end ended."""
        self._up = False
        self._say(f"{self.name}: {self.link.name}: {error}; the Guest's link is down")
        self._changed()

    def _lose(self) -> Progress:
        """Take what the Guest sends, to nowhere."""
        queue = self._out
        if queue is None:
            return Progress.IDLE
        for _ in range(FRAMES):
            chain = self._frames.pop()[0] if self._frames else queue.pop()
            if chain is None:
                break
            queue.push(chain, 0)
            self.dropped_out += 1
        else:
            queue.notify()
            return Progress.MORE
        queue.notify()
        return Progress.IDLE

    def _send(self, queue: Virtqueue) -> bool:
        """Give the back end frames; whether there may be more of them now."""
        frames, header, skipped = self._frames, self._header, self._skipped
        more = False
        for _ in range(FRAMES - len(frames)):
            chain = queue.pop()
            if chain is None:
                more = False
                break
            more = True
            pieces: Pieces = chain.readable
            size = sum(map(len, pieces)) - header
            if size < 0 or chain.writable:
                raise GuestError(f"{queue.name}: a frame with a buffer to write to, or without its header")
            if not ETHERNET <= size <= LONGEST:
                self.dropped_out += 1
                queue.push(chain, 0)
                continue
            if skipped:
                pieces = pieces[1:] if len(pieces[0]) == skipped else after(pieces, skipped)
            frames.append((chain, pieces))
            self._untold += size
        if frames or self.link.unsent:
            sent = self.link.send([pieces for _, pieces in frames])
            queue.push_all([(chain, 0) for chain, _ in frames[:sent]])
            del frames[:sent]
        return more and not frames

    def _receive(self, queue: Virtqueue) -> bool:
        """Bring the Guest frames; whether there may be more of them now."""
        link = self.link
        for _ in range(FRAMES):
            size = link.waiting()
            if not size:
                return False
            if not self._pieces and not self._find_room(queue, size + self._header):
                if self._starving:
                    return False
                link.skip()
                self.dropped_in += 1
                continue
            count = link.receive(self._pieces)
            if not count:
                if link.headers:
                    self._pieces = ()  # the Guest may give more for the next one
                return False
            self._deliver(queue, count + self._skipped)
        return True

    def _find_room(self, queue: Virtqueue, need: int) -> bool:
        """Choose ``_pieces`` for ``need`` bytes; False: the Guest has too few buffers, now (``_starving``) or ever."""
        buffers = self._buffers
        self._most = max(self._most, len(buffers) + queue.available())
        while self._room < need and (self._merging or not buffers) and (chain := queue.pop()):
            size = sum(map(len, chain.writable))
            if size < self._header or chain.readable:
                raise GuestError(f"{queue.name}: a buffer that is too small or not to be written to")
            buffers.append((chain, size))
            self._room += size
        if self._room < need:
            # A driver gives all its buffers, so what does not fit into half of them would never fit.
            self._starving = not buffers or (self._merging and 2 * len(buffers) < self._most)
            if self._starving or not self.link.headers:  # else the frame may well be shorter
                return False
        pieces = [piece for chain, _ in buffers for piece in chain.writable]
        pieces = pieces if not self._skipped else after(pieces, self._skipped)
        self._pieces = pieces[:MOST_PIECES]
        return len(pieces) <= MOST_PIECES or self.link.headers

    def _deliver(self, queue: Virtqueue, total: int) -> None:
        """A frame of ``total`` bytes with its header is in ``_pieces``: give the Guest the buffers that it fills."""
        self._pieces = ()
        buffers = self._buffers
        if total > self._room:
            self.dropped_in += 1
            return
        used: list[tuple[Chain, int]] = []
        left = total
        while left > 0:
            chain, size = buffers[len(used)]
            used.append((chain, min(size, left)))
            self._room -= size
            left -= size
        del buffers[: len(used)]
        header = self._plain if self._skipped else b""
        if self._header == _MERGED_HEADER:
            header += _MERGED.pack(len(used))
        if header:
            start = self._header - len(header)
            piece = used[0][0].writable[0]
            if len(piece) >= self._header:
                piece[start : self._header] = header
            else:
                _scatter(used[0][0].writable, start, header)
        queue.push_all(used)
        self._told = True


def _scatter(pieces: Pieces, start: int, data: bytes) -> None:
    """Write ``data`` at ``start`` in what the pieces make together."""
    for piece in after(pieces, start):
        piece[: len(data)] = data[: len(piece)]
        data = data[len(piece) :]
        if not data:
            break
