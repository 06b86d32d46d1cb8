# SPDX-License-Identifier: GPL-2.0-or-later
"""vsock in a Linux: guest_kernel/linux/vsock speaks AF_VSOCK there, and programs here talk to it by Unix sockets.

Kernels: Debian's with its own modules, and those lguest kernels among LGUEST_KERNELS (tests/linux/test_disk_crash.py)
that have virtio-vsock: it came with Linux 4.8.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from linux_lab import PATIENCE, Linux, at_its_prompt

from lguest_py.devices.vsock import CONNECTIONS
from lguest_py.devices.vsock_connection import BUFFER, NOBODY
from lguest_py.kernels import mkinitrd
from lguest_py.kernels.modules import Modules
from lguest_py.kernels.stock import Kernel

ROOT = Path(__file__).resolve().parents[2]
NAME = "debian-6.1-686"
DRIVER = "vmw_vsock_virtio_transport"
BULK = 8 << 20
PATTERN = bytes(place * 7 % 251 for place in range(65536))
FOLDERS = [Path(name) for name in os.environ.get("LGUEST_KERNELS", "").split(":") if name]
pytestmark = [pytest.mark.timeout(1500)]


class Host:
    """This side: programs at the sockets."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "vm.sock"

    def connect(self, port: int) -> socket.socket:
        """A program that wants a port of the Guest."""
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(PATIENCE)
        made.connect(str(self.path))
        made.sendall(b"CONNECT %d\n" % port)
        return made

    def connected(self, port: int) -> socket.socket:
        """One that got it."""
        made, line = self.connect(port), b""
        while piece := made.recv(1):
            line += piece
            if piece == b"\n":
                break
        if not re.fullmatch(rb"OK [0-9]+\n", line):
            made.close()
            raise AssertionError(line)
        return made

    @contextmanager
    def server(self, port: int, mode: int = 0o777) -> Iterator[socket.socket]:
        """A program that listens for the Guest."""
        path = Path(f"{self.path}_{port}")
        with socket.socket(socket.AF_UNIX) as made:
            made.settimeout(PATIENCE)
            made.bind(str(path))
            path.chmod(mode)
            made.listen(4096)
            yield made
        path.unlink()


def everything(program: socket.socket) -> bytes:
    """What comes until the end."""
    found = bytearray()
    while piece := program.recv(1 << 16):
        found += piece
    return bytes(found)


def make_initrd(path: Path, stock: Kernel, with_modules: bool) -> Path:
    tree = mkinitrd.busybox_tree(str(stock.directory / "busybox"))
    if with_modules:
        modules = Modules(str(next(stock.modules.iterdir())))
        tree |= modules.tree(modules.choose(modules.drivers)[0])
    program = ROOT / "build" / "vsock" / "vsock.elf"
    tree["bin/vsock"] = mkinitrd.Entry(stat.S_IFREG | 0o755, program.read_bytes)
    mkinitrd.make_initrd(str(path), tree)
    return path


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(tmp_path_factory.mktemp("vsock"))


@pytest.fixture(scope="module")
def shell(engine_name: str, stock: Kernel, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Linux]:
    """A Guest at its prompt."""
    initrd = make_initrd(tmp_path_factory.mktemp("initrd") / "initrd", stock, True)
    words = ("--vsock", f"{host.path},cid=42")
    guest = Linux(engine_name, NAME, initrd, "quiet", console="ttyS0", options=words)
    with at_its_prompt(guest):
        yield guest
    assert not host.path.exists()


def begin(shell: Linux, command: str) -> None:
    """Type a command whose end, "=STATUS=", is waited for later."""
    shell.type(f"{command}; echo =$?=\n".encode())
    shell.wait_for(b"echo =$?=\r\n")


def listen(shell: Linux, *words: object) -> None:
    """Run the Guest's program in its background, and wait until it listens; ``wait`` waits for its end."""
    name = f"/tmp/{words[1]}"
    shell.ask(f"{{ vsock {' '.join(map(str, words))} >{name} </dev/null & }}")
    shell.ask(f"until grep -q LISTENING {name}; do usleep 50000; done")


def question_and_answer(shell: Linux, host: Host) -> None:
    """Each side begins a connection, and both directions of it end by themselves."""
    with host.server(52) as server:
        begin(shell, "echo question | vsock connect 52")
        with server.accept()[0] as program:
            program.settimeout(PATIENCE)
            assert everything(program) == b"question\n"
            program.sendall(b"answer\n")
        shell.wait_for(b"answer\r\n=0=")
        shell.to_the_shell()
    begin(shell, "echo from the guest | vsock listen 1234")
    shell.wait_for(b"LISTENING 1234")
    with host.connected(1234) as program:
        assert everything(program) == b"from the guest\n"
        program.sendall(b"from here\n")
        program.shutdown(socket.SHUT_WR)
        shell.wait_for(b"from here\r\n=0=")
    shell.to_the_shell()


@pytest.mark.nightly("kvm")
def test_both_ways(shell: Linux, host: Host) -> None:
    assert DRIVER in shell.ask("lsmod")  # by itself
    question_and_answer(shell, host)


