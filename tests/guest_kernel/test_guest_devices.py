# SPDX-License-Identifier: GPL-2.0-or-later
"""The tiny Guest drives every device, on both buses.  What its commands print is compared with the other side."""

from __future__ import annotations

import os
import random
import re
import socket
import zlib
from collections.abc import Generator
from pathlib import Path

import ping_lab
import pytest
from guest import MIB, boot
from ping_lab import Station

from lguest_py import Console, Disk, Entropy, Machine, Network, Share
from lguest_py.devices import net
from lguest_py.launcher.launcher import BusName
from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher

SECTOR = 512
SECTORS = 2048
ADDRESS = "10.9.8.7"
PATIENCE = 300.0  # seconds; the carrier is slow
Everything = list[Disk | Network | Share | Entropy]
INSIDE = 9  # tests of devices in the tiny Guest


@pytest.fixture(params=["page", "pci"])
def bus(request: pytest.FixtureRequest) -> BusName:
    """Both buses."""
    name: BusName = request.param
    return name


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A disk of random bytes, always the same ones."""
    path = tmp_path / "disk.img"
    path.write_bytes(random.Random(11).randbytes(SECTORS * SECTOR))
    return path


@pytest.fixture
def station(monkeypatch: pytest.MonkeyPatch) -> Generator[Station]:
    """What every network card is connected to."""
    with Station() as peer:
        monkeypatch.setattr(net, "open_link", lambda spec, number, say: peer.link)
        yield peer


def sector(path: Path, number: int, count: int = 1) -> bytes:
    """Sectors of a file."""
    return path.read_bytes()[number * SECTOR : (number + count) * SECTOR]


def dumped(lines: list[str]) -> bytes:
    """The bytes of what the command ``read`` shows."""
    return b"".join(bytes.fromhex(line[5:52]) for line in lines if re.match(r"[0-9a-f]{3}  ", line))


def test_the_list_of_devices(engine_name: str, bus: BusName, image: Path, tmp_path: Path, station: Station) -> None:
    other = tmp_path / "other.img"
    other.write_bytes(bytes(SECTOR))
    devices: Everything = [Disk(str(image)), Network(), Share(str(tmp_path)), Entropy(), Disk(str(other))]
    run = boot(engine_name, "run=devices;disk 1;disk 0;random 1", devices=devices, bus=bus)
    assert run.end is End.POWERED_OFF
    found = [re.match(r"(\w+) \d+: (\w+), type (\d+),", line) for line in run.lines]
    assert sorted(match.groups() for match in found if match) == sorted(
        (bus, *kind)
        for kind in [("9p", "9"), ("block", "2"), ("block", "2"), ("console", "3"), ("entropy", "4"), ("net", "1")]
    )


def test_a_disk_is_read(engine_name: str, bus: BusName, image: Path) -> None:
    commands = f"disk;sum 0 {SECTORS};read 77;read {SECTORS};sum 2000 49;sum 5 1"
    run = boot(engine_name, f"run={commands}", devices=[Disk(str(image), serial="lguest-py-11")], bus=bus)
    assert f"disk 0: {SECTORS} sectors, writable, id lguest-py-11" in run.lines
    assert f"sum {zlib.crc32(image.read_bytes()):08x}" in run.lines
    assert dumped(run.lines) == sector(image, 77)
    assert run.lines[-3:] == ["read: I/O error", "sum: I/O error", f"sum {zlib.crc32(sector(image, 5)):08x}"]


def test_a_disk_is_written(engine_name: str, bus: BusName, image: Path) -> None:
    before = image.read_bytes()
    commands = f"write 3 hello;copy 100 500 300;zero 1000 9;discard 1100 16;flush;sum 0 1100;write {SECTORS} beyond"
    run = boot(engine_name, f"run={commands}", devices=[Disk(str(image))], bus=bus)
    after = image.read_bytes()
    expected = bytearray(before)
    expected[3 * SECTOR : 4 * SECTOR] = b"hello".ljust(SECTOR, b"\0")
    expected[500 * SECTOR : 800 * SECTOR] = before[100 * SECTOR : 400 * SECTOR]
    expected[1000 * SECTOR : 1009 * SECTOR] = bytes(9 * SECTOR)
    kept, rest = slice(0, 1100 * SECTOR), slice(1116 * SECTOR, None)
    assert after[kept] == expected[kept]
    assert after[rest] == before[rest]
    assert len(after) == len(before)
    sum_after = f"sum {zlib.crc32(after[kept]):08x}"
    assert run.lines[2:] == ["written", "copied", "done", "done", "flushed", sum_after, "write: I/O error"]


def test_a_readonly_disk_and_an_overlay_keep_their_files(engine_name: str, bus: BusName, image: Path) -> None:
    before = image.read_bytes()
    devices = [Disk(str(image), readonly=True), Disk(str(image), overlay=True)]
    run = boot(engine_name, "run=disk;write 1 one;disk 1;write 1 two;read 1;disk 0;disk 7", devices=devices, bus=bus)
    assert [line for line in run.lines if "sectors" in line] == [
        f"disk 0: {SECTORS} sectors, read-only, id disk.img",
        f"disk 1: {SECTORS} sectors, writable, id disk.img",
        f"disk 0: {SECTORS} sectors, read-only, id disk.img",
    ]
    assert "write: I/O error" in run.lines
    assert dumped(run.lines) == b"two".ljust(SECTOR, b"\0")
    assert run.lines[-1] == "disk: no disk 7"
    assert image.read_bytes() == before


def test_ping(engine_name: str, bus: BusName, station: Station) -> None:
    commands = f"ip;ping {ping_lab.ADDRESS} 5;ping {ADDRESS[:-1]}9 1;ping nonsense"
    run = boot(engine_name, f"ip={ADDRESS} run={commands}", devices=[Network()], bus=bus)
    mac = ":".join(f"{byte:02x}" for byte in ping_lab.GUEST_MAC)
    assert run.lines.count(f"address {ADDRESS}, MAC {mac}") == 2
    answers = [line for line in run.lines if re.fullmatch(r"64 bytes from 10\.9\.8\.1: sequence \d, \d+ us", line)]
    assert len(answers) == 5
    assert "5 of 5 answered" in run.lines
    assert run.lines[-2:] == [
        f"nobody has the address {ADDRESS[:-1]}9",
        'ping: an address is needed, such as 10.0.0.1, not "nonsense"',
    ]
    assert station.echo_requests == [bytes(range(first, first + 56)) for first in range(1, 6)]
    assert station.arp_questions == 1


@pytest.mark.nightly("kvm")
def test_a_damaged_answer_is_none(engine_name: str, station: Station) -> None:
    station.damage = True
    run = boot(engine_name, f"ip={ADDRESS} run=ping {ping_lab.ADDRESS} 2", devices=[Network()])
    assert run.lines[-3:] == [f"{ping_lab.ADDRESS}: no answer to {number}" for number in (1, 2)] + ["0 of 2 answered"]


def test_the_guest_answers_ping(engine_name: str, bus: BusName, station: Station) -> None:
    data = bytes(range(256)) * 5 + b"odd"
    with Machine(engine=engine_name, devices=[Network()], bus=bus) as machine:  # type: ignore[arg-type]
        machine.console.expect("lguest> ", timeout=PATIENCE)
        machine.console.sendline(f"ip {ADDRESS}")
        machine.console.expect("address", timeout=PATIENCE)
        station.ask(ADDRESS)
        for sequence in range(3):
            station.answered.clear()
            station.ping(ADDRESS, sequence, data)
            assert station.answered.wait(PATIENCE)
        machine.console.sendline("poweroff")
        machine.wait(timeout=PATIENCE)
    assert station.echo_replies == [(sequence, data) for sequence in range(3)]


@pytest.mark.nightly("kvm")
def test_passt_answers_for_its_gateway(engine_name: str, bus: BusName) -> None:
    """It may not be allowed to ping, but it is there and answers ARP."""
    run = boot(engine_name, "ip=10.0.2.15 run=ping 10.0.2.2 1", devices=[Network("user")], bus=bus)
    assert run.lines[-1] in ("1 of 1 answered", "0 of 1 answered")


def test_random_bytes(engine_name: str, bus: BusName) -> None:
    run = boot(engine_name, "run=random;random 1000;random;random 0", devices=[Entropy()], bus=bus)
    first, long, second, none = map(bytes.fromhex, run.lines[2:])
    assert (len(first), len(long), len(second), len(none)) == (16, 1000, 16, 0)
    assert first != second
    assert len(set(long)) > 200  # of 256; random bytes have 251 at the mean


@pytest.mark.nightly("kvm")
def test_random_bytes_of_a_file(engine_name: str, bus: BusName, tmp_path: Path) -> None:
    source = tmp_path / "bytes"
    source.write_bytes(bytes(range(256)) * 16)
    run = boot(engine_name, "run=random 300", devices=[Entropy(str(source))], bus=bus)
    assert bytes.fromhex(run.lines[-1]) == source.read_bytes()[:300]


def test_a_share(engine_name: str, bus: BusName, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret\n")
    (shared / "hello").write_text("hello from the Host\n")
    (shared / "large").write_bytes(os.urandom(100_000))
    (shared / "folder" / "inner").write_text("inner\n")
    (shared / "way-out").symlink_to(tmp_path / "secret")
    commands = (
        "cat hello;cat folder/inner;crc large;ls;put new some text;put folder/new more;cat folder/new;echo ;"
        "put hello x;cat missing;cat way-out;cat ../secret;cat folder"
    )
    run = boot(engine_name, f"run={commands}", devices=[Share(str(shared))], bus=bus)
    assert run.end is End.POWERED_OFF
    assert run.lines[2:4] == ["hello from the Host", "inner"]
    assert run.lines[4] == f"sum {zlib.crc32((shared / 'large').read_bytes()):08x} of 100000 bytes"
    assert sorted({".", "..", "hello", "large", "folder", "way-out"} & set(run.lines)) == [
        ".", "..", "folder", "hello", "large", "way-out",
    ]  # fmt: skip
    assert "more" in run.lines
    assert (shared / "new").read_text() == "some text"
    assert (shared / "folder" / "new").read_text() == "more"
    assert (shared / "hello").read_text() == "x"
    assert "secret" not in run.text.replace("../secret: error", "")
    assert next(line for line in run.lines if "error" in line) == "cat: missing: error 2"
    assert run.text.count(": error ") == 4


@pytest.mark.nightly("kvm")
def test_a_readonly_share(engine_name: str, bus: BusName, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("as it was\n")
    run = boot(engine_name, "run=cat file;put file x;put new x", devices=[Share(str(tmp_path), readonly=True)], bus=bus)
    assert run.lines[2:] == ["as it was", "put: file: error 30", "put: new: error 30"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_one_more_console(engine_name: str, bus: BusName, tmp_path: Path) -> None:
    path = str(tmp_path / "console")
    with Machine(engine=engine_name, devices=[Console(path)], bus=bus) as machine:  # type: ignore[arg-type]
        machine.console.expect("lguest> ", timeout=PATIENCE)
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(PATIENCE)
            peer.connect(path)
            lines = peer.makefile("rw")
            machine.console.sendline("tell 1 good morning")
            assert lines.readline().strip() == "good morning"
            for text in ("one", "two"):
                lines.write(f"{text}\n")
                lines.flush()
                machine.console.sendline("hear 1")
                machine.console.expect(f"console 1: {text}", timeout=PATIENCE)
            lines.close()
        machine.console.sendline("tell 2 nobody")
        machine.console.expect("no console 2", timeout=PATIENCE)


@pytest.mark.nightly("kvm")
def test_no_devices(engine_name: str, bus: BusName) -> None:
    run = boot(engine_name, "ip=10.0.0.2 run=disk;read 0;random;cat x;ping 10.0.0.1;tell 1 x;abuse head 7", bus=bus)
    assert run.lines[1:] == [
        "ip: no network card", "its programs, ring 3", "disk: no disk 0", "read: no disk 0",
        "random: no entropy device", "cat: no shared folder", "ping: no address of our own yet; try: ip 10.0.0.2",
        "tell: no console 1", "abuse head: no such device; try: devices",
    ]  # fmt: skip


@pytest.fixture
def everything(image: Path, tmp_path: Path, station: Station) -> Everything:
    """A device of each kind."""
    (tmp_path / "hello").write_text("hello\n")
    return [Disk(str(image)), Network(), Share(str(tmp_path)), Entropy()]


def test_from_the_inside(engine_name: str, bus: BusName, everything: Everything, image: Path) -> None:
    before = image.read_bytes()
    run = boot(engine_name, "run=test devices:", devices=everything, bus=bus)
    assert run.lines[-1] == f"{INSIDE} passed, 0 failed"
    assert image.read_bytes() == before


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize(("switcher", "memory"), [("classic", 64), ("lean", 4), ("lean", 2048)])
def test_other_machines(engine_name: str, bus: BusName, image: Path, switcher: Switcher, memory: int) -> None:
    commands = f"run=test devices: a disk;sum 0 {SECTORS}"
    disk = [Disk(str(image), readonly=True)]
    if engine_name == "kvm":
        memory = min(memory, 1024)  # the carrier has no more
    run = boot(engine_name, commands, devices=disk, bus=bus, switcher=switcher, memory=memory * MIB)
    assert not [line for line in run.lines if line.startswith("FAIL")]
    assert run.lines[-1] == f"sum {zlib.crc32(image.read_bytes()):08x}"


def test_the_tests_of_the_rest_on_pci(engine_name: str, everything: Everything) -> None:
    run = boot(engine_name, "run=test", devices=everything, bus="pci")
    assert not [line for line in run.lines if line.startswith("FAIL")]
    assert run.lines[-1].endswith("passed, 0 failed")


def test_a_restart_keeps_them(engine_name: str, bus: BusName, everything: Everything, station: Station) -> None:
    with Machine(engine=engine_name, devices=everything, bus=bus) as machine:  # type: ignore[arg-type]

        def ask(command: str, answer: str | re.Pattern[str]) -> None:
            machine.console.expect("lguest> ", timeout=PATIENCE)
            machine.console.sendline(command)
            machine.console.expect(answer, timeout=PATIENCE)

        for boots in range(3):
            machine.console.expect("tiny Guest", timeout=PATIENCE)
            if boots:
                ask("read 9", f"boot {boots - 1}")
                ask("cat boots", f"boots {boots - 1}")
            ask(f"write 9 boot {boots}", "written")
            ask(f"put boots boots {boots}", "written")
            ask("random 4", re.compile(r"[0-9a-f]{8}\r?\n"))
            ask(f"ip {ADDRESS}", "address")
            ask(f"ping {ping_lab.ADDRESS} 1", "1 of 1 answered")
            machine.console.sendline("reboot" if boots < 2 else "poweroff")
        assert machine.wait(timeout=PATIENCE).outcome.end is End.POWERED_OFF
