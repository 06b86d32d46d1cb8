# SPDX-License-Identifier: GPL-2.0-or-later
"""Unix sockets: one that is made and listened on, and a connection to another program's.  Nothing waits.

Read next: lguest_py/devices/extra_console.py, lguest_py/devices/vsock.py.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable

from lguest_py.errors import UsageError
from lguest_py.files.descriptors import check
from lguest_py.files.inputs import printable

Connect = Callable[[str], socket.socket]


def _stream() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


def connected(path: str) -> socket.socket:
    """A connection to the program that listens there.  Raises OSError: none listens, or it is busy."""
    made = _stream()
    try:
        made.connect(path)
    except BaseException:
        made.close()
        raise
    return made


def _remove_stale(path: str, what: str) -> None:
    """Remove a socket that nobody listens at.  Raises UsageError when the name is taken."""
    name = printable(path)
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise UsageError(f"{name} cannot be {what}: there is another file; name a new one, or remove it")
    try:
        connected(path).close()
    except ConnectionRefusedError:
        os.unlink(path)
        return
    except BlockingIOError:  # somebody listens, whose backlog is full
        pass
    raise UsageError(f"{name} cannot be {what}: another program listens there; name a new one, or end it")


def accept_from(listener: socket.socket) -> socket.socket | None:
    """The next connection, which does not block; None: there is none, or too few descriptors, and it stays there."""
    try:
        arrived, _ = listener.accept()
    except OSError:
        return None
    arrived.setblocking(False)
    return arrived


class Listener:
    """A socket at ``path`` that is this user's alone, and removed at the end.  One that nobody listens at is replaced.

    ``what`` names it in messages: "a console's socket".  Raises UsageError.
    """

    def __init__(self, path: str, what: str, backlog: int = 4) -> None:
        self._path = os.path.abspath(path)
        self._socket = listener = _stream()
        try:
            os.fchmod(listener.fileno(), 0o600)  # the mode that the file gets
            try:
                listener.bind(path)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                _remove_stale(path, what)
                listener.bind(path)
            listener.listen(backlog)
            facts = os.lstat(path)
        except (OSError, ValueError) as error:
            listener.close()
            check(error)
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"{printable(path)} cannot be {what} ({reason}): name one where you may make files"
            ) from None
        except BaseException:
            listener.close()
            raise
        self._identity = facts.st_dev, facts.st_ino

    def fileno(self) -> int:
        """Readable when a program connects."""
        return self._socket.fileno()

    def accept(self) -> socket.socket | None:
        """The next program's connection; None: there is none, or too few descriptors, and it stays in the queue."""
        return accept_from(self._socket)

    def close(self) -> None:
        """Remove the socket, unless another file has its name by now."""
        with contextlib.suppress(OSError):
            facts = os.lstat(self._path)
            if (facts.st_dev, facts.st_ino) == self._identity:
                os.unlink(self._path)
        self._socket.close()
