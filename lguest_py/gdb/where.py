# SPDX-License-Identifier: GPL-2.0-or-later
"""Where gdb finds a Guest: the value of ``--gdb``.

Without one gdb comes by the Guest's own socket, which is this user's alone.  A port is for this machine only, because
the protocol knows no password: whoever reaches it has all of the Guest.
Read next: server.py.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from dataclasses import dataclass

from lguest_py.errors import UsageError
from lguest_py.files.descriptors import check
from lguest_py.files.inputs import printable
from lguest_py.files.unix_sockets import Listener, accept_from
from lguest_py.gdb.server import Listening

LOOPBACK = "127.0.0.1"
FORMS = "give --gdb, --gdb=PORT, --gdb=127.0.0.1:PORT or --gdb=unix:PATH, and ,nowait behind it"
HIGHEST = 65535


class _Port:
    """A TCP port of this machine's."""

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen(1)
            self._socket.setblocking(False)
        except OSError as error:
            self._socket.close()
            check(error)
            raise UsageError(f"--gdb: port {port} cannot be listened at ({error.strerror}): give another") from None

    def fileno(self) -> int:
        """See Listening."""
        return self._socket.fileno()

    def accept(self) -> socket.socket | None:
        """See Listening."""
        arrived = accept_from(self._socket)
        if arrived:
            with contextlib.suppress(OSError):
                arrived.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return arrived

    def close(self) -> None:
        """See Listening."""
        self._socket.close()


@dataclass(frozen=True)
class Where:
    """It: a socket's path, or a port at a host, or neither.  ``waits``: the Guest waits for gdb."""

    path: str = ""
    host: str = ""
    port: int = 0
    waits: bool = True

    def listener(self) -> Listening | None:
        """The socket that is listened at, if there is one.  Raises UsageError."""
        if self.path:
            return Listener(self.path, "a socket for gdb")
        return _Port(self.host, self.port) if self.port else None

    def target(self, name: str) -> str:
        """What gdb's ``target remote`` gets."""
        if self.path:
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else f"| lguest-py gdb {name}"


def where(text: str) -> Where:
    """The value.  Raises UsageError."""
    place, wait, option = text.replace(",,", "\0").partition(",")
    place = place.replace("\0", ",")
    if wait and option != "nowait":
        raise UsageError(f"--gdb: unknown {printable(option) or 'option'}: {FORMS}")
    waits = not wait
    if place.startswith("unix:") and place != "unix:":
        return Where(path=place.removeprefix("unix:"), waits=waits)
    if not place:
        return Where(waits=waits)
    host, _, port = place.rpartition(":")
    host = host.strip("[]") or LOOPBACK
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= HIGHEST):
        raise UsageError(f"--gdb: {printable(text)} is no place for gdb: {FORMS}")
    if host == "localhost":
        host = LOOPBACK
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = False
    if not is_here:
        raise UsageError(
            f"--gdb: {printable(host)} is not this machine's loopback, and gdb's protocol has no password: give a port "
            "alone, and a tunnel (ssh -L) to it"
        )
    return Where(host=host, port=int(port), waits=waits)
