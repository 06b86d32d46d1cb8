# SPDX-License-Identifier: GPL-2.0-or-later
"""The Host's end of the Guest's console: an output that never blocks the Launcher, and an input.

Read next: terminal.py, input from a terminal; expect.py, both for a Python program.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import threading
from typing import Protocol

LIMIT = 0x40000  # bytes of output that are buffered for a slow reader; then the Guest waits
CHUNK = 0x1000
END_OF_INPUT = b"\x04"  # Ctrl-D, as a terminal's user types it


class Drain(Protocol):
    """Where the Guest's output goes, as the Launcher sees it."""

    @property
    def error(self) -> OSError | None:
        """Why no more can be written; ``fileno`` is readable then."""

    @property
    def room(self) -> int:
        """How many bytes ``write`` takes now."""

    @property
    def empty(self) -> bool:
        """Whether everything was written."""

    def write(self, data: bytes | bytearray) -> None:
        """Append ``data``; never blocks."""

    def finish(self, seconds: float) -> int:
        """Wait until all is written, at most so many seconds.  Drop the rest, and return its size in bytes."""

    def fileno(self) -> int:
        """A descriptor to poll."""

    def notify_when(self, left: int) -> None:
        """Make ``fileno`` readable as soon as no more than ``left`` bytes wait to be written."""

    def clear(self) -> None:
        """Make ``fileno`` unreadable again."""


class Tail:
    """Passes output on to ``sink``, and keeps its last CHUNK bytes in ``text``."""

    def __init__(self, sink: Drain) -> None:
        self._sink = sink
        self.text = b""

    @property
    def room(self) -> int:
        """See Drain."""
        return self._sink.room

    def write(self, data: bytes | bytearray) -> None:
        """See Drain."""
        self._sink.write(data)
        self.text = (self.text + data)[-CHUNK:]


class Output:
    """A Drain that writes to a file descriptor whole and in order, from a thread of its own.

    Only a thread works for a pipe, a stopped terminal, a file and a socket alike, without O_NONBLOCK, which other
    processes with the same open file would get too.  ``fileno`` becomes readable when writing
    failed (``error``), and once after ``notify_when``.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._data = bytearray()
        self._changed = threading.Condition()
        self._notify_at: int | None = None
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread: threading.Thread | None = None
        self._closed = False
        self.error: OSError | None = None
        self.last = b"\n"  # the byte written last, to know whether a line is open

    def fileno(self) -> int:
        """To wait for; see ``clear``."""
        return self._wake_read

    def notify_when(self, left: int) -> None:
        """Make ``fileno`` readable as soon as no more than ``left`` bytes wait to be written."""
        with self._changed:
            self._notify_at = left
            self._notify()

    def _notify(self) -> None:
        if not self._closed and (self.error or (self._notify_at is not None and len(self._data) <= self._notify_at)):
            self._notify_at = None
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake_write, b"!")

    def clear(self) -> None:
        """Make ``fileno`` unreadable again."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, 64):
                pass

    @property
    def room(self) -> int:
        """How many bytes ``write`` takes now."""
        with self._changed:
            return max(0, LIMIT - len(self._data))

    @property
    def empty(self) -> bool:
        """Whether everything was written."""
        with self._changed:
            return not self._data

    def write(self, data: bytes | bytearray) -> None:
        """Append ``data``; never blocks.  After an error it is dropped."""
        with self._changed:
            if self.error or self._closed or not data:
                return
            self._data += data
            self.last = bytes(data[-1:])
            self._changed.notify_all()
            if not self._thread:
                self._thread = threading.Thread(target=self._run, name="console output", daemon=True)
                self._thread.start()

    def finish(self, seconds: float) -> int:
        """See Drain.  The dropped bytes would else appear between later messages; a write in progress may still end."""
        with self._changed:
            self._changed.wait_for(lambda: not self._data, seconds)
            dropped = len(self._data)
            if dropped:
                self._data.clear()
                self.last = b""
            return dropped

    def close(self) -> None:
        """End its thread, after a write in progress, and close ``fileno``; what was not written is dropped."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._data.clear()
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._data) or self._closed)
                if self._closed:
                    return
                piece = bytes(self._data[:CHUNK])
            try:
                written = self._write_some(piece)
            except OSError as error:
                self.error = error
                written = 0
            with self._changed:
                if self.error:
                    self._data.clear()
                else:
                    del self._data[:written]
                self._notify()
                self._changed.notify_all()
                if self.error:
                    return

    def _write_some(self, piece: bytes) -> int:
        try:
            return os.write(self._fd, piece)
        except BlockingIOError:  # another process with the same open file made it non-blocking
            poller = select.poll()
            poller.register(self._fd, select.POLLOUT)
            poller.poll()
            return 0


class Source(Protocol):
    """Where the Guest's input comes from."""

    interactive: bool  # a person types: read ahead of the Guest, up to a limit

    @property
    def size(self) -> tuple[int, int] | None:
        """Columns and rows of the terminal, now; None: it is none."""

    def prepare_wait(self) -> float:
        """Called before each wait.  Returns when (time.monotonic) to call it again, even if nothing happens."""

    def fileno(self) -> int:
        """A descriptor to poll; -1 at the end of the input, or while it cannot be read (``prepare_wait``)."""

    def read(self) -> bytes:
        """Read some bytes for the Guest; blocks only while ``fileno`` is not readable."""

    def end_of_input(self) -> bytes:
        """The bytes that a Guest gets once, at the end of the input."""


class Input:
    """Input that is no terminal: a pipe, a file.  At its end the Guest gets one Ctrl-D, and runs on."""

    interactive = False
    size = None

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def prepare_wait(self) -> float:
        """See Source."""
        return math.inf

    def fileno(self) -> int:
        """See Source."""
        return self._fd

    def read(self) -> bytes:
        """See Source."""
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return b""
        except OSError:  # closed, or a directory: nothing will come
            data = b""
        if not data:
            self._fd = -1
        return data

    def end_of_input(self) -> bytes:
        """See Source."""
        return END_OF_INPUT
