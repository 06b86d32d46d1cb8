# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Linux at work: ``lguest-py boot`` as a child, with its console, for tests/linux.

What LGUEST_LINUX=DIR must hold: ``bzImage`` and ``vmlinux`` of one kernel, and an ``initrd`` whose init starts a
shell on the console and powers off after it, or with ``run=NAME`` on the kernel's command line runs /tests/NAME,
prints "TEST NAME EXIT status" and powers off.  Of these it has work (also ``work NAME…`` and ``work --loop SECONDS``),
rpl, panic, reboot and soak.  ``variants/bzImage.FORMAT`` may hold the same kernel compressed in other ways.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 400.0  # seconds until a wait for the console gives up: the carrier is slow
LIMIT = 1500  # seconds for one run of the Launcher
PROMPT = re.compile(rb"/ # (?:\x1b\[\w+)?$")  # busybox asks the terminal where its cursor is
PIECE = 65536
PATIENT = "WORK_SLACK_MS=20000 WORK_TIMEOUT=400"  # how late work's timers may be: this machine may be busy


@dataclass(frozen=True)
class RealLinux:
    """A real lguest-capable Linux, from LGUEST_LINUX=DIR."""

    bzimage: Path
    vmlinux: Path
    initrd: Path


class Linux:
    """One run of the command line; the console is its stderr (--json)."""

    report: Path | None = None

    def __init__(
        self,
        engine: str,
        image: Path | str,
        initrd: Path | None,
        *words: str,
        console: str = "hvc0",
        options: tuple[str, ...] = (),
        limit: float = LIMIT,
    ) -> None:
        command = [sys.executable, "-m", "lguest_py", "boot", "--engine", engine, "--timeout", str(limit), "--json"]
        with_initrd = ["--initrd", str(initrd)] if initrd else []
        self.report = Path(tempfile.mkdtemp(prefix="lguest-py-report-"), "report")
        told = ["--report", str(self.report)]
        process = subprocess.Popen(
            [*command, *told, *options, *with_initrd, str(image), f"console={console}", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, bufsize=0,
        )  # fmt: skip
        self._attach(process, process.stderr)

    def _attach(self, process: subprocess.Popen[bytes], console: IO[bytes] | None) -> None:
        """The console is this stream of the process, and its stdin."""
        self.process = process
        assert process.stdin
        assert console
        self._input, self._output = process.stdin.fileno(), console.fileno()
        os.set_blocking(self._input, False)
        self._typed = bytearray()
        self._open = True
        self.shown = b""
        self.seen = 0  # how far into ``shown`` we have waited
        self.usable = True  # it is at its prompt, or on its way there

    def _exchange(self) -> None:
        """Take output and give input, as both come; waits for a little while."""
        readers = [self._output] if self._open else []
        writers = [self._input] if self._typed else []
        ready, able, _ = select.select(readers, writers, [], 0.5)
        if ready:
            piece = os.read(self._output, PIECE)
            self.shown += piece
            self._open = bool(piece)
        if able:
            with suppress(BlockingIOError):
                del self._typed[: os.write(self._input, self._typed[:PIECE])]

    def wait_for(self, pattern: bytes | re.Pattern[bytes], patience: float = PATIENCE) -> re.Match[bytes]:
        """Read the console until ``pattern`` is in what came since the last wait."""
        expression = re.compile(re.escape(pattern)) if isinstance(pattern, bytes) else pattern
        deadline = time.monotonic() + patience
        self.usable = False
        while not (match := expression.search(self.shown, self.seen)):
            what = f"waited for {pattern!r}, and got {self.shown[self.seen :][-3000:]!r}"
            assert self._open, f"the end came: {what}\n{self.remains()}"
            assert time.monotonic() < deadline, f"it hangs: {what}\n{self.remains()}"
            self._exchange()
        self.seen = match.end()
        self.usable = True
        return match

    def remains(self) -> str:
        """End it; its report."""
        self.process.terminate()
        self.process.wait(PATIENCE)
        return self.report.read_text() if self.report and self.report.exists() else "no report"

    def type(self, data: bytes) -> None:
        """Type; what the Launcher does not take yet goes out during the next wait."""
        self._typed += data

    def to_the_shell(self, patience: float = PATIENCE) -> None:
        """Wait for a prompt that stands at the end of what is shown."""
        self.wait_for(PROMPT, patience)

    def ask(self, command: str, status: int = 0) -> str:
        """Type a command (of less than a terminal's line); its output, when it ended with ``status``."""
        self.type(f"{command}; echo =$?=\n".encode())
        start = self.seen
        match = self.wait_for(re.compile(rb"=(\d+)=\r\n"))
        text = self.shown[start : match.start()].decode().replace("\r\n", "\n")
        self.to_the_shell()
        assert int(match[1]) == status, text
        return text.partition("\n")[2]  # behind the command's echo

    def finish(self) -> dict[str, Any]:
        """Type nothing more: end the input, and wait for the end; what --json tells."""
        self.usable = False
        deadline = time.monotonic() + PATIENCE
        while self._open or self._typed:
            assert time.monotonic() < deadline, f"it does not end: {self.shown[-3000:]!r}"
            if not self._typed and self.process.stdin and not self.process.stdin.closed:
                self.process.stdin.close()
            self._exchange()
        assert self.process.stdout
        data: dict[str, Any] = json.loads(self.process.stdout.read())
        assert self.process.wait(PATIENCE) == data["status"]
        return data

    @property
    def text(self) -> str:
        """All that the console showed."""
        return self.shown.decode(errors="replace").replace("\r\n", "\n")

    def close(self) -> None:
        """End it, however far it is."""
        self.usable = False
        self.process.terminate()  # in order: it takes its children with it
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            if self.report:
                shutil.rmtree(self.report.parent, ignore_errors=True)
            for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
                assert stream
                with suppress(BrokenPipeError):
                    stream.close()


def check_the_emulator_has_none_of(guest: Linux, engine_name: str, names: list[str], pieces: list[bytes]) -> None:
    """What the Launcher started has no kernel: none of ``names`` in arguments, open files and maps, no file with one of
    ``pieces``.  The kvm engine starts no program; the Launcher's own second process is no other program."""
    own = os.readlink(f"/proc/{guest.process.pid}/exe")
    children = [each for each in descendants(guest.process.pid) if os.readlink(f"/proc/{each}/exe") != own]
    assert bool(children) is (engine_name == "tcg")
    for child in children:
        process = Path(f"/proc/{child}")
        arguments = [os.fsdecode(word) for word in (process / "cmdline").read_bytes().split(b"\0")]
        assert not {"-kernel", "-initrd", "-append", "-drive", "-hda", "-cdrom", "-pflash"} & set(arguments)
        opened = [os.readlink(link) for link in (process / "fd").iterdir()]
        mapped = [line.split(maxsplit=5)[5] for line in (process / "maps").read_text().splitlines() if "/" in line]
        for name in names:
            assert not [text for text in (*arguments, *opened, *mapped) if name in text]
        files = {Path(text) for text in (*arguments, *opened) if text.startswith("/") and Path(text).is_file()}
        assert files  # what the machine starts with: the reset vector's page
        for file in files:
            contents = file.read_bytes()
            assert not [piece for piece in pieces if piece in contents]


def descendants(pid: int) -> list[int]:
    """All processes that a process started, and theirs."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


@contextmanager
def at_its_prompt(guest: Linux, patience: float = PATIENCE) -> Iterator[Linux]:
    """Wait for the shell, and keep the kernel's messages away from what programs print; the end closes the Guest."""
    try:
        guest.to_the_shell(patience)
        guest.ask("dmesg -n 1")
        yield guest
    finally:
        guest.close()
