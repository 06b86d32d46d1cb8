# SPDX-License-Identifier: GPL-2.0-or-later
"""For tests of the Launcher: a sink for its output, and scripted engines."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress

import pytest
from fake_engine import AGAIN, IMAGE, FakeEngine, Script

from lguest_py.console.streams import Output, Source
from lguest_py.images import Image
from lguest_py.launcher.launcher import Launcher, Settings
from lguest_py.launcher.result import Result
from lguest_py.shared_memory import _layouts as L

MIB = 1 << 20


class NoSource:
    """Nobody ever types."""

    interactive = True
    size = None

    def fileno(self) -> int:
        return -1

    def read(self) -> bytes:
        raise AssertionError("nothing to read")

    def prepare_wait(self) -> float:
        return math.inf

    def end_of_input(self) -> bytes:
        return b""


class Pipes:
    """Output through a pipe that a thread reads, unless it is held."""

    def __init__(self) -> None:
        self._read, self.write = os.pipe()
        self.output = Output(self.write)
        self.data = b""
        self.go = threading.Event()
        self.go.set()
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        while True:
            self.go.wait()
            piece = os.read(self._read, 65536)
            if not piece:
                return
            self.data += piece

    def close(self) -> bytes:
        """All that was written."""
        self.go.set()
        self.output.finish(60)
        self.output.close()
        os.close(self.write)
        self._thread.join()
        os.close(self._read)
        return self.data


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    made = Pipes()
    yield made
    with suppress(OSError):
        made.close()


class Lab:
    """Runs scripts and keeps the engines that played them, one to a boot."""

    def __init__(self, pipes: Pipes) -> None:
        self.pipes = pipes
        self.engines: list[FakeEngine] = []
        self.lines: list[str] = []
        self.engine = FakeEngine

    def run(
        self,
        *scripts: Script,
        source: Source | None = None,
        image: Image = IMAGE,
        memory: int = 4 * MIB,
        command_line: str = "",
        initrd: str | None = None,
        restart: bool = True,
        timeout: float | None = None,
    ) -> Result:
        def make(memory_bytes: int) -> FakeEngine:
            self.engines.append(self.engine(memory_bytes, scripts[len(self.engines)]))
            return self.engines[-1]

        settings = Settings(image, memory, command_line, initrd, restart, timeout)
        return Launcher(settings, make, source or NoSource(), self.pipes.output, None, self.lines.append).run()


@pytest.fixture
def lab(pipes: Pipes) -> Lab:
    return Lab(pipes)


def power_off(engine: FakeEngine) -> Generator[str, None, None]:
    engine.end(L.END_POWER_OFF)
    yield AGAIN
