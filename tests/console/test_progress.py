# SPDX-License-Identifier: GPL-2.0-or-later
"""What takes long is told on a terminal, and only there; colours too."""

from __future__ import annotations

import io
import os
import pty
import select
from collections.abc import Callable, Generator
from typing import TextIO

import pytest

from lguest_py.console import progress
from lguest_py.console.progress import Progress, paint

PATIENCE = 60  # seconds until a test gives up


class Terminal:
    """A pseudo-terminal: ``stream`` to write to, ``shown`` what came out."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        self.stream: TextIO = os.fdopen(slave, "w")
        self.shown = ""

    def read_until(self, wanted: Callable[[str], bool]) -> None:
        """Read until this is shown."""
        while not wanted(self.shown):
            assert select.select([self.master], [], [], PATIENCE)[0], self.shown
            self.shown += os.read(self.master, 4096).decode()

    def rest(self) -> str:
        """All that was shown to now."""
        while select.select([self.master], [], [], 0)[0]:
            self.shown += os.read(self.master, 4096).decode()
        return self.shown


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Generator[Terminal, None, None]:
    """A terminal that can move its cursor, looked at often."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    terminal = Terminal()
    yield terminal
    terminal.stream.close()
    os.close(terminal.master)


def test_a_line_that_grows_old_and_goes_away(terminal: Terminal) -> None:
    with Progress("doing it", terminal.stream) as doing:
        terminal.read_until(lambda shown: "lguest-py: doing it (0 s)" in shown)
        doing.say("half of it")
        terminal.read_until(lambda shown: "lguest-py: doing it (half of it, 0 s)" in shown)
    assert terminal.rest().endswith("\r\x1b[K")
    assert "\n" not in terminal.shown


def test_what_is_over_soon_says_nothing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 1000.0)
    with Progress("doing it", terminal.stream):
        pass
    assert terminal.rest() == ""


def test_a_terminal_that_cannot_move_gets_one_line(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with Progress("doing it", terminal.stream):
        terminal.read_until(lambda shown: "\n" in shown)
    assert terminal.rest() == "lguest-py: doing it\r\n"


def test_a_file_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    file = io.StringIO()
    with Progress("doing it", file) as doing:
        doing.say("half of it")
        assert doing._thread is None
    assert file.getvalue() == ""


def test_an_error_passes_through_and_the_line_is_gone(terminal: Terminal) -> None:
    with pytest.raises(ValueError, match="bad"), Progress("doing it", terminal.stream):  # noqa: PT012
        terminal.read_until(lambda shown: "doing it" in shown)
        raise ValueError("bad")
    assert terminal.rest().endswith("\r\x1b[K")


def test_colours_are_for_terminals_and_for_those_who_want_them(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert paint("no", "red", terminal.stream) == "\x1b[31mno\x1b[0m"
    assert paint("no", "red", io.StringIO()) == "no"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("no", "red", terminal.stream) == "no"
    monkeypatch.setenv("NO_COLOR", "")
    assert paint("ok", "green", terminal.stream) == "\x1b[32mok\x1b[0m"
    monkeypatch.setenv("TERM", "dumb")
    assert paint("ok", "green", terminal.stream) == "ok"
