# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of QEMU's gdb stub: as much of the GDB remote protocol as it takes to step a CPU and to see its registers.

The registers are those that QEMU's monitor prints, which a gdb client may ask by qRcmd: the protocol itself has no
descriptor-table registers.  Source: the GDB manual, appendix E.
Read next: stepped_tcg.py.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from typing import Final

from lguest_py.engines.stepping import GENERAL, SEGMENTS, MachineGoneError, State

SECONDS: Final = 60.0  # limit of an answer
ORDER: Final = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip")  # of org.gnu.gdb.i386.core
EIP: Final = "p8"  # the number in org.gnu.gdb.i386.core
INTERRUPT: Final = b"\x03"
WORDS = re.compile(r"\b(E[A-Z]{2}|EFL|CR[0-4]) *=([0-9a-f]{8})")
SEGMENT = re.compile(r"^([A-Z]{2,3}) *=([0-9a-f]{4}) ([0-9a-f]{8}) ", re.M)
TABLE = re.compile(r"^([GI]DT) *= *([0-9a-f]{8}) ([0-9a-f]{8})", re.M)
NAMES: Final = {"EFL": "eflags"}


def parse_registers(text: str) -> State:
    """The registers in what QEMU prints for ``info registers``.  Raises KeyError when one is missing."""
    found = {NAMES.get(name, name.lower()): int(value, 16) for name, value in WORDS.findall(text)}
    selectors = {name.lower(): (int(selector, 16), int(base, 16)) for name, selector, base in SEGMENT.findall(text)}
    tables = {name.lower(): (int(base, 16), int(limit, 16)) for name, base, limit in TABLE.findall(text)}
    state = {name: found[name] for name in (*GENERAL, "eip", "eflags")}
    state |= {name: selectors[name][0] for name in SEGMENTS}
    state |= {name: found[name] for name in ("cr0", "cr2", "cr3", "cr4")}
    for name in ("gdt", "idt"):
        state[name], state[f"{name}_limit"] = tables[name]
    state["tr"], state["tss"] = selectors["tr"]
    state["ldt"] = selectors["ldt"][0]
    return state


class GdbStub:
    """The CPU stands still but within ``go`` and ``step``.  Each method raises MachineGoneError when QEMU has ended."""

    def __init__(self, link: socket.socket) -> None:
        """``link`` is connected to the stub, and is closed by whoever made it."""
        self._link = link
        self._link.settimeout(SECONDS)
        self._buffer = b""
        self._ask("?")

    def _send(self, text: str) -> None:
        data = text.encode()
        try:
            self._link.sendall(b"$" + data + b"#%02x" % (sum(data) & 0xFF))
        except OSError as error:
            raise MachineGoneError from error

    def _receive(self) -> str:
        """The next packet.  Raises TimeoutError."""
        while True:
            start = self._buffer.find(b"$")
            end = self._buffer.find(b"#", start)
            if 0 <= start < end and len(self._buffer) >= end + 3:
                found = self._buffer[start + 1 : end].decode()
                self._buffer = self._buffer[end + 3 :]
                with contextlib.suppress(OSError):  # an exit is told, and the stub is gone
                    self._link.sendall(b"+")
                if found[:1] in ("W", "X"):
                    raise MachineGoneError
                return found
            try:
                chunk = self._link.recv(65536)
            except TimeoutError:
                raise
            except OSError as error:
                raise MachineGoneError from error
            if not chunk:
                raise MachineGoneError
            self._buffer += chunk

    def _ask(self, text: str) -> str:
        """The answer to a packet but ``c`` and ``s``."""
        self._send(text)
        answer = self._receive()
        while answer.startswith("T") and text != "?":  # that it stands still is told twice at first
            answer = self._receive()
        return answer

    def breakpoint(self, address: int, there: bool) -> None:
        """Set one, or remove it."""
        self._ask(f"{'Z' if there else 'z'}0,{address:x},1")

    def step(self) -> None:
        """One instruction; QEMU holds interrupts and timers back meanwhile."""
        self._send("s")
        self._receive()

    def go(self, seconds: float) -> bool:
        """Run up to a breakpoint.  False: none was reached in this time."""
        self._send("c")
        self._link.settimeout(seconds)
        try:
            self._receive()
            return True
        except TimeoutError:
            self._link.settimeout(SECONDS)
            self._link.sendall(INTERRUPT)
            self._receive()
            return False
        finally:
            self._link.settimeout(SECONDS)

    def run_on(self) -> None:
        """Let the CPU run, and leave it alone."""
        self._ask("D")

    def eip(self) -> int:
        """It alone, which is quicker."""
        return int.from_bytes(bytes.fromhex(self._ask(EIP)), "little")

    def general(self) -> State:
        """The general registers and eip."""
        values = struct.unpack_from(f"<{len(ORDER)}I", bytes.fromhex(self._ask("g")[: 8 * len(ORDER)]))
        return dict(zip(ORDER, values, strict=True))

    def registers(self) -> State:
        """All of them."""
        self._send("qRcmd," + b"info registers".hex())
        text = bytearray()
        while (answer := self._receive()) != "OK":
            if answer.startswith("O"):
                text += bytes.fromhex(answer[1:])
        return parse_registers(text.decode(errors="replace"))
