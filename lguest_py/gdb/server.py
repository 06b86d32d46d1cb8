# SPDX-License-Identifier: GPL-2.0-or-later
"""Where gdb comes in: a socket of its own (``--gdb=PORT``), or a connection from the Guest's (lguest_py/control).

One gdb at a time.  With ``waits`` the Guest stands still before its first instruction, until gdb lets it go on; so it
does after a restart while gdb is there.
Read next: session.py; lguest_py/control/server.py, which has one of these.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection
from typing import Protocol

from lguest_py.errors import LguestError
from lguest_py.files.poller import READABLE, WRITABLE, Poller
from lguest_py.gdb.guest import GuestTarget
from lguest_py.gdb.session import Session
from lguest_py.gdb.target import Target
from lguest_py.launcher.result import SIGTERM, End, Outcome
from lguest_py.launcher.vm import Vm

KILLED = "gdb's kill"


class Listening(Protocol):
    """A socket that is listened at."""

    def fileno(self) -> int:
        """Readable when a program connects."""

    def accept(self) -> socket.socket | None:
        """The next program's connection, if there is one; it does not block."""

    def close(self) -> None:
        """Stop that."""


class GdbServer:
    """It.  ``listener``: None: connections come from elsewhere only (``adopt``).

    ``host``: it is about the Host kernel, on kvm.
    """

    def __init__(self, listener: Listening | None = None, *, waits: bool = False, host: bool = False) -> None:
        self._listener = listener
        self._waits, self._host = waits, host
        self._session: Session | None = None
        self._poller: Poller | None = None
        self._wish: Outcome | None = None

    def prepare(self, vm: Vm) -> None:
        """See lguest_py.launcher.launcher.Control: a machine that was not started yet."""
        if self._session:
            self._session.reboot()
            if self._session.over or self._host:
                self._end_session()
        if self._session:
            vm.hold()
            self._session.replace(GuestTarget(vm))
        elif self._waits:
            vm.hold()
        self._waits = False

    def begin(self, poller: Poller) -> None:
        """A boot begins, whose loop waits by ``poller``."""
        self._poller = poller
        self._watch()

    def _watch(self) -> None:
        if not self._poller:
            return
        if self._listener:
            self._poller.set(self._listener.fileno(), READABLE)
        if session := self._session:
            events = (READABLE if session.wants_more else 0) | (WRITABLE if session.waits_to_write else 0)
            self._poller.set(session.socket.fileno(), events)

    def check(self) -> None:
        """Raises LguestError where a gdb is attached already."""
        if self._session:
            raise LguestError("another gdb is attached to it: detach that")

    def adopt(self, connection: socket.socket, vm: Vm, heard: bytes = b"") -> None:
        """The connection is gdb's from now on; ``heard``: what it sent already."""
        target: Target
        if self._host:
            from lguest_py.gdb.host import HostTarget

            target = HostTarget(vm)
        else:
            target = GuestTarget(vm)
        self._session = Session(connection, target, self._kill, heard)
        self._serve(readable=False)

    def _kill(self) -> None:
        self._wish = Outcome(End.LEFT, KILLED, SIGTERM)

    def service(self, ready: Collection[int], vm: Vm) -> Outcome | None:
        """Something happened to these descriptors, or the Guest stopped.  Returns how the run ends, if gdb wants it."""
        if self._listener and self._listener.fileno() in ready:
            while arrived := self._listener.accept():
                if self._session:
                    arrived.close()
                else:
                    self.adopt(arrived, vm)
        if self._session:
            self._serve(readable=self._session.socket.fileno() in ready)
        elif vm.stopped and not self._host:
            vm.stands()  # before its first instruction
        return self._wish

    def _serve(self, readable: bool) -> None:
        assert self._session
        self._session.service(readable)
        if self._session.over:
            self._end_session()
        self._watch()

    def _end_session(self) -> None:
        session, self._session = self._session, None
        assert session
        if self._poller:
            self._poller.set(session.socket.fileno(), 0)
        session.socket.close()

    @property
    def lets_run(self) -> bool:
        """Whether a gdb is attached that waits for a stop."""
        return self._session is not None and self._session.lets_run

    def ended(self, status: int) -> None:
        """The Guest has ended, with this exit status of lguest-py's."""
        if self._session:
            self._session.ended(status)

    def close(self) -> None:
        """The end of the run."""
        if self._session:
            with contextlib.suppress(OSError):
                self._session.socket.close()
        if self._listener:
            self._listener.close()
