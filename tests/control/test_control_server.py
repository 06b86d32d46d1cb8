# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that are wrong, slow or many: the Guest goes on, and right ones are served."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lguest_py.control.detached import DetachedConsole
from lguest_py.control.server import CLIENTS, Control
from lguest_py.control.tracers import MOST_WAITING
from lguest_py.control.wire import LONGEST
from lguest_py.files.poller import Poller
from lguest_py.launcher.result import Outcome
from lguest_py.launcher.tracing import Tracing
from lguest_py.launcher.vm import Vm
from lguest_py.shared_memory.mailbox import Snapshot


class Machine:
    """What the requests need of a Vm."""

    paused = False

    def __init__(self) -> None:
        self.tracing = Tracing()

    def retrace(self) -> None:
        pass

    def look(self) -> Snapshot:
        return Snapshot(switches=7)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False


class Server:
    """A Control, whose loop runs while a client waits."""

    def __init__(self, path: Path) -> None:
        self.path, self.poller, self.machine = str(path), Poller(), Machine()
        settings = cast(Any, SimpleNamespace(devices=()))
        self.control = Control(self.path, {"name": "it", "messages": ["a line"]}, settings)
        self.control.begin(self.poller)
        self.clients: list[socket.socket] = []

    def turn(self) -> Outcome | None:
        return self.control.service(self.poller.wait(0.2), cast(Vm, self.machine))

    def client(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.connect(self.path)
        made.setblocking(False)
        self.clients.append(made)
        self.turn()
        return made

    def ask(self, client: socket.socket, data: bytes) -> dict[str, Any]:
        client.sendall(data)
        heard = b""
        for _ in range(50):
            self.turn()
            try:
                heard += client.recv(65536)
            except BlockingIOError:
                continue
            if heard.endswith(b"\n"):
                break
        answer: dict[str, Any] = json.loads(heard)
        return answer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "folder").mkdir()
    made = Server(tmp_path / "folder/it.sock")
    yield made
    made.control.close()
    for client in made.clients:
        client.close()
    assert not (tmp_path / "folder").exists()


def test_a_right_client(server: Server) -> None:
    client = server.client()
    assert server.ask(client, b'{"do": "stat"}\n')["switches"] == 7
    assert server.ask(client, b'{"do": "pause"}\n') == {}
    assert server.machine.paused
    assert server.ask(client, b'{"do": "stat"}\n')["state"] == "paused"
    assert server.ask(client, b'{"do": "resume"}\n') == {}
    client.sendall(b'{"do": "stop"}\n')
    outcome = next(filter(None, (server.turn() for _ in range(10))))
    assert (outcome.reason, outcome.status) == ("lguest-py stop", 143)


@pytest.mark.parametrize(
    "line",
    [
        b"\n", b"stat\n", b"[]\n", b"{}\n", b'{"do": 7}\n', b'{"do": ["stat"]}\n', b'{"do": "nothing"}\n', b"\xff\n",
        b'{"do": "attach"}\n', b'{"do": "dump"}\n', b'{"do": "save", "stop": true}\n', b'{"do": "resize"}\n',
        b"[" * 60000 + b"\n", b'{"do": "trace", "rate": "x"}\n', b'{"do": "trace", "rate": 1e9}\n',
        b'{"do": "trace", "rate": [1]}\n', b'{"do": "trace", "rate": true}\n', b'{"do": "trace", "rate": -1}\n',
    ],
)  # fmt: skip
def test_a_wrong_request_is_answered_with_an_error(server: Server, line: bytes) -> None:
    client = server.client()
    assert list(server.ask(client, line)) == ["error"]
    assert server.ask(client, b'{"do": "stat"}\n')["name"] == "it"


def pushed(server: Server, client: socket.socket, data: bytes, most: int) -> int:
    """How many bytes it takes until it ends the connection."""
    sent = 0
    while sent < most:
        try:
            sent += client.send(data)
        except BlockingIOError:
            pass
        except OSError:
            break
        server.turn()
    return sent


