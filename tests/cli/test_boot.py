# SPDX-License-Identifier: GPL-2.0-or-later
"""``boot`` on a real engine: the command line boots the tiny Guest, talks with it, and ends (lguest_py/cli/boot.py)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pty_session import Session, is_raw, modes

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600  # seconds until a test gives up; the carrier is slow
LIMIT = "300"  # of the Guest's own


class Run:
    """``lguest-py boot`` with a pipe for input, output and stderr; ended with the test."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lguest_py", "boot", "--timeout", LIMIT, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        self.shown = b""

    def wait_for(self, text: bytes) -> None:
        """Read the output until ``text`` was there."""
        assert self.process.stdout
        while text not in self.shown:
            piece = os.read(self.process.stdout.fileno(), 65536)
            assert piece, f"ended without {text!r}: {self.shown!r} {self.process.stderr.read()!r}"  # type: ignore[union-attr]
            self.shown += piece

    def finish(self, typed: bytes = b"") -> tuple[int, str, str]:
        """Type this and end the input; status, all output, stderr."""
        out, err = self.process.communicate(typed, PATIENCE)
        return self.process.returncode, (self.shown + out).decode(), err.decode()

    def children(self) -> list[int]:
        """The processes that it started (the emulator, where there is one)."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


Boot = Callable[..., Run]


@pytest.fixture
def boot(engine_name: str) -> Iterator[Boot]:
    runs: list[Run] = []

    def start(*arguments: str) -> Run:
        runs.append(Run("--engine", engine_name, *arguments))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()
        run.process.wait()
        for stream in (run.process.stdin, run.process.stdout, run.process.stderr):
            assert stream
            with suppress(BrokenPipeError):
                stream.close()


def ended(run: Run, typed: bytes) -> tuple[dict[str, Any], str]:
    """The JSON object and the console (with --json)."""
    status, out, err = run.finish(typed)
    data: dict[str, Any] = json.loads(out)
    assert data["status"] == status, err
    return data, err


def test_to_the_prompt_and_off_at_the_end_of_the_input(boot: Boot, engine_name: str) -> None:
    data, console = ended(boot("--json"), b"echo it lives\n")
    assert "lguest> " in console
    assert "it lives" in console
    assert (data["end"], data["status"], data["engine"]) == ("powered off", 0, engine_name)


def test_it_is_ring_1_and_ring_3_and_the_switches_are_counted(boot: Boot) -> None:
    data, _ = ended(boot("--json", "--quiet"), b"run\n")
    assert data["rings"] == [1, 3]
    causes = data["switches"]["by_cause"]
    assert data["switches"]["total"] >= sum(causes.values()) > 100
    assert causes["hypercall"] > 0
    assert causes["page fault"] > 0
    assert data["switches"]["hypercalls"]["LGUEST_INIT"] == 1
    assert sum(data["switches"]["hypercalls"].values()) > 0


@pytest.mark.nightly("kvm")
def test_times_are_in_order(boot: Boot) -> None:
    data, _ = ended(boot("--json", "--quiet"), b"")
    times = data["times"]
    assert 0 < times["host_kernel"] < times["guest"] < times["total"]
    assert 0 < times["engine"] < times["total"]


@pytest.mark.nightly("kvm")
def test_no_byte_is_lost_in_either_direction(boot: Boot) -> None:
    lines = [f"line-{n}-{'x' * (n % 60)}" for n in range(100)]
    _, out, _ = boot().finish("".join(f"echo {line}\n" for line in lines).encode())
    assert [line for line in out.splitlines() if line.startswith("line-")] == lines


def test_reboot_boots_anew(boot: Boot) -> None:
    data, console = ended(boot("--json"), b"reboot\n")
    assert (data["end"], data["restarts"]) == ("powered off", 1)
    assert console.count("tiny Guest, ring 1") == 2


@pytest.mark.nightly("kvm")
def test_reboot_can_be_the_end(boot: Boot) -> None:
    data, _ = ended(boot("--json", "--on-reboot", "exit"), b"reboot\n")
    assert (data["end"], data["status"], data["restarts"]) == ("restarted", 0, 0)


@pytest.mark.parametrize(
    ("typed", "end", "reason"),
    [
        (b"halt\n", "halted", "halted"),
        (b"panic oh no\n", "panicked", "oh no"),
        (b"fault bad-hypercall\n", "killed", "hypercall"),
    ],
)
def test_a_death_has_its_reason_and_a_report(boot: Boot, typed: bytes, end: str, reason: str) -> None:
    data, console = ended(boot("--json"), typed)
    assert (data["end"], data["status"]) == (end, 3)
    assert reason in data["reason"]
    report = console[console.index("lguest-py: the Guest") :]
    assert data["reason"] in report
    assert "Guest registers, in ring 1, after hypercall" in report
    assert "the last 64 of" in report


@pytest.mark.nightly("kvm")
def test_the_time_limit(boot: Boot, engine_name: str) -> None:
    limit = {"tcg": "3", "kvm": "40"}[engine_name]  # reading the kernel counts, and Python is slow in the carrier
    run = boot("--timeout", limit)
    run.wait_for(b"lguest> ")
    assert run.process.wait(PATIENCE) == 4
    assert run.process.stderr
    assert b"time limit" in run.process.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything(boot: Boot, number: signal.Signals) -> None:
    run = boot()
    run.wait_for(b"lguest> ")
    children = run.children()
    run.process.send_signal(number)
    assert run.process.wait(PATIENCE) == 128 + number
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


def test_a_launcher_that_is_killed_leaves_no_emulator_behind(boot: Boot) -> None:
    run = boot()
    run.wait_for(b"lguest> ")
    children = run.children()
    run.process.kill()
    run.process.wait()
    deadline = time.monotonic() + PATIENCE
    while any(_runs(child) for child in children):
        assert time.monotonic() < deadline, "the emulator runs on"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_an_emulator_never_gets_the_guests_kernel(boot: Boot) -> None:
    run = boot()
    run.wait_for(b"lguest> ")
    for child in run.children():
        arguments = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        assert not {b"-kernel", b"-initrd", b"-append", b"-drive", b"-hda", b"-device loader"} & set(arguments)
        assert not [word for word in arguments if b"guest." in word or b"loader" in word]
        files = [os.readlink(link) for link in Path(f"/proc/{child}/fd").iterdir()]
        assert not [name for name in files if "guest." in name]
    assert run.finish()[0] == 0


@pytest.mark.nightly("kvm")
def test_a_slow_reader_gets_everything(boot: Boot) -> None:
    run = boot("--quiet")
    assert run.process.stdin
    assert run.process.stdout
    run.process.stdin.write(b"help\n" * 20)
    run.process.stdin.close()
    while piece := os.read(run.process.stdout.fileno(), 512):
        run.shown += piece
        time.sleep(0.002)
    assert run.process.wait(PATIENCE) == 0
    assert run.shown.count(b"poweroff ") == 20


def test_a_person_at_a_terminal(engine_name: str) -> None:
    session = Session("-m", "lguest_py", "boot", "--timeout", LIMIT, "--engine", engine_name)
    try:
        session.wait_for(b"lguest> ")
        session.wait_until(lambda: is_raw(session.slave), "the terminal is not raw")
        session.type(b"echo a person\r")
        session.wait_for(b"\na person")
        session.type(b"\x01x")
        assert session.end() == 130
        assert modes(session.slave) == session.before
    finally:
        session.close()


def test_a_real_linux_to_its_shell_and_off(boot: Boot, linux: Any) -> None:
    run = boot("--json", "--initrd", str(linux.initrd), str(linux.bzimage), "console=hvc0")
    data, console = ended(run, b"echo in ring $((2 - 1))\nexit\n")
    assert "in ring 1" in console
    assert (data["end"], data["status"], data["rings"]) == ("powered off", 0, [1, 3])
