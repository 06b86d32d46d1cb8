# SPDX-License-Identifier: GPL-2.0-or-later
"""The console of a Guest without a terminal: one program at a time is attached to it, through the Guest's socket.

The Launcher reads and writes one end of a pair of sockets, as it would a terminal.  Here are the other end and the
program's connection, and what the Guest wrote last, for the next program.  While a program that is attached does not
read, the Guest's console waits, and nothing else.
Read next: server.py, which serves it; lguest_py/console/streams.py.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection

from lguest_py.console.streams import Input
from lguest_py.control.wire import Message
from lguest_py.errors import LguestError
from lguest_py.files.poller import READABLE, WRITABLE, Poller

KEPT = 0x10000  # bytes of output for the next program
LIMIT = 0x20000  # bytes that wait for one that is attached
CHUNK = 0x4000
SIZE = 80, 24
LARGEST = 0xFFFF


class _Input(Input):
    """The Launcher's source: a person may type at it, and its terminal has a size."""

    interactive = True

    def __init__(self, fd: int, console: DetachedConsole) -> None:
        super().__init__(fd)
        self._console = console

    @property
    def size(self) -> tuple[int, int]:  # type: ignore[override]
        return self._console.size


class DetachedConsole:
    """It; ``output`` is the Launcher's descriptor to write to, ``source`` what it reads."""

    def __init__(self) -> None:
        self.size = SIZE
        self._launcher, self._guest = socket.socketpair()
        self._guest.setblocking(False)
        self.output = self._launcher.fileno()
        self.source = _Input(self.output, self)
        self._program: socket.socket | None = None
        self._typed = bytearray()  # for the Guest
        self._written = bytearray()  # for the program
        self._history = bytearray()  # what the Guest wrote last, for the next one
        self._poller: Poller | None = None

    def begin(self, poller: Poller) -> None:
        """A boot begins, whose loop waits by ``poller``."""
        self._poller = poller
        self._watch()

    def _watch(self) -> None:
        if not self._poller:
            return
        program, room = self._program, not self._program or len(self._written) < LIMIT
        self._poller.set(self._guest.fileno(), (READABLE if room else 0) | (WRITABLE if self._typed else 0))
        if program:
            events = (0 if self._typed else READABLE) | (WRITABLE if self._written else 0)
            self._poller.set(program.fileno(), events)

    @property
    def attached(self) -> bool:
        """Whether a program is."""
        return self._program is not None

    def check(self, request: Message) -> None:
        """Raises LguestError when the one who asks cannot be attached."""
        if self._program:
            raise LguestError("another program is attached to its console: let it leave (Ctrl-A d)")
        self.resize(request)

    def resize(self, request: Message) -> None:
        """The terminal has another size.  Raises LguestError for one that cannot be."""
        columns, rows = request.get("columns", SIZE[0]), request.get("rows", SIZE[1])
        if not all(isinstance(each, int) and 0 <= each <= LARGEST for each in (columns, rows)):
            raise LguestError("columns and rows are numbers up to 65535")
        self.size = columns, rows

    def attach(self, program: socket.socket, typed: bytes) -> None:
        """The connection of a program that is attached from now on; ``typed``: what it has sent already."""
        self._program = program
        self._typed += typed
        self._written = self._history[:]
        self._pump()
        self._watch()

    def service(self, ready: Collection[int]) -> None:
        """Something happened to these descriptors."""
        if self._guest.fileno() in ready or (self._program and self._program.fileno() in ready):
            self._pump()
            self._watch()

    def _pump(self) -> None:
        """Move what can be moved, both ways."""
        if self._program and not self._typed:
            try:
                self._typed += (data := self._program.recv(CHUNK))
                if not data:
                    self._leave()
            except BlockingIOError:
                pass
            except OSError:
                self._leave()
        with contextlib.suppress(BlockingIOError):
            del self._typed[: self._guest.send(self._typed) if self._typed else 0]
        with contextlib.suppress(BlockingIOError):
            while not self._program or len(self._written) < LIMIT:
                output = self._guest.recv(CHUNK)
                self._history += output
                del self._history[:-KEPT]
                if self._program:
                    self._written += output
        if self._program and self._written:
            try:
                del self._written[: self._program.send(self._written)]
            except BlockingIOError:
                pass
            except OSError:
                self._leave()

    def _leave(self) -> None:
        program, self._program = self._program, None
        if program:
            if self._poller:
                self._poller.set(program.fileno(), 0)
            program.close()
        self._written.clear()

    def end(self, words: str) -> None:
        """The end: give the program the last output and ``words``, as far as it takes them at once."""
        self._pump()
        if self._program:
            with contextlib.suppress(OSError):
                self._program.send(self._written + b"\r\n" + words.encode(errors="replace") + b"\r\n")
        self._leave()
        self._guest.close()
        self._launcher.close()
