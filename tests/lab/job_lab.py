# SPDX-License-Identifier: GPL-2.0-or-later
"""A shell with job control at a pseudo-terminal, for tests of one job of it: tests/console/test_job_control.py.

The shell is this file as a program: it starts the job in a process group of its own, tells its changes of state a line
each on a pipe ("started PID", "stopped", "continued", "ended STATUS"), and obeys the letters f (to the foreground),
c (continue it, too) and b (to the background) on another.
"""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from pty_session import modes

PATIENCE = 60.0
ROOT = Path(__file__).resolve().parents[2]


class Job:
    """``command`` as a job.  ``foreground``: it has the terminal."""

    def __init__(self, *command: str, foreground: bool) -> None:
        self.master, self.slave = pty.openpty()
        self.before = modes(self.slave)
        self.shown = b""
        orders, self._orders = os.pipe()
        self._told, told = os.pipe()
        self.shell = subprocess.Popen(
            [sys.executable, __file__, str(orders), str(told), "f" if foreground else "b", *command],
            stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
            pass_fds=(orders, told), env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        os.close(orders)
        os.close(told)
        self._lines = b""
        self.pid = int(self.wait("started ")[1])

    def wait(self, state: str) -> list[str]:
        """Wait until the shell tells this; the words of that line."""
        deadline = time.monotonic() + PATIENCE
        while True:
            while b"\n" in self._lines:
                line, self._lines = self._lines.split(b"\n", 1)
                if line.decode().startswith(state):
                    return line.decode().split()
            assert time.monotonic() < deadline, f"not {state}: {self.shown!r}"
            self.look(0.05)

    def look(self, seconds: float) -> None:
        """Take what is shown and told."""
        ready = select.select([self.master, self._told], [], [], seconds)[0]
        with suppress(OSError):
            if self.master in ready:
                self.shown += os.read(self.master, 65536)
        if self._told in ready:
            self._lines += os.read(self._told, 4096)

    def wait_for(self, text: bytes) -> None:
        """Wait until this is shown."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} is not shown: {self.shown!r}"
            self.look(0.05)

    def order(self, letter: bytes) -> None:
        """See the module."""
        os.write(self._orders, letter)

    def send(self, number: signal.Signals) -> None:
        """A signal to the job's process group."""
        os.killpg(self.pid, number)

    def close(self) -> None:
        """End all of it."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.shell.kill()
        self.shell.wait()
        for fd in (self.master, self.slave, self._orders, self._told):
            os.close(fd)


def shell(orders: int, told: int, how: str, command: list[str]) -> None:
    """The program."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in (signal.SIGTTOU, signal.SIGTTIN, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    pid = os.fork()
    if not pid:
        os.setpgid(0, 0)
        if how == "f":
            os.tcsetpgrp(0, os.getpid())
        for number in (signal.SIGTTOU, signal.SIGTTIN, signal.SIGTSTP):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)
    with suppress(OSError):
        os.setpgid(pid, pid)
    os.write(told, f"started {pid}\n".encode())
    while True:
        if select.select([orders], [], [], 0.02)[0]:
            letter = os.read(orders, 1)
            if not letter:
                return
            os.tcsetpgrp(0, os.getpgrp() if letter == b"b" else pid)
            if letter == b"c":
                os.killpg(pid, signal.SIGCONT)
        found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if not found:
            continue
        if os.WIFSTOPPED(status):
            os.tcsetpgrp(0, os.getpgrp())
            os.write(told, b"stopped\n")
        elif os.WIFCONTINUED(status):
            os.write(told, b"continued\n")
        else:
            os.write(told, f"ended {os.waitstatus_to_exitcode(status)}\n".encode())
            return


if __name__ == "__main__":
    shell(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
