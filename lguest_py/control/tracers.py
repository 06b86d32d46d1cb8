# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs that read a running Guest's trace: a connection each, which gets blocks (trace_blocks.py).

Whatever such a program writes only lets the Launcher look for more: it does so as often as it wants to show something.
Read before: server.py.  Read next: lguest_py/launcher/tracing.py; lguest_py/trace/live.py, the other end.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection
from typing import TYPE_CHECKING

from lguest_py.control.wire import Message, send_waiting
from lguest_py.errors import LguestError
from lguest_py.files.poller import READABLE, WRITABLE, Poller
from lguest_py.launcher.values import RATES

if TYPE_CHECKING:
    from lguest_py.launcher.tracing import Reader
    from lguest_py.launcher.vm import Vm

MOST_WAITING = 8 << 20  # bytes for a program that does not read
CHUNK = 1 << 16
LAST_SECONDS = 1.0  # for a program to take the rest, at the end
MOST = 8


class _Tracer:
    """One of them: a Sink (lguest_py.launcher.tracing)."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.waiting = bytearray()
        self.reader: Reader | None = None

    @property
    def room(self) -> int:
        """See Sink."""
        return MOST_WAITING - len(self.waiting)

    def write(self, data: bytes) -> None:
        """See Sink."""
        self.waiting += data

    def pump(self) -> bool:
        """Move what can be moved; False: it is gone."""
        try:
            if not self.socket.recv(CHUNK):
                return False
        except BlockingIOError:
            pass
        except OSError:
            return False
        return send_waiting(self.socket, self.waiting)


def rate_of(request: Message) -> int:
    """The samples a second that a request wants; 0: none.  Raises LguestError."""
    rate = request.get("rate", 0)
    if isinstance(rate, bool) or not isinstance(rate, int) or (rate and not RATES[0] <= rate <= RATES[1]):
        raise LguestError(f"rate is a whole number of samples a second, {RATES[0]} to {RATES[1]}, or 0")
    return rate


class Tracers:
    """All of them."""

    def __init__(self) -> None:
        self._tracers: dict[int, _Tracer] = {}
        self._poller: Poller | None = None

    def begin(self, poller: Poller) -> None:
        """A boot begins, whose loop waits by ``poller``."""
        self._poller = poller
        for fd in self._tracers:
            self._watch(fd)

    def _watch(self, fd: int) -> None:
        if self._poller:
            tracer = self._tracers.get(fd)
            self._poller.set(fd, 0 if tracer is None else READABLE | (WRITABLE if tracer.waiting else 0))

    def check(self) -> None:
        """Raises LguestError when no more can be."""
        if len(self._tracers) >= MOST:
            raise LguestError(f"{MOST} programs trace it: end one of them")

    def add(self, connection: socket.socket, rate: int, vm: Vm) -> None:
        """One more, at this connection.  Raises LguestError for a Guest that does not obey, GuestError."""
        tracer = _Tracer(connection)
        tracer.reader = vm.tracing.add(tracer, rate)
        try:
            vm.retrace()
        except BaseException:
            vm.tracing.remove(tracer.reader)
            raise
        self._tracers[connection.fileno()] = tracer
        self._watch(connection.fileno())

    def service(self, ready: Collection[int], vm: Vm) -> None:
        """Something happened to these descriptors.  Raises GuestError when the Guest broke a rule meanwhile."""
        mine = [fd for fd in ready if fd in self._tracers]
        if mine:
            vm.tracing.drain()
        for fd in mine:
            if not self._tracers[fd].pump():
                self._drop(fd, vm)
        for fd in self._tracers:
            self._watch(fd)

    def _drop(self, fd: int, vm: Vm) -> None:
        tracer = self._tracers.pop(fd)
        self._watch(fd)
        tracer.socket.close()
        assert tracer.reader
        vm.tracing.remove(tracer.reader)
        with contextlib.suppress(LguestError):  # one that does not obey now: what it records is not taken
            vm.retrace()

    def end(self) -> None:
        """The end of the run: give each the rest, as far as it takes it soon."""
        for tracer in self._tracers.values():
            with contextlib.suppress(OSError):
                tracer.socket.settimeout(LAST_SECONDS)
                tracer.socket.sendall(tracer.waiting)
            tracer.socket.close()
        self._tracers.clear()
