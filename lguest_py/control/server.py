# SPDX-License-Identifier: GPL-2.0-or-later
"""The Launcher's end of its Guest's socket.  Nothing here waits for a client, nor trusts one to read or to be right.

Read next: commands.py, what the requests do; lguest_py/launcher/launcher.py, which calls this.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from lguest_py.control.commands import Commands
from lguest_py.control.detached import DetachedConsole
from lguest_py.control.tracers import Tracers, rate_of
from lguest_py.control.wire import LONGEST, Message, decode, encode, send_waiting
from lguest_py.errors import LguestError
from lguest_py.files.poller import READABLE, WRITABLE, Poller
from lguest_py.files.unix_sockets import Listener
from lguest_py.launcher.result import Outcome
from lguest_py.launcher.vm import Vm

if TYPE_CHECKING:
    from lguest_py.gdb.server import GdbServer
    from lguest_py.launcher.launcher import Settings

CLIENTS = 16
CHUNK = 1 << 16
MOST_WAITING = 1 << 20  # bytes of answers that a client may leave unread


class _Client:
    """A connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.heard = bytearray()
        self.files: list[int] = []  # that came along and no request has used
        self.waiting = bytearray()

    def hear(self) -> bool:
        """Read; False: it is gone, or says too much."""
        try:
            data, files, _, _ = socket.recv_fds(self.socket, CHUNK, 1, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.files += files
        self.heard += data
        return bool(data) and len(self.heard) <= LONGEST and len(self.files) <= 1

    def tell(self) -> bool:
        """Write what waits; False: it is gone, or does not read."""
        return send_waiting(self.socket, self.waiting) and len(self.waiting) <= MOST_WAITING

    def requests(self) -> list[bytes]:
        """The whole lines that it sent."""
        *lines, rest = self.heard.split(b"\n")
        self.heard = bytearray(rest)
        return [bytes(line) for line in lines]

    def drop_files(self) -> None:
        for each in self.files:
            os.close(each)
        self.files.clear()

    def close(self) -> None:
        self.drop_files()
        self.socket.close()


class Control:
    """The socket at ``path``.  ``facts`` are of the whole run, for stat; ``console``: who is attached has it.

    ``gdb``: what serves gdb, made when gdb comes where there is none.  Raises UsageError where there can be no socket.
    """

    def __init__(
        self,
        path: str,
        facts: Mapping[str, Any],
        settings: Settings,
        console: DetachedConsole | None = None,
        gdb: GdbServer | None = None,
    ) -> None:
        self.path = path
        self._console, self._gdb = console, gdb
        self._commands = Commands(facts, settings, console)
        self._listener = Listener(path, "the socket of a Guest")
        self._clients: dict[int, _Client] = {}
        self._tracers = Tracers()
        self._poller: Poller | None = None

    def prepare(self, vm: Vm) -> None:
        """A boot's machine is ready to start."""
        if self._gdb:
            self._gdb.prepare(vm)

    def begin(self, poller: Poller) -> None:
        """A boot begins, whose loop waits by ``poller``."""
        self._poller = poller
        if self._gdb:
            self._gdb.begin(poller)
        poller.set(self._listener.fileno(), READABLE)
        self._tracers.begin(poller)
        for fd in self._clients:
            self._watch(fd)

    def _watch(self, fd: int) -> None:
        if self._poller:
            client = self._clients.get(fd)
            self._poller.set(fd, 0 if client is None else READABLE | (WRITABLE if client.waiting else 0))

    def service(self, ready: Collection[int], vm: Vm) -> Outcome | None:
        """Something happened to these descriptors.  Returns how the run is to end, if a client wants it to.

        Raises GuestError when the Guest broke a rule while it was looked at.
        """
        if self._listener.fileno() in ready:
            self._accept()
        outcome = None
        for fd in [each for each in ready if each in self._clients]:
            client = self._clients[fd]
            alive = client.hear()
            for line in client.requests():
                if fd not in self._clients:
                    break
                outcome = self._do(fd, client, line, vm) or outcome
            if fd in self._clients and not (client.tell() and alive):
                self._drop(fd)
            if fd in self._clients:
                self._watch(fd)
        self._tracers.service(ready, vm)
        if self._gdb:
            outcome = self._gdb.service(ready, vm) or outcome
        return outcome

    def _accept(self) -> None:
        while arrived := self._listener.accept():
            if len(self._clients) >= CLIENTS:
                arrived.close()
                continue
            self._clients[arrived.fileno()] = _Client(arrived)
            self._watch(arrived.fileno())

    def _do(self, fd: int, client: _Client, line: bytes, vm: Vm) -> Outcome | None:
        """Answer a request."""
        outcome = None
        try:
            request = decode(line)
            if request.get("do") in ("attach", "trace"):
                client.drop_files()  # which nobody would close then
                if request["do"] == "attach":
                    self._attach(fd, client, request)
                else:
                    self._trace(fd, client, request, vm)
                return None
            if request.get("do") == "gdb":
                self._debug(fd, client, vm)
                return None
            answer, outcome = self._commands.do(request, client.files, vm)
        except LguestError as error:
            answer = {"error": str(error)}
        client.drop_files()
        client.waiting += encode(answer)
        return outcome

    def _attach(self, fd: int, client: _Client, request: Message) -> None:
        """From now on the connection is the console's."""
        if not self._console:
            raise LguestError("its console is elsewhere: only a Guest of boot --detach can be attached to")
        self._console.check(request)
        self._hand_over(fd, client)
        self._console.attach(client.socket, bytes(client.heard))

    def _debug(self, fd: int, client: _Client, vm: Vm) -> None:
        """From now on the connection is gdb's."""
        if not self._gdb:
            from lguest_py.gdb.server import GdbServer

            self._gdb = GdbServer()
            if self._poller:
                self._gdb.begin(self._poller)
        self._gdb.check()
        self._hand_over(fd, client)
        self._gdb.adopt(client.socket, vm, bytes(client.heard))

    def _hand_over(self, fd: int, client: _Client) -> None:
        """The connection is another's, after the answer."""
        del self._clients[fd]
        self._watch(fd)
        with contextlib.suppress(OSError):
            client.socket.send(encode({}))

    def ended(self, status: int) -> None:
        """The Guest has ended, with this exit status of lguest-py's."""
        if self._gdb:
            self._gdb.ended(status)

    def _trace(self, fd: int, client: _Client, request: Message, vm: Vm) -> None:
        """From now on the connection is the trace's."""
        rate = rate_of(request)
        self._tracers.check()
        del self._clients[fd]
        self._watch(fd)
        try:
            self._tracers.add(client.socket, rate, vm)
        except LguestError as error:
            with contextlib.suppress(OSError):
                client.socket.send(encode({"error": str(error)}))
            client.close()
            return
        with contextlib.suppress(OSError):
            client.socket.send(encode({}))

    def _drop(self, fd: int) -> None:
        self._clients.pop(fd).close()
        if self._poller:
            self._poller.set(fd, 0)

    def close(self) -> None:
        """The end of the run: answer nobody any more, and remove the socket."""
        for client in self._clients.values():
            client.tell()
            client.close()
        self._clients.clear()
        self._tracers.end()
        if self._gdb:
            self._gdb.close()
        self._listener.close()
        with contextlib.suppress(OSError):  # the last one
            os.rmdir(os.path.dirname(self.path))
