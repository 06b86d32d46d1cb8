# SPDX-License-Identifier: GPL-2.0-or-later
"""Random rings for the source of entropy: tests/lab/devices/random_rings.py says of which kinds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from random_rings import rings, throw

from lguest_py.devices.entropy import EntropyDevice
from lguest_py.hardware import Entropy


def shapes(chance: Random, queue: int) -> tuple[Sequence[bytes], Sequence[int]]:
    return [], [chance.choice((1, 16, 4096)) for _ in range(chance.randrange(1, 4))]


@pytest.mark.parametrize("source", ["system", "file"])
def test_random_rings(request: pytest.FixtureRequest, tmp_path: Path, source: str) -> None:
    said: list[str] = []
    path = tmp_path / "source"
    path.write_bytes(bytes(64))
    device = EntropyDevice(Entropy(str(path) if source == "file" else ""), said.append)
    count = rings(request)
    try:
        counts = throw(device, count, shapes)
    finally:
        device.close()
    assert counts["answered"] > count // 2
    assert counts["guest error"] > count // 10
    assert len(said) == (source == "file")  # the file came to its end, once
