# SPDX-License-Identifier: GPL-2.0-or-later
"""A person's terminal as the Guest's: raw while the Guest runs, and as it was whatever happens.

Every key goes to the Guest, Ctrl-C included; only Ctrl-A is ours.  Read next: lguest_py/cli/signals.py, for
what happens on a signal.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import termios
import time
import tty
from types import TracebackType
from typing import Any

from lguest_py.console.streams import CHUNK

ESCAPE = 0x01  # Ctrl-A
FOREGROUND_POLL = 0.5  # seconds between two looks whether we came to the foreground: not every shell sends a signal then
HELP = b"\r\nCtrl-A x    end the Guest and leave\r\nCtrl-A Ctrl-A    send Ctrl-A\r\nCtrl-A ?    this help\r\n"


class QuitRequested(Exception):
    """The user typed Ctrl-A x."""


class EscapeFilter:
    """Takes our own keys out of what is typed."""

    def __init__(self) -> None:
        self._escaped = False

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What of ``data`` is for the Guest, and whether help was asked for.

        Ctrl-A and a key that means nothing to us both go to the Guest.  Raises QuitRequested on Ctrl-A x; what was typed
        before it no longer matters.
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
            if byte in b"xX":
                raise QuitRequested
            if byte == ord("?"):
                help_wanted = True
            else:
                kept += bytes([byte]) if byte == ESCAPE else bytes([ESCAPE, byte])
        return bytes(kept), help_wanted


class Terminal:
    """The terminal at ``fd`` as a Source, and its modes as a context manager: raw within, restored after.

    ``suspend`` and ``resume`` do the same around a stop of the process.  The terminal is read, and its modes are
    touched, only while this process is in its foreground; another program is at the terminal otherwise.
    """

    interactive = True

    def __init__(self, fd: int, show: int) -> None:
        self._fd = fd
        self._hung_up = False
        self.waiting = False  # for the foreground
        self._show = show  # where help is written
        self._saved: list[Any] | None = None
        self._filter = EscapeFilter()

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
        except OSError:  # not our controlling terminal: nobody else's job either
            return True

    def resume(self) -> None:
        """Make the terminal raw.  What was typed ahead is kept."""
        if not self._foreground():
            return
        with contextlib.suppress(termios.error):  # it went away
            if self._saved is None:
                self._saved = termios.tcgetattr(self._fd)
            tty.setraw(self._fd, termios.TCSANOW)

    def suspend(self) -> None:
        """Give the terminal back as it was found."""
        if self._saved is None or not self._foreground():
            return
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._fd, termios.TCSANOW, self._saved)
        self._saved = None

    def prepare_wait(self) -> float:
        """See Source.  Takes the terminal when we came to its foreground."""
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
        except OSError:  # hung up, or not ours any more
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
                os.write(self._show, HELP)
        return kept

    def end_of_input(self) -> bytes:
        """See Source; a terminal that is gone says nothing, SIGHUP does."""
        return b""
