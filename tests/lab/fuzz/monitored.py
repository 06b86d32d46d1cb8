# SPDX-License-Identifier: GPL-2.0-or-later
"""The tcg engine with QEMU's monitor beside it: what the emulated CPU does, and NMIs.

Read next: fuzz_lab.py.
"""

from __future__ import annotations

import re
import socket
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from lguest_py.engines.tcg import TcgEngine
from lguest_py.sandbox import child

PROMPT = b"(qemu) "
SECONDS = 60.0
RING = re.compile(r"CPL=(\d)")
FLAGS = re.compile(r"EFL=([0-9a-f]{8})")


class MonitoredTcg(TcgEngine):
    """It.  The monitor may be used by one thread at a time."""

    def __init__(self, memory_bytes: int) -> None:
        super().__init__(memory_bytes)
        self._folder = tempfile.TemporaryDirectory()
        self._path = str(Path(self._folder.name, "monitor"))
        self.gdb = str(Path(self._folder.name, "gdb"))  # where gdb_remote.py connects
        self._monitor: socket.socket | None = None

    def arguments(self) -> list[str]:
        """With the monitor at a Unix socket."""
        chardev = f"socket,id=monitor,path={self._path},server=on,wait=off"
        gdb = f"unix:{self.gdb},server=on,wait=off"
        return [*super().arguments(), "-chardev", chardev, "-mon", "chardev=monitor,mode=readline", "-gdb", gdb]

    def start(self, entry: int, ebx: int, tsc: int = 0) -> None:
        """Without QEMU's walls: it makes a socket."""
        with patch.object(child, "_enabled", False):
            super().start(entry, ebx, tsc)

    def close(self) -> None:
        """As the engine, and the monitor."""
        super().close()
        if self._monitor:
            self._monitor.close()
        self._folder.cleanup()

    def monitor(self, command: str) -> str:
        """What the monitor answers.  Raises OSError when QEMU has ended."""
        if self._monitor is None:
            self._monitor = self._connect()
            self._read(self._monitor)
        self._monitor.sendall(command.encode() + b"\n")
        return self._read(self._monitor)

    def _connect(self) -> socket.socket:
        until = time.monotonic() + SECONDS
        while True:
            made = socket.socket(socket.AF_UNIX)
            made.settimeout(SECONDS)
            try:
                made.connect(self._path)
            except OSError:
                made.close()
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return made

    @staticmethod
    def _read(monitor: socket.socket) -> str:
        text = b""
        while not text.endswith(PROMPT):
            chunk = monitor.recv(65536)
            if not chunk:
                raise OSError("QEMU ended")
            text += chunk
        return text.decode(errors="replace")

    def answers(self) -> bool:
        """Whether the CPU runs the Guest, or waits for an interrupt."""
        text = self.monitor("info registers")
        ring, flags = RING.search(text), FLAGS.search(text)
        masked = not (flags and int(flags[1], 16) & 0x200)
        return bool(ring and ring[1] != "0") or ("HLT=1" in text and not masked)
