# SPDX-License-Identifier: GPL-2.0-or-later
"""The rootless network: a real passt, with a driver in Python in the Guest's place."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from namespace_lab import network_namespace
from net_lab import ASK_MTU, ASK_ROUTER, dhcp_answer, dhcp_question, payload, udp
from ring_lab import Rig

from lguest_py.devices.device import Progress
from lguest_py.devices.net import Net
from lguest_py.errors import LguestError, UsageError
from lguest_py.hardware import Network, Publish
from lguest_py.networks import passt

GATEWAY_MAC = bytes.fromhex("52550a000202")


class Guest:
    """A card on passt, and a driver that has buffers for it."""

    def __init__(self, number: int = 0, publish: tuple[Publish, ...] = ()) -> None:
        self.said: list[str] = []
        self.card = Net(Network(publish=publish), number, self.said.append)
        self.rig = Rig(self.card)
        self.mac = self.card.config()[:6]
        self._give(16)

    def _give(self, count: int) -> None:
        for _ in range(count):
            self.rig.drivers[0].add([], [2048])
        self.rig.kick(0)

    def send(self, frame: bytes) -> None:
        self.rig.drivers[1].add([bytes(12), frame])
        self.rig.kick(1)
        self.rig.service()

    def frames(self, seconds: float = 10.0) -> Iterator[bytes]:
        """What comes within this time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.rig.service(0.05)
            for request, written in self.rig.drivers[0].finished():
                data = self.rig.drivers[0].read(request)[:written]
                self.rig.drivers[0].release(request)
                self._give(1)
                yield data[12:]

    def datagram(self) -> bytes:
        """The next one."""
        return next(data for each in self.frames() if (data := payload(each)))

    def close(self) -> None:
        self.card.close()

    @property
    def process(self) -> int:
        link = self.card.link
        assert isinstance(link, passt.Passt)
        return link._process._process.pid


@pytest.fixture(params=["as it is", "without a network"])
def surroundings(request: pytest.FixtureRequest) -> Iterator[None]:
    with network_namespace() if request.param == "without a network" else nullcontext():
        yield


@pytest.mark.parametrize("number", [0, 1])
def test_the_guest_gets_its_address(surroundings: None, number: int) -> None:
    with closing(Guest(number)) as guest:
        guest.send(dhcp_question(guest.mac))
        address, options = dhcp_answer(guest.datagram())
        assert address == f"10.0.{2 + number}.15"
        assert socket.inet_ntoa(options[ASK_ROUTER]) == f"10.0.{2 + number}.2"
        assert options[ASK_MTU] == struct.pack("!H", 65520)
        assert not guest.said


def test_the_gateway_is_the_hosts_loopback(surroundings: None) -> None:
    with closing(Guest()) as guest, socket.socket(type=socket.SOCK_DGRAM) as host:
        host.bind(("127.0.0.1", 0))
        host.settimeout(10)
        port = host.getsockname()[1]
        guest.send(udp(("10.0.2.15", 5000), ("10.0.2.2", port), b"question", GATEWAY_MAC + guest.mac))
        data, back = host.recvfrom(100)
        assert data == b"question"
        host.sendto(b"answer", back)
        assert guest.datagram() == b"answer"


def test_a_published_port_leads_to_the_guest(surroundings: None) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with closing(Guest(publish=(Publish(port, 53, "udp"),))) as guest, socket.socket(type=socket.SOCK_DGRAM) as host:
        host.connect(("127.0.0.1", port))
        guest.send(dhcp_question(guest.mac))  # passt learns the Guest's MAC
        guest.datagram()
        host.send(b"for the Guest")
        came = next(each for each in guest.frames() if payload(each) == b"for the Guest")
        assert struct.unpack("!H", came[36:38])[0] == 53
        assert came[:6] == guest.mac


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("address", ["", "127.0.0.1"])
def test_a_port_in_use_is_refused(protocol: str, address: str) -> None:
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(type=kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if protocol == "tcp":
            taken.listen(1)
        port = taken.getsockname()[1]
        with pytest.raises(UsageError) as caught:
            Guest(publish=(Publish(port, 22, "tcp" if protocol == "tcp" else "udp", address),))
    where = f"{address} " if address else ""
    assert str(caught.value) == (
        f"cannot publish {where}{protocol} port {port} of the Host (Address already in use): choose another port"
    )


def test_two_cards_may_not_publish_one_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        closing(Guest(publish=(Publish(port, 22),))),
        pytest.raises(UsageError, match=f"cannot publish tcp port {port} of the Host"),
    ):
        Guest(publish=(Publish(port, 22),))