def test_a_line_without_end_ends_the_connection(server: Server) -> None:
    client = server.client()
    assert pushed(server, client, b"x" * 4096, 8 * LONGEST) < 8 * LONGEST
    assert server.ask(server.client(), b'{"do": "stat"}\n')["name"] == "it"


def test_more_clients_than_there_is_room_for(server: Server) -> None:
    clients = [server.client() for _ in range(CLIENTS + 5)]
    server.turn()
    served = 0
    for client in clients:
        try:
            client.sendall(b'{"do": "stat"}\n')
            server.turn()
            served += bool(client.recv(65536))
        except OSError:
            pass
    assert served == CLIENTS
    for client in clients:
        client.close()
    for _ in range(CLIENTS):
        server.turn()
    assert server.ask(server.client(), b'{"do": "stat"}\n')["name"] == "it"


def test_who_asks_and_never_reads_is_dropped(server: Server) -> None:
    client = server.client()
    assert pushed(server, client, b'{"do": "stat"}\n' * 20, 64 << 20) < 64 << 20
    assert server.ask(server.client(), b'{"do": "stat"}\n')["name"] == "it"


def test_descriptors_that_nobody_asked_for_are_closed(server: Server) -> None:
    before = len(os.listdir("/proc/self/fd"))
    client, file = server.client(), os.open(os.devnull, os.O_RDONLY)
    for _ in range(20):
        socket.send_fds(client, [b'{"do": "stat"}\n'], [file])
        server.turn()
        client.recv(65536)
    assert "regular file" in _error(server, client, file)
    client.sendmsg([b"{"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("20i", *[file] * 20))])
    server.turn()
    client.close()
    os.close(file)
    server.turn()
    assert len(os.listdir("/proc/self/fd")) <= before


def _error(server: Server, client: socket.socket, file: int) -> str:
    socket.send_fds(client, [b'{"do": "dump"}\n'], [file])
    server.turn()
    return str(json.loads(client.recv(65536))["error"])


def test_random_bytes(server: Server) -> None:
    chance = random.Random(3)
    words = [b'{"do"', b": ", b'"stat"', b'"pause"', b"}\n", b"\n", b"\0", b'"resize"', b"[", b"1e999", b'"columns"']
    for _ in range(300):
        client = server.client()
        client.send(b"".join(chance.choice(words) for _ in range(chance.randrange(30))))
        server.turn()
        client.close()
        server.turn()
    assert server.ask(server.client(), b'{"do": "stat"}\n')["name"] == "it"


def test_a_tracer_that_never_reads_costs_no_more_than_its_share(server: Server) -> None:
    silent, reads = server.client(), server.client()
    tracing = server.machine.tracing
    for client in (silent, reads):
        client.sendall(b'{"do": "trace"}\n')
        server.turn()
        assert client.recv(3) == b"{}\n"
    assert tracing.readers == 2
    for _ in range(3 * MOST_WAITING >> 20):
        tracing._all(bytes(1 << 20), 1)  # as much as records
        reads.send(b"\n")
        server.turn()
        with contextlib.suppress(BlockingIOError):
            while reads.recv(1 << 20):
                pass
    waiting = sorted(len(each.waiting) for each in server.control._tracers._tracers.values())
    assert waiting[1] <= MOST_WAITING
    assert server.ask(server.client(), b'{"do": "stat"}\n')["tracers"] == 2
    silent.close()
    reads.close()
    server.turn()
    server.turn()
    assert tracing.readers == 0
    assert not tracing.on


@pytest.mark.parametrize("verb", ["attach", "trace"])
def test_a_file_that_comes_along_for_nothing_is_closed(server: Server, verb: str) -> None:
    console = DetachedConsole()
    server.control._console = console
    before = len(os.listdir("/proc/self/fd"))
    client = server.client()
    with open(os.devnull) as file:
        socket.send_fds(client, [json.dumps({"do": verb}).encode() + b"\n"], [file.fileno()])
    server.turn()
    assert len(os.listdir("/proc/self/fd")) == before + 2  # both ends of the connection
    assert client.recv(3) == b"{}\n"
    console.end("")
