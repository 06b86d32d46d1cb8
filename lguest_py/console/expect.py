# SPDX-License-Identifier: GPL-2.0-or-later
"""The Guest's console for a Python program: wait until it prints something, type something.

Its methods are for any thread; the Launcher, in a thread of its own, has the other end (Keyboard and Screen).
Read next: lguest_py/machine.py, which makes one.
"""

from __future__ import annotations

import codecs
import contextlib
import math
import os
import re
import threading
import time
from collections.abc import Callable

from lguest_py.errors import LguestError

KEPT = 4 << 20  # characters of output; older ones are dropped
SHOWN = 20  # lines of output in an error


class ExpectError(LguestError):
    """The expected text did not come.  The first line says why; the last lines of the output follow.

    ``output`` is all output that was not matched before.
    """

    def __init__(self, why: str, output: str) -> None:
        lines = output.splitlines()[-SHOWN:]
        shown = "".join(f"\n  {line}" for line in lines) or "\n  (nothing)"
        super().__init__(f"{why}; the console's last lines:{shown}")
        self.output = output


class Wake:
    """A flag that poll() can wait for: a pipe."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """Readable while the flag is set."""
        return self._read

    def set(self) -> None:
        """Set the flag."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"!")

    def clear(self) -> None:
        """Clear the flag."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 64):
                pass

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._read)
        os.close(self._write)


class Keyboard:
    """Input that a program sends: a Source (lguest_py/console/streams.py) without an end."""

    interactive = False
    size = None

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._typed = bytearray()
        self._wake: Wake | None = Wake()

    def type(self, data: bytes) -> None:
        """Append ``data``; after ``close`` it is dropped."""
        with self._lock:
            if self._wake and data:
                self._typed += data
                self._wake.set()

    def prepare_wait(self) -> float:
        """See Source."""
        return math.inf

    def fileno(self) -> int:
        """See Source."""
        return self._wake.fileno() if self._wake else -1

    def read(self) -> bytes:
        """See Source."""
        with self._lock:
            typed = bytes(self._typed)
            self._typed.clear()
            if self._wake:
                self._wake.clear()
            return typed

    def end_of_input(self) -> bytes:
        """See Source."""
        return b""

    def close(self) -> None:
        """Close the pipe, after the Launcher ended."""
        with self._lock:
            if self._wake:
                self._wake.close()
                self._wake = None


class Console:
    """The Guest's console, as ``Machine.console``: a Drain (lguest_py/console/streams.py) to the Launcher.

    ``quiet_fd`` is a descriptor for ``fileno`` that never becomes readable: there is always room here.
    """

    room = 1 << 20
    empty = True
    error: OSError | None = None

    def __init__(self, keyboard: Keyboard, quiet_fd: int) -> None:
        self._keyboard = keyboard
        self._quiet_fd = quiet_fd
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._changed = threading.Condition()
        self._text = ""
        self._fresh: list[str] = []  # output that is not yet joined to _text
        self._fresh_size = 0
        self._seen = 0  # where in _text the next match may begin
        self._why_ended: Callable[[], str] | None = None

    # --- for the program ------------------------------------------------------------------------------------

    @property
    def output(self) -> str:
        """All that the Guest printed so far (the last 4 million characters); undecodable bytes are U+FFFD."""
        with self._changed:
            return self._gather()

    def _gather(self) -> str:
        if self._fresh:
            self._text += "".join(self._fresh)
            self._fresh.clear()
            self._fresh_size = 0
            surplus = max(0, len(self._text) - KEPT)
            self._text = self._text[surplus:]
            self._seen = max(0, self._seen - surplus)
        return self._text

    def expect(self, pattern: str | re.Pattern[str], timeout: float | None = 60.0) -> re.Match[str]:
        """Wait until the Guest prints ``pattern``: a text, or a compiled regular expression.

        Looks at what was printed since the last match, and returns the match; the next search begins behind it.
        ``timeout`` is in seconds; None: no limit.  Raises ExpectError when it has passed, or when the Guest has ended.
        """
        wanted = re.compile(re.escape(pattern)) if isinstance(pattern, str) else pattern
        if not isinstance(wanted, re.Pattern) or not isinstance(wanted.pattern, str):
            raise TypeError(f"expect() takes a str or a compiled pattern of one, not {pattern!r}")
        shown = pattern if isinstance(pattern, str) else pattern.pattern
        until = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while True:
                if match := wanted.search(self._gather(), self._seen):
                    self._seen = match.end()
                    return match
                if self._why_ended:
                    why = f"{self._why_ended()} before it printed {shown!r}"
                    raise ExpectError(why, self._text[self._seen :])
                remaining = None if until is None else until - time.monotonic()
                if remaining is not None and remaining <= 0:
                    why = f"the Guest did not print {shown!r} within {timeout:g} seconds"
                    raise ExpectError(why, self._text[self._seen :])
                self._changed.wait(remaining)

    def send(self, text: str | bytes) -> None:
        """Type ``text`` (as UTF-8).  Never blocks; "\\x04" is Ctrl-D."""
        self._keyboard.type(text.encode() if isinstance(text, str) else text)

    def sendline(self, text: str = "") -> None:
        """Type ``text`` and Enter."""
        self.send(text + "\r")

    # --- for the Launcher -----------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray) -> None:
        """See Drain."""
        with self._changed:
            self._fresh.append(self._decoder.decode(data))
            self._fresh_size += len(self._fresh[-1])
            if self._fresh_size > KEPT // 4:
                self._gather()
            self._changed.notify_all()

    def guest_ended(self, why: Callable[[], str]) -> None:
        """No more output will come; ``why`` returns the reason, or raises the error that it was."""
        with self._changed:
            self._why_ended = why
            self._changed.notify_all()

    def finish(self, seconds: float) -> int:
        """See Drain."""
        return 0

    def fileno(self) -> int:
        """See Drain."""
        return self._quiet_fd

    def notify_when(self, left: int) -> None:
        """See Drain."""

    def clear(self) -> None:
        """See Drain."""
