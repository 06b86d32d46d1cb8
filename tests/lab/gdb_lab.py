# SPDX-License-Identifier: GPL-2.0-or-later
"""A Guest in this process, and the real gdb at its socket.  Used by tests/gdb."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lguest_py import engines
from lguest_py.console.streams import Input, Output
from lguest_py.engines.base import Engine
from lguest_py.files.unix_sockets import Listener
from lguest_py.gdb.server import GdbServer
from lguest_py.images import Image
from lguest_py.launcher.launcher import Launcher, Settings
from lguest_py.launcher.result import Result
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View

needs_gdb = pytest.mark.skipif(not shutil.which("gdb"), reason="gdb is not installed")
SECONDS = 400.0  # the carrier is slow
ENTRIES = 8  # of the Guest: it runs
MIB = 1 << 20
FIRST = (
    "set pagination off",
    "set confirm off",
    "set width 0",
    "set remotetimeout 120",
    "set architecture i386",
)


def gdb_words(commands: Sequence[str], symbols: Path | None = None) -> list[str]:
    """gdb's command line."""
    words = [word for each in (*FIRST, *commands) for word in ("-ex", each)]
    return ["gdb", "-batch", "-nx", *words, *([str(symbols)] if symbols else [])]


def gdb(commands: Sequence[str], symbols: Path | None = None) -> str:
    """What gdb prints, on both streams, with these commands."""
    done = subprocess.run(
        gdb_words(commands, symbols),
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
    initrd: str | None = None
    typed: bytes = b""  # at its prompt; then nothing, and no end of input
    text: str = ""
    said: list[str] = field(default_factory=list)
    result: Result | None = None
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self.socket = self.folder / "gdb"
        self.server = GdbServer(Listener(str(self.socket), "a socket for gdb"), waits=self.waits)
        self._engines: list[Engine] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        how = self.image, self.memory, self.command_line, self.initrd, self.restart, SECONDS
        settings = Settings(*how, switcher=self.switcher)
        keys, typing = os.pipe()
        os.write(typing, self.typed)
        try:
            with tempfile.TemporaryFile() as shown, closing(Output(shown.fileno())) as output:
                run = Launcher(settings, self._make, Input(keys), output, say=self.said.append, control=self.server)
                self.result = run.run()
                self.server.ended(self.result.status)
                output.finish(60)
                shown.seek(0)
                self.text = shown.read().decode(errors="replace")
        except BaseException as error:
            self.error = error
        finally:
            self.server.close()
            os.close(keys)
            os.close(typing)

    def _make(self, memory: int) -> Engine:
        self._engines.append(engines.choose(self.engine).make(memory))
        return self._engines[-1]

    def switches(self) -> int:
        """World switches of the boot that runs."""
        return View(self._engines[-1].memory, L.MAILBOX_ADDRESS, L.MAILBOX)["switches"]

    def runs_on(self) -> None:
        """Wait until the Guest was entered again and again."""
        first, until = self.switches(), time.monotonic() + SECONDS
        while self.switches() < first + ENTRIES:
            assert time.monotonic() < until, "it stands still"
            time.sleep(0.01)

    def interrupted(
        self, *commands: str, symbols: Path | None = None, before: Sequence[str] = (), number: int = signal.SIGINT
    ) -> list[str]:
        """The lines of a gdb that lets the Guest run, gets Ctrl-C (or a signal), and then obeys ``commands``."""
        words = gdb_words([f"target remote {self.socket}", *before, "continue", *commands], symbols)
        with subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        ) as started:  # fmt: skip
            until = time.monotonic() + SECONDS
            while not self.server.lets_run:
                assert time.monotonic() < until, "gdb does not let it run"
                time.sleep(0.01)
            started.send_signal(number)
            lines = started.communicate(timeout=SECONDS)[0].splitlines()
        while number == signal.SIGKILL and self.server.lets_run:
            assert time.monotonic() < until, "it is not noticed that gdb is gone"
            time.sleep(0.01)
        return lines

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
