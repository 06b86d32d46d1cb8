# SPDX-License-Identifier: GPL-2.0-or-later
"""One more virtio console (hvc1, …), whose other end is a Unix socket that one program at a time connects to.

The last output is kept for whoever connects next.  A connected program that does not read makes the Guest's writes to
this console wait, and nothing else.  The socket is this user's alone, and is removed at the end.
Read next: lguest_py/devices/console.py.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
from collections.abc import Collection

from lguest_py.devices.console import BUDGET, Console
from lguest_py.devices.device import Progress, Say
from lguest_py.errors import UsageError
from lguest_py.files.descriptors import check
from lguest_py.files.inputs import printable
from lguest_py.hardware import Console as Spec

KEPT = 0x10000  # bytes of output for the next program
LIMIT = KEPT + BUDGET  # bytes that wait for a program that is connected
CHUNK = 4096
TAKEN = b"lguest-py: another program is at this console\n"


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens at.  Raises UsageError when the name is taken."""
    name = printable(path)
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise UsageError(f"{name} cannot be a console's socket: there is another file; name a new one, or remove it")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:  # somebody listens, whose backlog is full
            pass
    raise UsageError(f"{name} cannot be a console's socket: another program listens there; name a new one, or end it")


def _listen(path: str) -> socket.socket:
    """A socket at ``path`` that is this user's alone.  Raises UsageError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        os.fchmod(listener.fileno(), 0o600)  # the mode that the file gets
        try:
            listener.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            _remove_stale(path)
            listener.bind(path)
        listener.listen(4)
    except (OSError, ValueError) as error:
        listener.close()
        check(error)
        reason = getattr(error, "strerror", None) or error
        name = printable(path)
        raise UsageError(f"{name} cannot be a console's socket ({reason}): name one where you may make files") from None
    except BaseException:
        listener.close()
        raise
    return listener


class ExtraConsole(Console):
    """Virtio device 3, the Sink of its own output."""

    def __init__(self, spec: Spec, say: Say) -> None:
        self._waiting = bytearray()  # output for the program, or what is kept for the next one
        self._typed = bytearray()  # input for the Guest
        self._client: socket.socket | None = None
        self._hears = False  # the program may still send
        super().__init__(self._typed, self)
        self.name = f"console {printable(spec.path)}"
        self._path = os.path.abspath(spec.path)
        self._listener = _listen(spec.path)
        facts = os.lstat(self._path)
        self._identity = facts.st_dev, facts.st_ino

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
        try:
            arrived, _ = self._listener.accept()
        except OSError:  # nobody, or too few descriptors: it stays in the queue
            return
        if self._client and self._gone():
            self._drop()
        arrived.setblocking(False)
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
        with contextlib.suppress(OSError):
            facts = os.lstat(self._path)
            if (facts.st_dev, facts.st_ino) == self._identity:
                os.unlink(self._path)
        self._listener.close()
