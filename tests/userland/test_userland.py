# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian 12 on a root disk: to a login on each console, with network, random numbers and the time; and to its end.

tests/userland/test_day_of_work.py works in it.
"""

from __future__ import annotations

import hashlib
import http.server
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from userland_lab import EXPECTED, Userland

from lguest_py.hardware import Disk
from lguest_py.kernels.stock import Kernel
from lguest_py.launcher.result import End

pytestmark = [pytest.mark.timeout(2400)]
PAGE = b"from the Host's loopback\n" * 1000


@contextmanager
def web_server() -> Iterator[int]:
    """A port of the Host's loopback that gives PAGE."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.nightly("kvm")
def test_a_login_a_look_around_and_poweroff(userland: Kernel, engine_name: str) -> None:
    assert userland.root
    before = userland.root.stat()
    with web_server() as port, Userland(engine=engine_name) as guest:
        assert guest.run("systemctl is-system-running --wait") == "running"
        assert guest.run("systemctl --failed --no-legend --plain") == ""
        assert guest.run("hostname; whoami; readlink /proc/self/fd/1").split() == ["debian", "root", "/dev/hvc0"]
        assert guest.run("systemctl is-active serial-getty@hvc0 serial-getty@ttyS0").split() == ["active", "active"]
        off = int(guest.run("date +%s")) - time.time()
        assert -60 < off <= 1  # the answer may come late, and never early
        assert guest.run("cat /proc/sys/kernel/random/entropy_avail") == "256"
        assert "virtio_rng" in guest.run("cat /sys/class/misc/hw_random/rng_current")
        assert int(guest.run("wc -c </etc/machine-id")) == 33
        guest.run("modprobe loop")  # a module of the root disk
        assert "loop" in guest.run("lsmod")
        if shutil.which("passt"):
            guest.run("until ip -4 address show eth0 | grep -q inet && [ -s /etc/resolv.conf ]; do sleep 1; done")
            guest.run(f"exec 3<>/dev/tcp/10.0.2.2/{port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3 >page")
            assert guest.run("sed '1,/^.$/d' page | sha256sum").split()[0] == hashlib.sha256(PAGE).hexdigest()
        guest.check_messages()
        guest.run("echo lost >/root/file")
        assert guest.poweroff().status == 0
    after = userland.root.stat()
    assert (after.st_mtime_ns, after.st_size, after.st_blocks) == (before.st_mtime_ns, before.st_size, before.st_blocks)


@pytest.mark.nightly
def test_a_login_on_the_serial_port_and_a_disk_that_is_kept(userland: Kernel, engine_name: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept.img"
    with Userland("console=ttyS0", engine=engine_name, root=kept) as guest:
        assert guest.run("readlink /proc/self/fd/1") == "/dev/ttyS0"
        assert guest.run("systemctl is-active serial-getty@hvc0") == "active"
        first = guest.run("echo kept >/root/file; cat /etc/machine-id")
        assert guest.poweroff("poweroff").status == 0
    with Userland(engine=engine_name, root=kept, devices=[]) as guest:
        assert guest.run("cat /root/file /etc/machine-id").split() == ["kept", first]
        guest.check_messages()
        assert guest.poweroff("reboot").outcome.end is End.RESTARTED


@pytest.mark.nightly
def test_the_kernel_with_pae_on_the_same_disk(userland: Kernel, stock_pae: Kernel, engine_name: str) -> None:
    words = ("root=/dev/vda", "rw", "quiet", "console=ttyS0", "console=hvc0")
    disk = Disk(str(userland.root), overlay=True)
    with Userland(*words, engine=engine_name, kernel=stock_pae.name, devices=[disk], memory=256 << 20) as guest:
        assert guest.run("uname -r").endswith("-686-pae")
        assert guest.run("findmnt -no SOURCE,FSTYPE /").split() == ["/dev/vda", "ext4"]
        assert guest.run("systemctl is-system-running --wait || systemctl --failed --no-legend --plain") == "running"
        assert guest.poweroff().status == 0


@pytest.mark.nightly
@pytest.mark.timeout(3 * 3600)
def test_twenty_boots_in_a_row(userland: Kernel, engine_name: str) -> None:
    for _ in range(20 if engine_name == "tcg" else 5):
        with Userland(engine=engine_name) as guest:
            assert guest.run("systemctl is-system-running --wait") == "running"
            guest.check_messages()
            assert guest.poweroff().status == 0


def test_every_message_that_is_expected_says_why() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/userland.md").read_text()
    for pattern in EXPECTED:
        assert any(re.search(pattern, line) for line in text.splitlines()), pattern
