# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py gdb``: gdb's way to a running Guest, as the program that gdb starts: target remote | lguest-py gdb NAME.

Read next: named.py; lguest_py/gdb/server.py, the other end.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lguest_py.errors import LguestError, UsageError
from lguest_py.running import named

if TYPE_CHECKING:
    import socket

    from lguest_py.cli.boot_options import MakeParser

DESCRIPTION = "The connection of gdb to a running Guest.  In gdb: target remote | lguest-py gdb NAME"
EPILOG = """\
The Guest stands still as soon as gdb is there, and goes on when gdb says so or has gone.  docs/gdb.md shows more.

"""
CHUNK = 0x4000


def _pass_on(connection: socket.socket) -> None:
    """Move bytes both ways, until gdb or the Guest ends."""
    import select

    own, both = connection.fileno(), [0, connection.fileno()]
    while True:
        ready, _, _ = select.select(both, [], [])
        if own in ready:
            data = connection.recv(CHUNK)
            if not data:
                return
            while data:
                data = data[os.write(1, data) :]
        if 0 in ready:
            data = os.read(0, CHUNK)
            if not data:
                return
            connection.sendall(data)


def _host_kernel(name: str) -> socket.socket:
    """The connection to whatever serves gdb there."""
    from lguest_py.control import places
    from lguest_py.files.inputs import printable
    from lguest_py.files.unix_sockets import connected

    try:
        return connected(str(places.host_socket_of(name)))
    except OSError as error:
        why = f"gdb cannot reach the Host kernel of {printable(name)} ({error.strerror})"
        raise LguestError(f"{why}: boot the Guest with --gdb") from None


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    parser = named.parser(make_parser, "gdb", "[--host-kernel]", DESCRIPTION, EPILOG)
    parser.add_argument("--host-kernel", action="store_true", help="the Host kernel below it, of boot --gdb")
    options = parser.parse_args(arguments)
    if os.isatty(0):
        raise UsageError(f"this is for gdb to start: gdb -ex 'target remote | lguest-py gdb {options.name}'")

    import signal

    from lguest_py.control.client import exchange

    guest = named.guest(options)
    connection = _host_kernel(options.name) if options.host_kernel else guest.connect()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at gdb's terminal is gdb's
    with connection:
        if not options.host_kernel:
            exchange(connection, guest.name, {"do": "gdb"})
        connection.settimeout(None)
        with contextlib.suppress(ConnectionError):
            _pass_on(connection)
        sys.stdout.flush()
    return 0
