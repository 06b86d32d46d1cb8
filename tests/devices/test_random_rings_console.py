# SPDX-License-Identifier: GPL-2.0-or-later
"""Random rings for the console: tests/lab/devices/random_rings.py says of which kinds."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from random_rings import rings, throw

from lguest_py.devices.console import Console


class Sink:
    """Takes any amount and keeps nothing."""

    room = 1 << 20

    def write(self, data: bytes | bytearray) -> None:
        assert len(data) <= self.room


def shapes(chance: Random, queue: int) -> tuple[Sequence[bytes], Sequence[int]]:
    lengths = [chance.choice((1, 16, 4096)) for _ in range(chance.randrange(1, 4))]
    return ([], lengths) if queue == 0 else ([chance.randbytes(length) for length in lengths], [])


def test_random_rings(request: pytest.FixtureRequest) -> None:
    inbox = bytearray(b"typed" * 1000)
    console = Console(inbox, Sink())
    count = rings(request)
    counts = throw(console, count, shapes)
    assert counts["answered"] > count // 2
    assert counts["guest error"] > count // 10
