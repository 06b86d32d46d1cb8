# SPDX-License-Identifier: GPL-2.0-or-later
"""The user's terminal as the Guest's console: in raw mode while the Guest runs, and always restored.

Every key goes to the Guest, Ctrl-C included; only Ctrl-A is the Launcher's.
Read next: lguest_py/cli/signals.py, what happens on a signal.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import termios
import time
import tty
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from lguest_py.console.streams import CHUNK

ESCAPE = 0x01  # Ctrl-A
FOREGROUND_POLL = 0.5  # seconds; not every shell sends SIGCONT when it brings a job to the foreground
LEAVE = b"xX"
KEYS = "Ctrl-A x       end the Guest and leave", "Ctrl-A Ctrl-A  send Ctrl-A", "Ctrl-A ?       show these keys"


class QuitRequested(Exception):
    """The user typed Ctrl-A x, or the program that uses the Launcher ended it."""


def line_end(fd: int) -> str:
    """What ends a line on ``fd``: with a carriage return only where it is a terminal that adds none itself."""
    try:
        output_modes = termios.tcgetattr(fd)[tty.OFLAG]
    except termios.error:
        return "\n"
    return "\n" if output_modes & termios.OPOST and output_modes & termios.ONLCR else "\r\n"


class EscapeFilter:
    """Removes the Launcher's own keys from the input."""

    def __init__(self, leave: bytes = LEAVE) -> None:
        """``leave``: the keys that, after Ctrl-A, leave."""
        self._leave = leave
        self._escaped = False

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return the bytes of ``data`` for the Guest, and whether the user asked for help.

        Ctrl-A with a key that has no meaning goes to the Guest, both bytes.  Raises QuitRequested on Ctrl-A x, and
        drops what was typed before it.
        """
        kept, help_wanted = bytearray(), False
        for byte in data:
            if not self._escaped:
                if byte == ESCAPE:
                    self._escaped = True
                else:
                    kept.append(byte)
                continue
            self._escaped = False
            if byte in self._leave:
                raise QuitRequested
            if byte == ord("?"):
                help_wanted = True
            else:
                kept += bytes([byte]) if byte == ESCAPE else bytes([ESCAPE, byte])
        return bytes(kept), help_wanted


class Terminal:
    """The terminal at ``fd`` as a Source, and a context manager: raw mode within it, restored after it.

    ``suspend`` restores the modes before the process stops, ``resume`` makes them raw again.  The terminal is read, and
    its modes are changed, only while this process is in its foreground: else another program uses it.
    """

    interactive = True

    def __init__(
        self, fd: int, show: int, *, newlines: bool = False, leave: bytes = LEAVE, keys: Sequence[str] = KEYS
    ) -> None:
        """With ``newlines`` a newline goes to the begin of the line too, for a Guest that does not do it itself.

        ``leave``: the keys that, after Ctrl-A, leave; ``keys``: what is shown of all keys.
        """
        self._fd = fd
        self._newlines = newlines
        self._hung_up = False
        self.waiting = False  # the process is in the background
        self.size: tuple[int, int] | None = (0, 0)
        self.resized()
        self._show = show  # where help is written
        self._saved: list[Any] | None = None
        self._filter = EscapeFilter(leave)
        self._keys = keys

    def __enter__(self) -> Terminal:
        self.prepare_wait()
        atexit.register(self.suspend)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.suspend()
        atexit.unregister(self.suspend)

    def _foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:  # not our controlling terminal, so no other job uses it
            return True

    def resized(self) -> None:
        """Look how large the terminal is; called after SIGWINCH too."""
        with contextlib.suppress(OSError):  # the terminal is gone
            self.size = os.get_terminal_size(self._fd)

    def resume(self) -> None:
        """Make the terminal raw.  Input typed ahead is kept."""
        if not self._foreground():
            return
        self.resized()
        with contextlib.suppress(termios.error):  # the terminal is gone
            if self._saved is None:
                self._saved = termios.tcgetattr(self._fd)
            tty.setraw(self._fd, termios.TCSANOW)
            if self._newlines:
                modes = termios.tcgetattr(self._fd)
                modes[tty.OFLAG] |= termios.OPOST | termios.ONLCR
                termios.tcsetattr(self._fd, termios.TCSANOW, modes)

    def suspend(self) -> None:
        """Restore the terminal's modes."""
        if self._saved is None or not self._foreground():
            return
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._fd, termios.TCSANOW, self._saved)
        self._saved = None

    def prepare_wait(self) -> float:
        """See Source.  Makes the terminal raw when the process came to its foreground."""
        self.waiting = not self._hung_up and not self._foreground()
        if self.waiting:
            return time.monotonic() + FOREGROUND_POLL
        if self._saved is None:
            self.resume()
        return math.inf

    def fileno(self) -> int:
        """See Source."""
        return -1 if self._hung_up or self.waiting else self._fd

    def read(self) -> bytes:
        """See Source.  Raises QuitRequested when the user wants to leave."""
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return b""
        except OSError:  # hung up, or in the background now
            self.waiting = not self._foreground()
            data = b""
        if self.waiting:
            return b""
        if not data:
            self._hung_up = True
            return b""
        kept, help_wanted = self._filter.feed(data)
        if help_wanted:
            with contextlib.suppress(OSError):
                os.write(self._show, line_end(self._show).join(("", *self._keys, "")).encode())
        return kept

    def end_of_input(self) -> bytes:
        """See Source.  Nothing: SIGHUP ends the run of a terminal that is gone."""
        return b""
