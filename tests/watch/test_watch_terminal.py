# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py watch`` at a terminal: its screen, its keys, sizes and signals; the terminal is as before at the end."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import termios
from collections.abc import Iterator

import pytest
from pty_session import Session, modes
from watch_lab import both

from lguest_py.watch.screen import screen
from lguest_py.watch.steps import Reader
from lguest_py.watch.terminal import ENTER, LEAVE, keys

CSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*3[0-7](?:;\d+)*m")


class Watching(Session):
    """It, at a terminal of this size."""

    def __init__(self, columns: int, rows: int, *arguments: str) -> None:
        super().__init__("-m", "lguest_py", "watch", "--engine", "tcg", "--on", "SET_PTE", *arguments)
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def text(self) -> str:
        """The present screen."""
        return CSI.sub("", self.shown.decode(errors="replace").rpartition("\x1b[H")[2])

    def wait_for_text(self, text: str) -> None:
        self.wait_until(lambda: text in self.text(), f"{text!r} is not on the screen")

    def is_restored(self) -> bool:
        return modes(self.slave) == self.before and self.shown.decode(errors="replace").endswith(LEAVE)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Watching]]:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    made: list[Watching] = []
    yield made
    for each in made:
        each.close()


@pytest.mark.parametrize("engine_name", ["tcg"])
def test_keys_sizes_and_the_end(engine_name: str, terminal: list[Watching]) -> None:
    here = Watching(80, 24)
    terminal.append(here)
    steps = len(both()[1].steps)
    here.wait_for_text(f"1/{steps}")
    here.wait_for_text("leave")
    for typed, place in (
        (b"\x1b[C", 2), (b"\x1bOC", 3), (b" ", 4), (b"\x1b[D", 3), (b"\x1b[F", steps), (b"\x1b[H", 1),
        (b"\x1b[B\x1b[B", 3),
    ):  # fmt: skip
        here.type(typed)
        here.wait_for_text(f" {place}/{steps}")
    assert COLOUR.search(here.shown.decode(errors="replace"))
    assert ENTER in here.shown.decode(errors="replace")
    here.resize(40, 16)
    here.wait_until(lambda: len(here.text().split("\r\n")) == 16, "it has not the new size")
    os.kill(here.process.pid, signal.SIGTSTP)
    # A process of an orphaned group is not stopped, so it takes the terminal again at once.
    here.wait_until(lambda: (LEAVE + ENTER).encode() in here.shown, "a stopped one has not given the terminal back")
    here.type(b"q")
    assert here.end() == 0
    assert here.is_restored()


@pytest.mark.parametrize("engine_name", ["tcg"])
@pytest.mark.parametrize(
    ("typed", "sent", "status"),
    [
        (b"\x03", 0, 130),
        pytest.param(b"", signal.SIGTERM, 143, marks=pytest.mark.nightly),
        pytest.param(b"", signal.SIGHUP, 129, marks=pytest.mark.nightly),
    ],
)
def test_a_signal_restores_the_terminal(
    engine_name: str, typed: bytes, sent: int, status: int, terminal: list[Watching], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    here = Watching(100, 30, "--beside")
    terminal.append(here)
    here.wait_for_text("leave")
    assert not COLOUR.search(here.shown.decode(errors="replace"))
    if typed:
        here.type(typed)
    else:
        os.kill(here.process.pid, sent)
    assert here.end() == status
    assert here.is_restored()


@pytest.mark.parametrize("engine_name", ["tcg"])
def test_a_terminal_that_is_none_gets_text(
    engine_name: str, terminal: list[Watching], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    here = Watching(80, 24)
    terminal.append(here)
    assert here.end() == 0
    assert b"\x1b" not in here.shown.replace(b"\x1b[K", b"")
    assert b"Guest \xe2\x86\x92 Host" in here.shown


@pytest.mark.parametrize("engine_name", ["tcg"])
@pytest.mark.parametrize("size", [(80, 24), (60, 30), (200, 60), (20, 8)], ids=str)
def test_each_step_fits(engine_name: str, size: tuple[int, int]) -> None:
    """Each line is as wide as the screen; the instruction, its place and, where there is room, its why are there."""
    for records in ([both()[1]], both()):
        reader = Reader(records)
        for row in range(0, len(reader.view.rows), 4):
            reader.go(row)
            lines = screen(reader, *size)
            assert len(lines) == size[1]
            assert {line.cell_len for line in lines} <= {0, size[0]}
            text = "\n".join(line.plain for line in lines)
            step = reader.view.first(row)
            assert f"{row + 1}/{len(reader.view.rows)}" in text
            assert step.code[: size[0] // 2 - 6] in text
            if size[1] >= 24:
                assert step.why.split(".")[0].split()[0] in text
                assert f"ring {step.ring}" in text


def test_keys_that_terminals_send() -> None:
    assert list(keys("\x1b[A\x1bOB\x1b[1;5C\x1b[5~\x1b[6~\x1b[1~\x1b[4~q")) == [
        "up", "down", "right", "page up", "page down", "home", "end", "q",
    ]  # fmt: skip
    assert list(keys("\x1b")) == []
    assert list(keys("\x1b[")) == []
    assert list(keys("\x1b[200~x")) == ["x"] or list(keys("\x1b[99~x")) == ["x"]


@pytest.mark.parametrize("engine_name", ["tcg"])
def test_a_reader(engine_name: str) -> None:
    reader = Reader(both())
    assert [view.name for view in reader.views] == ["beside", "classic", "lean"]
    starts = [start for _, start, _ in reader.view.phases()]
    for start in starts[1:]:
        reader.press("page down")
        assert reader.row == start
    reader.press("b")
    assert reader.view.name == "classic"
    assert reader.view.first(reader.row).phase == "entry"
    reader.press("page up")
    assert reader.view.first(reader.row).phase == "host"
    reader.press("?")
    assert reader.help
    assert reader.press("right")
    assert not reader.help
    assert not reader.press("q")
