# SPDX-License-Identifier: GPL-2.0-or-later
"""What a network card needs from its back end, whatever that is.

Read next: stream.py and tap.py, the two kinds of link.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Protocol

Pieces = Sequence[memoryview]  # parts of a frame, in order
ETHERNET = 14  # bytes of a frame's header
LONGEST = 65550  # bytes of a frame: 64 KiB - 1 of payload, which segmentation offload allows, behind that header
MOST_PIECES = 1000  # of one readv or writev; the kernel takes 1024


def after(pieces: Sequence[memoryview | bytes], count: int) -> list[memoryview]:
    """The pieces without the first ``count`` bytes."""
    rest: list[memoryview] = []
    for each in pieces:
        piece = memoryview(each)
        if count < len(piece):
            rest.append(piece[count:] if count else piece)
            count = 0
        else:
            count -= len(piece)
    return rest


def first(pieces: Pieces, count: int) -> list[memoryview]:
    """The first ``count`` bytes of the pieces."""
    found = []
    for piece in pieces:
        found.append(piece[:count])
        count -= len(found[-1])
        if not count:
            break
    return found


class Offload(enum.Flag):
    """What may be left out of a frame, because its header says how to complete it."""

    NONE = 0
    CHECKSUM = enum.auto()
    TCP4 = enum.auto()  # segmentation
    TCP6 = enum.auto()
    ECN = enum.auto()  # segmentation of TCP with explicit congestion notification


class LinkGone(Exception):
    """The back end ended; the text says how."""


class Link(Protocol):
    """A back end that carries Ethernet frames.  No call waits.  Each may raise LinkGone.

    ``headers``: a struct virtio_net_hdr is in front of each frame, both ways.
    """

    name: str  # for messages: "tap0"
    mac: bytes  # of the Guest's card if the user wants no other
    mtu: int
    headers: bool
    offloads: Offload  # what the back end can complete
    verified: bool  # the frames that it brings have right checksums

    @property
    def unsent(self) -> Pieces:
        """The rest of a frame that was sent in part; ``send`` continues with it."""

    def fileno(self) -> int:
        """Readable when a frame came, writable when one can be sent."""

    def configure(self, header_bytes: int, wanted: Offload) -> None:
        """The size of the headers, and what the Guest can do with the frames that it gets."""

    def waiting(self) -> int:
        """How many bytes the next frame has; if that is not known, how many it may have; 0: none is there."""

    def receive(self, pieces: Pieces) -> int:
        """Read the next frame (behind its header if there are headers) and return the number of bytes.

        0: not all of it is there yet; call again with the same pieces.  More than the pieces hold: it did not fit,
        which happens only where ``waiting`` does not know the size.
        """

    def skip(self) -> bool:
        """Drop the next frame; False: there is none."""

    def send(self, frames: Sequence[Pieces]) -> int:
        """Send frames in this order (each behind its header if there are headers) and return how many were taken.

        The next call begins with the first that was not; part of that may have been sent already.
        """

    def abandon(self) -> None:
        """The Guest takes its buffers back: copy what is not sent of a frame, drop one that is coming."""

    def close(self) -> None:
        """Release everything."""
