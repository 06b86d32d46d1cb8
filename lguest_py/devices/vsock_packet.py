# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets of virtio-vsock: struct virtio_vsock_hdr, then data.

Source: virtio 1.2, section 5.10.6.  Read next: vsock_connection.py.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from lguest_py.networks.link import Pieces, after, first

_LAYOUT = struct.Struct("<QQIIIHHIII")
HEADER = _LAYOUT.size
HOST_CID = 2
STREAM = 1  # the only type of socket that is offered
SHUTDOWN_RECEIVE, SHUTDOWN_SEND = 1, 2  # flags: the sender will not receive any more, will not send any more


class Op(IntEnum):
    """What a packet is for."""

    NONE = 0  # invalid
    REQUEST = 1
    RESPONSE = 2
    RST = 3
    SHUTDOWN = 4
    RW = 5  # data
    CREDIT_UPDATE = 6
    CREDIT_REQUEST = 7


class Header(NamedTuple):
    """struct virtio_vsock_hdr."""

    src_cid: int
    dst_cid: int
    src_port: int
    dst_port: int
    len: int
    type: int
    op: int
    flags: int
    buf_alloc: int
    fwd_cnt: int

    def reset(self) -> Header:
        """The answer to a packet that cannot be."""
        ends = self.dst_cid, self.src_cid, self.dst_port, self.src_port
        return Header(*ends, 0, self.type, Op.RST, 0, 0, 0)

    def write(self, pieces: Pieces) -> None:
        """Write it to the begin of the pieces, which have room."""
        if len(pieces[0]) >= HEADER:
            _LAYOUT.pack_into(pieces[0], 0, *self)
            return
        data = _LAYOUT.pack(*self)
        for piece in first(pieces, HEADER):
            piece[:], data = data[: len(piece)], data[len(piece) :]


def parse(pieces: Pieces) -> tuple[Header, Sequence[memoryview]] | None:
    """The header and the data that it speaks of; None: the pieces have less."""
    if len(pieces[0]) < HEADER:
        start = b"".join(first(pieces, HEADER))
        if len(start) < HEADER:
            return None
        header = Header(*_LAYOUT.unpack(start))
    else:
        header = Header(*_LAYOUT.unpack_from(pieces[0]))
    data = pieces[1:] if len(pieces[0]) == HEADER else after(pieces, HEADER)
    there = sum(map(len, data))
    if there < header.len:
        return None
    return header, data if there == header.len else first(data, header.len)
