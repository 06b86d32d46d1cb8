# SPDX-License-Identifier: GPL-2.0-or-later
"""Random rings for a disk: tests/lab/devices/random_rings.py says of which kinds."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from disk_lab import DiskDriver
from random_rings import rings, throw

from lguest_py.devices import block_request as R
from lguest_py.devices.block import Block
from lguest_py.disks import raw
from lguest_py.hardware import Disk

SECTORS = 256
KINDS = (R.IN, R.OUT, R.FLUSH, R.GET_ID, R.DISCARD, R.WRITE_ZEROES)


def shapes(chance: Random, queue: int) -> tuple[Sequence[bytes], Sequence[int]]:
    """A request, mostly a good one; its buffers may be cut in two."""
    kind = chance.choice(KINDS) if chance.random() < 0.97 else chance.getrandbits(32)
    sector = chance.choice((chance.randrange(SECTORS), SECTORS - 1, chance.getrandbits(64)))
    header = struct.pack("<IIQ", kind, 0, sector)
    data: list[bytes] = []
    writable = [1]
    if kind == R.OUT:
        data = [chance.randbytes(512 * chance.randrange(1, 9))]
    elif kind in (R.DISCARD, R.WRITE_ZEROES):
        count = chance.choice((1, 2, 40))
        data = [struct.pack("<QII", chance.randrange(SECTORS), chance.randrange(9), chance.randrange(3)) * count]
    elif kind == R.IN:
        writable = [512 * chance.randrange(1, 9), 1]
    elif kind == R.GET_ID:
        writable = [20, 1]
    if chance.random() < 0.2:
        writable = [sum(writable)]
    if chance.random() < 0.2:
        cut = chance.randrange(1, len(header))
        return [header[:cut], header[cut:], *data], writable
    return [header, *data], writable


@pytest.mark.parametrize(
    ("mode", "waits", "share"), [("", False, 1), ("", True, 5), ("overlay", False, 5), ("readonly", False, 5)]
)
def test_random_rings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, waits: bool, share: int
) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(os.urandom(SECTORS * 512))
    before = path.read_bytes()
    if waits:
        monkeypatch.setattr(raw.Raw, "read_now", lambda *arguments: False)
        monkeypatch.setattr(raw.Raw, "writes_quickly", lambda disk: False)
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: None)  # thousands take minutes
    said: list[str] = []
    disk = Block(Disk(str(path), readonly=mode == "readonly", overlay=mode == "overlay"), said.append)
    try:
        count = rings(request) // share
        counts = throw(disk, count, shapes)
        assert counts["answered"] > count // 2
        assert counts["guest error"] > count // 10
        disk.reset()
        assert len(DiskDriver(disk).read(0, 8)) == 4096
    finally:
        disk.close()
    assert not said
    assert path.stat().st_size == SECTORS * 512
    assert not mode or path.read_bytes() == before
