# SPDX-License-Identifier: GPL-2.0-or-later
"""The framing of a stream link: whatever the parts in which bytes come and go, no frame is lost, torn or repeated."""

from __future__ import annotations

import socket
import struct
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from net_lab import Peer, frame, packed

from lguest_py.networks.link import LONGEST, LinkGone, after, first

sizes = st.lists(st.one_of(st.integers(14, 200), st.sampled_from((1514, 9000, LONGEST))), max_size=12)
cuts = st.lists(st.integers(1, 3000), min_size=1, max_size=20)
steps = st.sets(st.integers(0, 60), max_size=6)


def pieces_of(memory: memoryview, parts: list[int], most: int = 900) -> list[memoryview]:
    """All of the memory, in at most so many pieces, of these sizes again and again."""
    pieces: list[memoryview] = []
    while memory and len(pieces) + 1 < most:
        size = parts[len(pieces) % len(parts)]
        pieces.append(memory[:size])
        memory = memory[size:]
    return [*pieces, memory] if memory else pieces


@settings(deadline=None, max_examples=100)
@given(sizes, cuts, cuts, st.sets(st.integers(0, 11)), steps)
def test_what_comes_in_any_parts(
    lengths: list[int], chunks: list[int], parts: list[int], skipped: set[int], resets: set[int]
) -> None:
    frames = [frame(size, n) for n, size in enumerate(lengths)]
    came, dropped = {}, set()
    step = number = 0
    pieces: list[memoryview] = []
    with closing(Peer()) as peer:
        link, stream = peer.link, packed(*frames)
        while number < len(frames):
            size = chunks[step % len(chunks)] * (1 if step % 3 else 50)
            peer.socket.sendall(stream[:size])
            stream = stream[size:]
            step += 1
            while number < len(frames) and (size := link.waiting()):
                assert size == lengths[number]
                if number in skipped and not pieces:
                    link.skip()
                    dropped.add(number)
                    number += 1
                    continue
                pieces = pieces or pieces_of(memoryview(bytearray(size + 100)), parts)
                if link.receive(pieces):
                    came[number] = b"".join(pieces)[:size]
                elif step in resets:
                    link.abandon()
                    dropped.add(number)
                else:
                    break
                pieces, number = [], number + 1
        assert not link.waiting()
    assert came == {n: each for n, each in enumerate(frames) if n not in dropped}


@settings(deadline=None, max_examples=100)
@given(sizes, cuts, cuts, steps)
def test_what_goes_while_the_other_end_is_slow(
    lengths: list[int], reads: list[int], parts: list[int], resets: set[int]
) -> None:
    waiting = [pieces_of(memoryview(bytearray(frame(size, n))), parts) for n, size in enumerate(lengths)]
    wanted, came = [], b""
    step = 0
    with closing(Peer()) as peer:
        peer.link._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least: some KiB
        peer.socket.setblocking(False)
        while waiting or peer.link.unsent or not peer.nothing(0):
            step += 1
            sent = peer.link.send(waiting)
            wanted += [b"".join(each) for each in waiting[:sent]]
            del waiting[:sent]
            if step in resets and waiting:
                if peer.link.unsent and not peer.link._taken_back:  # the first of those that wait was begun
                    wanted.append(b"".join(waiting[0]))
                peer.link.abandon()
                for piece in waiting.pop(0):
                    piece[:] = bytes(len(piece))  # the Guest uses its buffers again
            try:
                came += peer.socket.recv(reads[step % len(reads)] * (1 if step % 3 else 50))
            except BlockingIOError:
                assert not waiting or not peer.link.unsent
    assert came == packed(*wanted)


def test_no_write_ends_within_a_prefix_that_is_read_alone() -> None:
    """What the kernel may split is one frame: a reader that takes all there is never finds less than a prefix."""
    with closing(Peer()) as peer:
        frames = [[memoryview(frame(size, size))] for size in (100, 40000, 14, 65550, *[1514] * 90, 30000, 2000)]
        stream = b""
        while frames:
            del frames[: peer.link.send(frames)]
            while not peer.nothing(0):
                stream += peer.socket.recv(1 << 22)
                rest = len(stream)
                position = 0
                while rest >= 4 and rest >= 4 + (size := struct.unpack_from("!I", stream, position)[0]):
                    position, rest = position + 4 + size, rest - 4 - size
                assert not 0 < rest < 4
    assert not rest


def receive_one(peer: Peer) -> None:
    while not peer.link.waiting() or not peer.link.receive([memoryview(bytearray(60))]):
        pass


@pytest.mark.parametrize("cut", [1, 3, 4, 50])
def test_an_end_amid_a_frame_is_the_end_of_the_link(cut: int) -> None:
    with closing(Peer()) as peer:
        peer.socket.sendall(packed(frame(60))[:cut])
        peer.socket.close()
        with pytest.raises(LinkGone, match="closed the connection"):
            receive_one(peer)
        with pytest.raises(LinkGone, match="Broken pipe"):
            peer.link.send([[memoryview(frame(60))]])


def test_a_frame_of_very_many_pieces_is_sent() -> None:
    with closing(Peer()) as peer:
        sent = frame(5000)
        assert peer.link.send([pieces_of(memoryview(sent), [1], 5000), pieces_of(memoryview(sent), [2], 5000)]) == 2
        assert [peer.take(), peer.take()] == [sent, sent]


@given(st.lists(st.binary(max_size=20), max_size=10), st.integers(0, 100))
def test_first_and_after_divide_pieces(parts: list[bytes], count: int) -> None:
    whole = b"".join(parts)
    views = [memoryview(part) for part in parts]
    assert b"".join(first(views, count)) == whole[:count]
    assert b"".join(after(parts, count)) == whole[count:]
