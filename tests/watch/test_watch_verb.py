# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py watch`` as a command: wrong use, what it writes, and an end by a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from watch_lab import recorded

from lguest_py.cli import main
from lguest_py.errors import EngineError
from lguest_py.watch.causes import find, names
from lguest_py.watch.record import VERSION
from lguest_py.watch.recorder import Recorder

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "lguest_py", "watch", "--engine", "tcg"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--on", "nonsense"], "there is no cause 'nonsense': give --on one of hypercall, fault, irq, syscall, "),
        (["--skip", "-1"], "--skip"),
        (["--ring", "2"], "--ring"),
        (["--beside", "--switcher", "lean"], "leave --switcher out"),
        (["--html", "/nonexistent/page.html"], "give a file in a directory that exists"),
        (["--timeout", "0"], "--timeout"),
        ([""], "IMAGE is empty"),
        (["/nonexistent/bzImage"], "/nonexistent/bzImage does not exist"),
    ],
    ids=" ".join,
)
def test_wrong_use_is_a_line_and_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_a_machine_file_that_wants_another_user_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "machine.toml"
    file.write_text('username = "nobody"\n')
    assert main(["watch", str(file)]) == 2
    assert "leave them out here" in capsys.readouterr().err


def test_all_causes_are_listed_and_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--on", "help"]) == 0
    listed = capsys.readouterr().out.split()
    assert listed == list(names())
    for name in listed:
        assert find(name) == find(name.upper().replace("-", "_"))
    assert {"hypercall", "SET_PTE", "general-protection", "doorbell"} <= set(listed)


@pytest.mark.parametrize("engine_name", ["tcg"])
def test_what_it_writes(engine_name: str, tmp_path: Path) -> None:
    page, data = tmp_path / "page.html", tmp_path / "data.json"
    command = [*COMMAND, "--html", str(page), "--json", str(data), "lguest_py/_images/guest.elf", "--text"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=True)
    assert done.stdout == ""
    assert "--text after IMAGE goes to the kernel" in done.stderr
    (record,) = json.loads(data.read_text())
    assert (record["version"], record["switcher"], record["engine"]) == (VERSION, "lean", "tcg")
    assert record["cause"].startswith("hypercall LGUEST_INIT (")
    assert page.read_text().startswith("<!doctype html>")


def children(pid: int) -> list[int]:
    """The processes that it has."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(each) for task in tasks for each in (task / "children").read_text().split()]


@pytest.mark.parametrize("engine_name", ["tcg"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_waits_leaves_no_process(engine_name: str, number: signal.Signals) -> None:
    process = subprocess.Popen([*COMMAND, "--on", "divide-error"], stderr=subprocess.PIPE, text=True, cwd=ROOT)
    deadline = time.monotonic() + 60
    while not (found := [pid for pid in children(process.pid) if b"stub" in Path(f"/proc/{pid}/cmdline").read_bytes()]):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert err == ""
    assert not any(os.path.exists(f"/proc/{pid}") for pid in found)  # nor a zombie: it was waited for


@pytest.mark.parametrize("engine_name", ["tcg"])
def test_an_engine_that_fails_is_a_line(engine_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(Recorder, "record", fails)
    with pytest.raises(EngineError, match="the engine tcg failed while it was watched"):
        recorded(engine_name, "hypercall", "lean")
