# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtio disk: requests of every kind, cut in every way, and bad ones."""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from disk_lab import DiskDriver

from lguest_py.devices import block
from lguest_py.devices import block_request as R
from lguest_py.devices.block import Block
from lguest_py.devices.errors import GuestError
from lguest_py.devices.virtqueue import Chain
from lguest_py.disks import raw
from lguest_py.disks.backend import Buffers
from lguest_py.errors import UsageError
from lguest_py.hardware import Disk

SECTORS = 4200
Make = Callable[..., DiskDriver]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "root.img"
    path.write_bytes(os.urandom(SECTORS * 512))
    return path


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def make(image: Path, said: list[str]) -> Iterator[Make]:
    made: list[Block] = []

    def one(features: int | None = None, **spec: object) -> DiskDriver:
        made.append(Block(Disk(str(image), **spec), said.append))  # type: ignore[arg-type]
        return DiskDriver(made[-1], features)

    yield one
    for each in made:
        each.close()


def test_the_configuration_is_that_of_the_standard(make: Make) -> None:
    disk = make().disk
    config = disk.config()
    assert len(config) == 60
    assert struct.unpack_from("<QII", config) == (SECTORS, 0, 254)
    assert struct.unpack_from("<IBBHI", config, 20) == (512, 3, 0, 8, 0)
    assert struct.unpack_from("<BBH", config, 32) == (1, 0, 1)
    assert struct.unpack_from("<IIIIIB", config, 36) == (1 << 21, 32, 8, 1 << 21, 32, 1)
    assert (disk.type, disk.queue_sizes) == (2, (256,))


def test_reads_and_writes_reach_the_file(make: Make, image: Path) -> None:
    driver = make()
    before = image.read_bytes()
    assert driver.read(7, 9) == before[7 * 512 : 16 * 512]
    driver.write(SECTORS - 2, b"x" * 1024)
    assert driver.read(SECTORS - 3, 3) == before[-1536:-1024] + b"x" * 1024
    driver.flush()
    assert image.read_bytes() == before[:-1024] + b"x" * 1024


def test_the_barrier_of_an_old_driver_changes_nothing(make: Make, image: Path) -> None:
    driver = make()
    assert driver.do(R.BARRIER | R.OUT, 3, b"y" * 512).status == R.OK
    assert driver.do(R.BARRIER | R.IN, 3, room=512).data == b"y" * 512
    assert driver.do(R.BARRIER | R.FLUSH).status == R.OK
    assert image.read_bytes()[1536:2048] == b"y" * 512


@pytest.mark.parametrize("cuts", [(1,), (5, 700), (16, 512), (17, 3), (100000,), (8, 8, 4096, 1)])
@pytest.mark.parametrize("joined", [False, True])
def test_buffers_may_be_cut_anywhere(make: Make, image: Path, cuts: tuple[int, ...], joined: bool) -> None:
    driver = make()
    data = os.urandom(3 * 512)
    driver.write(11, data, cuts=cuts)
    assert driver.read(10, 5, cuts=cuts, joined=joined) == image.read_bytes()[10 * 512 : 15 * 512]
    assert driver.read(11, 3) == data


def test_more_buffers_than_one_call_takes(make: Make, image: Path) -> None:
    driver = make()
    data = os.urandom(4096)
    driver.write(0, data, cuts=(16, 2, 1, 1))
    assert driver.read(0, 8, cuts=(3, 1)) == data == image.read_bytes()[:4096]


@pytest.mark.parametrize(
    ("sector", "size"),
    [(0, 0), (0, 511), (0, 513), (SECTORS, 512), (SECTORS - 1, 1024), (1 << 63, 512), ((1 << 64) - 1, 512)],
)
@pytest.mark.parametrize("kind", [R.IN, R.OUT])
def test_what_is_not_within_the_disk_is_an_io_error(
    make: Make, image: Path, said: list[str], kind: int, sector: int, size: int
) -> None:
    driver = make()
    before = image.read_bytes()
    answer = driver.do(kind, sector, *((b"", size) if kind == R.IN else (bytes(size),)))
    assert answer.status == R.IO_ERROR
    assert image.read_bytes() == before
    assert not said  # the Guest's own fault


@pytest.mark.parametrize("kind", [2, 3, 5, 9, 10, 14, 0x40000000, 0xFFFFFFFF])
def test_an_unknown_request_is_unsupported(make: Make, kind: int) -> None:
    assert make().do(kind, room=512).status == R.UNSUPPORTED


