# SPDX-License-Identifier: GPL-2.0-or-later
"""Cards on taps, in a network namespace that each test makes: by name, in a bridge, with an address."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from namespace_lab import ip, needs_taps, network_namespace, wire
from net_lab import frame
from ring_lab import Rig

from lguest_py.devices import net
from lguest_py.devices.device import Progress
from lguest_py.errors import LguestError
from lguest_py.hardware import Network
from lguest_py.networks.tap import Tap

ALL = net.F_MAC | net.F_STATUS | net.F_MRG_RXBUF
TSO = net.F_CSUM | net.F_GUEST_CSUM | net.F_GUEST_TSO4 | net.F_GUEST_TSO6 | net.F_HOST_TSO4


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    needs_taps()
    with network_namespace():
        yield


def card(spec: Network, said: list[str] | None = None) -> net.Net:
    return net.Net(spec, 0, (said if said is not None else []).append)


def refused(made: net.Net) -> int:
    """How many frames the kernel refused."""
    assert isinstance(made.link, Tap)
    return made.link.refused


def make_tap(name: str, more: str = "") -> None:
    ip(f"tuntap add dev {name} mode tap {more}")
    ip(f"link set {name} up")


def give_buffers(rig: Rig, count: int = 8, size: int = 2048) -> None:
    for _ in range(count):
        rig.drivers[0].add([], [size])
    rig.kick(0)


def came(rig: Rig, header: int, wanted: bytes, seconds: float = 10.0) -> bool:
    """Whether this frame reaches the Guest; the Host's kernel sends some of its own."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        rig.service(0.05)
        for request, written in rig.drivers[0].finished():
            data = rig.drivers[0].read(request)[:written]
            rig.drivers[0].release(request)
            give_buffers(rig, 1)
            if data[header:] == wanted:
                return True
    return False


def arrives(host: socket.socket, rig: Rig, header: int, sent: bytes) -> bool:
    """Whether the Host can send this frame; the kernel drops what is sent before its queue was set up."""
    for _ in range(50):
        host.send(sent)
        if came(rig, header, sent, 0.3):
            return True
    return False


def transmit(rig: Rig, header: bytes, sent: bytes) -> None:
    rig.drivers[1].add([header, sent])
    rig.kick(1)
    rig.service()


def reaches(sock: socket.socket, wanted: bytes) -> bool:
    """Whether this frame reaches the Host."""
    return any(sock.recv(1 << 17) == wanted for _ in range(100))


@pytest.mark.parametrize("more", ["", "vnet_hdr", "multi_queue"])
@pytest.mark.parametrize(("features", "header"), [(net.F_MAC, 10), (ALL, 12), (ALL | TSO, 12)])
def test_a_tap_by_its_name(features: int, header: int, more: str) -> None:
    make_tap("t0", more)
    with closing(card(Network("tap", "t0"))) as made, wire("t0") as host:
        rig = Rig(made, features)
        give_buffers(rig)
        for size in (60, 1514):
            assert arrives(host, rig, header, frame(size))
            transmit(rig, bytes(header), frame(size, 2))
            assert reaches(host, frame(size, 2))
    assert "t0" in ip("link show t0")  # it was there before


def test_a_tap_that_is_not_there_is_made_for_the_run() -> None:
    with closing(card(Network("tap", "t7"))):
        assert "UP" in ip("link show t7")
    assert "t7" not in ip("link")


def test_a_tap_takes_the_guests_offloads() -> None:
    make_tap("t0")
    with closing(card(Network("tap", "t0"))) as made, wire("t0") as host:
        rig = Rig(made, ALL | TSO)
        # 20 bytes of IPv4 and 8 of UDP, whose checksum the Host is asked to complete
        packet = bytearray(frame(14)[:12] + b"\x08\x00" + bytes(20) + bytes(8) + b"x" * 100)
        packet[14] = 0x45
        transmit(rig, struct.pack("<BBHHHHH", 1, 0, 0, 0, 34, 6, 0), bytes(packet))
        assert reaches(host, bytes(packet))  # a packet socket sees it as it was sent
        assert not refused(made)


