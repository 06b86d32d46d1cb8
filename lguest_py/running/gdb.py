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

from lguest_py.errors import UsageError
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


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    options = named.parser(make_parser, "gdb", "", DESCRIPTION, EPILOG).parse_args(arguments)
    if os.isatty(0):
        raise UsageError(f"this is for gdb to start: gdb -ex 'target remote | lguest-py gdb {options.name}'")

    import signal

    from lguest_py.control.client import exchange

    guest = named.guest(options)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at gdb's terminal is gdb's
    with guest.connect() as connection:
        exchange(connection, guest.name, {"do": "gdb"})
        connection.settimeout(None)
        with contextlib.suppress(ConnectionError):
            _pass_on(connection)
        sys.stdout.flush()
    return 0