@pytest.mark.parametrize(
    ("readable", "writable", "text"),
    [
        ([bytes(16)], [], "without room for its status"),
        ([], [513], "header has 0 bytes"),
        ([bytes(9), bytes(6)], [513], "header has 15 bytes"),
        ([struct.pack("<IIQ", R.IN, 0, 0), bytes(512)], [1], "a read with data to write"),
        ([struct.pack("<IIQ", R.OUT, 0, 0) + bytes(512)], [512, 1], "room for data that is read"),
        ([struct.pack("<IIQ", R.OUT, 0, 0), bytes(512)], [2], "room for data that is read"),
        ([struct.pack("<IIQ", R.DISCARD, 0, 0), bytes(16)], [512, 1], "room for data that is read"),
    ],
)
def test_a_chain_that_is_no_request_breaks_a_rule(
    make: Make, readable: list[bytes], writable: list[int], text: str
) -> None:
    driver = make()
    driver.queue.offer(readable, writable)
    with pytest.raises(GuestError, match=text):
        driver.service()
    assert not driver.disk.watched()
    driver.disk.reset()
    driver.start()
    driver.queue.waiting.clear()
    assert driver.read(0, 1)


def test_the_identity(make: Make) -> None:
    assert make().do(R.GET_ID, room=20).data == b"root.img".ljust(20, b"\0")


def test_a_name_that_is_no_text(tmp_path: Path, said: list[str]) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.img")
    Path(path).write_bytes(bytes(512))
    disk = Block(Disk(path), said.append)
    assert DiskDriver(disk).do(R.GET_ID, room=20).data == b"\xff\xfe.img".ljust(20, b"\0")
    disk.close()


def test_a_serial_is_the_identity_and_may_not_be_long(make: Make) -> None:
    driver = make(serial="12345678901234567890")
    assert driver.do(R.GET_ID, room=20, cuts=(7,)).data == b"12345678901234567890"
    assert driver.do(R.GET_ID, room=5).data == b"12345"
    driver.disk.close()
    with pytest.raises(UsageError, match="at most 20"):
        make(serial="é" * 11)


def test_a_readonly_disk_is_not_written(make: Make, image: Path) -> None:
    before = image.read_bytes()
    driver = make(readonly=True)
    assert driver.disk.features & block.F_RO
    assert not driver.disk.features & (block.F_DISCARD | block.F_WRITE_ZEROES)
    assert driver.do(R.OUT, 0, bytes(512)).status == R.IO_ERROR
    assert driver.ranges(R.DISCARD, (0, 8, 0)) == R.UNSUPPORTED
    driver.flush()
    assert driver.read(0, 8) == before[:4096]
    assert image.read_bytes() == before


def test_discard_and_write_zeroes(make: Make, image: Path) -> None:
    driver = make()
    expected = bytearray(image.read_bytes())
    room = image.stat().st_blocks
    assert driver.ranges(R.DISCARD, (8, 1024, 0), (2048, 8, 0)) == R.OK
    assert driver.ranges(R.WRITE_ZEROES, (3001, 3, 0), (3010, 2, 1)) == R.OK
    for first, count in ((8, 1024), (2048, 8), (3001, 3), (3010, 2)):
        expected[first * 512 : (first + count) * 512] = bytes(512 * count)
    assert image.read_bytes() == expected
    assert image.stat().st_blocks <= room - 1024
    driver.flush()


@pytest.mark.parametrize(
    ("kind", "ranges", "status"),
    [
        (R.DISCARD, [], R.IO_ERROR),
        (R.DISCARD, [(0, 0, 0)], R.IO_ERROR),
        (R.DISCARD, [(0, 1, 1)], R.UNSUPPORTED),
        (R.WRITE_ZEROES, [(0, 1, 2)], R.UNSUPPORTED),
        (R.WRITE_ZEROES, [(0, 1, 0), (SECTORS, 1, 0)], R.IO_ERROR),
        (R.WRITE_ZEROES, [(0, SECTORS + 1, 0)], R.IO_ERROR),
        (R.WRITE_ZEROES, [(0, 0xFFFFFFFF, 0)], R.IO_ERROR),
        (R.DISCARD, [(1 << 63, 1, 0)], R.IO_ERROR),
        (R.DISCARD, [(0, 1, 0)] * 33, R.IO_ERROR),
    ],
)
def test_bad_ranges_change_nothing(
    make: Make, image: Path, kind: int, ranges: list[tuple[int, int, int]], status: int
) -> None:
    before = image.read_bytes()
    assert make().ranges(kind, *ranges) == status
    assert image.read_bytes() == before


def test_ranges_of_a_broken_length_are_an_io_error(make: Make) -> None:
    assert make().do(R.DISCARD, data=bytes(17)).status == R.IO_ERROR


def test_ranges_without_their_feature_are_unsupported(make: Make) -> None:
    driver = make(block.F_FLUSH)
    assert driver.ranges(R.DISCARD, (0, 8, 0)) == R.UNSUPPORTED
    assert driver.ranges(R.WRITE_ZEROES, (0, 8, 0)) == R.UNSUPPORTED


