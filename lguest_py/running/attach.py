# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py attach``: this terminal becomes the console of a Guest that was booted with --detach.

Read next: named.py; lguest_py/control/detached.py, the other end.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lguest_py.running import named

if TYPE_CHECKING:
    import socket

    from lguest_py.cli.boot_options import MakeParser
    from lguest_py.cli.signals import SignalPipe
    from lguest_py.console.terminal import Terminal
    from lguest_py.control.client import Running

DESCRIPTION = "Make this terminal the console of a Guest of boot --detach.  What it wrote last is shown first."
EPILOG = """\
keys, when the input is a terminal:
  Ctrl-A d       leave; the Guest runs on
  Ctrl-A Ctrl-A  send Ctrl-A
  Ctrl-A ?       show these keys
Other input is passed on as the Guest reads it.  At its end the output goes on, up to the Guest's end.

"""
LEAVE = b"dDxX"
KEYS = "Ctrl-A d       leave; the Guest runs on", "Ctrl-A Ctrl-A  send Ctrl-A", "Ctrl-A ?       show these keys"
CHUNK = 0x4000


def _forward(connection: socket.socket, source: Terminal | None, guest: Running, signals: SignalPipe | None) -> int:
    """Move bytes both ways until the Guest ends or the user leaves (QuitRequested); the number of a signal, or 0."""
    from lguest_py.console.streams import Input, Source
    from lguest_py.files.poller import READABLE, WRITABLE, Poller

    reader: Source = source or Input(0)
    poller, typed, size = Poller(), bytearray(), reader.size
    while True:
        reader.prepare_wait()
        if (now := reader.size) != size and now:
            size = now
            guest.ask({"do": "resize", "columns": now[0], "rows": now[1]})
        poller.set(connection.fileno(), READABLE | (WRITABLE if typed else 0))
        poller.set(reader.fileno(), 0 if typed else READABLE)
        poller.set(signals.fileno() if signals else -1, READABLE)
        fd = reader.fileno()
        ready = poller.wait(1.0)
        if signals and signals.fileno() in ready and (number := signals.take()):
            return number
        if fd in ready and fd >= 0:
            typed += reader.read()
            if reader.fileno() != fd:
                poller.set(fd, 0)
        if typed:
            with contextlib.suppress(BlockingIOError):
                del typed[: connection.send(typed)]
        if connection.fileno() in ready:
            with contextlib.suppress(BlockingIOError):
                data = connection.recv(CHUNK)
                if not data:
                    return 0
                sys.stdout.buffer.write(data)
                sys.stdout.flush()


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    options = named.parser(make_parser, "attach", "", DESCRIPTION, EPILOG).parse_args(arguments)

    from lguest_py.cli.signals import SignalPipe, never_stopped
    from lguest_py.console.terminal import QuitRequested, Terminal
    from lguest_py.control.client import exchange

    guest = named.guest(options)
    with never_stopped(), contextlib.ExitStack() as stack:
        connection = stack.enter_context(guest.connect())
        terminal = Terminal(0, show=2, leave=LEAVE, keys=KEYS) if os.isatty(0) else None
        columns, rows = (terminal.size if terminal else None) or (80, 24)
        exchange(connection, guest.name, {"do": "attach", "columns": columns, "rows": rows})
        connection.setblocking(False)
        signals = None
        if terminal:
            signals = stack.enter_context(SignalPipe(terminal.suspend, terminal.resume, terminal.resized))
            stack.enter_context(terminal)
        with contextlib.suppress(QuitRequested, ConnectionError):
            if number := _forward(connection, terminal, guest, signals):
                return 128 + number
    return 0
