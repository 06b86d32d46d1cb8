# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of the GDB remote protocol as a test needs to stop QEMU's CPU at an instruction and to step it.

Source: the GDB manual, appendix E; the order of registers is that of org.gnu.gdb.i386.core.
"""

from __future__ import annotations

import contextlib
import socket
import struct

REGISTERS = [
    "eax",
    "ecx",
    "edx",
    "ebx",
    "esp",
    "ebp",
    "esi",
    "edi",
    "eip",
    "eflags",
    "cs",
    "ss",
    "ds",
    "es",
    "fs",
    "gs",
]
SECONDS = 60.0


class Remote:
    """A connection to the stub.  The CPU stands still from here on, until ``go`` or ``step``."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(SECONDS)
        self._socket.connect(path)
        self._buffer = b""
        self.ask("?")
        self.ask("qXfer:features:read:target.xml:0,ffb")  # else QEMU does not set registers

    def close(self) -> None:
        """End it; the CPU goes on."""
        with contextlib.suppress(OSError):
            self.ask("D")
        self._socket.close()

    def _send(self, text: str) -> None:
        data = text.encode()
        self._socket.sendall(b"$" + data + b"#%02x" % (sum(data) & 0xFF))

    def _receive(self) -> str:
        while True:
            start, end = self._buffer.find(b"$"), self._buffer.find(b"#")
            if 0 <= start < end and len(self._buffer) >= end + 3:
                found = self._buffer[start + 1 : end].decode()
                self._buffer = self._buffer[end + 3 :]
                self._socket.sendall(b"+")
                return found
            chunk = self._socket.recv(65536)
            if not chunk:
                raise OSError("QEMU ended")
            self._buffer += chunk.lstrip(b"+") if not self._buffer else chunk

    def ask(self, text: str) -> str:
        """The answer to a packet."""
        self._send(text)
        answer = self._receive()
        while answer.startswith("T") and text[0] not in "?cs":  # that it stands still is told twice at first
            answer = self._receive()
        return answer

    def registers(self) -> dict[str, int]:
        """All of REGISTERS."""
        raw = bytes.fromhex(self.ask("g")[: 8 * len(REGISTERS)])
        return dict(zip(REGISTERS, struct.unpack(f"<{len(REGISTERS)}I", raw), strict=True))

    def set(self, name: str, value: int) -> None:
        """A register."""
        answer = self.ask(f"P{REGISTERS.index(name):x}={struct.pack('<I', value).hex()}")
        assert answer == "OK", answer

    def set_all(self, values: dict[str, int]) -> None:
        """All of REGISTERS."""
        answer = self.ask("G" + struct.pack(f"<{len(REGISTERS)}I", *(values[name] for name in REGISTERS)).hex())
        assert answer == "OK", answer

    def write(self, address: int, data: bytes) -> None:
        """Memory by its virtual address; QEMU sees that code changes."""
        answer = self.ask(f"M{address:x},{len(data):x}:{data.hex()}")
        assert answer == "OK", answer

    def breakpoint(self, address: int, there: bool = True) -> None:
        """Set one, or remove it."""
        answer = self.ask(f"{'Z' if there else 'z'}0,{address:x},1")
        assert answer == "OK", answer

    def masks_interrupts(self, masks: bool) -> None:
        """Whether a step holds interrupts and timers back."""
        assert self.ask(f"Qqemu.sstep={7 if masks else 1:x}") == "OK"

    def step(self) -> None:
        """One instruction, or the way into a handler."""
        self.ask("s")

    def go(self, seconds: float) -> bool:
        """Run up to a breakpoint.  False: none was reached in this time; the CPU stands still all the same."""
        self._send("c")
        self._socket.settimeout(seconds)
        try:
            self._receive()
            return True
        except TimeoutError:
            self._socket.settimeout(SECONDS)
            self._socket.sendall(b"\x03")
            self._receive()
            return False
        finally:
            self._socket.settimeout(SECONDS)
