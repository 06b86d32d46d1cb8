# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress of long work, on stderr if it is a terminal, after the first second; and colours for a terminal.

The line is redrawn each second, and erased at the end.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from types import TracebackType
from typing import TextIO

PATIENCE = 1.0  # seconds before the first line, and between two updates
_CLEAR = "\r\x1b[K"


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def _can_move(stream: TextIO | None) -> bool:
    return _is_terminal(stream) and os.environ.get("TERM", "dumb") != "dumb"


def paint(text: str, colour: str, stream: TextIO) -> str:
    """``text`` in "green", "red" or "yellow" where ``stream`` is a terminal and NO_COLOR is not set (or empty)."""
    if os.environ.get("NO_COLOR") or not _can_move(stream):
        return text
    return f"\x1b[{ {'green': 32, 'red': 31, 'yellow': 33}[colour] }m{text}\x1b[0m"


class Progress:
    """``with Progress("fetching a kernel") as progress: … progress.say("12 of 70 MB")``."""

    def __init__(self, what: str, stream: TextIO | None = None) -> None:
        self._what = what
        self._detail = ""
        self._stream = sys.stderr if stream is None else stream
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def say(self, detail: str) -> None:
        """Set how far the work is, for the next update."""
        self._detail = detail

    def __enter__(self) -> Progress:
        if _is_terminal(self._stream):
            self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        started, moves = time.monotonic(), _can_move(self._stream)
        shown = False
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone
            while not self._done.wait(PATIENCE):
                if moves:
                    seconds = f"{time.monotonic() - started:.0f} s"
                    self._write(f"{_CLEAR}lguest-py: {self._what} ({', '.join(filter(None, (self._detail, seconds)))})")
                elif not shown:
                    self._write(f"lguest-py: {self._what}\n")
                shown = True
            if shown and moves:
                self._write(_CLEAR)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
