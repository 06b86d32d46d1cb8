# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be a disk, in which format, who may use it at once, and what a user is told otherwise."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest

from lguest_py.disks import formats
from lguest_py.disks.backend import Backend
from lguest_py.disks.opening import open_disk
from lguest_py.errors import LguestError, UsageError
from lguest_py.hardware import Disk
from lguest_py.hardware.kinds import Format

Open = Callable[..., Backend]
MIB = 1 << 20


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def opened(said: list[str]) -> Iterator[Open]:
    disks: list[Backend] = []

    def one(path: Path | str, **spec: object) -> Backend:
        disks.append(open_disk(Disk(str(path), **spec), said.append))  # type: ignore[arg-type]
        return disks[-1]

    yield one
    for disk in disks:
        disk.close()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "root.img"
    path.write_bytes(bytes(MIB))
    return path


def qemu_img(*words: object) -> None:
    subprocess.run(["qemu-img", *map(str, words)], check=True, capture_output=True, timeout=60)


@pytest.fixture
def qcow2(tmp_path: Path) -> Path:
    path = tmp_path / "root.qcow2"
    qemu_img("create", "-f", "qcow2", path, "4M")
    return path


def test_a_file_is_a_disk_of_its_size(opened: Open, image: Path, said: list[str]) -> None:
    disk = opened(image)
    assert (disk.facts.size, disk.facts.readonly, disk.facts.block) == (MIB, False, 512)
    assert not said


def test_a_file_that_ends_within_a_sector_is_seen_with_zeroes(opened: Open, image: Path, said: list[str]) -> None:
    image.write_bytes(b"x" * 1000)
    disk = opened(image)
    assert disk.facts.size == 1024
    assert said == [f"disk {image} ends within a sector: the Guest sees 24 zero bytes after it"]
    sector = memoryview(bytearray(b"?" * 1024))
    disk.read(0, [sector])
    assert sector == b"x" * 1000 + bytes(24)
    disk.write(512, [sector[512:]], False)
    assert image.stat().st_size == 1024


WRONG: list[tuple[str, Callable[[Path], object], str]] = [
    ("none", lambda path: None, "does not exist: give an image file (truncate -s 1G FILE makes an empty one)"),
    ("folder", Path.mkdir, "is a directory: give an image file"),
    ("fifo", lambda path: os.mkfifo(path), "is a FIFO: give an image file"),
    ("empty", Path.touch, "is empty: give it a size first (truncate -s 1G FILE)"),
    ("loop", lambda path: path.symlink_to(path), "cannot be opened (Too many levels of symbolic links)"),
]


