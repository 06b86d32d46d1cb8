# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own kernel on a network: through passt, on taps of a bridge, one Guest with another, and much data.

Each test makes a network namespace, whose only interfaces are its own.  Read next: tests/lab/namespace_lab.py.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from linux_lab import LIMIT, PATIENCE, ROOT
from namespace_lab import ip, needs_taps, network_namespace

from lguest_py.kernels import mkinitrd
from lguest_py.kernels.stock import Kernel

if TYPE_CHECKING:
    from linux_lab import RealLinux

NAME = "debian-6.1-686"
DHCP = "udhcpc -n -q -t 20"
GATEWAY = "10.0.2.2"
OPEN = (
    "mkfifo /never; exec 3<>/never; "  # 3: an input that does not end; nc's half-closed connections stall in old passts
)
PIECE = 1 << 20


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    with network_namespace():
        yield


class Guest:
    """A Debian that runs a command; ``finish`` gives what it printed."""

    def __init__(
        self, engine: str, script: str, *options: str, kernel: str = NAME, console: str = "ttyS0", limit: int = LIMIT
    ) -> None:
        self.limit = limit
        boot = [sys.executable, "-m", "lguest_py", "boot", "--engine", engine, "--timeout", str(limit), "--quiet"]
        self.folder = tempfile.TemporaryDirectory()
        told = ["--report", f"{self.folder.name}/report"]
        self.process = subprocess.Popen(
            [*boot, *told, *options, kernel, f"console={console}", "quiet", f"run={script}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT,
        )  # fmt: skip

    def finish(self) -> str:
        """Wait for its end."""
        output = self.process.communicate(timeout=self.limit)[0].decode(errors="replace").replace("\r\n", "\n")
        assert self.process.returncode == 0, output[-3000:] + Path(self.folder.name, "report").read_text()
        return output

    def close(self) -> None:
        """End it, however far it is."""
        self.process.terminate()
        with suppress(ValueError):
            self.process.communicate(timeout=LIMIT)
        self.folder.cleanup()


class Server:
    """A TCP server of the Host: ``serve`` gets each connection, one after the other."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._serve = serve
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    connection.settimeout(LIMIT)
                    self._serve(connection)

    def close(self) -> None:
        self._listener.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def ask(port: int) -> bytes:
    """What the Guest's server says at this port of the Host."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(b"?\n")  # the client speaks first: passt of 2023 acknowledges the Guest's SYN with that
        return connection.recv(100)


@pytest.mark.nightly("kvm")
def test_the_rootless_network(engine_name: str, stock: Kernel) -> None:
    ip("address add 192.0.2.7/32 dev lo")
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")
    port, got = free_port(), []

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"the Host speaks\n")
        got.extend([connection.recv(100), ask(port)])

    with closing(Server(serve)) as server:
        script = (
            f"{DHCP}; ip address show eth0; ping -c 3 192.0.2.7; (echo at the published port; sleep 5) | nc -l -p 80 & "
            "until netstat -ltn | grep -q :80; do sleep 1; done; "
            f"(echo the Guest speaks; sleep 5) | nc {GATEWAY} {server.port}; wait"
        )
        with closing(Guest(engine_name, script, "--net", "user", "--publish", f"{port}:80")) as guest:
            output = guest.finish()
    assert "inet 10.0.2.15/24" in output
    assert "mtu 65520" in output
    assert "3 packets received" in output, output
    assert "the Host speaks" in output
    assert got == [b"the Guest speaks\n", b"at the published port\n"]


SEND = "head -c 3000000 /dev/urandom >/data; md5sum /data"
RECEIVE = "nc -l -p 5000 <&3 >/data; md5sum /data"
UNTIL_SENT = "until nc 192.168.5.1 5000 </data; do sleep 1; done"  # the other may boot more slowly


def sums(*outputs: str) -> list[str]:
    found = [re.findall(r"^([0-9a-f]{32})  /data$", output, re.M) for output in outputs]
    return [each[0] if each else output[-2000:] for each, output in zip(found, outputs, strict=True)]


@pytest.mark.nightly("kvm")
def test_two_guests_on_a_bridge(engine_name: str, stock: Kernel) -> None:
    needs_taps()
    ip("link add br0 type bridge")
    ip("link set br0 up")
    up = OPEN + "ip link set eth0 up; ip address add 192.168.5.{}/24 dev eth0; "
    with (
        closing(Guest(engine_name, up.format(1) + RECEIVE, "--tunnet", "bridge:br0")) as first,
        closing(Guest(engine_name, up.format(2) + f"{SEND}; {UNTIL_SENT}", "--net", "bridge:br0")) as second,
    ):
        received, sent = sums(first.finish(), second.finish())
    assert received == sent
    assert "lguest" not in ip("link")


