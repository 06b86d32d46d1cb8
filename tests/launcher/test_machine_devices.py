# SPDX-License-Identifier: GPL-2.0-or-later
"""Hardware by every way that a user has: options, a machine file, lguest_py.Machine and the fixture of pytest.

The tiny Guest drives it, on both buses.  tests/cli/test_device_options.py has the words; what a device does is tested
with the device.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pty_session import Session

import lguest_py
from lguest_py.errors import UsageError

pytest_plugins = ["pytester"]
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300.0
SECTOR = 512
COMMANDS = b"read 0\ncat greeting\nrandom 4\nput note written\nwrite 1 changed\npoweroff\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A disk, a folder to share and a file of random bytes."""
    (tmp_path / "disk, of mine.img").write_bytes(b"from the disk".ljust(8 * SECTOR, b"\0"))
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/greeting").write_text("from the share\n")
    (tmp_path / "bytes").write_bytes(b"\x01\x02\x03\x04")
    return tmp_path


def check(folder: Path, shown: str) -> None:
    """All was found by the Guest, and what it wrote arrived."""
    for text in ("from the disk", "from the share", "01020304"):
        assert text in shown, shown
    assert (folder / "shared/note").read_bytes().startswith(b"written")
    assert (folder / "disk, of mine.img").read_bytes()[SECTOR:].startswith(b"changed")


