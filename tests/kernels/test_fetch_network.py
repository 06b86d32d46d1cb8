# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py fetch`` on a machine without a network, and how far a download is.  Read before: test_fetch.py."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import shutil
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from archive_lab import NAME, Archive, archive, pytestmark, refused

from lguest_py.cli import main
from lguest_py.console import progress
from lguest_py.kernels import apt

__all__ = ["archive", "pytestmark"]


def free_port() -> int:
    """One where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def nowhere(archive: Archive, tmp_path: Path) -> str:
    """A source that apt cannot connect to, and does not go around to."""
    with (tmp_path / "apt.conf").open("a") as file:
        file.write('Acquire::http::Proxy "DIRECT";\nAcquire::Retries::Delay "false";\n')
    return f"deb [trusted=yes] http://127.0.0.1:{free_port()}/debian ./\n"


def test_without_a_network_the_sources_are_not_blamed(
    archive: Archive, nowhere: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "sources.list").write_text(nowhere)
    error = refused(capsys)
    assert re.search(r"apt cannot reach 127\.0\.0\.1:\d+ \(Could not connect to .*Connection refused\)", error)
    assert "check this machine's network" in error
    assert "LGUEST_STOCK_DEB" in error
    assert "sources.list.d" not in error


def test_a_source_out_of_reach_is_named_where_the_others_lack_the_package(
    archive: Archive, nowhere: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with (tmp_path / "sources.list").open("a") as file:
        file.write(nowhere)
    archive.index = ""
    archive.busybox()
    error = refused(capsys)
    assert "package sources have no linux-image-6.1.0-N-686:i386, and 127.0.0.1:" in error
    assert "cannot be reached" in error
    archive.kernel(9)
    assert main(["fetch", NAME]) == 0  # it does no harm otherwise


@pytest.mark.parametrize(
    "reason",
    [
        "Could not resolve 'mirror.example'",
        "Temporary failure resolving 'mirror.example'",
        "Cannot initiate the connection to mirror.example:80 (2001:db8::644). - connect (101: Network is unreachable)",
        "Connection timed out [IP: 1.2.3.4 80]",
        "Could not connect to proxy:3128 (10.0.0.1), connection timed out",
    ],
)
def test_what_apt_says_without_a_network_is_told_from_a_refusal(reason: str) -> None:
    lines = "W: Failed to fetch http://mirror.example/debian/InRelease  {}\nW: Some index files failed to download.\n"
    assert apt._unreachable(lines.format(reason)) == f"mirror.example ({reason})"
    assert apt._unreachable(lines.format("404  Not Found [IP: 1.2.3.4 80]")) == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_sees_how_far_it_is(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    fake = tmp_path / "tools/apt-get"  # a slow one
    fake.parent.mkdir()
    fake.write_text(
        "#!/bin/sh\n"
        "fd=$(printf '%s\\n' \"$@\" | sed -n 's/^APT::Status-Fd=//p')\n"
        "echo dlstatus:1:37.2500:Retrieving file 1 of 1 >/proc/self/fd/$fd\n"
        f'while [ -e {tmp_path}/wait ]; do sleep 0.1; done\nexec {shutil.which("apt-get")} "$@"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    if terminal:
        (tmp_path / "wait").touch()
    shown, piped = b"", io.StringIO()
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream, ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(sys, "stderr", stream if terminal else piped)
        done = pool.submit(main, ["fetch", NAME])
        while terminal and not re.search(rb"lguest-py: reading package sources \(37 %, \d+ s\)", shown):
            assert select.select([master], [], [], 60)[0], shown
            shown += os.read(master, 4096)
            if b"(37 %" in shown:
                (tmp_path / "wait").unlink(missing_ok=True)
        assert done.result() == 0
        if not terminal:
            assert "%" not in piped.getvalue()
    os.close(master)
