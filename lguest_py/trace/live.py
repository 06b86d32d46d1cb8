# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the bytes of a trace come from: a running Guest's socket, or a file.

Read before: lguest_py/control/tracers.py.  Read next: stream.py.
"""

from __future__ import annotations

import contextlib
import math
import select
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lguest_py.errors import UsageError
from lguest_py.files.inputs import printable

if TYPE_CHECKING:
    from lguest_py.control.client import Running

LOOK = 0.05  # seconds between two looks
CHUNK = 1 << 18


def from_guest(guest: Running, rate: int, seconds: float | None) -> Iterator[bytes]:
    """What it records from now on; b"" when some time has passed.  Raises LguestError.

    The ``seconds`` begin with the first data, which is there at once.
    """
    from lguest_py.control.client import exchange

    with guest.connect() as connection:
        exchange(connection, guest.name, {"do": "trace", "rate": rate})
        connection.setblocking(False)
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        until, asked = math.inf, 0.0
        while True:
            now = time.monotonic()
            if now >= asked + LOOK and now < until:
                asked = now
                with contextlib.suppress(OSError):  # it has ended: what it left is still to be read
                    connection.send(b"\n")  # let it look for more
            if not poller.poll(0 if now >= until else LOOK * 1000):
                if now >= until:
                    return
                yield b""
                continue
            try:
                data = connection.recv(CHUNK)
            except BlockingIOError:
                continue
            except OSError:
                return
            if not data:
                return
            yield data
            if seconds is not None and until == math.inf:
                until = time.monotonic() + seconds


def from_file(path: str) -> Iterator[bytes]:
    """What a file of boot --trace or --write has; "-" is the standard input.  Raises UsageError."""
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            while data := file.read(CHUNK):
                yield data
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{printable(path)} cannot be read ({why}): give a file of boot --trace") from None