@pytest.mark.parametrize(("name", "make", "text"), WRONG, ids=[name for name, *_ in WRONG])
@pytest.mark.parametrize("mode", ["", "readonly", "overlay"])
def test_what_is_no_disk_is_told_in_one_line(
    opened: Open, tmp_path: Path, name: str, make: Callable[[Path], object], text: str, mode: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(UsageError) as error:
        opened(tmp_path / name, **{mode: True} if mode else {})
    assert text in str(error.value)
    assert "\n" not in str(error.value)


def test_sockets_and_character_devices_are_no_disks(opened: Open, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        with pytest.raises(UsageError, match="is a socket"):
            opened(tmp_path / "socket")
    with pytest.raises(UsageError, match="is a character device"):
        opened("/dev/null")


def test_other_wrong_values(opened: Open, image: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the standard input"):
        opened("-")
    with pytest.raises(UsageError, match="give one of them"):
        opened(image, readonly=True, overlay=True)


@pytest.mark.parametrize("number", ["EACCES", "EROFS"])
def test_what_may_not_be_written_can_be_read(
    opened: Open, image: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    """Tests may run as root, whom no permission hinders."""
    import errno

    real = os.open

    def refuse(path: str, flags: int, *more: int) -> int:
        if path == str(image) and flags & os.O_RDWR:
            code = getattr(errno, number)
            raise OSError(code, os.strerror(code))
        return real(path, flags, *more)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UsageError, match="add readonly, or overlay for writes that are thrown away"):
        opened(image)
    opened(image, readonly=True)
    opened(image, overlay=True)


# Who may use a file at once.


@pytest.mark.parametrize("first", ["", "readonly", "overlay"])
@pytest.mark.parametrize("second", ["", "readonly", "overlay"])
def test_a_writer_is_alone(opened: Open, image: Path, first: str, second: str) -> None:
    disk = opened(image, **{first: True} if first else {})
    if first and second:
        opened(image, **{second: True})
    else:
        with pytest.raises(LguestError, match=rf"{image.name} is in use by another program or disk"):
            opened(image, **{second: True} if second else {})
        disk.close()
        opened(image, **{second: True} if second else {})


def test_the_lock_ends_with_its_process(opened: Open, image: Path) -> None:
    code = (
        "import sys; from lguest_py.disks.opening import open_disk; from lguest_py.hardware import Disk\n"
        "disk = open_disk(Disk(sys.argv[1]), print); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(image)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(LguestError, match="is in use"):
            opened(image)
        other.kill()
    opened(image)


def qemu_io(image: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = ["qemu-io", "-f", "raw", *flags, "-c", "read 0 512", str(image)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def greeted(path: Path) -> None:
    """Wait until the NBD server at this socket serves."""
    with socket.socket(socket.AF_UNIX) as client:
        until = time.monotonic() + 60
        while client.connect_ex(str(path)) and time.monotonic() < until:
            time.sleep(0.01)
        assert client.recv(8, socket.MSG_WAITALL) == b"NBDMAGIC"


def test_qemu_and_we_see_each_others_locks(opened: Open, image: Path) -> None:
    disk = opened(image)
    assert 'Failed to get "write" lock' in qemu_io(image).stderr
    disk.close()
    disk = opened(image, readonly=True)
    assert 'Failed to get "write" lock' in qemu_io(image).stderr
    assert "read 512/512" in qemu_io(image, "-r").stdout
    disk.close()
    assert "read 512/512" in qemu_io(image).stdout
    server = subprocess.Popen(
        ["qemu-nbd", "-f", "raw", f"--socket={image.parent}/s", "--persistent", str(image)], stderr=subprocess.PIPE
    )
    try:
        greeted(image.parent / "s")  # it makes its socket before it opens the image
        with pytest.raises(LguestError, match="is in use"):
            opened(image)
        with pytest.raises(LguestError, match="is in use"):
            opened(image, readonly=True)
    finally:
        server.terminate()
        server.communicate()


def test_a_file_system_without_locks_is_told(
    opened: Open, image: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> bytes:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "fcntl", fail)
    opened(image)
    assert said == [
        f"disk {image} cannot be locked (No locks available): take care that nothing else writes it meanwhile"
    ]


# Formats.


@pytest.mark.parametrize(
    ("name", "start", "expected"),
    [
        ("a.img", b"", "raw"),
        ("a", b"\0" * 128, "raw"),
        ("a.qcow2", b"QFI\xfb\0\0\0\3", "qcow2"),
        ("A.QCOW2", b"QFI\xfb\0\0\0\2", "qcow2"),
        ("a.vmdk", b"KDMV", "vmdk"),
        ("a.vdi", b"\0" * 64 + b"\x7f\x10\xda\xbe", "vdi"),
        ("a.vhdx", b"vhdxfile", "vhdx"),
        ("a.img", b"QFI\xfb\0\0\0\3", "begins like a qcow2 image, but its name does not say so"),
        ("a.raw", b"KDMV", "begins like a vmdk image"),
        (
            "a.qcow2",
            b"\0" * 128,
            "is named like a qcow2 image, but does not begin like one: add format=qcow2 or format=raw",
        ),
        ("a.qcow2", b"KDMV", "add format=qcow2 or format=vmdk"),
        ("a.vhd", b"\0" * 128, "add format=vpc or format=raw"),
    ],
)
def test_the_name_and_the_contents_choose_the_format(tmp_path: Path, name: str, start: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(start)
    with (tmp_path / name).open("rb") as file:
        if " " not in expected:
            assert formats.choose(name, name, file.fileno()) == expected
            return
        with pytest.raises(UsageError, match=expected):
            formats.choose(name, name, file.fileno())


def test_a_header_that_a_guest_wrote_does_not_open_a_file_of_the_host(
    opened: Open, image: Path, qcow2: Path, tmp_path: Path
) -> None:
    """A Guest that writes an image's header with a backing file into its raw disk finds these bytes there, no more."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret" * 1000)
    trap = tmp_path / "trap.qcow2"
    qemu_img("create", "-f", "qcow2", "-b", secret, "-F", "raw", trap, "1M")
    header = trap.read_bytes()[:65536]
    disk = opened(image)
    disk.write(0, [memoryview(header)], False)
    disk.close()
    with pytest.raises(UsageError, match="a Guest can write such a beginning into its disk"):
        opened(image)
    disk = opened(image, format="raw")
    found = memoryview(bytearray(65536))
    disk.read(0, [found])
    assert found == header


@pytest.mark.parametrize(
    "image_format", [name for name in get_args(Format) if name not in ("auto", "raw", "qcow", "parallels")]
)
def test_images_of_other_formats(opened: Open, tmp_path: Path, image_format: str, said: list[str]) -> None:
    path = tmp_path / "disk,one.image"
    data = bytearray(os.urandom(MIB))
    (tmp_path / "raw").write_bytes(data)
    qemu_img("convert", "-f", "raw", "-O", image_format, tmp_path / "raw", path)
    disk = opened(path, format=image_format)
    view = memoryview(bytearray(MIB))
    disk.read(0, [view[:1000], view[1000:]])
    assert view == data
    new = os.urandom(8192)
    disk.write(4096, [memoryview(new)], False)
    disk.flush()
    disk.close()
    data[4096:12288] = new
    qemu_img("convert", "-f", image_format, "-O", "raw", path, tmp_path / "back")
    assert (tmp_path / "back").read_bytes()[:MIB] == data


def test_a_qcow2_image_with_all_that_goes_with_it(opened: Open, qcow2: Path) -> None:
    disk = opened(qcow2)
    assert (disk.facts.size, disk.facts.readonly, disk.facts.discards) == (4 * MIB, False, True)
    with pytest.raises(LguestError, match=r"root\.qcow2 is in use by another program or disk"):
        opened(qcow2)
    data = memoryview(bytearray(b"\7" * MIB))
    disk.write(0, [data], True)
    assert not disk.needs_flush()
    disk.write(MIB, [data], False)
    assert disk.needs_flush()
    disk.flush()
    assert not disk.needs_flush()
    disk.zero(512, 512, True)
    disk.zero(1024, 512, False)
    disk.discard(0, 512)
    disk.read(0, [data])
    assert data[512:1536] == bytes(1024)
    assert data[1536:] == b"\7" * (MIB - 1536)


def test_a_readonly_image_is_shared(opened: Open, qcow2: Path) -> None:
    assert opened(qcow2, readonly=True).facts.readonly
    opened(qcow2, overlay=True).write(0, [memoryview(bytes(512))], False)
    with pytest.raises(LguestError, match="is in use"):
        opened(qcow2)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The programs that are started from now on."""
    found: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def note(*words: object, **more: object) -> subprocess.Popen[bytes]:
        found.append(real(*words, **more))  # type: ignore[call-overload]
        return found[-1]

    monkeypatch.setattr(subprocess, "Popen", note)
    return found


def test_no_server_and_no_folder_is_left(
    opened: Open,
    qcow2: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    started: list[subprocess.Popen[bytes]],
) -> None:
    """The folder of the socket is gone at once, and four threads find their connections nevertheless."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    disk = opened(qcow2)
    assert set(tmp_path.iterdir()) == before
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: disk.write(n * 512, [memoryview(b"x" * 512)], False), range(200)))
    disk.close()
    disk.close()
    assert started[0].returncode == 0


def test_a_killed_launcher_leaves_no_server_and_loses_nothing(qcow2: Path, opened: Open) -> None:
    code = (
        "import sys; from lguest_py.disks.opening import open_disk; from lguest_py.hardware import Disk\n"
        "disk = open_disk(Disk(sys.argv[1]), print)\n"
        "disk.write(0, [memoryview(b'y' * 512)], False); disk.flush(); print('done', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(qcow2)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"done\n"
        other.kill()
    disks: list[Backend] = []
    for _ in range(2000):  # its server sees the end of the connection a moment later
        try:
            disks.append(opened(qcow2))
            break
        except LguestError:
            continue
    sector = memoryview(bytearray(512))
    disks[0].read(0, [sector])
    assert sector == b"y" * 512


def test_a_server_that_dies_is_an_error_of_each_request(
    opened: Open, qcow2: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    disk = opened(qcow2)
    sector = memoryview(bytearray(512))
    disk.read(0, [sector])
    started[0].kill()
    started[0].wait()
    for _ in range(2):
        with pytest.raises(OSError, match=r"has ended|Broken pipe|refused|No such file|reset"):
            disk.read(0, [sector])


def test_a_broken_image_is_told_in_one_line(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "bad.qcow2"
    path.write_bytes(b"QFI\xfb\0\0\0\3" + b"\xff" * 4096)
    with pytest.raises(LguestError) as error:
        opened(path)
    assert str(error.value).startswith(f"{path} cannot be opened as a qcow2 image (")
    assert "\n" not in str(error.value)


def test_a_missing_program_is_told(opened: Open, qcow2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(LguestError, match="qemu-nbd is not installed: apt-get install qemu-utils"):
        opened(qcow2)


# Block devices.


@pytest.fixture
def loop(image: Path) -> Iterator[str]:
    """A block device, where this computer lets us make one."""
    if os.geteuid() or not shutil.which("losetup"):
        pytest.skip("only root makes a block device")
    made = subprocess.run(["losetup", "-f", "--show", str(image)], capture_output=True, text=True, timeout=60)
    if made.returncode:
        pytest.skip(f"no loop device here: {made.stderr.strip()}")
    device = made.stdout.strip()
    yield device
    subprocess.run(["losetup", "-d", device], check=True, timeout=60)


def test_a_block_device_is_a_disk(opened: Open, loop: str, image: Path) -> None:
    assert stat.S_ISBLK(os.stat(loop).st_mode)
    disk = opened(loop)
    assert disk.facts.size == MIB
    data = memoryview(bytearray(os.urandom(8192)))
    disk.write(4096, [data], False)
    disk.flush()
    assert image.read_bytes()[4096:12288] == data
    disk.zero(4096, 4096, False)
    disk.zero(8192, 512, True)
    disk.discard(512 * 1024, 65536)
    with pytest.raises(UsageError, match="is in use by this computer"):
        opened(loop)
    disk.close()
    disk = opened(loop, readonly=True)
    disk.read(4096, [data])
    assert data[:4608] == bytes(4608)
    assert data[4608:] != bytes(3584)
