# SPDX-License-Identifier: GPL-2.0-or-later
"""The socket of a Guest that ``boot`` makes for lguest-py ps, stat, attach and the like.

Without --name and --detach a Guest that can have none runs all the same.
Read next: lguest_py/control/server.py.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import TYPE_CHECKING

from lguest_py.control import places
from lguest_py.control.server import Control
from lguest_py.errors import LguestError, UsageError
from lguest_py.files.inputs import printable

if TYPE_CHECKING:
    from lguest_py.cli.detach import Detached
    from lguest_py.control.detached import DetachedConsole
    from lguest_py.engines import Choice
    from lguest_py.files.poller import Poller
    from lguest_py.gdb.server import GdbServer
    from lguest_py.launcher.launcher import Settings
    from lguest_py.launcher.result import Outcome
    from lguest_py.launcher.vm import Vm

TRIES = 16
MESSAGES = 20  # of the last ones, for stat


class BootControl:
    """Control (lguest_py.launcher.launcher), and the console of a Guest in the background."""

    def __init__(self, control: Control, name: str, detached: Detached | None, console: DetachedConsole | None) -> None:
        self.path = control.path
        self.sockets: list[str] = []  # more of them, which go at the end
        self.note = ""  # for the user, when the Guest starts
        self.host: GdbServer | None = None  # for gdb at the Host kernel, on kvm; on tcg QEMU listens
        self.listens = -1  # that socket
        self._control, self._name, self._detached, self._console = control, name, detached, console

    def prepare(self, vm: Vm) -> None:
        """See Control."""
        self._control.prepare(vm)
        if self.host:
            self.host.prepare(vm)

    def begin(self, poller: Poller) -> None:
        """See Control: the Guest runs."""
        self._control.begin(poller)
        if self.host:
            self.host.begin(poller)
        if self._console:
            self._console.begin(poller)
        if self._detached:
            self._detached.runs(self._name)

    def service(self, ready: Collection[int], vm: Vm) -> Outcome | None:
        """See Control."""
        wish = self._control.service(ready, vm)
        if self.host:
            wish = self.host.service(ready, vm) or wish
        if self._console:
            self._console.service(ready)
        return wish

    def ended(self, status: int) -> None:
        """The Guest has ended, with this exit status of lguest-py's."""
        self._control.ended(status)


def _socket(name: str | None, wanted: bool, say: Callable[[str], None] | None) -> str:
    """The path for the Guest's socket; "" where there can be none and nobody asked for it.  Raises LguestError."""
    path = places.socket_of(str(os.getpid()) if name is None else name)
    try:
        places.made_folder()
    except (OSError, LguestError) as error:
        why = str(error) if isinstance(error, LguestError) else f"{path.parent} cannot be made ({error.strerror})"
        if wanted:
            raise UsageError(f"the Guest can have no name: {why}") from None
        if say:
            say(f"lguest-py ps does not show this Guest: {why}")
        return ""
    return str(path)


def open_control(
    name: str | None,
    settings: Settings,
    choice: Choice,
    stack: ExitStack,
    messages: deque[str],
    told: Callable[[str], None] | None,
    detached: Detached | None = None,
    console: DetachedConsole | None = None,
    gdb: str | None = None,
) -> BootControl | None:
    """The socket, which ``stack`` removes; None: this machine has no place for it.  Raises LguestError.

    ``messages``: the last lines for the user, for stat.  ``told`` prints why there is none.  ``gdb``: what --gdb says.
    """
    server, place = None, None
    if gdb is not None:
        from lguest_py.files.unix_sockets import Listener
        from lguest_py.gdb.server import GdbServer
        from lguest_py.gdb.where import where

        place = where(gdb)
        server = GdbServer(place.listener(), waits=place.waits)
        stack.callback(server.close)
    path = _socket(name, any(each is not None for each in (name, detached, gdb)), told)
    if not path:
        return None
    name = str(os.getpid()) if name is None else name
    facts = {
        "name": name,
        "pid": os.getpid(),
        "image": settings.image.path,
        "command_line": settings.command_line,
        "engine": choice.name,
        "memory": settings.memory,
        "started": round(time.time(), 3),
        "detached": detached is not None,
        "messages": messages,
    }
    for _ in range(TRIES):
        try:
            places.made_folder()
            control = Control(path, facts, settings, console, server)
            break
        except UsageError:  # another Guest that ended removed the folder
            if os.path.isdir(os.path.dirname(path)):
                raise
    else:
        raise UsageError(f"{printable(path)} cannot be made: set XDG_RUNTIME_DIR to another folder")
    stack.callback(control.close)
    made = BootControl(control, name, detached, console)
    if place:
        waits = "the Guest waits for gdb" if place.waits else "gdb may attach"
        made.note, made.sockets = f"{waits}: target remote {place.target(name)}", [place.path] if place.path else []
        below = Listener(str(places.host_socket_of(name)), "a socket for gdb")
        stack.callback(below.close)
        made.sockets.append(str(places.host_socket_of(name)))
        made.listens = below.fileno()
        made.host = GdbServer(below, host=True) if choice.name == "kvm" else None
    return made
