# SPDX-License-Identifier: GPL-2.0-or-later
"""Random rings for a network card: on a stream whose other end talks at random, and on a tap."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import closing, suppress
from random import Random

import pytest
from namespace_lab import needs_taps, network_namespace
from net_lab import Peer, frame, packed
from random_rings import rings, throw

from lguest_py.devices.net import Net
from lguest_py.hardware import Network

SIZES = (0, 13, 14, 60, 1500, 9000, 65550, 65551)


def shapes(chance: Random, queue: int) -> tuple[Sequence[bytes], Sequence[int]]:
    """Buffers for frames, and frames with headers of any content."""
    if queue == 0:
        return [], [chance.choice((1, 10, 12, 13, 1526, 4096, 65562)) for _ in range(chance.choice((1, 1, 2, 5)))]
    header = chance.choice((bytes(12), bytes(10), chance.randbytes(12), b"\1\1" + chance.randbytes(10)))
    body = (b"\x08\x00E" + chance.randbytes(40) + bytes(66000))[: chance.choice(SIZES)]
    whole = header + frame(12) + body
    cut = chance.choice((len(header), chance.randrange(1, len(whole))))
    return [piece for piece in (whole[:cut], whole[cut:]) if piece], []


@pytest.mark.timeout(3600)
def test_random_rings_on_a_stream(request: pytest.FixtureRequest) -> None:
    with closing(Peer()) as peer:
        talk = Random(1)
        peer.socket.setblocking(False)

        def talking(chance: Random, queue: int) -> tuple[Sequence[bytes], Sequence[int]]:
            with suppress(BlockingIOError):  # the other end takes some of what comes
                peer.socket.recv(talk.choice((1, 100, 70000, 1 << 20)))
            if not peer.rest:
                peer.rest = packed(frame(talk.choice((14, 60, 1514, 9000, 65550)), talk.randrange(99)))
            size = talk.choice((1, 5, 1500, 70000))
            with suppress(BlockingIOError):
                sent = peer.socket.send(peer.rest[:size])
                peer.rest = peer.rest[sent:]
            return shapes(chance, queue)

        counts = throw(peer.card(), rings(request), talking)
        assert not peer.said
        assert counts["answered"] > counts["guest error"] > 0
        assert counts["no error"] > 0


@pytest.mark.timeout(3600)
def test_random_rings_on_a_tap(request: pytest.FixtureRequest) -> None:
    needs_taps()
    said: list[str] = []
    with network_namespace(), closing(Net(Network("tap", "t0"), 0, said.append)) as card:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as host:
            host.bind(("t0", 0))

            def talking(chance: Random, queue: int) -> tuple[Sequence[bytes], Sequence[int]]:
                host.send(frame(chance.choice((14, 60, 1514))))
                return shapes(chance, queue)

            counts = throw(card, rings(request), talking)
        assert not said
        assert counts["answered"] > counts["guest error"] > 0
        assert counts["no error"] > 0
