# SPDX-License-Identifier: GPL-2.0-or-later
"""A native Guest that executes a test's list of port accesses and returns what it read.

Its interrupts are off and it never halts: a test reads the interrupt controller's registers and acknowledges by
polling.  Read next: tests/host_kernel/test_uart_model.py.
"""

from __future__ import annotations

import os
import struct
import tempfile
from contextlib import closing
from pathlib import Path

from lguest_py import engines
from lguest_py.console.streams import Input, Output
from lguest_py.images import Image, Segment
from lguest_py.launcher.launcher import Launcher, Settings
from lguest_py.launcher.result import End
from lguest_py.shared_memory import _layouts as L

START, RESULTS, RAM = 0x100000, 0x200000, 4 << 20
LIMIT = 300  # seconds for a run, which takes less than one
UART, THR, IER, IIR, FCR, LCR, MCR, LSR, MSR, SCR = 0x3F8, *(0x3F8 + n for n in (0, 1, 2, 2, 3, 4, 5, 6, 7))
MOV_DX, MOV_AL, IN, OUT, STORE = b"\x66\xba", b"\xb0", b"\xec", b"\xee", b"\x88\x07\x47"
PIT_20_MS = 1193182 // 50


class PortGuest:
    """The Guest's program, written step by step; ``run`` gives what each ``get`` read."""

    def __init__(self) -> None:
        self._code = bytearray(b"\xbf" + struct.pack("<I", RESULTS))  # edi
        self._count = 0

    def put(self, port: int, *values: int) -> None:
        """Write these bytes to a port."""
        for value in values:
            self._code += MOV_DX + struct.pack("<H", port) + MOV_AL + bytes([value]) + OUT

    def get(self, port: int, count: int = 1) -> None:
        """Read a port, and keep what it gave."""
        self._code += (MOV_DX + struct.pack("<H", port) + IN + STORE) * count
        self._count += count

    def until(self, port: int, mask: int, value: int) -> None:
        """Read a port until its bits in ``mask`` are ``value``."""
        loop = IN + b"\x24" + bytes([mask]) + b"\x3c" + bytes([value])  # and, compare
        self._code += MOV_DX + struct.pack("<H", port) + loop + b"\x75" + bytes([256 - len(loop) - 2])  # jne

    def drain(self) -> None:
        """Read what the serial port received until it has no more, and keep how much that was, as two bytes."""
        port = struct.pack("<H", LSR), struct.pack("<H", THR)
        body = MOV_DX + port[1] + IN + b"\x43"  # inc ebx
        loop = MOV_DX + port[0] + IN + b"\xa8\x01\x74" + bytes([len(body) + 2]) + body  # test, jz
        self._code += b"\x31\xdb" + loop + b"\xeb" + bytes([256 - len(loop) - 2]) + b"\x66\x89\x1f\x83\xc7\x02"
        self._count += 2

    def wait(self) -> None:
        """Let 20 ms go by, by the timer's second channel."""
        self.put(0x61, 1)
        self.put(0x43, 0xB0)
        self.put(0x42, PIT_20_MS & 0xFF, PIT_20_MS >> 8)
        self.until(0x61, 0x20, 0x20)

    def run(self, engine_name: str, typed: bytes = b"") -> list[int]:
        """Boot it with this input, and let it tell what it read by its serial port when it has done all."""
        self.put(LCR, 0)
        self.put(IER, 0)
        self.put(MCR, 0)
        # esi: the results; each byte up to edi to the port; then power off
        send = b"\x39\xfe\x74\x04\xac\xee\xeb\xf8"  # 1: cmp esi, edi; je 2f; lodsb; out; jmp 1b
        off = 0x2000 | L.ACPI_SLEEP_TYPE_OFF << 10
        self._code += b"\xbe" + struct.pack("<I", RESULTS) + MOV_DX + struct.pack("<H", THR) + send
        self._code += MOV_DX + struct.pack("<H", L.ACPI_PM1_CONTROL) + b"\x66\xb8" + struct.pack("<H", off)
        self._code += b"\x66\xef\xeb\xfe"
        segment = Segment(START, bytes(self._code), len(self._code))
        image = Image("ports", "ELF", START, (segment,), b"", None, 1, personality="native")
        settings = Settings(image, RAM, restart=False, timeout=LIMIT)
        with tempfile.TemporaryDirectory() as name:
            keys, shown = Path(name) / "keys", Path(name) / "shown"
            keys.write_bytes(typed)
            source = os.open(keys, os.O_RDONLY)
            sink = os.open(shown, os.O_WRONLY | os.O_CREAT)
            try:
                with closing(Output(sink)) as output:
                    result = Launcher(settings, engines.choose(engine_name).make, Input(source), output).run()
                    output.finish(LIMIT)
            finally:
                os.close(source)
                os.close(sink)
            assert result.outcome.end is End.POWERED_OFF, result.outcome
            return list(shown.read_bytes()[-self._count :])
