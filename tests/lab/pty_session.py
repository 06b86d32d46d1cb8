# SPDX-License-Identifier: GPL-2.0-or-later
"""A program at a pseudo-terminal, for tests that type and read as a person does."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PATIENCE = 30.0  # seconds until a test gives up
LFLAG, OFLAG = 3, 1


def modes(fd: int) -> list[object]:
    return list(termios.tcgetattr(fd))


def is_raw(fd: int) -> bool:
    cooked = termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN
    return not termios.tcgetattr(fd)[LFLAG] & cooked


class Session:
    """``python ARGUMENT…`` in a session of its own, at a pseudo-terminal."""

    def __init__(self, *arguments: str) -> None:
        self.master, self.slave = pty.openpty()
        self.before = modes(self.slave)
        self.shown = b""
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            preexec_fn=self._take_terminal,
        )

    @staticmethod
    def _take_terminal() -> None:
        import fcntl

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def wait_for(self, text: bytes) -> None:
        self.wait_until(lambda: text in self.shown, f"{text!r} is not shown")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.shown!r}"
            self.look(0.05)

    def look(self, seconds: float) -> None:
        with suppress(OSError):
            if select.select([self.master], [], [], seconds)[0]:
                self.shown += os.read(self.master, 65536)

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def end(self) -> int:
        """Wait for the end; the exit status."""
        self.wait_until(lambda: self.process.poll() is not None, "it does not end")
        self.look(0.05)
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for fd in (self.master, self.slave):
            os.close(fd)
