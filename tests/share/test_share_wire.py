# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages: what is well formed is read as it was written, and anything else is an error number."""

from __future__ import annotations

import errno
import os
import struct
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from p9_client import Client, encode, message, number, sender, server_at

from lguest_py.share.server import Server, ShortBuffers
from lguest_py.share.wire import FIELDS, HEADER, REQUESTS, RLERROR, T, first, gather, skip, spread

KINDS = sorted(FIELDS)
NUMBERS = {"B": 8, "H": 16, "I": 32, "Q": 64}
FIDS = st.sampled_from([0, 1, 2, 3, 0xFFFFFFFF])
NAMES = st.one_of(
    st.sampled_from([b"f", b"d", b"s", b"..", b".", b"", b"/etc/passwd", b"user.a", b"9P2000.L", b"x" * 300]),
    st.binary(max_size=20),
)
FAST = settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@st.composite
def values_of(draw: st.DrawFn, letters: str) -> list[Any]:
    """Values for the fields ``letters``."""
    found: list[Any] = []
    for letter in letters:
        if letter == "s":
            found.append(draw(NAMES))
        elif letter == "N":
            found.append(draw(st.lists(NAMES, max_size=16)))
        elif letter == "I":
            found.append(draw(st.one_of(FIDS, st.integers(0, 2**32 - 1))))
        else:
            found.append(draw(st.integers(0, 2 ** NUMBERS[letter] - 1)))
    return found


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request of any kind, well formed or bent."""
    kind = draw(st.sampled_from([each for each in KINDS if each is not T.VERSION]))
    body = encode(FIELDS[kind], draw(values_of(FIELDS[kind])))
    if kind is T.WRITE:
        data = draw(st.binary(max_size=50))
        body = body[:-4] + struct.pack("<I", len(data)) + data
    made = bytearray(message(kind, draw(st.integers(0, 0xFFFF)), body))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        made[draw(st.integers(0, len(made) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.sampled_from([0, 0, 0, 1, 5]))
    return bytes(made[: len(made) - cut]) + draw(st.sampled_from([b"", b"", b"\0", b"more"]))


@given(data=st.data())
@FAST
def test_fields_are_read_as_they_were_written(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    values = data.draw(values_of(FIELDS[kind]))
    assert list(REQUESTS[kind].read(message(kind, 1, encode(FIELDS[kind], values)))) == values


@given(kind=st.sampled_from(KINDS), body=st.binary(max_size=80))
@FAST
def test_any_bytes_are_fields_or_a_protocol_error(kind: T, body: bytes) -> None:
    request, values = message(kind, 1, body), []
    with suppress(OSError):
        values = list(REQUESTS[kind].read(request))
    if values:
        assert encode(FIELDS[kind], values) == body
    else:
        assert number(lambda: REQUESTS[kind].read(request)) == errno.EPROTO


def test_too_many_names_and_strings_beyond_the_end_are_protocol_errors() -> None:
    for body in (struct.pack("<IIH", 0, 1, 17) + b"\1\0x" * 17, struct.pack("<IIHH", 0, 1, 1, 5) + b"four"):
        request = message(T.WALK, 1, body)
        assert number(lambda request=request: REQUESTS[T.WALK].read(request)) == errno.EPROTO  # type: ignore[misc]


PIECES = st.lists(st.binary(min_size=1, max_size=9), max_size=6)


@given(pieces=PIECES, count=st.integers(0, 60))
def test_pieces(pieces: list[bytes], count: int) -> None:
    views = [memoryview(bytearray(each)) for each in pieces]
    whole = b"".join(pieces)
    assert b"".join(skip(views, count)) == whole[count:]
    assert b"".join(first(views, count)) == whole[:count]
    assert gather(views, count) == whole[:count]
    data = bytes(range(min(count, len(whole))))
    if views:
        spread(data, views)
        assert b"".join(views) == data + whole[len(data) :]


@pytest.fixture
def busy(folder: Path) -> Client:
    """A server with some fids: 0 the root, 1 an open file, 2 an open directory."""
    (folder / "f").write_bytes(b"content")
    (folder / "d").mkdir()
    os.symlink("f", folder / "s")
    client = Client(sender(server_at(folder)))
    client.attach()
    client.at(1, b"f")
    client.lopen(1, 2)
    client.at(2, b"d")
    client.lopen(2)
    return client


def ask(server: Server, request: list[memoryview], reply: list[memoryview]) -> bytes | None:
    """The whole reply, checked for its form; None when there was no room for one."""
    try:
        count = server.answer(request, reply)
    except ShortBuffers:
        return None
    found = b"".join(reply)[:count]
    size, kind, _ = HEADER.unpack_from(found)
    assert size == count
    assert kind == RLERROR or kind - 1 in FIELDS
    return found


def cut(data: bytes, at: list[int]) -> list[memoryview]:
    places = [0, *sorted(set(at) & set(range(1, len(data)))), len(data)]
    return [memoryview(bytearray(data[start:end])) for start, end in pairwise(places) if start < end]


@given(sent=st.lists(requests(), max_size=12), at=st.lists(st.integers(1, 60), max_size=4), room=st.integers(0, 200))
@FAST
def test_no_request_breaks_the_server(sent: list[bytes], at: list[int], room: int, folder: Path) -> None:
    server = server_at(folder)
    client = Client(sender(server))
    client.attach()
    with_file = sender(server)
    with_file(message(T.WALK, 1, encode("IIN", (0, 1, []))), 100)
    with_file(message(T.LCREATE, 1, encode("IsIII", (1, b"f", 2, 0o644, 0))), 100)
    for request in sent:
        found = ask(server, cut(request, at), cut(bytes(room), at))
        assert found is None or len(found) <= room
    server.close()
    assert server._budget.used == 0
    assert sorted(os.listdir(folder.parent)) == ["shared"]


@pytest.mark.parametrize("size", [0, 1, 6, 0x7FFFFFFF, 0xFFFFFFFF])
def test_sizes_that_lie(server: Server, size: int) -> None:
    client = Client(sender(server))
    client.attach()
    request = struct.pack("<IBHI", size, T.STATFS, 9, 0)
    found = ask(server, [memoryview(request)], [memoryview(bytearray(100))])
    assert found is not None
    assert HEADER.unpack_from(found) == (11, RLERROR, 9)
    assert struct.unpack_from("<I", found, 7)[0] == (errno.EPROTO if size < 7 else errno.EMSGSIZE)


@pytest.mark.parametrize(("said", "sent"), [(5, 4), (4, 5), (0xFFFFFFFF, 4), (0, 1)])
def test_the_count_of_a_write_is_that_of_its_data(busy: Client, folder: Path, said: int, sent: int) -> None:
    request = struct.pack("<IQI", 1, 0, said) + b"x" * sent
    assert number(lambda: busy.ask(T.WRITE, request)) == errno.EPROTO
    assert (folder / "f").read_bytes() == b"content"


def test_older_kernels_leave_the_data_out_of_the_size(folder: Path, busy: Client) -> None:
    server = server_at(folder)
    client = Client(sender(server))
    client.attach()
    client.at(1, b"f")
    client.lopen(1, 2)
    header = message(T.WRITE, 5, struct.pack("<IQI", 1, 0, 3))
    reply = bytearray(11)
    assert server.answer([memoryview(header), memoryview(b"new")], [memoryview(reply)]) == 11
    assert struct.unpack("<IBHI", reply) == (11, T.WRITE + 1, 5, 3)
    assert (folder / "f").read_bytes() == b"newtent"
    server.close()


def test_a_read_is_no_longer_than_there_is_room(busy: Client) -> None:
    for room in (11, 12, 15, 18, 100):
        assert busy.ask(T.READ, struct.pack("<IQI", 1, 0, 0xFFFFFFFF), room)[4:] == b"content"[: room - 11]


def test_a_reply_without_room_is_an_error(busy: Client) -> None:
    assert number(lambda: busy.ask(T.GETATTR, struct.pack("<IQ", 1, 0), 159)) == errno.EMSGSIZE
    assert len(busy.ask(T.GETATTR, struct.pack("<IQ", 1, 0), 160)) == 153


def test_what_the_guest_changes_after_the_check_is_not_read_again(folder: Path) -> None:
    """The message is a view of memory that changes between any two looks at it."""
    server = server_at(folder)
    client = Client(sender(server))
    client.attach()
    good = message(T.MKDIR, 1, encode("IsII", (0, b"ab", 0o777, 0)))
    bad = message(T.MKDIR, 1, encode("IsII", (0, b"..", 0o777, 0)))
    memory = bytearray(good)

    class Flips:
        """Pieces whose content is another with each access."""

        looks = 0

        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Any:
            return iter([self[0]])

        def __getitem__(self, at: int) -> memoryview:
            if at:
                raise IndexError
            self.looks += 1
            memory[:] = good if self.looks % 2 else bad
            return memoryview(memory)

    for _ in range(4):
        try:
            server.answer(Flips(), [memoryview(bytearray(100))])  # type: ignore[arg-type]
        finally:
            assert sorted(os.listdir(folder.parent)) == ["shared"]
    assert set(os.listdir(folder)) <= {"ab"}
    server.close()