@pytest.mark.nightly("kvm")
def test_where_nobody_listens(shell: Linux, host: Host) -> None:
    assert "error 104" in shell.ask("vsock connect 99 </dev/null", 1)  # ECONNRESET
    with host.connect(99) as program:
        assert everything(program) == NOBODY % 99


@pytest.mark.nightly("kvm")
def test_much_into_the_guest_and_out_of_it(shell: Linux, host: Host) -> None:
    whole = PATTERN * (BULK // len(PATTERN))
    begin(shell, "vsock listen 5 </dev/null | md5sum")
    program = host.connect(5)
    while not program.recv(99).startswith(b"OK "):  # the pipe takes what says that it listens
        program.close()
        program = host.connect(5)
    program.sendall(whole)
    program.shutdown(socket.SHUT_WR)
    assert everything(program) == b""
    program.close()
    digest = hashlib.md5(b"LISTENING 5\n" + whole).hexdigest()
    shell.wait_for(re.compile(rb"%b  -\r\n=0=" % digest.encode()))
    shell.to_the_shell()
    begin(shell, f"vsock send 6 {BULK} </dev/null")
    shell.wait_for(b"LISTENING 6")
    with host.connected(6) as program:
        assert everything(program) == whole
    shell.wait_for(b"=0=")
    shell.to_the_shell()


@pytest.mark.nightly("kvm")
def test_a_program_that_does_not_read_holds_nobody_else(shell: Linux, host: Host) -> None:
    listen(shell, "send", 7, 8 * BUFFER)
    listen(shell, "echo", 8, 3)
    with host.connected(7) as slow:
        for number in range(3):
            with host.connected(8) as quick:
                quick.sendall(b"%d" % number)
                assert quick.recv(9) == b"%d" % number
        assert len(everything(slow)) == 8 * BUFFER
    shell.ask("wait")


@pytest.mark.nightly("kvm")
def test_connections_at_once(shell: Linux, host: Host) -> None:
    listen(shell, "echo", 9, 20)
    failures: list[BaseException] = []

    def send(program: socket.socket, data: bytes) -> None:
        program.sendall(data)
        program.shutdown(socket.SHUT_WR)

    def talk(number: int) -> None:
        try:
            mine = PATTERN[number:] * 3
            with host.connected(9) as program:
                writer = threading.Thread(target=send, args=(program, mine))
                writer.start()
                assert everything(program) == mine
                writer.join()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    shell.ask("wait")


@pytest.mark.nightly("kvm")
def test_a_guest_that_opens_thousands_is_refused_and_goes_on(shell: Linux, host: Host) -> None:
    with host.server(53) as server:
        shown = shell.ask("ulimit -n 4096; vsock open 53 3000")
        assert f"OPENED {CONNECTIONS}, error 104" in shown
        server.accept()[0].close()
    question_and_answer(shell, host)


@pytest.mark.nightly("kvm")
def test_a_driver_that_is_loaded_again_and_a_restart(shell: Linux, host: Host) -> None:
    begin(shell, "vsock echo 10 1")
    shell.wait_for(b"LISTENING 10")
    with host.connected(10) as program:
        program.sendall(b"x")
        assert program.recv(1) == b"x"
        program.close()
        shell.wait_for(b"=0=")
        shell.to_the_shell()
    shell.ask(f"rmmod {DRIVER} && modprobe {DRIVER}")
    question_and_answer(shell, host)
    listen(shell, "echo", 11, 1)
    with host.connected(11) as program:
        program.sendall(b"x")
        assert program.recv(1) == b"x"
        shell.type(b"reboot\n")
        shell.wait_for(b"reboot\r\n")
        assert everything(program) == b""
    shell.to_the_shell()
    shell.ask("dmesg -n 1")
    question_and_answer(shell, host)


@pytest.mark.nightly("kvm")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_in_another_root_as_another_user(engine_name: str, stock: Kernel, tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp())  # that the user can enter
    folder.chmod(0o755)
    host, jail = Host(folder), tmp_path / "jail"
    jail.mkdir()
    initrd = make_initrd(tmp_path / "initrd", stock, True)
    words = ("--vsock", str(host.path), "--chroot", str(jail), "--username", "nobody")
    guest = Linux(engine_name, NAME, initrd, "quiet", console="ttyS0", options=words)
    try:
        with at_its_prompt(guest):
            with host.server(60, 0o700):  # which only root may connect to
                assert "error 104" in guest.ask("vsock connect 60 </dev/null", 1)
            question_and_answer(guest, host)
        assert not host.path.exists()
    finally:
        shutil.rmtree(folder)


@pytest.mark.nightly
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_lguest_kernel(engine_name: str, stock: Kernel, tmp_path: Path, folder: Path) -> None:
    if "CONFIG_VIRTIO_VSOCKETS=y" not in (folder / "config").read_text():
        pytest.skip("this kernel has no virtio-vsock")
    host, initrd = Host(tmp_path), make_initrd(tmp_path / "initrd", stock, False)
    words = ("--vsock", str(host.path))
    guest = Linux(engine_name, folder / "bzImage", initrd, "quiet", options=words)
    with at_its_prompt(guest):
        question_and_answer(guest, host)