def test_headers_that_make_no_sense_cost_the_frame_only() -> None:
    make_tap("t0")
    with closing(card(Network("tap", "t0"))) as made, wire("t0") as host:
        rig = Rig(made, ALL | TSO)
        for header in (
            struct.pack("<BBHHHHH", 1, 0, 0, 0, 65000, 65000, 0),  # a checksum beyond the frame
            struct.pack("<BBHHHHH", 0, 77, 0, 1, 0, 0, 0),  # segmentation of no known kind
            struct.pack("<BBHHHHH", 1, 1, 0, 0, 34, 16, 0),  # segments of no bytes
        ):
            transmit(rig, header, frame(1000))
        assert refused(made) == 3
        transmit(rig, bytes(12), frame(100))
        assert reaches(host, frame(100))
        assert len(rig.drivers[1].finished()) == 4


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=10, max_size=10), st.binary(max_size=200), st.sampled_from((0, 0x45, 0x60)))
def test_any_header_and_frame(header: bytes, body: bytes, version: int) -> None:
    with closing(card(Network("tap", "t1"))) as made:
        rig = Rig(made, ALL | TSO)
        kinds = {0x45: b"\x08\x00", 0x60: b"\x86\xdd", 0: b"\0\0"}
        transmit(rig, header + b"\0\0", frame(12) + kinds[version] + bytes([version]) + body)
        assert len(rig.drivers[1].finished()) == 1


def test_a_tap_that_is_deleted_is_a_link_that_is_down() -> None:
    said: list[str] = []
    make_tap("t0")
    with closing(card(Network("tap", "t0"), said)) as made:
        rig = Rig(made, ALL)
        give_buffers(rig)
        rig.service()
        ip("link del t0")
        while made.service() is Progress.MORE:
            pass
        assert said == ["network 0: t0: File descriptor in bad state; the Guest's link is down"]
        assert rig.config_changes == 1
        assert made.config()[6] == 0
        assert not made.watched()
        transmit(rig, bytes(12), frame(60))
        assert len(rig.drivers[1].finished()) == 1


def test_a_tap_that_is_set_down_takes_frames_again_when_it_is_up() -> None:
    make_tap("t0")
    with closing(card(Network("tap", "t0"))) as made, wire("t0") as host:
        rig = Rig(made, ALL)
        ip("link set t0 down")
        transmit(rig, bytes(12), frame(60))
        ip("link set t0 up")
        with pytest.raises(OSError, match="down"):
            host.recv(100)
        transmit(rig, bytes(12), frame(60, 2))
        assert reaches(host, frame(60, 2))


def test_a_frame_longer_than_the_tap_had_at_first_is_not_torn() -> None:
    make_tap("t0")
    with closing(card(Network("tap", "t0"))) as made, wire("t0") as host:
        rig = Rig(made, net.F_MAC)
        give_buffers(rig, 8, 1524)
        ip("link set t0 mtu 9000")
        assert arrives(host, rig, 10, frame(100))
        host.send(frame(8000))
        assert arrives(host, rig, 10, frame(200, 2))
        assert made.dropped_in


def test_a_bridge_gets_a_tap_and_keeps_its_own_address() -> None:
    ip("link add br0 address 02:00:00:00:00:99 type bridge")
    ip("link set br0 mtu 9000 up")
    first, second = card(Network("bridge", "br0")), card(Network("bridge", "br0", mac="52:54:00:12:34:56"))
    with closing(first), closing(second):
        ports = ip("-o link show master br0")
        assert ports.count("MULTICAST,UP") == 2
        assert ports.count("mtu 9000") == 2
        assert "02:00:00:00:00:99" in ip("link show br0")
        assert first.config()[:6] != second.config()[:6]
        assert second.config()[:6].hex() == "525400123456"
        rigs = [Rig(first, ALL), Rig(second, ALL)]
        for rig in rigs:
            give_buffers(rig, 8, 9100)
        sent = second.config()[:6] + first.config()[:6] + frame(3000)[12:]
        for _ in range(50):
            transmit(rigs[0], bytes(12), sent)
            if came(rigs[1], 12, sent, 0.3):
                break
        else:
            pytest.fail("the bridge did not pass the frame on")
    assert not ip("-o link show master br0")


