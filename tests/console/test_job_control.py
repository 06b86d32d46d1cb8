# SPDX-License-Identifier: GPL-2.0-or-later
"""``boot`` as a job of a shell: in the background, stopped, continued, and that it can be ended from each."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_engine import fake_images
from job_lab import PATIENCE, Job
from pty_session import Session, is_raw, modes

__all__ = ["fake_images"]
FAKE_CLI = Path(__file__).resolve().parents[1] / "lab" / "fake_cli.py"
Start = Callable[..., Job]


@pytest.fixture
def job(fake_images: Path) -> Iterator[Start]:
    """Start ``boot`` on a scripted machine, as a job."""
    made: list[Job] = []

    def start(script: str, *options: str, foreground: bool = False, before: tuple[str, ...] = ()) -> Job:
        ours = (sys.executable, str(FAKE_CLI), script, str(fake_images), "boot", *options)
        made.append(Job(*before, *ours, foreground=foreground))
        return made[-1]

    yield start
    for each in made:
        each.close()


def until(job: Job, condition: Callable[[], bool]) -> None:
    for _ in range(int(PATIENCE / 0.05)):
        if condition():
            return
        job.look(0.05)
    raise AssertionError(job.shown)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_in_the_background_it_runs_and_a_signal_ends_it(job: Start, number: signal.Signals) -> None:
    j = job("idle")
    j.wait_for(b"ready")
    assert b"in the background of its terminal" in j.shown
    os.write(j.master, b"typed\r")  # for the shell, whose terminal it is
    assert modes(j.slave) == j.before
    j.send(number)
    assert j.wait("ended")[1] == str(128 + number)
    assert modes(j.slave) == j.before


def test_in_the_background_its_output_stops_it_not_even_with_tostop(job: Start) -> None:
    j = job("idle", "-v", before=("sh", "-c", 'stty tostop; exec "$@"', "sh"), foreground=True)
    j.wait_for(b"ready")
    j.order(b"b")
    j.send(signal.SIGTERM)
    assert j.wait("ended")[1] == "143"
    j.look(0.1)
    assert b"rings seen" in j.shown


def test_in_the_background_its_time_limit_ends_it(job: Start) -> None:
    j = job("idle", "--timeout", "0.5")
    assert j.wait("ended")[1] == "4"
    assert modes(j.slave) == j.before


def test_brought_to_the_foreground_it_takes_the_terminal(job: Start) -> None:
    j = job("echo")
    j.wait_for(b"ready")
    j.order(b"f")  # as bash does with a job that runs: without SIGCONT
    until(j, lambda: is_raw(j.slave))
    os.write(j.master, b"hello q")
    assert j.wait("ended")[1] == "0"
    assert b"hello" in j.shown
    assert modes(j.slave) == j.before


def test_a_stop_gives_the_terminal_back_and_going_on_takes_it_again(job: Start) -> None:
    j = job("echo", foreground=True)
    j.wait_for(b"ready")
    for _ in range(2):
        until(j, lambda: is_raw(j.slave))
        j.send(signal.SIGTSTP)
        j.wait("stopped")
        assert modes(j.slave) == j.before
        j.order(b"c")
        j.wait("continued")
    until(j, lambda: is_raw(j.slave))
    os.write(j.master, b"still here q")
    assert j.wait("ended")[1] == "0"
    assert b"still here" in j.shown
    assert modes(j.slave) == j.before


@pytest.mark.parametrize("stop", [signal.SIGTSTP, signal.SIGSTOP])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_stopped_it_ends_when_it_is_continued(job: Start, stop: signal.Signals, number: signal.Signals) -> None:
    j = job("idle", foreground=stop == signal.SIGTSTP)
    j.wait_for(b"ready")
    j.send(stop)
    j.wait("stopped")
    j.send(number)
    j.send(signal.SIGCONT)  # as timeout(1) does, and the shell's kill; it stays in the background
    assert j.wait("ended")[1] == str(128 + number)
    assert modes(j.slave) == j.before


@pytest.mark.skipif(sys.platform != "linux", reason="needs POSIX timers")
@pytest.mark.parametrize("stop", [signal.SIGTSTP, signal.SIGSTOP])
def test_stopped_its_time_limit_continues_and_ends_it(job: Start, stop: signal.Signals) -> None:
    j = job("idle", "--timeout", "3")
    j.wait_for(b"ready")
    j.send(stop)
    j.wait("stopped")
    assert j.wait("ended")[1] == "4"
    assert modes(j.slave) == j.before


def test_in_an_orphaned_process_group_nothing_stops_it(fake_images: Path) -> None:
    """Where no process could continue it: it leads its session."""
    s = Session(str(FAKE_CLI), "echo", str(fake_images), "boot")
    try:
        s.wait_for(b"ready")
        s.wait_until(lambda: is_raw(s.slave), "the terminal is not raw")
        for number in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            s.process.send_signal(number)
            s.type(number.name.encode())
            s.wait_for(number.name.encode())
        assert is_raw(s.slave)
        s.process.send_signal(signal.SIGTERM)
        assert s.end() == 128 + signal.SIGTERM
        assert modes(s.slave) == s.before
    finally:
        s.close()


def test_timeout_in_a_script_on_a_terminal_ends_it(job: Start) -> None:
    if not shutil.which("timeout"):
        pytest.skip("no timeout(1) here")
    script = ("sh", "-c", '"$@"; exit $?', "sh")  # timeout(1) leaves its process group, and so the foreground
    j = job("idle", before=(*script, "timeout", "8"), foreground=True)
    j.wait_for(b"ready")
    os.write(j.master, b"\r")
    assert j.wait("ended")[1] == "124"
    assert modes(j.slave) == j.before
