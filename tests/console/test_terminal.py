# SPDX-License-Identifier: GPL-2.0-or-later
"""The terminal: our keys, raw modes, and that they are undone whatever happens."""

from __future__ import annotations

import os
import pty
import select
import signal
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fake_engine import fake_images
from pty_session import OFLAG, PATIENCE, Session, is_raw, modes

from lguest_py.cli.signals import SignalPipe
from lguest_py.console.terminal import EscapeFilter, QuitRequested, Terminal, line_end

__all__ = ["fake_images"]
FAKE_CLI = Path(__file__).resolve().parents[1] / "lab" / "fake_cli.py"


@pytest.mark.parametrize(
    ("typed", "kept", "wants_help"),
    [
        (b"ls\r", b"ls\r", False),
        (b"\x01\x01", b"\x01", False),
        (b"a\x01?b", b"ab", True),
        (b"\x01l", b"\x01l", False),
        (b"\x03\x04\x1a", b"\x03\x04\x1a", False),
        (b"\x01\x01x", b"\x01x", False),
    ],
)
def test_what_is_typed_reaches_the_guest_but_for_our_keys(typed: bytes, kept: bytes, wants_help: bool) -> None:
    assert EscapeFilter().feed(typed) == (kept, wants_help)
    bytewise = EscapeFilter()
    pieces = [bytewise.feed(bytes([byte])) for byte in typed]
    assert b"".join(piece for piece, _ in pieces) == kept
    assert any(asked for _, asked in pieces) == wants_help


def test_ctrl_a_x_leaves_even_in_two_reads() -> None:
    filter_ = EscapeFilter()
    assert filter_.feed(b"abc\x01") == (b"abc", False)
    with pytest.raises(QuitRequested):
        filter_.feed(b"x")


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """Master and slave of a pseudo-terminal."""
    master, slave = pty.openpty()
    yield master, slave
    for fd in (master, slave):
        with suppress(OSError):
            os.close(fd)


def test_raw_within_and_as_before_after(ends: tuple[int, int]) -> None:
    _, slave = ends
    before = modes(slave)
    with Terminal(slave, 2):
        assert is_raw(slave)
        assert not termios.tcgetattr(slave)[OFLAG] & termios.OPOST
    assert modes(slave) == before
    with pytest.raises(ZeroDivisionError), Terminal(slave, 2):
        raise ZeroDivisionError
    assert modes(slave) == before


def test_what_was_typed_ahead_is_kept(ends: tuple[int, int]) -> None:
    master, slave = ends
    os.write(master, b"ahead\n")
    with Terminal(slave, 2) as terminal:
        assert select.select([terminal.fileno()], [], [], PATIENCE)[0]
        assert terminal.read() == b"ahead\n"


def test_help_goes_to_where_it_is_shown(ends: tuple[int, int]) -> None:
    master, slave = ends
    read, write = os.pipe()
    with Terminal(slave, write) as terminal:
        os.write(master, b"a\x01?b")
        got = b""
        while len(got) < 2:
            got += terminal.read()
    assert got == b"ab"
    assert b"Ctrl-A x" in os.read(read, 1000)
    os.close(read)
    os.close(write)


def test_a_terminal_that_is_gone_says_nothing_more(ends: tuple[int, int]) -> None:
    master, slave = ends
    with Terminal(slave, 2) as terminal:
        os.close(master)
        assert terminal.read() == b""
        assert terminal.fileno() == -1
        assert terminal.end_of_input() == b""


@pytest.fixture
def session(fake_images: Path) -> Iterator[Callable[..., Session]]:
    made: list[Session] = []

    def start(script: str, *arguments: str) -> Session:
        made.append(Session(str(FAKE_CLI), script, str(fake_images), "boot", *arguments))
        return made[-1]

    yield start
    for each in made:
        each.close()


Start = Callable[..., Session]


def test_a_session_from_prompt_to_power_off(session: Start) -> None:
    s = session("echo")
    s.wait_for(b"ready\r")
    s.wait_until(lambda: is_raw(s.slave), "the terminal is not raw")
    s.type(b"hi\x03\x1a\x01?")
    s.wait_for(b"hi\x03\x1a")
    s.wait_for(b"Ctrl-A x")
    s.type(b"q")
    assert s.end() == 0
    assert modes(s.slave) == s.before
    assert b"lguest-py: engine fake: a test asked for it\r\n" in s.shown
    assert b"Ctrl-A Ctrl-A  send Ctrl-A\r\n" in s.shown


def test_ctrl_a_x_leaves_with_130(session: Start) -> None:
    s = session("idle")
    s.wait_for(b"ready")
    s.type(b"\x01x")
    assert s.end() == 130
    assert modes(s.slave) == s.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_it_and_the_terminal_is_as_before(session: Start, number: signal.Signals) -> None:
    s = session("idle")
    s.wait_for(b"ready")
    s.wait_until(lambda: is_raw(s.slave), "the terminal is not raw")
    s.process.send_signal(number)
    assert s.end() == 128 + number
    assert modes(s.slave) == s.before


def test_a_bug_of_ours_leaves_the_terminal_as_before(session: Start) -> None:
    s = session("crash")
    assert s.end() == 1
    assert b"a bug" in s.shown
    assert modes(s.slave) == s.before


def test_a_terminal_that_hangs_up_ends_it(session: Start) -> None:
    s = session("idle")
    s.wait_for(b"ready")
    s.process.send_signal(signal.SIGSTOP)  # so that closing finds it there
    os.close(s.master)
    s.master = os.open(os.devnull, os.O_RDONLY)
    s.process.send_signal(signal.SIGCONT)
    assert s.end() in (129, 141)


def test_an_open_line_is_closed_before_our_words(session: Start) -> None:
    s = session("off", "--verbose")
    assert s.end() == 0
    assert b"bye\r\nlguest-py: the Guest powered off\r\nseconds:" in s.shown


def test_a_guest_that_is_no_linux_gets_its_newlines_as_line_ends(session: Start) -> None:
    s = session("lines")  # a Linux sends the carriage return itself, and may want a newline to keep the column
    s.wait_until(lambda: b"two" in s.shown, "nothing is shown")
    assert b"one\r\ntwo" in s.shown
    assert s.end() == 0
    assert modes(s.slave) == s.before


def test_a_line_ends_as_the_terminal_needs_it(ends: tuple[int, int]) -> None:
    _, slave = ends
    assert line_end(slave) == "\n"
    with Terminal(slave, 2):
        assert line_end(slave) == "\r\n"
    with Terminal(slave, 2, newlines=True):
        assert line_end(slave) == "\n"
    with open(os.devnull) as file:
        assert line_end(file.fileno()) == "\n"


def test_the_terminals_size_is_known_and_its_change_wakes(ends: tuple[int, int]) -> None:
    master, slave = ends
    termios.tcsetwinsize(master, (24, 80))
    terminal = Terminal(slave, show=2)
    assert terminal.size == (80, 24)
    with SignalPipe(terminal.suspend, terminal.resume, terminal.resized) as signals:
        termios.tcsetwinsize(master, (50, 132))
        assert terminal.size == (80, 24)
        os.kill(os.getpid(), signal.SIGWINCH)  # the kernel sends it to a job in the terminal's foreground
        assert select.select([signals.fileno()], [], [], PATIENCE)[0]
        assert signals.take() == 0
        assert terminal.size == (132, 50)
    os.close(master)
    os.close(slave)
    terminal.resized()
    assert terminal.size == (132, 50)
