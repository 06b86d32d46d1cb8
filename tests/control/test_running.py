# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests in the background, and the verbs that find them, as a user has them.

Read next: lguest_py/control/server.py; tests/control/test_control_server.py, clients that are wrong.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from process_lab import alive, family, gone
from pty_session import Session

from lguest_py.control.client import NoSuchGuestError, Running, running

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300  # the carrier is slow
pytestmark = pytest.mark.usefixtures("runtime")


def command(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lguest_py", *words],
        input=given, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip


def done(*words: str) -> str:
    """What a command prints that does what it should."""
    ran = command(*words)
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return ran.stdout


def boot(engine: str, *words: str) -> str:
    """The name of a Guest in the background."""
    return done("boot", "--quiet", "--detach", "--engine", engine, "--memory", "16M", *words).strip()


def said(*words: str) -> str:
    """The one line of a command that cannot."""
    ran = command(*words)
    assert ran.returncode == 1, ran
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    return line


def test_a_guest_in_the_background(engine_name: str, tmp_path: Path) -> None:
    name = boot(engine_name, "--name", "it")
    assert name == "it"
    header, row = done("ps").splitlines()
    assert header.split() == ["NAME", "PID", "STATE", "TIME", "MEMORY", "ENGINE", "IMAGE"]
    pid = int(row.split()[1])
    pids = family(pid)
    assert row.split()[0] == "it"
    assert row.split()[2] == "running"
    found = json.loads(done("stat", "--json", name))
    assert (found["pid"], found["state"], found["engine"]) == (pid, "running", engine_name)
    assert found["switches"] > 0
    assert found["hypercalls"]["NOTIFY"] > 0
    assert "state: running" in done("stat", name)
    done("pause", name)
    done("pause", name)
    still = json.loads(done("stat", "--json", name))
    assert still["state"] == "paused"
    assert json.loads(done("stat", "--json", name))["switches"] == still["switches"]
    assert json.loads(done("ps", "--json"))["state"] == "paused"
    done("resume", name)
    assert json.loads(done("stat", "--json", name))["state"] == "running"
    done("dump", name, str(tmp_path / "core"))
    assert (tmp_path / "core").read_bytes()[:4] == b"\x7fELF"
    done("stop", name)
    assert not alive(pid)
    gone(pids)
    assert len(done("ps").splitlines()) == 1


@pytest.mark.nightly("kvm")
def test_its_console_at_a_terminal(engine_name: str) -> None:
    name = boot(engine_name)
    assert name.isdecimal()
    session = Session("-m", "lguest_py", "attach", name)
    try:
        session.wait_for(b"lguest> ")
        session.type(b"echo first\r")
        session.wait_for(b"\nfirst")
        assert "another program is attached" in said("attach", name)
        assert json.loads(done("stat", "--json", name))["attached"] is True
        session.type(b"\x01?")
        session.wait_for(b"Ctrl-A d")
        session.type(b"\x01d")
        assert session.end() == 0
    finally:
        session.close()
    session = Session("-m", "lguest_py", "attach", name)
    try:
        session.wait_for(b"\nfirst")  # what it wrote before
        session.type(b"poweroff\r")
        session.wait_for(b"the Guest powered off")
        assert session.end() == 0
    finally:
        session.close()
    assert "no Guest" in said("stat", name)


@pytest.mark.nightly("kvm")
def test_input_from_a_pipe_goes_on_to_the_guests_end(engine_name: str) -> None:
    name = boot(engine_name)
    ran = command("attach", name, given="echo from-a-pipe\npoweroff\n")
    assert ran.returncode == 0, ran
    assert "\nfrom-a-pipe" in ran.stdout


@pytest.mark.nightly("kvm")
def test_a_guest_is_saved_and_goes_on_twice(engine_name: str, tmp_path: Path) -> None:
    file = str(tmp_path / "saved")
    boot(engine_name, "--name", "first")
    done("save", "--compress", "first", file)
    assert "File exists" in said("save", "first", file)
    done("stop", "first")
    for name in ("second", "third"):
        assert done("restore", "--quiet", "--detach", "--engine", engine_name, "--name", name, file).strip() == name
    assert {each["name"] for each in running()} == {"second", "third"}
    ran = command("attach", "third", given="uptime\npoweroff\n")
    assert "TSC at" in ran.stdout, ran
    ran = command("restore", "--engine", engine_name, file, given="test\npoweroff\n")
    assert (ran.returncode, ", 0 failed" in ran.stdout) == (0, True), ran
    done("stop", "second")


@pytest.mark.nightly("kvm")
def test_two_guests_cannot_have_one_name(engine_name: str) -> None:
    boot(engine_name, "--name", "same")
    ran = command("boot", "--detach", "--engine", engine_name, "--name", "same")
    assert ran.returncode == 2
    assert "another program listens there" in ran.stderr
    done("stop", "same")


def test_what_ends_before_the_guest_runs_is_the_status(tmp_path: Path) -> None:
    ran = command("boot", "--detach", str(tmp_path / "nothing"))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "nothing" in ran.stderr
    assert command("boot", "--detach", "--json").returncode == 2


def test_a_name_that_cannot_be(tmp_path: Path) -> None:
    for name in ("", "../it", "a b", "-x", "x" * 65, "it\n", "\x1b[2J"):
        ran = command("stat", "--", name)
        assert ran.returncode == 2, ran
        assert "cannot be called" in ran.stderr
        assert "\x1b" not in ran.stderr
        assert command("boot", f"--name={name}").returncode == 2


@pytest.mark.nightly("kvm")
def test_a_guest_that_was_killed_is_forgotten(engine_name: str, runtime: Path) -> None:
    name = boot(engine_name)
    pids = family(int(name))
    os.kill(int(name), 9)
    gone(pids)
    with pytest.raises(NoSuchGuestError):
        Running(name).stat()


def test_a_folder_of_another_user_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / f"lguest-py-{os.geteuid()}").mkdir()
    (tmp_path / f"lguest-py-{os.geteuid()}").chmod(0o777)
    ran = command("boot", "--detach", "--name", "it")
    assert ran.returncode == 2
    assert "is not this user's alone" in ran.stderr


@pytest.mark.nightly("kvm")
def test_a_stopped_process_gives_no_answer(engine_name: str) -> None:
    name = boot(engine_name, "--name", "it")
    pid = int(json.loads(done("stat", "--json", name))["pid"])
    os.kill(pid, signal.SIGSTOP)
    try:
        _, row = done("ps").splitlines()
        assert row.split() == ["it", "-", "no", "answer", "-", "-", "-", "-"]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert json.loads(done("ps", "--json"))["pid"] == pid


@pytest.mark.nightly("kvm")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may leave a folder")
def test_a_guest_that_can_see_no_files(engine_name: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    name = boot(engine_name, "--name", "it", "--chroot", str(empty), "--username", "nobody")
    done("dump", name, str(tmp_path / "core"))
    done("save", name, str(tmp_path / "saved"))
    done("stop", name)
    ran = command("restore", "--engine", engine_name, str(tmp_path / "saved"), given="poweroff\n")
    assert ran.returncode == 0, ran
