# SPDX-License-Identifier: GPL-2.0-or-later
"""Any requests in any order leave a disk as they would leave a bytearray: files, overlays, images by qemu-nbd."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from disk_lab import DiskDriver
from hypothesis import given, settings
from hypothesis import strategies as st

from lguest_py.devices import block_request as R
from lguest_py.devices.block import Block
from lguest_py.disks import raw
from lguest_py.disks.extents import CHUNK, Sectors
from lguest_py.disks.opening import open_disk
from lguest_py.hardware import Disk

SECTORS = 3 * CHUNK + 40  # several chunks of an overlay, and a part of one
START = bytes(range(251)) * (SECTORS * 512 // 251 + 1)

sector = st.one_of(st.integers(0, SECTORS - 1), st.sampled_from([0, CHUNK - 1, CHUNK, 2 * CHUNK - 3, SECTORS - 1]))
count = st.one_of(st.integers(1, 40), st.just(CHUNK + 9))
request = st.tuples(
    st.sampled_from([R.IN, R.OUT, R.FLUSH, R.DISCARD, R.WRITE_ZEROES]),
    sector,
    count,
    st.integers(0, 255),
    st.lists(st.integers(1, 5000), max_size=3),
    st.booleans(),
)


def make_raw(folder: Path, waits: bool) -> Disk:
    path = folder / "disk.img"
    path.write_bytes(START[: SECTORS * 512])
    return Disk(str(path))


def make_overlay(folder: Path, waits: bool) -> Disk:
    return Disk(make_raw(folder, waits).path, overlay=True)


def make_qcow2(folder: Path, waits: bool) -> Disk:
    path = folder / "disk.qcow2"
    words = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", make_raw(folder, waits).path, str(path)]
    subprocess.run(words, check=True, timeout=60)
    return Disk(str(path))


def make_overlay_of_qcow2(folder: Path, waits: bool) -> Disk:
    return Disk(make_qcow2(folder, waits).path, overlay=True)


@contextmanager
def driver_of(make: Callable[[Path, bool], Disk], waits: bool) -> Iterator[DiskDriver]:
    """A disk in a folder of its own; ``waits``: nothing is in the page cache, and no write is quick."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        spec = make(Path(folder), waits)
        if waits:
            patch.setattr(raw.Raw, "read_now", lambda *arguments: False)
            patch.setattr(raw.Raw, "writes_quickly", lambda disk: False)
        disk = Block(spec, lambda text: None)
        try:
            yield DiskDriver(disk)
        finally:
            disk.close()


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("make", [make_raw, make_overlay, make_qcow2, make_overlay_of_qcow2])
def test_a_disk_is_a_bytearray(make: Callable[[Path, bool], Disk], waits: bool) -> None:
    examples = 25 if make in (make_qcow2, make_overlay_of_qcow2) else 60

    @settings(max_examples=examples, deadline=None)
    @given(st.lists(request, max_size=25), st.integers(0, 25))
    def play(requests: list[tuple[int, int, int, int, list[int], bool]], restart: int) -> None:
        with driver_of(make, waits) as driver:
            model = bytearray(START[: SECTORS * 512])
            for number, (kind, first, count, value, cuts, joined) in enumerate(requests):
                if number == restart:  # of the Guest: nothing is lost
                    driver.disk.reset()
                    driver.start()
                count = min(count, SECTORS - first)
                span = slice(first * 512, (first + count) * 512)
                if kind == R.IN:
                    assert driver.read(first, count, cuts=cuts if count < 50 else (), joined=joined) == model[span]
                elif kind == R.OUT:
                    model[span] = bytes([value]) * (512 * count)
                    driver.write(first, bytes(model[span]), cuts=cuts if count < 50 else ())
                elif kind == R.FLUSH:
                    driver.flush()
                else:
                    unmap = int(joined and kind == R.WRITE_ZEROES)
                    assert driver.ranges(kind, (first, count, unmap)) == R.OK
                    if kind == R.DISCARD and make is make_qcow2:  # that may keep what it likes
                        driver.write(first, bytes(512 * count))
                    model[span] = bytes(512 * count)
            assert driver.read(0, SECTORS) == model

    play()


@given(st.lists(st.tuples(sector, count), max_size=30), sector, count)
def test_a_set_of_sectors(ranges: list[tuple[int, int]], first: int, count: int) -> None:
    sectors = Sectors()
    model: set[int] = set()
    for begin, number in ranges:
        sectors.add(begin, number)
        model |= set(range(begin, begin + number))
    runs = list(sectors.runs(first, count))
    assert [first + sum(run[1] for run in runs[:n]) for n in range(len(runs))] == [run[0] for run in runs]
    assert sum(run[1] for run in runs) == count
    assert all(a[2] is not b[2] for a, b in pairwise(runs)), "neighbours of one kind are one run"
    for begin, number, held in runs:
        assert {n in model for n in range(begin, begin + number)} == {held}


def test_an_overlay_is_thrown_away_and_its_disk_stays(tmp_path: Path) -> None:
    spec = make_overlay(tmp_path, False)
    before = Path(spec.path).read_bytes()
    disk = open_disk(spec, print)
    disk.write(0, [memoryview(b"x" * 4096)], True)
    disk.zero(8192, 4096, False)
    disk.flush()
    disk.close()
    assert Path(spec.path).read_bytes() == before
    again = open_disk(spec, print)
    sector = memoryview(bytearray(512))
    again.read(0, [sector])
    again.close()
    assert sector == before[:512]


def test_an_overlay_takes_only_the_room_of_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "big.img"
    path.touch()
    os.truncate(path, 1 << 40)
    disk = open_disk(Disk(str(path), overlay=True), print)
    assert disk.facts.size == 1 << 40
    disk.write((1 << 40) - 512, [memoryview(b"z" * 512)], False)
    sector = memoryview(bytearray(1024))
    disk.read((1 << 40) - 1024, [sector])
    assert sector == bytes(512) + b"z" * 512
    disk.close()


def test_a_full_folder_of_overlays_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    said: list[str] = []
    disk = Block(make_overlay(tmp_path, False), said.append)
    driver = DiskDriver(disk)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", full)
        for quickly in (True, False):
            patch.setattr(raw.Raw, "writes_quickly", lambda disk, quickly=quickly: quickly)
            assert driver.do(R.OUT, 0, bytes(512)).status == R.IO_ERROR
    assert driver.read(0, 1) == START[:512]
    disk.close()
    folder = tempfile.gettempdir()
    assert said == [
        f"{disk.name}: a write failed (No space left on device in {folder}, where the overlay is kept: give another by "
        "TMPDIR), which the Guest sees as an I/O error"
    ]
