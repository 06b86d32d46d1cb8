# SPDX-License-Identifier: GPL-2.0-or-later
"""For tests of a Launcher as a process: it and all that it started, and what they leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 600  # seconds; the carrier is slow
CLEANED = 60


def family(pid: int) -> list[int]:
    """The process, and all below it."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def program(pid: int) -> str:
    """The name of its file; "" when it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/exe").readlink().name
    return ""


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def gone(pids: list[int]) -> None:
    """Wait for their end."""
    until = time.monotonic() + PATIENCE
    while left := [(pid, program(pid)) for pid in pids if alive(pid)]:
        assert time.monotonic() < until, left
        time.sleep(0.02)


class Run:
    """``lguest-py boot`` with pipes, and a folder of its own for temporary files."""

    def __init__(self, folder: Path, *arguments: str, **more: object) -> None:
        self.folder = folder / "tmp"
        self.folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "lguest_py", "boot", "--timeout", "500", *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
            env={**os.environ, "TMPDIR": str(self.folder)}, **more,  # type: ignore[call-overload]
        )  # fmt: skip
        self.shown = b""

    def wait_for(self, text: bytes) -> None:
        """Read its output until this has come."""
        assert self.process.stdout
        assert self.process.stderr
        while text not in self.shown:
            piece = os.read(self.process.stdout.fileno(), 65536)
            assert piece, f"ended without {text!r}: {self.shown!r} {self.process.stderr.read()!r}"
            self.shown += piece
        self.shown = self.shown.partition(text)[2]

    def type(self, text: bytes) -> None:
        """Type this."""
        assert self.process.stdin
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def finish(self, typed: bytes = b"") -> tuple[int, str]:
        """Type this and wait: status and messages.  Nothing of it may be left, and there is no traceback."""
        pids = family(self.process.pid)
        out, err = self.process.communicate(typed, PATIENCE)
        self.shown += out
        gone(pids)
        until = time.monotonic() + CLEANED  # of a Launcher that was killed another process removes the sockets
        while left := list(self.folder.iterdir()):
            assert time.monotonic() < until, left
            time.sleep(0.02)
        assert b"Traceback" not in err, err
        return self.process.returncode, err.decode()

    def engine_pids(self) -> list[int]:
        """The QEMU, where there is one."""
        return [pid for pid in family(self.process.pid) if program(pid).startswith("qemu-system")]
