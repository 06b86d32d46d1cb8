# SPDX-License-Identifier: GPL-2.0-or-later
"""A Guest in this process, and the real gdb at its socket.  Used by tests/gdb."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from launcher_lab import NoSource

from lguest_py import engines
from lguest_py.console.streams import Output
from lguest_py.files.unix_sockets import Listener
from lguest_py.gdb.server import GdbServer
from lguest_py.images import Image
from lguest_py.launcher.launcher import Launcher, Settings
from lguest_py.launcher.result import Result
from lguest_py.launcher.vm_memory import Switcher

SECONDS = 400.0  # the carrier is slow
MIB = 1 << 20
FIRST = (
    "set pagination off",
    "set confirm off",
    "set width 0",
    "set remotetimeout 120",
    "set architecture i386",
)


def gdb(commands: Sequence[str], symbols: Path | None = None) -> str:
    """What gdb prints, on both streams, with these commands."""
    words = [word for each in (*FIRST, *commands) for word in ("-ex", each)]
    files = [str(symbols)] if symbols else []
    done = subprocess.run(
        ["gdb", "-batch", "-nx", *words, *files],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        timeout=SECONDS, check=False,
    )  # fmt: skip
    return done.stdout


@dataclass
class Debugged:
    """A Guest that waits for gdb at ``socket``; ``end()`` waits for its end."""

    engine: str
    image: Image
    folder: Path
    waits: bool = True
    restart: bool = False
    command_line: str = ""
    switcher: Switcher = "lean"
    memory: int = 16 * MIB
    text: str = ""
    said: list[str] = field(default_factory=list)
    result: Result | None = None
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self.socket = self.folder / "gdb"
        self.server = GdbServer(Listener(str(self.socket), "a socket for gdb"), waits=self.waits)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        settings = Settings(
            self.image, self.memory, self.command_line, restart=self.restart, timeout=SECONDS, switcher=self.switcher
        )
        try:
            with tempfile.TemporaryFile() as shown, closing(Output(shown.fileno())) as output:
                make = engines.choose(self.engine).make
                run = Launcher(settings, make, NoSource(), output, say=self.said.append, control=self.server)
                self.result = run.run()
                self.server.ended(self.result.status)
                output.finish(60)
                shown.seek(0)
                self.text = shown.read().decode(errors="replace")
        except BaseException as error:
            self.error = error
        finally:
            self.server.close()

    def gdb(self, *commands: str, symbols: Path | None = None) -> list[str]:
        """The lines that gdb prints, attached to it."""
        return gdb([f"target remote {self.socket}", *commands], symbols).splitlines()

    def end(self) -> Result:
        """Wait for its end."""
        self._thread.join(SECONDS)
        if self.error:
            raise self.error
        assert self.result
        return self.result
