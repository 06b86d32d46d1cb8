# SPDX-License-Identifier: GPL-2.0-or-later
"""One more virtio console (hvc1, …), whose other end is a Unix socket that one program at a time connects to.

The last output is kept for whoever connects next.  A connected program that does not read makes the Guest's writes to
this console wait, and nothing else.  The socket is this user's alone, and is removed at the end.
Read next: lguest_py/devices/console.py.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Collection

from lguest_py.devices.console import BUDGET, Console
from lguest_py.devices.device import Progress, Say
from lguest_py.files.inputs import printable
from lguest_py.files.unix_sockets import Listener
from lguest_py.hardware import Console as Spec

KEPT = 0x10000  # bytes of output for the next program
LIMIT = KEPT + BUDGET  # bytes that wait for a program that is connected
CHUNK = 4096
TAKEN = b"lguest-py: another program is at this console\n"


class ExtraConsole(Console):
    """Virtio device 3, the Sink of its own output."""

    def __init__(self, spec: Spec, say: Say) -> None:
        self._waiting = bytearray()  # output for the program, or what is kept for the next one
        self._typed = bytearray()  # input for the Guest
        self._client: socket.socket | None = None
        self._hears = False  # the program may still send
        super().__init__(self._typed, self)
        self.name = f"console {printable(spec.path)}"
        self._listener = Listener(spec.path, "a console's socket")

    # --- the sink -----------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """See Sink: without a program there always is."""
        return LIMIT - len(self._waiting) if self._client else BUDGET

    def write(self, data: bytes | bytearray) -> None:
        """See Sink."""
        self._waiting += data
        if not self._client:
            del self._waiting[:-KEPT]

    # --- the socket ---------------------------------------------------------------------------------------------

    def watched(self) -> Collection[int]:
        """See Device; who connects before the Guest uses the console waits."""
        if self._receive is None:
            return ()
        fds = [self._listener.fileno()]
        if self._client and self._hears and self.wants_input:
            fds.append(self._client.fileno())
        return fds

    def blocked(self) -> Collection[int]:
        """See Device."""
        return (self._client.fileno(),) if self._client and self._waiting else ()

    def service(self) -> Progress:
        """See Device."""
        self._accept()
        self._hear()
        client, progress = self._client, super().service()
        self._tell()
        if progress is not Progress.BLOCKED:
            return progress
        # ``blocked`` waits until the program reads; without it there is room at once.
        return Progress.IDLE if self._client is client else Progress.MORE

    def _gone(self) -> bool:
        """Whether the program closed its end."""
        if not self._client:
            return True
        poller = select.poll()
        poller.register(self._client, 0)
        return bool(poller.poll(0))

    def _accept(self) -> None:
        arrived = self._listener.accept()
        if not arrived:
            return
        if self._client and self._gone():
            self._drop()
        if self._client:
            with contextlib.suppress(OSError):
                arrived.send(TAKEN)
            arrived.close()
            return
        self._client, self._hears = arrived, True

    def _hear(self) -> None:
        if not self._client or not self._hears or not self.wants_input:
            return
        try:
            data = self._client.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._typed += data
        if not data:
            self._hears = False
            if self._gone():
                self._drop()

    def _tell(self) -> None:
        if not self._client or not self._waiting:
            return
        try:
            del self._waiting[: self._client.send(self._waiting)]
        except BlockingIOError:
            pass
        except OSError:
            self._drop()

    def _drop(self) -> None:
        """The program is gone.  What it did not read is kept for the next."""
        if self._client:
            self._client.close()
            self._client = None
            del self._waiting[:-KEPT]

    def close(self) -> None:
        """See Device."""
        self._accept()
        self._tell()
        self._drop()
        self._listener.close()