@pytest.mark.nightly("kvm")
def test_two_guests_on_the_rootless_network(engine_name: str, stock: Kernel) -> None:
    """The first publishes a port, and the second sends to the Host.  What arrives is said by the one that takes it."""
    port, taken = free_port(), threading.Event()

    def serve(connection: socket.socket) -> None:
        taken.set()

    with closing(Server(serve)) as told:
        listen = f"{OPEN}{DHCP} >/dev/null; ({RECEIVE}) & until netstat -ltn | grep -q :5000; do sleep 1; done; "
        receive = f"{listen} nc {GATEWAY} {told.port} <&3; wait"
        with closing(Guest(engine_name, receive, "--net", "user", "--publish", f"{port}:5000")) as first:
            assert taken.wait(PATIENCE), first.finish()
            send = f"{DHCP} >/dev/null; {SEND}; nc {GATEWAY} {port} </data"
            with closing(Guest(engine_name, send, "--net", "user")) as second:
                received, sent = sums(first.finish(), second.finish())
    assert received == sent


LINE = "The quick brown fox jumps over the lazy dog"


def there_and_back(engine: str, mib: int, *options: str, limit: int = LIMIT, **kernel: str) -> None:
    """First in, then out.  Who takes what goes out answers each MiB: passt of 2023 resets a connection 24 seconds after
    its Host's end last sent something, whatever else goes on.  Nor does it always tell the end of a connection, so that
    each side stops at what it was promised.
    """
    sent, came = hashlib.md5(), hashlib.md5()
    back = 0

    def give(connection: socket.socket) -> None:
        for _ in range(mib):
            piece = os.urandom(PIECE)
            sent.update(piece)
            connection.sendall(piece)

    def take(connection: socket.socket) -> None:
        nonlocal back
        while back < mib * PIECE and (piece := connection.recv(PIECE)):
            came.update(piece)
            if back // PIECE < (back := back + len(piece)) // PIECE:
                connection.sendall(b"\n")

    with closing(Server(give)) as source, closing(Server(take)) as sink:
        lines = f"yes '{LINE}' | head -c {mib * PIECE}"
        script = (
            f"{OPEN}mkfifo /in /out; {DHCP} >/dev/null; nc {GATEWAY} {source.port} <&3 >/in & taking=$!; "
            f"head -c {mib * PIECE} /in | md5sum; kill $taking; head -c {mib} /in >/dev/null & answers=$!; "
            f"nc {GATEWAY} {sink.port} </out >/in & giving=$!; {lines} >/out; wait $answers; kill $giving"
        )
        with closing(Guest(engine, script, "--net", "user", *options, limit=limit, **kernel)) as guest:
            output = guest.finish()
    found = re.search(r"^([0-9a-f]{32})  -$", output, re.M)
    assert found, output[-2000:]
    assert found[1] == sent.hexdigest()
    lines_of_it = f"{LINE}\n".encode() * (PIECE // len(LINE) + 2)
    expected = hashlib.md5()
    for number in range(mib):
        first = number * PIECE % (len(LINE) + 1)
        expected.update(lines_of_it[first : first + PIECE])
    assert back == mib * PIECE, output[-2000:]
    assert came.hexdigest() == expected.hexdigest()


@pytest.mark.nightly("kvm")
def test_data_in_and_out(engine_name: str, stock: Kernel) -> None:
    there_and_back(engine_name, 8)


@pytest.mark.nightly("kvm")
def test_data_in_and_out_of_a_linux_with_lguest_support(
    engine_name: str, linux: RealLinux, stock: Kernel, tmp_path: Path
) -> None:
    if b"virtio_net" not in linux.vmlinux.read_bytes():
        pytest.skip("the kernel in LGUEST_LINUX has no CONFIG_VIRTIO_NET")
    initrd = tmp_path / "initrd"
    mkinitrd.make_initrd(str(initrd), mkinitrd.busybox_tree(str(stock.directory / "busybox")))
    there_and_back(engine_name, 8, "--initrd", str(initrd), kernel=str(linux.bzimage), console="hvc0")


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_gibibyte_in_and_out(engine_name: str, stock: Kernel) -> None:
    there_and_back(engine_name, 1024, limit=3300)
