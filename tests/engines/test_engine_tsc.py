# SPDX-License-Identifier: GPL-2.0-or-later
"""An engine's time-stamp counter starts where it is told to, near the engine's own or far from it."""

from __future__ import annotations

import struct
import time

import pytest

from lguest_py import engines

ENTRY, FOUND = 0x7000, 0x8000
SECONDS = 120.0  # the carrier is slow
LATE = 1 << 38  # cycles between the start and the first instruction, on a busy computer


def code(exit_port: int) -> bytes:
    """Keep the counter, and end the machine."""
    words = b"\x0f\x31\xa3" + struct.pack("<I", FOUND) + b"\x89\x15" + struct.pack("<I", FOUND + 4)
    return words + b"\xb0\x21\xba" + struct.pack("<I", exit_port) + b"\xee\xf4"


@pytest.mark.parametrize("tsc", [1, 10**6, 10**9, 3 * 10**9, 1 << 45])
def test_the_counter_starts_there(engine_name: str, tsc: int) -> None:
    engine = engines.choose(engine_name).make(4 << 20)
    try:
        program = code(engine.facts.exit_port)
        engine.memory[ENTRY : ENTRY + len(program)] = program
        engine.start(ENTRY, 0, tsc)
        until = time.monotonic() + SECONDS
        while not engine.poll():
            assert time.monotonic() < until
            time.sleep(0.01)
        (found,) = struct.unpack_from("<Q", engine.memory, FOUND)
    finally:
        engine.close()
    assert tsc <= found < tsc + LATE
