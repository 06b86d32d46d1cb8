# SPDX-License-Identifier: GPL-2.0-or-later
"""The README's first screen: its Guest with a disk, a network and a folder, typed as it stands there."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from lguest_py.kernels.stock import Kernel

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"```sh\n(lguest-py fetch .*?)```\n\n```text\n(.*?)```", re.S)
PAGE = "README.md"
PATIENCE = 300.0  # seconds until the web server must have answered


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def page(port: int, guest: subprocess.Popen[bytes]) -> bytes:
    """What the Guest's web server gives, as soon as it does."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and guest.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/{PAGE}", timeout=20) as answer:
            return bytes(answer.read())
        time.sleep(1)
    return b""


@pytest.mark.nightly("kvm")
def test_the_guest_of_the_first_screen(stock: Kernel, engine_name: str, tmp_path: Path) -> None:
    found = BLOCK.search(README)
    assert found
    host, guest_lines = found[1].splitlines(), [line.removeprefix("/ # ") for line in found[2].splitlines()]
    assert README[: found.start()].count("\n") < 60
    shutil.copy(ROOT / PAGE, tmp_path)
    port = free_port()
    boot = host[2].replace("8080:80", f"{port}:80").replace(" boot ", f" boot --engine {engine_name} --timeout 500 ")
    boot = boot.replace("lguest-py", f'"{sys.executable}" -m lguest_py')
    with subprocess.Popen(
        ["bash", "-ec", f"{host[1]}\n{boot}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(Path.home())},
    ) as guest:  # fmt: skip
        assert guest.stdin
        guest.stdin.write("\n".join(guest_lines[:-1]).encode() + b"\n")
        guest.stdin.flush()
        got = page(port, guest)
        with suppress(BrokenPipeError):
            guest.stdin.write(guest_lines[-1].encode() + b"\n")
        output, _ = guest.communicate(timeout=PATIENCE)
    assert got.decode() == README, output.decode(errors="replace")[-3000:]
    assert guest.returncode == 0
    again = subprocess.run(
        ["/sbin/debugfs", "-R", f"cat {PAGE}", str(tmp_path / "disk.img")], capture_output=True, check=True
    )
    assert again.stdout.decode() == README
