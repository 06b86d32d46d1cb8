# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel with the devices of docs/devices.md, used as a user does at its prompt: no driver is asked for.

Read next: lguest_py/kernels/mkinitrd.py, the init that loads them.
"""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from linux_lab import PATIENCE, Linux, at_its_prompt

from lguest_py.kernels.stock import Kernel

NAME = "debian-6.1-686"
pytestmark = [pytest.mark.timeout(1500), pytest.mark.nightly("kvm")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty disk, and a folder with a file."""
    made = tmp_path_factory.mktemp("devices")
    (made / "root.img").write_bytes(b"")
    os.truncate(made / "root.img", 64 << 20)
    (made / "here").mkdir()
    (made / "here/greeting").write_text("from the host\n")
    return made


@pytest.fixture(scope="module")
def shell(engine_name: str, stock: Kernel, folder: Path) -> Iterator[Linux]:
    """A Guest at its prompt."""
    words = ("--disk", f"{folder}/root.img", "--share", f"{folder}/here", "--rng", "--console", f"{folder}/socket",
             "--vsock", f"{folder}/vm.sock,cid=5")  # fmt: skip
    guest = Linux(engine_name, NAME, None, "quiet", console="ttyS0", options=words)
    with at_its_prompt(guest):
        yield guest


def test_drivers_of_devices_are_there_and_those_of_file_systems_come_when_wanted(shell: Linux) -> None:
    loaded = {line.split()[0] for line in shell.ask("lsmod").splitlines()[1:]}
    assert loaded >= {"virtio_pci", "virtio_blk", "virtio_rng", "virtio_console", "9pnet_virtio"}
    assert "vmw_vsock_virtio_transport" in loaded
    assert not loaded & {"ext4", "9p", "virtio_net"}


def test_a_disk_is_mounted_without_a_word_of_its_type(shell: Linux, folder: Path) -> None:
    shell.ask("mke2fs /dev/vda >/dev/null && mount /dev/vda /mnt && echo kept >/mnt/file && sync && umount /mnt")
    assert "kept" in shell.ask("mount /dev/vda /mnt && cat /mnt/file && umount /mnt")
    if shutil.which("e2fsck"):
        subprocess.run(["e2fsck", "-fn", str(folder / "root.img")], check=True, capture_output=True)
    assert b"kept" in (folder / "root.img").read_bytes()


def test_a_share_is_mounted_by_its_tag(shell: Linux, folder: Path) -> None:
    shell.ask("mkdir -p /here && mount -t 9p -o trans=virtio host /here")
    assert "from the host" in shell.ask("cat /here/greeting; echo from the guest >/here/answer; umount /here")
    assert (folder / "here/answer").read_text() == "from the guest\n"


def test_random_bytes(shell: Linux) -> None:
    assert "virtio_rng" in shell.ask("cat /sys/class/misc/hw_random/rng_current")
    assert "8\n" in shell.ask("dd if=/dev/hwrng bs=8 count=1 2>/dev/null | wc -c")


def test_a_further_console_is_a_terminal_for_a_program_here(shell: Linux, folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as program:
        program.settimeout(PATIENCE)
        program.connect(str(folder / "socket"))
        # Debian's first console is ttyS0, so hvc0 is the first of virtio, and the option's is hvc1.
        shell.ask("( { read -r line; echo heard $line; } <>/dev/hvc1 >&0 & )")
        program.sendall(b"something\n")
        heard = b""
        while b"heard something" not in heard:
            piece = program.recv(100)
            assert piece, heard
            heard += piece


class _Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from here\n")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.mark.skipif(not shutil.which("passt"), reason="passt is not installed")
def test_the_rootless_network_works_after_udhcpc(engine_name: str, stock: Kernel) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ("--net", "user", "--publish", f"127.0.0.1:{port}:8080")
    guest = Linux(engine_name, NAME, None, "quiet", console="ttyS0", options=words)
    server = http.server.HTTPServer(("127.0.0.1", 0), _Hello)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        guest.to_the_shell()
        guest.ask("dmesg -n 1; udhcpc -q -n >/dev/null")
        assert "10.0.2.15/24" in guest.ask("ip address show eth0")
        assert "default via 10.0.2.2" in guest.ask("ip route")
        assert "hello from here" in guest.ask(f"wget -q -O - http://10.0.2.2:{server.server_port}/")
        guest.ask("( echo hello from the guest | nc -l -p 8080 & )")
        heard, until = b"", time.monotonic() + PATIENCE
        while b"hello" not in heard:  # until nc listens there
            assert time.monotonic() < until
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as program:
                program.settimeout(PATIENCE)
                with suppress(ConnectionError):
                    program.sendall(b"me first\n")  # Debian 12's passt waits for it: CAVEATS.md
                    heard = program.recv(100)
        assert heard == b"hello from the guest\n"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        guest.close()
