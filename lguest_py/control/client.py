# SPDX-License-Identifier: GPL-2.0-or-later
"""A running Guest, seen from another program: ``running()`` and ``Running("NAME")``.

Read next: lguest_py/cli/ps.py, which uses it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from lguest_py.control import places
from lguest_py.control.wire import LONGEST, Message, decode, encode
from lguest_py.errors import LguestError
from lguest_py.files.inputs import printable

PATIENCE = 60.0  # seconds for an answer; a dump of a large Guest takes some
GLANCE = 3.0  # seconds, where all are asked


class NoSuchGuestError(LguestError):
    """No Guest of this name runs."""


class Running:
    """The running Guest ``name``.  Each method raises LguestError; NoSuchGuestError where none of this name runs."""

    def __init__(self, name: str, patience: float = PATIENCE) -> None:
        """``patience``: seconds to wait for an answer."""
        self.name, self._patience = name, patience
        self._path = places.socket_of(name)

    def connect(self) -> socket.socket:
        """A connection to it, which waits."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(self._patience)
        try:
            made.connect(os.fspath(self._path))
        except OSError as error:
            made.close()
            if error.errno == errno.ECONNREFUSED:
                with contextlib.suppress(OSError):  # of one that was killed
                    os.unlink(self._path)
                    os.rmdir(self._path.parent)
            if error.errno not in (errno.ECONNREFUSED, errno.ENOENT):
                raise LguestError(f"{self.name} cannot be asked ({error.strerror}): try again") from None
            raise NoSuchGuestError(f"no Guest {printable(self.name)} runs: lguest-py ps shows those that do") from None
        return made

    def ask(self, request: Message, files: Sequence[int] = ()) -> Message:
        """The answer to a request, with which open files may go along."""
        with self.connect() as connection:
            return exchange(connection, self.name, request, files)

    def stat(self) -> dict[str, Any]:
        """What it is and does: docs/running.md has the fields."""
        return self.ask({"do": "stat"})

    def pause(self) -> None:
        """Let it stand still between two world switches.  Its clock goes on."""
        self.ask({"do": "pause"})

    def resume(self) -> None:
        """Let it go on."""
        self.ask({"do": "resume"})

    def stop(self) -> None:
        """End it, at once, and return when its process has ended."""
        with self.connect() as connection, _process(connection) as process:
            exchange(connection, self.name, {"do": "stop"})
            if process and not select.select([process], [], [], PATIENCE)[0]:
                raise LguestError(f"{self.name} does not end: is its process stopped?")

    def dump(self, path: str | os.PathLike[str]) -> int:
        """Write its memory and registers to a new file, as an ELF core; returns the file's size in bytes."""
        return self._write({"do": "dump"}, path)

    def save(self, path: str | os.PathLike[str], *, compress: bool = False, stop: bool = False) -> int:
        """Write all of it to a new file, from which it can be restored; returns the file's size in bytes.

        ``stop``: end it then.
        """
        return self._write({"do": "save", "compress": compress, "stop": stop}, path)

    def _write(self, request: Message, path: str | os.PathLike[str]) -> int:
        name = printable(os.fspath(path))
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LguestError(f"{name} cannot be written ({error.strerror}): give another FILE") from None
        try:
            return int(self.ask(request, [file])["bytes"])
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        finally:
            os.close(file)


@contextlib.contextmanager
def _process(connection: socket.socket) -> Iterator[int]:
    """A descriptor that is readable when the process at the other end has ended; 0 where it cannot be had."""
    pid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    try:
        found = os.pidfd_open(pid)
    except OSError:  # it has ended, or is of another PID namespace
        found = 0
    try:
        yield found
    finally:
        if found:
            os.close(found)


def exchange(connection: socket.socket, name: str, request: Message, files: Sequence[int] = ()) -> Message:
    """Send a request and return its answer, without "error".  Raises LguestError."""
    heard = bytearray()
    try:
        socket.send_fds(connection, [encode(request)], files)
        while not heard.endswith(b"\n"):
            data = connection.recv(1)  # what follows an answer belongs to the console
            if not data or len(heard) > LONGEST:
                raise NoSuchGuestError(f"{name} ended before it answered")
            heard += data
    except TimeoutError:
        raise LguestError(f"{name} does not answer: is its process stopped?") from None
    except OSError as error:
        raise NoSuchGuestError(f"{name} ended before it answered ({error.strerror})") from None
    answer = decode(heard)
    if "error" in answer:
        raise LguestError(f"{name}: {answer['error']}")
    return answer


def running() -> list[dict[str, Any]]:
    """``stat`` of each Guest of this user that runs, by name; of one that does not answer only its name and that."""
    found = []
    for name in places.names():
        try:
            found.append(Running(name, GLANCE).stat())
        except NoSuchGuestError:
            continue
        except LguestError:
            found.append({"name": name, "state": "no answer"})
    return found
