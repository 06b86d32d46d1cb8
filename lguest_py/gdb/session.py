# SPDX-License-Identifier: GPL-2.0-or-later
"""A connection of gdb's.  When gdb goes, with or without a word, its breakpoints go and the target goes on.

Nothing here waits for gdb.  Read next: server.py.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from lguest_py.gdb.packets import Framing
from lguest_py.gdb.stub import Stub, Wish
from lguest_py.gdb.target import Stop, Target

CHUNK = 1 << 16
MOST_WAITING = 1 << 20  # bytes of answers that gdb may leave unread


class Session:
    """It.  The target is asked to stand still.  ``killed`` is called when gdb wants its end."""

    def __init__(
        self, connection: socket.socket, target: Target, killed: Callable[[], None], heard: bytes = b""
    ) -> None:
        """``heard``: what was read from the connection already."""
        self.socket = connection
        self._killed, self._heard = killed, heard
        self._framing = Framing()
        self._target: Target | None = target
        self._stub: Stub | None = None
        self._leaving = False
        target.interrupt()

    @property
    def over(self) -> bool:
        """Whether gdb has gone and the target goes on without it."""
        return self._leaving and self._target is None

    @property
    def waits_to_write(self) -> bool:
        """Whether there is something that could not be sent yet."""
        return bool(self._framing.waiting)

    @property
    def wants_more(self) -> bool:
        """Whether what gdb sends is read now: not before the target stands still for the first time."""
        return self._stub is not None and not self._leaving

    @property
    def lets_run(self) -> bool:
        """Whether gdb let the target go on."""
        return self._stub is not None and self._stub.running

    def service(self, readable: bool) -> None:
        """Something happened: gdb sent something, or the target stopped."""
        if self._target and (stop := self._target.stopped()):
            self._stopped(stop)
        if readable and self.wants_more:
            self._hear()
        if self._framing.waiting:
            self._tell()

    def _stopped(self, stop: Stop) -> None:
        assert self._target
        if self._leaving:
            self._target.leave()
            self._target = None
        elif self._stub is None:
            self._stub = Stub(self._target, self._framing, stop)
            heard, self._heard = self._heard, b""
            self._obey(heard)
        else:
            self._stub.stopped(stop)

    def _hear(self) -> None:
        try:
            data = self.socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._obey(data)
        else:
            self.leave()

    def _obey(self, data: bytes) -> None:
        assert self._stub
        wish = self._stub.hear(data)
        if wish is Wish.KILL:
            self._killed()
        elif wish is Wish.DETACH:
            self._tell()
            self.leave()

    def _tell(self) -> None:
        waiting = self._framing.waiting
        try:
            while waiting:
                del waiting[: self.socket.send(waiting)]
        except BlockingIOError:
            pass
        except OSError:
            waiting.clear()
            self.leave()
        if len(waiting) > MOST_WAITING:
            waiting.clear()
            self.leave()

    def leave(self) -> None:
        """gdb is gone.  The target must stand still once more, for its memory to be as it was."""
        if self._leaving:
            return
        self._leaving = True
        if not self._target:
            return
        if self._stub and not self._stub.running:
            self._target.leave()
            self._target = None
        else:
            self._target.interrupt()

    def reboot(self) -> None:
        """The machine is gone.  gdb is told of a stop when the next one is there; its breakpoints are no more."""
        if self._leaving:
            self._target = None
        elif self._stub:
            self._stub.running = True

    def replace(self, target: Target) -> None:
        """The next machine, which is held."""
        self._target = target
        if self._stub:
            self._stub.target = self._target

    def ended(self, status: int) -> None:
        """The Guest has ended, with this exit status of lguest-py's."""
        if self._stub and not self._leaving:
            self._stub.ended(status)
            self._tell()