def boot_by(engine: str, folder: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lguest_py", "boot", "--engine", engine, "--timeout", str(PATIENCE), *words],
        input=COMMANDS, capture_output=True, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    check(folder, done.stdout.decode())


@pytest.mark.parametrize("bus", ["page", "pci"])
def test_by_options(engine_name: str, folder: Path, bus: str) -> None:
    words = ["--disk", "disk,, of mine.img", "--share", "shared", "--rng=bytes", "--bus", bus]
    boot_by(engine_name, folder, *words)


def test_by_the_originals_options(engine_name: str, folder: Path) -> None:
    words = ["-b", "disk, of mine.img", "--share", "shared", "-rbytes", "-v"]
    boot_by(engine_name, folder, *words)


MACHINE = """
disk = "disk,, of mine.img"
share = { dir = "shared" }
rng = "bytes"
timeout = 300
memory = "16M"
command-line = "run=echo first"
"""


def test_by_a_machine_file_from_another_folder(engine_name: str, folder: Path, tmp_path: Path) -> None:
    (folder / "machine.toml").write_text(MACHINE.replace("run=", "do="))
    done = subprocess.run(
        [sys.executable, "-m", "lguest_py", "boot", "--engine", engine_name, str(folder / "machine.toml")],
        input=COMMANDS, capture_output=True, cwd="/", env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    check(folder, done.stdout.decode())


@pytest.mark.engine
@pytest.mark.parametrize("from_file", [False, True], ids=["objects", "file"])
def test_by_machine(engine_name: str, folder: Path, from_file: bool) -> None:
    engine: object = {"engine": engine_name}
    if from_file:
        (folder / "machine.toml").write_text(MACHINE.replace("run=echo first", ""))
        machine = lguest_py.Machine(folder / "machine.toml", **engine)  # type: ignore[arg-type]
    else:
        devices: list[object] = [
            lguest_py.Disk(str(folder / "disk, of mine.img")),
            lguest_py.Share(str(folder / "shared")),
            lguest_py.Entropy(str(folder / "bytes")),
        ]
        machine = lguest_py.Machine(devices=devices, timeout=PATIENCE, **engine)  # type: ignore[arg-type]
    with machine:
        machine.console.expect("lguest> ", PATIENCE)
        for line in COMMANDS.decode().splitlines():
            machine.console.sendline(line)
        assert machine.wait(PATIENCE).status == 0
    check(folder, machine.console.output)


FIXTURE = """
import lguest_py
def test_disk(lguest):
    guest = lguest(devices=[lguest_py.Disk({disk!r}, readonly=True), lguest_py.Vsock({vsock!r}, cid=9)], bus="pci")
    guest.console.expect("lguest> ", 300)
    guest.console.sendline("read 0")
    guest.console.expect("from the disk", 300)
    guest.console.sendline("devices")
    guest.console.expect("vsock, type 19", 300)
def test_file(lguest):
    guest = lguest({file!r}, command_line=["run=echo second"], devices=[lguest_py.Network("user")])
    guest.console.expect("first", 300)
"""


@pytest.mark.nightly("kvm")
def test_by_the_fixture(pytester: pytest.Pytester, engine_name: str, folder: Path) -> None:
    (folder / "machine.toml").write_text(MACHINE)
    paths = {"disk": "disk, of mine.img", "file": "machine.toml", "vsock": "vm.sock"}
    names = {name: str(folder / path) for name, path in paths.items()}
    pytester.makepyfile(FIXTURE.format(**names))
    done = pytester.runpytest_subprocess("-W", "error", f"--lguest-engine={engine_name}")
    done.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"devices": ["a.img"]}, "a device cannot be 'a.img': give an object of Disk"),
        ({"devices": lguest_py.Disk("a.img")}, "give a list of Disk"),
        ({"devices": [lguest_py.Share("."), lguest_py.Share("/", "x"), lguest_py.Share(".", "x")]}, "tag x is given"),
        ({"bus": "isa"}, "bus cannot be 'isa': give auto, page or pci"),
        ({"switcher": "fast"}, "switcher cannot be 'fast': give classic or lean"),
        ({"image": "none.toml"}, "none.toml does not exist: give a machine file"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(lguest_py.LguestError) as caught:
        lguest_py.Machine(**arguments)  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_what_cannot_be_opened_is_told_where_the_guest_is_waited_for(engine_name: str) -> None:
    devices = [lguest_py.Disk("/nowhere/disk.img")]
    with (
        pytest.raises(UsageError, match=r"^disk /nowhere/disk\.img does not exist"),
        lguest_py.Machine(engine=engine_name, devices=devices) as machine,  # type: ignore[arg-type]
    ):
        machine.console.expect("lguest> ", PATIENCE)


def test_a_machine_file_for_the_command_line_only_is_refused_here(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('username = "nobody"\n')
    with pytest.raises(UsageError, match=r"m\.toml: username and chroot are for lguest-py boot: leave them out"):
        lguest_py.Machine(tmp_path / "m.toml")


@pytest.fixture
def terminal(engine_name: str) -> Iterator[Session]:
    words = ["-m", "lguest_py", "boot", "--engine", engine_name, "--bus", "pci", "--quiet", "--timeout", str(PATIENCE)]
    session = Session(*words)
    termios.tcsetwinsize(session.master, (24, 80))  # before Python has started
    yield session
    session.close()


def shown_within(session: Session, text: bytes, seconds: float = PATIENCE) -> None:
    """Wait longer than a Session does: the carrier is slow."""
    until = time.monotonic() + seconds
    while text not in session.shown:
        assert time.monotonic() < until, session.shown
        session.look(0.1)


def test_the_guest_knows_the_terminals_size_and_its_change(terminal: Session) -> None:
    shown_within(terminal, b"lguest> ")
    terminal.type(b"size\r")
    shown_within(terminal, b"80 columns, 24 rows")
    termios.tcsetwinsize(terminal.master, (50, 132))  # the kernel sends SIGWINCH
    until = time.monotonic() + PATIENCE
    while b"132 columns, 50 rows" not in terminal.shown:  # the change arrives some time after
        assert time.monotonic() < until
        terminal.type(b"size\r")
        terminal.look(0.5)
    terminal.type(b"poweroff\r")


def until_said(program: socket.socket, text: bytes) -> None:
    """Read the other end of a console until ``text`` was there."""
    heard = b""
    while text not in heard:
        piece = program.recv(99)
        assert piece, heard
        heard += piece


@pytest.mark.engine
@pytest.mark.parametrize("bus", ["page", "pci"])
def test_a_restart_keeps_disk_share_and_console(engine_name: str, folder: Path, bus: str) -> None:
    place = folder / "socket"
    devices: list[object] = [
        lguest_py.Disk(str(folder / "disk, of mine.img"), overlay=True),
        lguest_py.Share(str(folder / "shared")),
        lguest_py.Console(str(place)),
        lguest_py.Vsock(str(folder / "vm.sock")),
    ]
    machine = lguest_py.Machine(engine=engine_name, devices=devices, bus=bus, timeout=PATIENCE)  # type: ignore[arg-type]
    with machine, socket.socket(socket.AF_UNIX) as program:
        program.settimeout(PATIENCE)
        machine.console.expect("lguest> ", PATIENCE)
        program.connect(str(place))
        machine.console.sendline("write 1 kept in the overlay")
        machine.console.sendline("tell 1 before")
        until_said(program, b"before")
        machine.console.sendline("reboot")
        machine.console.expect("tiny Guest", PATIENCE)
        machine.console.expect("lguest> ", PATIENCE)
        machine.console.sendline("read 1")
        machine.console.expect("kept in the over", PATIENCE)
        machine.console.sendline("cat greeting")
        machine.console.expect("from the share", PATIENCE)
        machine.console.sendline("tell 1 after")
        until_said(program, b"after")
        program.sendall(b"typed there\n")
        machine.console.sendline("hear 1")
        machine.console.expect("typed there", PATIENCE)
        machine.console.sendline("poweroff")
        assert machine.wait(PATIENCE).status == 0
    assert not place.exists()
    assert not (folder / "vm.sock").exists()
    assert b"kept" not in (folder / "disk, of mine.img").read_bytes()
