# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py boot debian-12-i386`` typed at a terminal as docs/userland.md has it: its size, keys, a disk over boots.

Read next: tests/lab/pty_session.py; tests/userland/test_userland.py, whose Guest has no terminal.
"""

from __future__ import annotations

import re
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from pty_session import Session

from lguest_py.kernels.stock import Kernel

pytestmark = [pytest.mark.timeout(3 * 3600)]
NAME = "debian-12-i386"
PATIENCE = 1200.0  # seconds for each wait
PROMPT = b":~# "
END = re.compile(rb"[\r\n]end\r\n")


class Terminal(Session):
    """A person at the terminal of the system, who waits as long as it takes."""

    def __init__(self, engine: str, *words: str, size: tuple[int, int] = (40, 120)) -> None:
        super().__init__("-m", "lguest_py", "boot", "--engine", engine, "--timeout", "7000", *words, NAME)
        termios.tcsetwinsize(self.master, size)  # before Python has started

    def until(self, condition: Callable[[], bool]) -> None:
        """Look until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.shown
            assert self.process.poll() is None or condition(), self.shown
            self.look(0.2)

    def see(self, *texts: bytes) -> None:
        """Wait for one text after the other in what was not seen yet."""
        for text in texts:
            self.until(lambda text=text: text in self.shown)  # type: ignore[misc]
            self.shown = self.shown.partition(text)[2]

    def type_until_prompt(self, key: bytes) -> None:
        """Type the key until the shell is there: who shall read it may not have had the terminal yet."""

        def typed() -> bool:
            self.type(key)
            self.look(2)
            return PROMPT in self.shown

        self.until(typed)
        self.see(PROMPT)

    def login(self) -> None:
        self.see(b"login: root (automatic login)", PROMPT)

    def answer(self, command: str) -> str:
        """What a command prints."""
        self.type(f"{command}; echo e''nd\r".encode())
        self.until(lambda: END.search(self.shown) is not None)
        text, self.shown = END.split(self.shown, maxsplit=1)
        self.see(PROMPT)
        return re.sub(r"\x1b\[\?2004.", "", text.decode().partition("\r\n")[2]).replace("\r\n", "\n").strip()

    def see_size(self, size: str) -> None:
        """It is told some time after the first line was typed, or after a change."""
        self.until(lambda: self.answer("stty size") == size)

    def ended(self) -> int:
        """Its exit status, when it has ended."""
        self.until(lambda: self.process.poll() is not None)
        return self.process.returncode


@contextmanager
def at_terminal(engine: str, *words: str) -> Iterator[Terminal]:
    with closing(Terminal(engine, *words)) as terminal:
        terminal.login()
        yield terminal


@pytest.mark.nightly
def test_a_size_keys_and_a_disk_over_three_boots(userland: Kernel, engine_name: str, tmp_path: Path) -> None:
    disk = ("--root", str(tmp_path / "my.img"))
    with at_terminal(engine_name, *disk) as terminal:
        terminal.see_size("40 120")
        termios.tcsetwinsize(terminal.master, (50, 132))
        terminal.see_size("50 132")
        terminal.type(b"sh -c 'echo beg\"\"un; exec sleep 10000'\r")  # who says so has the terminal
        terminal.see(b"begun")
        terminal.type(b"\x03")
        terminal.see(PROMPT)
        assert terminal.answer("timedatectl set-timezone Europe/Berlin; date +%Z").startswith("CE")
        fill_disk(terminal)
        assert terminal.answer("echo more >>count && cat count") == "more"
        terminal.type(b"reboot\r")  # the machine starts again, in the same process
        terminal.login()
        terminal.see_size("50 132")
        assert terminal.answer("date +%Z; echo more >>count; cat count").split()[1:] == ["more"] * 2
        terminal.type(b"shutdown -h +1\r")
        terminal.see(b"Shutdown scheduled")
        assert terminal.ended() == 0
    with at_terminal(engine_name, *disk) as terminal:
        assert terminal.answer("date +%Z; echo more >>count; cat count").split()[1:] == ["more"] * 3
        assert terminal.answer("systemctl is-system-running") == "running"
        terminal.type(b"poweroff\r")
        assert terminal.ended() == 0
    done = subprocess.run(["/sbin/e2fsck", "-fn", disk[1]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.nightly
def test_a_shell_to_rescue_the_system_and_back(userland: Kernel, engine_name: str) -> None:
    with at_terminal(engine_name) as terminal:
        terminal.type(b"systemctl rescue\r")
        terminal.see(b"You are in rescue mode", b"Press Enter for maintenance")
        terminal.type_until_prompt(b"\r")
        terminal.answer("true")  # the prompts of all those keys are behind it
        assert terminal.answer("systemctl is-active rescue.service multi-user.target").split() == ["active", "inactive"]
        terminal.type(b"exit\r")
        terminal.login()
        assert terminal.answer("systemctl is-system-running --wait") == "running"
        terminal.type(b"poweroff\r")
        assert terminal.ended() == 0


def fill_disk(terminal: Terminal) -> None:
    """A full disk is an error of the program that writes, and of nothing else."""
    assert terminal.answer("fallocate -l $(df --output=avail -B1 / | tail -1) big") == ""
    assert "No space left on device" in terminal.answer("head -c 1G /dev/zero >more")
    assert "No space left on device" in terminal.answer("echo x >>small")
    assert terminal.answer("rm big more; sync; echo fine >>small; cat small") == "fine"
    assert terminal.answer("dmesg --level=emerg,alert,crit,err | grep -iE 'ext4|virtio|block|I/O'") == ""