def test_a_bridge_that_is_down_is_told() -> None:
    ip("link add br0 type bridge")
    said: list[str] = []
    card(Network("bridge", "br0"), said).close()
    assert said == ["the bridge br0 is down, so the Guest reaches nothing yet: sudo ip link set br0 up"]


def test_cards_of_several_taps_have_addresses_of_their_own() -> None:
    ip("link add br0 type bridge")
    cards = [card(Network("bridge", "br0")) for _ in range(20)]
    assert len({each.config()[:6] for each in cards}) == 20
    assert {each.config()[0] & 3 for each in cards} == {2}  # locally administered, one station
    for each in cards:
        each.close()


@pytest.mark.parametrize(("address", "network"), [("192.168.77.1", "/24"), ("10.9.8.7", "/8")])
def test_the_hosts_end_of_a_tap_gets_an_address(address: str, network: str) -> None:
    with closing(card(Network("host", address=address))) as made:
        assert f"inet {address}{network}" in ip("-4 addr")
        rig = Rig(made, ALL)
        give_buffers(rig, 16)
        mac, ours = made.config()[:6], socket.inet_aton(address)
        question = struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, mac, ours[:3] + b"\x05", bytes(6), ours)
        answers: list[bytes] = []
        until = time.monotonic() + 20
        while not any(each[12:14] == b"\x08\x06" and each[28:32] == ours for each in answers):
            assert time.monotonic() < until
            transmit(rig, bytes(12), b"\xff" * 6 + mac + b"\x08\x06" + question)
            rig.service(0.3)
            for request, _ in rig.drivers[0].finished():
                answers.append(rig.drivers[0].read(request)[12:][:42])
                rig.drivers[0].release(request)
                give_buffers(rig, 1)
    assert address not in ip("-4 addr")


def test_a_tap_in_use_is_refused() -> None:
    with (
        closing(card(Network("tap", "t0"))),
        pytest.raises(LguestError, match="the tap t0 is in use by another program"),
    ):
        card(Network("tap", "t0"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Network("tap", "lo"), "lo is not a tap"),
        (Network("bridge", "br5"), "there is no bridge br5: sudo ip link add br5 type bridge"),
        (Network("bridge", "lo"), "lo is no bridge"),
    ],
)
def test_what_is_no_tap_or_bridge_is_refused(spec: Network, message: str) -> None:
    with pytest.raises(LguestError, match=message):
        card(spec)
    assert "lguest" not in ip("link")


def unprivileged(spec: str) -> str:
    """What a process without CAP_NET_ADMIN says or prints for this card."""
    script = (
        "from lguest_py.devices.net import Net; from lguest_py.hardware import Network\n"
        "from lguest_py.errors import LguestError\n"
        f"try: Net({spec}, 0, print)\n"
        "except LguestError as error: print(error)\n"
    )
    done = subprocess.run(
        ["setpriv", "--bounding-set=-net_admin", sys.executable, "-c", script],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout


def test_without_the_right_the_command_is_told() -> None:
    said = unprivileged("Network('tap', 't0')")
    assert said.startswith("cannot use the tap t0 (Operation not permitted): sudo ip tuntap add dev t0 mode tap user ")
    assert said.endswith("&& sudo ip link set t0 up\n")
    ip("link add br0 type bridge")
    assert unprivileged("Network('bridge', 'br0')").startswith("cannot make a tap (Operation not permitted): only root")
    assert unprivileged("Network('host', address='10.1.1.1')").startswith(
        "cannot make a tap (Operation not permitted): "
    )


def test_a_tap_of_the_user_needs_no_right() -> None:
    ip("tuntap add dev t0 mode tap user 0")
    assert unprivileged("Network('tap', 't0')") == (
        "the tap t0 is down, so the Guest reaches nothing yet: sudo ip link set t0 up\n"
    )
    ip("link set t0 up")
    assert unprivileged("Network('tap', 't0')") == ""
