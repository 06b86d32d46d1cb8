# SPDX-License-Identifier: GPL-2.0-or-later
"""lguest-py trace as its users have it: files, pipes, a terminal, and what they get wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pty_session import Session
from trace_lab import exit_record, records_block, trace

ROOT = Path(__file__).resolve().parents[2]
WORDS = sys.executable, "-m", "lguest_py", "trace"


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def recorded(tmp_path: Path) -> str:
    """A trace of many switches."""
    file = tmp_path / "some trace"
    file.write_bytes(trace(*(exit_record(1000 * at, 1000 * at + 500) for at in range(1, 20_000))))
    return str(file)


def ran(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*WORDS, *words], capture_output=True, text=True, timeout=60, check=False)


def refused(*words: str, status: int) -> str:
    """The one line."""
    done = ran(*words)
    assert (done.returncode, done.stdout) == (status, ""), done
    (line,) = done.stderr.splitlines()
    return line


def test_wrong_use(tmp_path: Path) -> None:
    assert "give the NAME of a running Guest, or --read FILE" in refused(status=2)
    assert "give the NAME of a running Guest, or --read FILE" in refused("--read", "x", "name", status=2)
    assert "--seconds and --rate are for a running Guest" in refused("--read", "x", "--seconds", "1", status=2)
    assert "--json is for the lines" in refused("--read", "x", "--json", "--top", status=2)
    assert "give 1 to 10000 samples" in refused("--rate", "0", "x", status=2)
    assert "no Guest nobody runs" in refused("nobody", status=1)
    assert "cannot be called" in refused("../x", status=2)
    assert "No such file" in refused("--read", str(tmp_path / "none"), status=2)
    assert "Is a directory" in refused("--read", str(tmp_path), status=2)


def test_what_is_no_trace(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"something else")
    assert "is no trace of lguest-py" in refused("--read", str(file), status=1)
    file.write_bytes(b"")
    assert "is no trace of lguest-py" in refused("--read", str(file), status=1)


@pytest.mark.parametrize("option", ["--svg", "--perfetto", "--flame", "--folded"])
def test_a_picture_that_cannot_be_written(recorded: str, option: str, tmp_path: Path) -> None:
    place = str(tmp_path / "no" / "where")
    assert f"{option} {place} cannot be written" in refused("--read", recorded, option, place, status=2)


@pytest.mark.parametrize("option", ["--svg", "--perfetto", "--flame", "-o", "--write"])
def test_a_full_disk(recorded: str, option: str) -> None:
    line = refused("--read", recorded, option, "/dev/full", status=1)
    assert line.startswith("lguest-py: /dev/full cannot be written (No space left on device)")


def test_a_full_disk_behind_the_standard_output(recorded: str) -> None:
    with open("/dev/full", "wb") as full:
        how = {"stdout": full, "stderr": subprocess.PIPE, "timeout": 60, "check": False}
        done = subprocess.run([*WORDS, "--read", recorded], **how)  # type: ignore[call-overload]
    assert done.returncode == 1
    assert done.stderr.decode().count("\n") == 1
    assert b"the output cannot be written (No space left on device)" in done.stderr


def test_a_reader_that_has_enough(recorded: str) -> None:
    with subprocess.Popen([*WORDS, "--read", recorded], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as made:
        assert made.stdout
        assert made.stderr
        assert made.stdout.readline().startswith(b"#")
        made.stdout.close()
        assert made.wait(60) == 141
        assert made.stderr.read() == b""


def test_it_reads_and_writes_pipes(recorded: str) -> None:
    with open(recorded, "rb") as file:
        done = subprocess.run([*WORDS, "--read", "-", "--perfetto", "-"], stdin=file, capture_output=True, timeout=60,
                              check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout[:1] == b"\x0a"


def test_several_files_at_once_and_no_lines(recorded: str, tmp_path: Path) -> None:
    svg, again = tmp_path / "a b.svg", tmp_path / "again"
    done = ran("--read", recorded, "--svg", str(svg), "--write", str(again), "--top")
    assert (done.returncode, done.stderr) == (0, "")
    assert "19,999 world switches" in done.stdout
    assert svg.read_text().startswith("<svg")
    assert again.read_bytes() == Path(recorded).read_bytes()


def test_one_that_was_cut_off_is_shown_with_a_word_on_it(recorded: str) -> None:
    with open(recorded, "ab") as file:
        file.write(records_block(exit_record(1, 2))[:-1])
    done = ran("--read", recorded, "--top")
    assert done.returncode == 0
    assert "19,999 world switches" in done.stdout
    (line,) = done.stderr.splitlines()
    assert "ends within a record" in line


def test_symbols_of_a_file(recorded: str, tmp_path: Path) -> None:
    (tmp_path / "System.map").write_text("c0001000 T start_kernel\n")
    done = ran("--read", recorded, "--json", "--symbols", str(tmp_path / "System.map"))
    facts, first, *_ = map(json.loads, done.stdout.splitlines())
    assert first["symbol"] == "start_kernel+0x234"
    assert "facts" in facts
    assert "has no symbols" in refused("--read", recorded, "--symbols", recorded, status=2)


def test_no_name_of_a_trace_moves_a_terminals_cursor(tmp_path: Path) -> None:
    file = tmp_path / "\x1b[2Jtrace"
    file.write_bytes(b"none")
    assert "\x1b" not in refused("--read", str(file), status=1)


@pytest.mark.nightly("kvm")
def test_the_live_table_gives_the_terminal_back(engine_name: str) -> None:
    how = "--quiet", "--detach", "--memory", "16M", "--engine", engine_name
    made = subprocess.run([sys.executable, "-m", "lguest_py", "boot", *how],
                          capture_output=True, text=True, timeout=300, check=True)  # fmt: skip
    name = made.stdout.strip()
    session = Session("-m", "lguest_py", "trace", "--top", name)
    try:
        session.wait_for(b"\x1b[?1049h")
        session.wait_for(b"world switches in")
        session.type(b"\x03")
        assert session.end() == 0
        session.wait_for(b"\x1b[?1049l")
        assert session.shown.endswith(b"\n")
        after = session.shown.split(b"\x1b[?1049l")[1]
        assert b"world switches in" in after
        assert not [b for b in (b"Traceback", b"KeyboardInterrupt") if b in session.shown]
    finally:
        session.close()
        subprocess.run([sys.executable, "-m", "lguest_py", "stop", name], timeout=300, check=True)
    assert not os.path.exists(f"{os.environ['XDG_RUNTIME_DIR']}/lguest-py/{name}.sock")