# Flushes and caches.


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reaches the disk, in order."""
    log: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: log.append("sync"))
    return log


def test_a_flush_reaches_the_disk_once(make: Make, syncs: list[str]) -> None:
    driver = make()
    driver.flush()
    assert syncs == []
    driver.write(0, bytes(512))
    driver.flush()
    driver.flush()
    assert syncs == ["sync"]


@pytest.mark.parametrize("kind", [R.DISCARD, R.WRITE_ZEROES])
def test_ranges_are_flushed(make: Make, syncs: list[str], kind: int) -> None:
    driver = make()
    assert driver.ranges(kind, (0, 8, 0)) == R.OK
    driver.flush()
    assert syncs == ["sync"]


def flags_of_writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets the flags of each write."""
    flags: list[int] = []
    write = os.pwritev

    def noted(descriptor: int, buffers: Buffers, offset: int, flag: int = 0) -> int:
        flags.append(flag)
        return write(descriptor, buffers, offset, flag)

    monkeypatch.setattr(os, "pwritev", noted)
    return flags


def test_writes_are_written_through_for_a_driver_without_flush(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = make(block.F_SEG_MAX)
    flags = flags_of_writes(monkeypatch)
    driver.write(0, bytes(512))
    assert flags == [os.RWF_DSYNC]


def test_the_driver_chooses_the_cache(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = make()
    flags = flags_of_writes(monkeypatch)
    for value in (0, 1):
        driver.disk.write_config(32, bytes([value]))
        assert driver.disk.config()[32] == value
        driver.write(0, bytes(512))
    assert flags == [os.RWF_DSYNC, 0]
    driver.disk.write_config(0, bytes(8))  # not writable
    driver.disk.write_config(33, bytes(1))
    assert driver.read(0, 1) == bytes(512)
    driver.disk.reset()
    driver.start(block.F_FLUSH)
    driver.disk.write_config(32, b"\0")  # without its feature this means nothing
    driver.write(0, bytes(512))
    assert flags == [os.RWF_DSYNC, 0, 0]


class Gate:
    """Holds calls of a backend's method back until it is opened, and notes when each began."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, log: list[str]) -> None:
        self.open = threading.Event()
        real = getattr(raw.Raw, name)

        def held(disk: raw.Raw, *arguments: object) -> object:
            log.append(f"{name} begins")
            assert self.open.wait(20)
            result = real(disk, *arguments)
            log.append(f"{name} ends")
            return result

        monkeypatch.setattr(raw.Raw, name, held)


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is in the page cache, and no write is quick."""
    monkeypatch.setattr(raw.Raw, "read_now", lambda disk, offset, buffers: False)
    monkeypatch.setattr(raw.Raw, "writes_quickly", lambda disk: False)


def test_a_flush_waits_for_the_writes_before_it(
    make: Make, monkeypatch: pytest.MonkeyPatch, slow_disk: None, syncs: list[str]
) -> None:
    gate = Gate(monkeypatch, "write", syncs)
    driver = make()
    write, flush = driver.ask(R.OUT, 0, bytes(512)), driver.ask(R.FLUSH)
    driver.service()
    driver.wait(driver.ask(R.GET_ID, room=20))
    assert "sync" not in syncs
    assert not driver.queue.used
    gate.open.set()
    assert [answer.status for answer in driver.wait(write, flush)] == [R.OK, R.OK]
    assert syncs == ["write begins", "write ends", "sync"]


def test_a_read_that_waits_for_the_disk_lets_others_pass(
    make: Make, image: Path, monkeypatch: pytest.MonkeyPatch, slow_disk: None
) -> None:
    gate = Gate(monkeypatch, "read", [])
    driver = make()
    read = driver.ask(R.IN, 3, room=1024)
    driver.wait(driver.ask(R.GET_ID, room=20))
    assert driver.disk.watched()
    gate.open.set()
    assert driver.wait(read)[0].data == image.read_bytes()[3 * 512 : 5 * 512]
    assert not driver.disk.watched()


def test_a_reset_waits_for_reads_and_forgets_the_buffers(
    make: Make, monkeypatch: pytest.MonkeyPatch, slow_disk: None
) -> None:
    """Nothing writes into the memory of the next boot, and no view of it is left: it can be unmapped."""
    gate = Gate(monkeypatch, "read", [])
    driver = make()
    memory = bytearray(4096)
    view = memoryview(memory)
    header = memoryview(struct.pack("<IIQ", R.IN, 0, 0))
    chain = Chain(0, (header,), (view[:1024], view[1024:1025]))
    driver.queue.waiting.append(chain)
    flush = driver.ask(R.FLUSH)
    driver.service()
    threading.Timer(0.05, gate.open.set).start()
    driver.disk.reset()
    assert memory[:1024] != bytes(1024)  # done before reset returned
    assert all(used is flush for used, _ in driver.queue.used)
    names = [thread.name for thread in threading.enumerate()]
    assert driver.disk.name not in names, "the next boot may start an engine, without threads beside it"
    del chain, flush
    driver.queue.used.clear()
    view.release()
    memory.clear()  # BufferError while a view is exported
    driver.start()
    assert driver.read(0, 1)


# Errors of the Host.


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("quickly", [True, False])
def test_an_error_of_the_host_is_told_once_for_each_kind(
    make: Make, said: list[str], monkeypatch: pytest.MonkeyPatch, number: int, quickly: bool
) -> None:
    def fail(*arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    driver = make()
    monkeypatch.setattr(raw.Raw, "writes_quickly", lambda disk: quickly)
    monkeypatch.setattr(raw.Raw, "read_now", lambda *arguments: fail() if quickly else False)
    monkeypatch.setattr(os, "preadv", fail)
    monkeypatch.setattr(os, "pwritev", fail)
    for _ in range(3):
        assert driver.do(R.IN, 0, room=512).status == R.IO_ERROR
        assert driver.do(R.OUT, 0, bytes(512)).status == R.IO_ERROR
    reason = os.strerror(number)
    name = driver.disk.name
    assert said == [
        f"{name}: a read failed ({reason}), which the Guest sees as an I/O error",
        f"{name}: a write failed ({reason}), which the Guest sees as an I/O error",
    ]


def test_a_file_that_becomes_shorter_is_an_io_error(make: Make, image: Path, said: list[str]) -> None:
    driver = make()
    os.truncate(image, 4096)
    assert driver.do(R.IN, 7, room=1024).status == R.IO_ERROR
    assert driver.do(R.IN, 100, room=512).status == R.IO_ERROR
    assert len(said) == 1
    assert "it became shorter" in said[0]
    assert driver.read(7, 1)


def test_after_a_failed_flush_every_flush_fails(make: Make, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    driver = make()
    driver.write(0, bytes(512))
    monkeypatch.setattr(os, "fdatasync", fail)
    assert driver.do(R.FLUSH).status == R.IO_ERROR
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: None)
    assert driver.do(R.FLUSH).status == R.IO_ERROR
    assert len(said) == 1
    assert "a flush failed" in said[0]


def test_a_full_file_system_is_an_io_error(make: Make, image: Path, said: list[str]) -> None:
    """By a limit of a file's size, which is the same to a write as a full disk."""
    import resource

    os.truncate(image, 0)
    os.truncate(image, SECTORS * 512)
    driver = make()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512 * 1024, before[1]))
    try:
        driver.write(0, b"a" * 512)
        assert driver.do(R.OUT, 2048, b"b" * 512).status == R.IO_ERROR
        assert driver.do(R.OUT, 2048, b"b" * 512).status == R.IO_ERROR
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(said) == 1


def test_an_error_at_the_end_is_told(make: Make, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    driver = make()
    driver.write(0, bytes(512))
    monkeypatch.setattr(os, "fdatasync", fail)
    driver.disk.close()
    assert "what was written is not all on the disk" in said[0]


def test_a_fault_of_ours_is_not_hidden(make: Make, monkeypatch: pytest.MonkeyPatch, slow_disk: None) -> None:
    def fail(disk: raw.Raw, offset: int, buffers: Buffers) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(raw.Raw, "read", fail)
    driver = make()
    with pytest.raises(RuntimeError, match="a fault"):
        driver.do(R.IN, 0, room=512)


def test_a_large_request_lets_others_pass(make: Make, image: Path) -> None:
    driver = make()
    before = image.read_bytes()
    large = driver.ask(R.OUT, 0, bytes(SECTORS * 512))
    driver.disk.kick(0)
    driver.disk.service()
    assert not driver.queue.used
    assert driver.wait(large)[0].status == R.OK
    assert before != image.read_bytes() == bytes(SECTORS * 512)


def test_many_requests_end_each_once(make: Make, image: Path, slow_disk: None) -> None:
    driver = make()
    chains = [driver.ask(R.IN, sector, room=512) for sector in range(500)]
    answers = driver.wait(*chains)
    data = image.read_bytes()
    assert [answer.data for answer in answers] == [data[n * 512 : n * 512 + 512] for n in range(500)]
    assert not driver.queue.used


def test_no_descriptor_and_no_thread_is_left(make: Make, slow_disk: None) -> None:
    make().disk.close()
    before, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    driver = make(overlay=True)
    driver.write(0, bytes(512))
    driver.read(0, 1)
    driver.disk.close()
    driver.disk.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert threading.active_count() == threads