def test_an_address_that_the_host_does_not_have() -> None:
    with pytest.raises(UsageError, match=r"cannot publish 203\.0\.113\.9 tcp port 8080 of the Host \(Cannot assign"):
        Guest(publish=(Publish(8080, 80, "tcp", "203.0.113.9"),))


def test_without_passt_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LguestError, match="needs passt, which is not installed: apt-get install passt"):
        Guest()


def test_a_passt_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "passt"
    for script, reason in (("echo Couldn\\'t do it >&2; exit 1", "Couldn't do it"), ("exit 7", "ended with status 7")):
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
        with pytest.raises(LguestError) as caught:
            Guest()
        assert str(caught.value) == f"passt does not start: {reason}"


def test_a_passt_that_is_killed_is_a_link_that_is_down() -> None:
    with closing(Guest()) as guest:
        os.kill(guest.process, signal.SIGKILL)
        while not guest.said:
            guest.rig.service(0.05)
        assert guest.said == ["network 0: passt: killed by signal 9; the Guest's link is down"]
        guest.send(bytes(60))
        assert guest.card.service() is Progress.IDLE
        assert len(guest.rig.drivers[1].finished()) == 1


def gone(pid: int, seconds: float = 20.0) -> bool:
    """Whether the process ends within this time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_nothing_stays_behind() -> None:
    guest = Guest()
    pid = guest.process
    guest.close()
    assert gone(pid, 0.1)


def test_nothing_stays_behind_of_a_launcher_that_is_killed() -> None:
    script = (
        "import time; from lguest_py.devices.net import Net; from lguest_py.hardware import Network\n"
        "print(Net(Network(), 0, print).link._process._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout
        pid = int(launcher.stdout.readline())
        launcher.kill()
    assert gone(pid)


def test_a_restart_keeps_the_network() -> None:
    with closing(Guest()) as guest:
        for _ in range(3):
            guest.send(dhcp_question(guest.mac))
            assert dhcp_answer(guest.datagram())[0] == "10.0.2.15"
            guest.rig.reset()
            guest.rig.start()
            guest._give(16)
        assert not guest.said


@pytest.mark.skipif(
    os.geteuid() != 0, reason="becomes another user, which needs root; without it all tests are as a user"
)
def test_it_works_without_root() -> None:
    child = os.fork()
    if not child:  # the interpreter and what is imported stay in memory: nobody could not read them
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            guest = Guest()
            guest.send(dhcp_question(guest.mac))
            os._exit(0 if dhcp_answer(guest.datagram())[0] == "10.0.2.15" else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_passts_end_of_the_socket_has_room_for_a_burst() -> None:
    """What finds no room there is lost, and its connection stands still until it is sent again."""
    fill = "import os, sys\nfd = int(sys.argv[-1])\nos.set_blocking(fd, False)\nsent = 0\n"
    fill += "try:\n    while True:\n        sent += os.write(fd, bytes(4096))\nexcept BlockingIOError:\n    pass\n"
    command = [sys.executable, "-c", f"{fill}print(sent)"]
    usual, theirs = socket.socketpair()
    with usual, theirs:
        room = int(subprocess.check_output([*command, str(theirs.fileno())], pass_fds=[theirs.fileno()]))
    process = passt._Process(command)
    try:
        assert int(process.end(30)) > room
    finally:
        process.close()
