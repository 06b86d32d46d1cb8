# SPDX-License-Identifier: GPL-2.0-or-later
"""The terminal's view: a screen of its own, on which keys go forward and back.  The terminal is restored in any case.

Keys are read one at a time with signals as they are, so that Ctrl-C and Ctrl-Z do what they always do.
Read next: screen.py, what is on it; steps.py, what keys do; lguest_py/cli/signals.py, the signals.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import termios
import tty
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Protocol

from lguest_py.watch.record import Record
from lguest_py.watch.steps import Reader

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
NAMES: Final = {
    "A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end",
    "1~": "home", "7~": "home", "4~": "end", "8~": "end", "5~": "page up", "6~": "page down",
}  # fmt: skip
SEQUENCE = re.compile(r"\x1b[\[O](?:\d+;\d+)?([A-Z]|[0-9]{1,2}~)?")
SMALLEST: Final = (20, 8)
USUAL: Final = (80, 24)


class Signals(Protocol):
    """As the Launcher's."""

    def fileno(self) -> int:
        """Readable when a signal came."""

    def take(self) -> int:
        """The number of a signal that ends this, or 0."""


def keys(data: str) -> Iterator[str]:
    """The keys in what a terminal sent; what has no name is left out."""
    while data:
        found = SEQUENCE.match(data)
        if found:
            if name := NAMES.get(found[1] or ""):
                yield name
            data = data[found.end() :]
        else:
            if data[0] != "\x1b":
                yield data[0]
            data = data[1:]


class Terminal:
    """The terminal at the descriptors 0 and 1, as a context."""

    def __init__(self) -> None:
        self._saved: list[Any] | None = None

    def __enter__(self) -> Terminal:
        self.resume()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.suspend()

    def resume(self) -> None:
        """Take the terminal: its other screen, keys at once and without an echo."""
        if self._saved is None and os.tcgetpgrp(0) == os.getpgrp():
            self._saved = termios.tcgetattr(0)
            tty.setcbreak(0, termios.TCSANOW)
            self.write(ENTER)

    def suspend(self) -> None:
        """Give it back as it was."""
        saved, self._saved = self._saved, None
        if saved is not None:
            with contextlib.suppress(OSError, termios.error):  # the terminal is gone
                self.write(LEAVE)
                termios.tcsetattr(0, termios.TCSANOW, saved)

    @staticmethod
    def write(text: str, encoding: str = "utf-8") -> None:
        """All of it."""
        data = text.encode(encoding, "replace")
        while data:
            data = data[os.write(1, data) :]


def _frame(reader: Reader, encoding: str) -> str:
    """The screen as it is to be written."""
    from rich.console import Console

    from lguest_py.watch.screen import screen

    size = os.get_terminal_size(1)
    columns, rows = (size.columns or USUAL[0]), (size.lines or USUAL[1])  # some terminals do not tell
    width, height = max(columns, SMALLEST[0]), max(rows, SMALLEST[1])
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, height=height, legacy_windows=False, highlight=False)
    lines = []
    for line in screen(reader, width, height)[:rows]:
        file.seek(0)
        file.truncate()
        console.print(line, end="", overflow="crop", no_wrap=True, crop=True)
        lines.append(file.getvalue())
    return "\x1b[H" + "\x1b[K\r\n".join(lines) + "\x1b[K\x1b[J"


def read(records: Sequence[Record], terminal: Terminal, signals: Signals, encoding: str = "utf-8") -> int:
    """Let a person read; returns 0, or the number of the signal that ended it."""
    reader = Reader(records)
    while True:
        terminal.write(_frame(reader, encoding), encoding)
        ready, _, _ = select.select([0, signals.fileno()], [], [])
        if signals.fileno() in ready and (number := signals.take()):
            return number
        if 0 in ready:
            data = os.read(0, 1024)
            if not data:
                return 0
            for key in keys(data.decode(errors="replace")):
                if not reader.press(key):
                    return 0
