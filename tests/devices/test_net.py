# SPDX-License-Identifier: GPL-2.0-or-later
"""The network card on a stream link, with a driver in Python."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from net_lab import MAC, Peer, frame
from ring_lab import Rig

from lguest_py.devices import net
from lguest_py.devices.device import Progress
from lguest_py.devices.errors import GuestError

PLAIN = net.F_MAC | net.F_STATUS
MERGED = PLAIN | net.F_MRG_RXBUF
HEADER = 12


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


def received(rig: Rig, header: int = HEADER) -> list[bytes]:
    """The frames that came, of one buffer or several merged ones."""
    frames = []
    done = rig.drivers[0].finished()
    while done:
        request, written = done.pop(0)
        data = rig.drivers[0].read(request)[:written]
        rig.drivers[0].release(request)
        count = struct.unpack_from("<H", data, 10)[0] if header == 12 else 1
        data = data[header:]
        for _ in range(count - 1):
            request, written = done.pop(0)
            data += rig.drivers[0].read(request)[:written]
            rig.drivers[0].release(request)
        frames.append(data)
    return frames


def transmit(rig: Rig, *frames: bytes, header: int = HEADER) -> None:
    for each in frames:
        rig.drivers[1].add([bytes(header), each])
    rig.kick(1)
    rig.service()


def buffers(rig: Rig, count: int, size: int) -> None:
    for _ in range(count):
        rig.drivers[0].add([], [size])
    rig.kick(0)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(("features", "header"), [(PLAIN, 10), (MERGED, 12), (PLAIN | net.F_VERSION_1, 12)])
def test_frames_go_both_ways(peer: Peer, features: int, header: int, legacy: bool) -> None:
    rig = Rig(peer.card(), features, legacy=legacy)
    buffers(rig, 8, 2048)
    peer.give(frame(60), frame(1514, 2))
    rig.service(0.1)
    assert received(rig, header) == [frame(60), frame(1514, 2)]
    transmit(rig, frame(60, 3), frame(1514, 4), header=header)
    assert [peer.take(), peer.take()] == [frame(60, 3), frame(1514, 4)]
    assert len(rig.drivers[1].finished()) == 2


def test_the_end_of_a_small_frame_is_told_with_its_answer(peer: Peer) -> None:
    rig = Rig(peer.card(), MERGED)
    buffers(rig, 8, 2048)
    rig.service()
    transmit(rig, frame(100))
    assert not rig.interrupts
    peer.give(frame(60))
    rig.service(0.1)
    assert sorted(rig.interrupts) == [0, 1]
    assert len(rig.drivers[1].finished()) == 1


def test_the_end_of_a_small_frame_is_told_before_a_wait(peer: Peer) -> None:
    rig = Rig(peer.card(), MERGED)
    transmit(rig, frame(100))
    assert not rig.interrupts
    rig.device.settle()
    rig.device.settle()
    assert rig.interrupts == [1]
    rig.reset()
    rig.device.settle()


@pytest.mark.parametrize("frames", [[frame(3000)], [frame(900)] * 3])
def test_the_end_of_many_bytes_is_told_at_once(peer: Peer, frames: list[bytes]) -> None:
    rig = Rig(peer.card(), MERGED)
    transmit(rig, *frames)
    assert rig.interrupts == [1]


def test_the_header_may_lie_in_any_buffers(peer: Peer) -> None:
    rig = Rig(peer.card(), MERGED)
    rig.drivers[0].add([], [5, 4, 2, 1, 70, 3, 2000])
    rig.kick(0)
    peer.give(frame(300))
    rig.service(0.1)
    assert received(rig) == [frame(300)]
    rig.drivers[1].add([bytes(5), bytes(7) + frame(100)[:20], frame(100)[20:]])
    rig.kick(1)
    rig.service()
    assert peer.take() == frame(100)


def test_a_long_frame_fills_several_buffers(peer: Peer) -> None:
    rig = Rig(peer.card(), MERGED)
    buffers(rig, 64, 1536)
    peer.give(frame(65534), frame(60, 2), frame(1536 - HEADER, 3), frame(1537 - HEADER, 4))
    rig.service(0.1)
    assert received(rig) == [frame(65534), frame(60, 2), frame(1536 - HEADER, 3), frame(1537 - HEADER, 4)]


def test_without_buffers_frames_stay_in_the_link(peer: Peer) -> None:
    rig = Rig(peer.card(), MERGED)
    peer.give(frame(60))
    rig.service(0.1)
    assert not rig.device.watched()
    buffers(rig, 4, 2048)
    assert rig.device.watched()
    rig.service(0.1)
    assert received(rig) == [frame(60)]


def test_a_frame_waits_until_the_ring_is_filled_again(peer: Peer) -> None:
    rig = Rig(peer.card(), MERGED)
    buffers(rig, 8, 2048)
    rig.service()
    peer.give(*[frame(1500, n) for n in range(6)], frame(9000, 9))
    rig.service(0.1)
    assert received(rig) == [frame(1500, n) for n in range(6)]
    assert not rig.device.watched()
    buffers(rig, 6, 2048)
    rig.service(0.1)
    assert received(rig) == [frame(9000, 9)]


@pytest.mark.parametrize("features", [PLAIN, MERGED])
def test_a_frame_that_never_fits_is_dropped(peer: Peer, features: int) -> None:
    card = peer.card()
    rig = Rig(card, features)
    buffers(rig, 2, 1526)
    peer.give(frame(9000), frame(100, 2))
    rig.service(0.1)
    assert received(rig, 12 if features & net.F_MRG_RXBUF else 10) == [frame(100, 2)]
    assert card.dropped_in == 1


def test_frames_that_are_too_short_or_long_are_dropped(peer: Peer) -> None:
    card = peer.card()
    rig = Rig(card, MERGED)
    transmit(rig, frame(13), frame(65551), frame(14, 2), frame(65550, 3))
    assert [peer.take(), peer.take()] == [frame(14, 2), frame(65550, 3)]
    assert peer.nothing()
    assert card.dropped_out == 2
    assert len(rig.drivers[1].finished()) == 4


def test_a_full_link_holds_the_guest_back(peer: Peer) -> None:
    rig = Rig(peer.card(), MERGED, memory_bytes=32 << 20)
    sent = [frame(60000, n) for n in range(120)]
    for each in sent:
        rig.drivers[1].add([bytes(HEADER), each])
    rig.kick(1)
    while rig.device.service() is Progress.MORE:
        pass
    assert rig.device.blocked()
    assert len(rig.drivers[1].finished()) < 120
    for each in sent:
        while rig.device.service() is Progress.MORE:
            pass
        assert peer.take() == each
    rig.service()
    assert not rig.device.blocked()


@pytest.mark.parametrize("size", [1, 3, 4, 5, 1000, 70000])
def test_a_reset_amid_a_frame_keeps_the_place_in_the_stream(peer: Peer, size: int) -> None:
    rig = Rig(peer.card(), MERGED)
    buffers(rig, 64, 2048)
    whole = struct.pack("!I", 60000) + frame(60000) + struct.pack("!I", 60) + frame(60, 2)
    peer.socket.sendall(whole[:size])
    rig.service(0.05)
    rig.reset()
    rig.start()
    buffers(rig, 64, 2048)
    peer.socket.sendall(whole[size:])
    peer.give(frame(70, 3))
    rig.service(0.1)
    assert received(rig)[-1] == frame(70, 3)


def test_a_frame_sent_in_part_is_completed_after_a_reset(peer: Peer) -> None:
    rig = Rig(peer.card(), MERGED, memory_bytes=32 << 20)
    for n in range(120):
        rig.drivers[1].add([bytes(HEADER), frame(60000, n)])
    rig.kick(1)
    while rig.device.service() is Progress.MORE:
        pass
    rig.reset()
    rig.memory[0x10000:] = bytes(len(rig.memory) - 0x10000)
    came = []
    while not peer.nothing() or rig.device.blocked():
        came.append(peer.take())
        rig.device.service()
    assert came == [frame(60000, n) for n in range(len(came))]
    rig.start()
    transmit(rig, frame(60, 5))
    assert peer.take() == frame(60, 5)


def test_what_comes_while_there_is_no_driver_is_lost(peer: Peer) -> None:
    card = peer.card()
    peer.give(*[frame(1500, n) for n in range(100)])
    assert not card.watched()
    rig = Rig(card, MERGED)
    assert card.dropped_in == 100
    buffers(rig, 4, 2048)
    peer.give(frame(60))
    rig.service(0.1)
    assert received(rig) == [frame(60)]


@pytest.mark.parametrize("started", [True, False])
def test_a_back_end_that_ends_is_a_link_that_is_down(peer: Peer, started: bool) -> None:
    card = peer.card()
    rig = Rig(card, MERGED)
    if not started:
        rig.reset()
    peer.socket.close()
    if not started:
        rig.start()
    while card.service() is Progress.MORE:
        pass
    assert peer.said == ["network 0: peer: it closed the connection; the Guest's link is down"]
    assert struct.unpack_from("<6sH", card.config()) == (MAC, 0)
    assert not card.watched()
    assert not card.blocked()
    assert rig.config_changes == 1
    transmit(rig, *[frame(60)] * 200)
    assert len(rig.drivers[1].finished()) == 200
    assert len(peer.said) == 1


@pytest.mark.parametrize("size", [0, 13, 65551, 0xFFFFFFFF])
def test_a_back_end_that_sends_nonsense_is_given_up(peer: Peer, size: int) -> None:
    card = peer.card()
    rig = Rig(card, MERGED)
    buffers(rig, 4, 2048)
    peer.socket.sendall(struct.pack("!I", size))
    while card.service() is Progress.MORE:
        pass
    assert peer.said == [f"network 0: peer: it sent a frame of {size} bytes; the Guest's link is down"]


def test_malformed_chains_are_the_guests_errors(peer: Peer) -> None:
    for queue, readable, writable in ((0, [b"x"], [2048]), (0, [], [11]), (1, [bytes(11)], []), (1, [bytes(80)], [9])):
        rig = Rig(peer.card(), MERGED)
        rig.drivers[queue].add(readable, writable)
        rig.kick(queue)
        peer.give(frame(60))
        with pytest.raises(GuestError, match=f"queue {queue}: a "):
            rig.service(0.1)
        rig.reset()


def test_checksums_are_told_to_be_right_only_if_both_sides_agreed(peer: Peer) -> None:
    for verified, features, flags in ((True, net.F_GUEST_CSUM, 2), (True, 0, 0), (False, 0, 0)):
        peer.link.verified = verified
        card = peer.card()
        assert bool(card.features & net.F_GUEST_CSUM) == verified
        rig = Rig(card, MERGED | features)
        buffers(rig, 1, 2048)
        peer.give(frame(60))
        rig.service(0.1)
        request, _ = rig.drivers[0].finished()[0]
        assert rig.drivers[0].read(request)[:12] == bytes((flags, *[0] * 9, 1, 0))
        rig.reset()
