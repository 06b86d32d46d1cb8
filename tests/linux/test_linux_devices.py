# SPDX-License-Identifier: GPL-2.0-or-later
"""All devices in a Linux with lguest support, of any version and on its bus: disk, network card, share, random bytes.

A restart keeps them, and a power-off ends with 0.  What an old kernel has no driver for is left out (SHARES).
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from linux_lab import Linux

if TYPE_CHECKING:
    from linux_lab import RealLinux

OLD = "^metadata_csum,^64bit,^orphan_file"  # what an old ext4 does not know
SHARES = (2, 6, 38)  # the first with all of 9P2000.L
PATIENCE = 120.0


def free_port() -> int:
    """A port of the loopback interface that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def exchange(port: int, data: bytes) -> bytes:
    """What comes from a published port after ``data`` went there."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 30) as there:
            there.sendall(data)
            there.shutdown(socket.SHUT_WR)
            got = b""
            while piece := there.recv(65536):
                got += piece
            if got:
                return got
        time.sleep(0.2)
    raise AssertionError("nobody answers in the Guest")


class Machine:
    """A Guest with all devices, and what they stand on."""

    def __init__(self, engine_name: str, linux: RealLinux, base: Path) -> None:
        self.disk, self.share, self.port = base / "disk.img", base / "share", free_port()
        with self.disk.open("wb") as file:
            file.truncate(32 << 20)
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-O", OLD, self.disk], check=True)
        self.share.mkdir()
        (self.share / "file").write_text("from the Host\n")
        options = ["--disk", str(self.disk), "--share", str(self.share), "--rng"]
        options += ["--net", "user", "--publish", f"127.0.0.1:{self.port}:7777"]
        self.guest = Linux(engine_name, linux.bzimage, linux.initrd, "quiet", options=tuple(options))
        self.release: tuple[int, ...] = ()

    def to_the_shell(self) -> None:
        """Wait for its prompt."""
        self.guest.to_the_shell()
        self.guest.ask("dmesg -n 1")
        text = self.guest.ask("cat /proc/version")
        self.release = tuple(int(number) for number in re.findall(r"\d+", text.split()[2])[:3])

    def use_disk(self, word: str, before: str) -> None:
        """Write to it; what was written before the restart is there."""
        guest = self.guest
        guest.ask("mkdir -p /mnt && mount -t ext4 /dev/vda /mnt")
        assert (guest.ask("cat /mnt/file").strip() if before else "") == before
        guest.ask(f"echo {word} >/mnt/file && dd if=/dev/zero of=/mnt/big bs=1024k count=4 2>/dev/null && sync")
        guest.ask("umount /mnt")

    def use_share(self, word: str) -> None:
        """Both ways."""
        if self.release < SHARES:
            return
        guest = self.guest
        guest.ask("mkdir -p /s && mount -t 9p -o trans=virtio,version=9p2000.L host /s")
        assert guest.ask("cat /s/file").strip() == "from the Host"
        guest.ask(f"echo {word} >/s/{word} && umount /s")
        assert (self.share / word).read_text().strip() == word

    def use_entropy(self) -> None:
        """Two pieces of it differ."""
        first, second = (self.guest.ask("dd if=/dev/hwrng bs=16 count=1 2>/dev/null | hexdump -C") for _ in range(2))
        assert len(first.split()) > 16
        assert first != second

    def use_network(self, word: str) -> None:
        """An address, and a connection that carries data both ways.

        The Guest answers after the end of what comes: when it ends its direction first, passt sends some data twice.
        """
        guest = self.guest
        assert "lease of" in guest.ask("udhcpc -i eth0 -n -q -t 20 2>&1")
        guest.ask(f"printf '#!/bin/sh\\ncat >/tmp/got\\necho {word}\\n' >/tmp/answer && chmod +x /tmp/answer")
        guest.ask("{ nc -l -p 7777 -e /tmp/answer & }")
        assert exchange(self.port, b"from outside\n" * 1000).strip() == word.encode()
        assert guest.ask("wait; wc -c </tmp/got").split()[-1] == "13000"

    def use_all(self, word: str, before: str = "") -> None:
        self.use_disk(word, before)
        self.use_share(word)
        self.use_entropy()
        self.use_network(word)


@pytest.mark.timeout(1800)
@pytest.mark.nightly("kvm")
def test_all_devices_before_and_after_a_restart(engine_name: str, linux: RealLinux, tmp_path: Path) -> None:
    for tool in ("mke2fs", "e2fsck", "passt"):
        assert shutil.which(tool), f"{tool} is missing"
    machine = Machine(engine_name, linux, tmp_path)
    guest = machine.guest
    try:
        machine.to_the_shell()
        machine.use_all("first")
        guest.type(b"reboot -f\n")
        machine.to_the_shell()
        machine.use_all("second", "first")
        guest.type(b"exit\n")
        end = guest.finish()
        assert (end["status"], end["end"]) == (0, "powered off"), end
    finally:
        guest.close()
    subprocess.run(["e2fsck", "-fn", machine.disk], check=True, capture_output=True)
