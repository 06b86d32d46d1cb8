# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes through a Guest's socket: a request is one line, a JSON object with "do"; so is the answer.

The answer has "error", one line, when it could not be done.  A file that the Guest is to be written to goes along with
the request as an open descriptor (SCM_RIGHTS), because the Launcher opens none.
Read next: server.py.
"""

from __future__ import annotations

import json
import socket
from typing import Any

from lguest_py.errors import LguestError

LONGEST = 1 << 16  # bytes of a line
Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """The line."""
    return json.dumps(message).encode() + b"\n"


def send_waiting(connection: socket.socket, waiting: bytearray) -> bool:
    """Send as much as can be sent without waiting, and drop it there; False: the other end is gone."""
    try:
        while waiting:
            del waiting[: connection.send(waiting)]
    except BlockingIOError:
        pass
    except OSError:
        return False
    return True


def decode(line: bytes | bytearray) -> Message:
    """The object in a line.  Raises LguestError for anything else."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise LguestError("not a JSON object in one line")
    return message
