# SPDX-License-Identifier: GPL-2.0-or-later
"""The Host's end of a network's measurements does what the Guest's program relies on."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from lguest_py.bench import net_server
from lguest_py.bench.device_net import NET
from lguest_py.bench.device_setup import Side
from lguest_py.errors import LguestError

PROGRAM = (Path(__file__).resolve().parents[2] / "guest_kernel/linux/devices/net.c").read_text()


def receive(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        assert more
        data += more
    return data


def port_of(side: Side) -> int:
    """What the program in the Guest is told."""
    return int(next(word for word in side.commands if word.startswith("export NET_PORT=")).partition("=")[2])


def test_both_ends_have_the_same_numbers() -> None:
    assert f"#define CHUNK ({net_server.CHUNK >> 20}u << 20)" in PROGRAM
    assert set(re.findall(r'BENCH\(\w+, "([\w-]+)"', PROGRAM)) == set(NET.rows)


def test_the_server_takes_gives_and_echoes(tmp_path: Path) -> None:
    with NET.begin(tmp_path, "guest") as side:
        assert side.devices
        place = "127.0.0.1", port_of(side)
        for _ in range(2):
            with socket.create_connection(place, 10) as taker:
                taker.sendall(b"s" + bytes(net_server.CHUNK))
                assert receive(taker, 1) == b"k"
            with socket.create_connection(place, 10) as giver:
                giver.sendall(b"r!")
                assert len(receive(giver, net_server.CHUNK)) == net_server.CHUNK
        with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(10)
            datagrams.connect(place)
            datagrams.send(b"ping")
            assert datagrams.recv(100) == b"ping"


def test_two_measurements_at_a_time_have_their_own_ports(tmp_path: Path) -> None:
    with NET.begin(tmp_path, "guest") as one, NET.begin(tmp_path, "guest") as other:
        assert port_of(one) != port_of(other)


def test_a_server_that_cannot_listen_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lguest_py.bench.device_net.SERVER", "lguest_py.bench.no_such_server")
    with pytest.raises(LguestError, match=r"cannot be measured with: .*No module named"), NET.begin(tmp_path, "guest"):
        pass
