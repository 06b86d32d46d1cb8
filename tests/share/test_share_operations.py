# SPDX-License-Identifier: GPL-2.0-or-later
"""Each operation of the 9P server, against a real folder."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from p9_client import Client, number, sender, server_at

from lguest_py.share.server import MOST, Server
from lguest_py.share.wire import NO_FID, T

RDONLY, WRONLY, RDWR, EXCL, TRUNC, APPEND = 0, 1, 2, 0o200, 0o1000, 0o2000


# The session.


def test_the_smaller_message_size_wins_and_other_versions_are_unknown(server: Server) -> None:
    send = sender(server)
    client = Client(send)
    assert client.call(T.VERSION, 8192, b"9P2000.L") == struct.pack("<IH", 8192, 8) + b"9P2000.L"
    assert client.call(T.VERSION, 1 << 30, b"9P2000.L")[:4] == struct.pack("<I", MOST)
    for version in (b"9P2000.u", b"9P2000", b"", b"9P2000.Lx"):
        assert client.version(8192, version) == b"unknown"
        assert number(client.attach) == errno.EPROTO
    assert number(lambda: client.version(4095)) == errno.EMSGSIZE


def test_a_new_version_forgets_the_fids(client: Client) -> None:
    client.version(8192)
    assert number(lambda: client.getattr(0)) == errno.EBADF


def test_nothing_is_to_be_authenticated(client: Client) -> None:
    assert number(lambda: client.call(T.AUTH, 5, b"u", b"", 0)) == errno.EOPNOTSUPP
    assert number(lambda: client.call(T.ATTACH, 5, 3, b"u", b"", 0)) == errno.EINVAL


def test_a_subfolder_can_be_attached(client: Client, folder: Path) -> None:
    (folder / "a/b").mkdir(parents=True)
    client.attach(1, b"/a/b")
    assert client.getattr(1).qid[2] == (folder / "a/b").stat().st_ino
    assert number(lambda: client.attach(2, b"/a/none")) == errno.ENOENT
    assert number(lambda: client.attach(2, b"a/../..")) == errno.EINVAL
    assert number(lambda: client.getattr(2)) == errno.EBADF


def test_unknown_requests_are_not_supported(client: Client) -> None:
    for kind in (0, 6, 112, 114, 255):
        assert number(lambda kind=kind: client.ask(kind, b"")) == errno.EOPNOTSUPP  # type: ignore[misc]


def test_a_flush_is_answered(client: Client) -> None:
    assert client.call(T.FLUSH, 17) == b""


# Walks.


def test_a_walk_returns_what_it_passed_and_makes_the_fid_only_at_the_end(client: Client, folder: Path) -> None:
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/b/f").write_bytes(b"x")
    assert [qid[0] for qid in client.walk(0, 1, b"a", b"b", b"f")] == [0x80, 0x80, 0]
    assert len(client.walk(0, 2, b"a", b"none", b"f")) == 1
    assert number(lambda: client.getattr(2)) == errno.EBADF
    assert number(lambda: client.walk(0, 2, b"none")) == errno.ENOENT
    assert number(lambda: client.walk(1, 2, b"below a file")) == errno.ENOTDIR
    assert client.walk(1, 3) == []
    assert client.getattr(3) == client.getattr(1)


def test_a_walk_can_move_its_own_fid(client: Client, folder: Path) -> None:
    (folder / "a/b").mkdir(parents=True)
    client.walk(0, 1, b"a")
    client.walk(1, 1, b"b")
    assert client.getattr(1).qid[2] == (folder / "a/b").stat().st_ino
    assert number(lambda: client.walk(1, 1, b"none")) == errno.ENOENT
    assert client.getattr(1).qid[2] == (folder / "a/b").stat().st_ino


def test_fids_in_use_unknown_ones_and_no_fid_are_refused(client: Client) -> None:
    client.walk(0, 1)
    assert number(lambda: client.walk(0, 1)) == errno.EBADF
    assert number(lambda: client.walk(0, NO_FID)) == errno.EBADF
    assert number(lambda: client.walk(77, 2)) == errno.EBADF
    assert number(lambda: client.clunk(77)) == errno.EBADF
    client.clunk(1)
    client.walk(0, 1)


# Open files.


def test_data_goes_both_ways(client: Client, folder: Path) -> None:
    (folder / "f").write_bytes(b"hello world")
    client.at(1, b"f")
    _, iounit = client.lopen(1, RDWR)
    assert iounit == client.msize - 24
    assert client.read(1, 0, 5) == b"hello"
    assert client.read(1, 6, 100) == b"world"
    assert client.read(1, 11, 100) == b""
    assert client.write(1, 6, b"there") == 5
    assert client.write(1, 20, b"!") == 1
    assert (folder / "f").read_bytes() == b"hello there" + bytes(9) + b"!"


def test_beyond_four_gigabytes(client: Client, folder: Path) -> None:
    client.walk(0, 1)
    client.lcreate(1, b"sparse")
    far = (5 << 30) + 3
    assert client.write(1, far, b"end") == 3
    assert client.getattr(1).size == far + 3
    assert client.read(1, far - 1, 10) == b"\0end"
    client.setattr(1, size=far + 1)
    assert (folder / "sparse").stat().st_size == far + 1
    assert number(lambda: client.write(1, 1 << 63, b"x")) == errno.EFBIG
    assert number(lambda: client.read(1, 1 << 63, 1)) == errno.EINVAL
    assert number(lambda: client.setattr(1, size=1 << 63)) == errno.EFBIG


def test_to_open_needs_a_right_and_is_done_once(client: Client, folder: Path) -> None:
    (folder / "f").write_bytes(b"")
    client.at(1, b"f")
    assert number(lambda: client.read(1, 0, 1)) == errno.EBADF
    assert number(lambda: client.write(1, 0, b"x")) == errno.EBADF
    assert number(lambda: client.call(T.FSYNC, 1, 0)) == errno.EBADF
    assert number(lambda: client.lopen(1, 3)) == errno.EINVAL
    client.lopen(1, RDONLY)
    assert number(lambda: client.write(1, 0, b"x")) == errno.EBADF
    assert number(lambda: client.lopen(1, RDONLY)) == errno.EBADF
    assert number(lambda: client.walk(1, 1, b"x")) == errno.EBUSY
    assert number(lambda: client.lopen(0, RDWR)) == errno.EISDIR
    client.at(2, b"f")
    assert number(lambda: client.lopen(2, 0o200000)) == errno.ENOTDIR


def test_append_is_at_the_end_whatever_the_offset(client: Client, folder: Path) -> None:
    (folder / "log").write_bytes(b"1")
    client.at(1, b"log")
    client.lopen(1, WRONLY | APPEND)
    (folder / "log").write_bytes(b"from the host ")
    client.write(1, 1, b"2")
    assert (folder / "log").read_bytes() == b"from the host 2"


def test_truncate_at_open(client: Client, folder: Path) -> None:
    (folder / "f").write_bytes(b"old")
    client.at(1, b"f")
    client.lopen(1, WRONLY | TRUNC)
    assert (folder / "f").read_bytes() == b""


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o666, 0o777, 0o400, 0o000])
def test_a_new_file_has_the_mode_that_the_guest_said(client: Client, folder: Path, mode: int) -> None:
    client.walk(0, 1)
    client.lcreate(1, b"f", RDWR, mode)
    assert client.write(1, 0, b"x") == 1
    assert stat.S_IMODE((folder / "f").stat().st_mode) == mode


def test_create_opens_what_is_there_unless_it_must_be_new(client: Client, folder: Path) -> None:
    (folder / "f").write_bytes(b"here")
    (folder / "f").chmod(0o640)
    client.walk(0, 1)
    assert number(lambda: client.lcreate(1, b"f", RDWR | EXCL)) == errno.EEXIST
    client.lcreate(1, b"f", RDWR)
    assert client.read(1, 0, 10) == b"here"
    assert stat.S_IMODE((folder / "f").stat().st_mode) == 0o640
    client.walk(0, 2)
    client.lcreate(2, b"f", RDWR | TRUNC)
    assert client.read(1, 0, 10) == b""
    (folder / "d").mkdir()
    client.walk(0, 3)
    assert number(lambda: client.lcreate(3, b"d")) == errno.EISDIR
    assert number(lambda: client.lcreate(1, b"g")) == errno.EBADF
    client.at(4, b"f")
    assert number(lambda: client.lcreate(4, b"g")) == errno.ENOTDIR


def test_a_file_that_was_deleted_lives_while_it_is_open(client: Client, folder: Path) -> None:
    client.walk(0, 1)
    client.lcreate(1, b"f")
    client.write(1, 0, b"still")
    client.at(2, b"f")
    client.call(T.UNLINKAT, 0, b"f", 0)
    assert client.read(1, 0, 9) == b"still"
    assert client.getattr(1).nlink == 0
    client.setattr(1, size=2)
    assert client.getattr(2).size == 2  # by the fid of the name, as older kernels ask
    client.setattr(2, mode=0o600)
    assert list(folder.iterdir()) == []


def test_a_program_that_has_a_file_open_may_resize_it_whatever_its_mode_is_now(client: Client, folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may open any file")
    client.walk(0, 1)
    client.lcreate(1, b"f", RDWR, 0o444)
    client.at(2, b"f")
    client.setattr(2, size=7)
    assert (folder / "f").stat().st_size == 7


def test_a_sync_of_both_kinds(client: Client) -> None:
    client.walk(0, 1)
    client.lcreate(1, b"f")
    client.call(T.FSYNC, 1, 0)
    client.call(T.FSYNC, 1, 1)
    client.ask(T.FSYNC, struct.pack("<I", 1))  # of kernels that know no flag


def test_locks_are_granted(client: Client) -> None:
    client.walk(0, 1)
    client.lcreate(1, b"f")
    assert client.call(T.LOCK, 1, 1, 0, 0, 10, 99, b"guest") == b"\0"
    got = client.call(T.GETLOCK, 1, 1, 0, 10, 99, b"guest")
    assert got == struct.pack("<BQQIH", 2, 0, 10, 99, 5) + b"guest"
    assert number(lambda: client.call(T.LOCK, 9, 1, 0, 0, 10, 99, b"guest")) == errno.EBADF


# Names.


def test_directories(client: Client, folder: Path) -> None:
    qid = client.call(T.MKDIR, 0, b"d", 0o751, 0)
    made = folder / "d"
    assert stat.S_IMODE(made.stat().st_mode) == 0o751
    assert struct.unpack("<BIQ", qid)[2] == made.stat().st_ino
    assert number(lambda: client.call(T.MKDIR, 0, b"d", 0o777, 0)) == errno.EEXIST
    assert number(lambda: client.call(T.UNLINKAT, 0, b"d", 0)) == errno.EISDIR
    (made / "f").write_bytes(b"")
    assert number(lambda: client.call(T.UNLINKAT, 0, b"d", 0x200)) == errno.ENOTEMPTY
    assert number(lambda: client.call(T.UNLINKAT, 0, b"d", 0x400)) == errno.EINVAL
    (made / "f").unlink()
    client.call(T.UNLINKAT, 0, b"d", 0x200)
    assert not made.exists()
    client.call(T.MKDIR, 0, b"group", 0o2775, 0)
    assert stat.S_IMODE((folder / "group").stat().st_mode) == 0o2775


def test_symbolic_links_are_text(client: Client, folder: Path) -> None:
    for name, target in ((b"in", b"f"), (b"out", b"/etc/passwd"), (b"up", b"../../x"), (b"bytes", b"\xff\xfe")):
        qid = client.call(T.SYMLINK, 0, name, target, 0)
        assert qid[0] == 2
        assert os.readlink(os.fsencode(folder) + b"/" + name) == target
        fid = client.at(10 + name[0] + len(name), name)
        text = client.call(T.READLINK, fid)
        assert text == struct.pack("<H", len(target)) + target
        assert client.getattr(fid).mode & 0o170000 == stat.S_IFLNK
        assert number(lambda fid=fid: client.lopen(fid)) == errno.ELOOP  # type: ignore[misc]
    assert number(lambda: client.call(T.READLINK, 0)) == errno.EINVAL
    assert number(lambda: client.call(T.SYMLINK, 0, b"n", b"a\0b", 0)) == errno.EINVAL
    assert number(lambda: client.call(T.SYMLINK, 0, b"n", b"", 0)) == errno.ENOENT
    assert number(lambda: client.call(T.SYMLINK, 0, b"n", b"a" * 4096, 0)) == errno.ENAMETOOLONG


def test_hard_links(client: Client, folder: Path) -> None:
    (folder / "f").write_bytes(b"")
    client.at(1, b"f")
    client.call(T.LINK, 0, 1, b"g")
    assert (folder / "g").samefile(folder / "f")
    assert client.getattr(1).nlink == 2
    assert number(lambda: client.call(T.LINK, 0, 1, b"g")) == errno.EEXIST
    assert number(lambda: client.call(T.LINK, 0, 0, b"h")) == errno.EPERM
    os.symlink("f", folder / "s")
    client.at(2, b"s")
    client.call(T.LINK, 0, 2, b"s2")
    assert os.readlink(folder / "s2") == "f"


def test_fifos_and_sockets_can_be_made_and_devices_not(client: Client, folder: Path) -> None:
    client.call(T.MKNOD, 0, b"fifo", stat.S_IFIFO | 0o622, 0, 0, 0)
    client.call(T.MKNOD, 0, b"socket", stat.S_IFSOCK | 0o600, 0, 0, 0)
    client.call(T.MKNOD, 0, b"file", stat.S_IFREG | 0o640, 0, 0, 0)
    modes = {each.name: each.stat().st_mode for each in folder.iterdir()}
    assert modes == {"fifo": stat.S_IFIFO | 0o622, "socket": stat.S_IFSOCK | 0o600, "file": stat.S_IFREG | 0o640}
    for kind in (stat.S_IFCHR, stat.S_IFBLK):
        assert number(lambda kind=kind: client.call(T.MKNOD, 0, b"d", kind | 0o666, 1, 3, 0)) == errno.EPERM  # type: ignore[misc]
    assert number(lambda: client.call(T.MKNOD, 0, b"d", stat.S_IFDIR, 0, 0, 0)) == errno.EINVAL


def test_what_is_no_file_is_seen_and_never_opened(client: Client, folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        for fid, name in ((1, b"fifo"), (2, b"socket")):
            client.at(fid, name)
            for flags in (RDONLY, WRONLY, RDWR, TRUNC):
                assert number(lambda fid=fid, flags=flags: client.lopen(fid, flags)) == errno.ENXIO  # type: ignore[misc]
            assert number(lambda fid=fid: client.setattr(fid, size=1)) == errno.EINVAL  # type: ignore[misc]
            client.setattr(fid, mode=0o600)
    client.walk(0, 3)
    assert number(lambda: client.lcreate(3, b"fifo", WRONLY)) == errno.ENXIO
    assert stat.S_IMODE((folder / "fifo").stat().st_mode) == 0o600


def test_rename_in_and_between_directories_and_over_an_open_file(client: Client, folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a/f").write_bytes(b"new")
    (folder / "g").write_bytes(b"old")
    client.at(1, b"a")
    client.at(2, b"g")
    client.lopen(2)
    client.call(T.RENAMEAT, 1, b"f", 0, b"g")
    assert client.read(2, 0, 9) == b"old"
    assert (folder / "g").read_bytes() == b"new"
    client.call(T.RENAMEAT, 0, b"g", 0, b"h")
    assert sorted(each.name for each in folder.iterdir()) == ["a", "h"]
    assert number(lambda: client.call(T.RENAMEAT, 0, b"none", 0, b"h")) == errno.ENOENT
    (folder / "a/b").mkdir()
    client.at(3, b"a", b"b")
    assert number(lambda: client.call(T.RENAMEAT, 0, b"a", 3, b"c")) == errno.EINVAL
    assert number(lambda: client.call(T.RENAMEAT, 0, b"h", 0, b"a")) == errno.EISDIR


def test_the_older_rename_and_remove_follow_what_the_fid_stands_for(client: Client, folder: Path) -> None:
    (folder / "d").mkdir()
    (folder / "f").write_bytes(b"")
    client.at(1, b"f")
    client.at(2, b"d")
    client.walk(1, 3)
    client.call(T.RENAME, 1, 2, b"g")
    assert (folder / "d/g").exists()
    client.call(T.RENAMEAT, 2, b"g", 0, b"h")
    client.call(T.RENAME, 3, 0, b"i")  # another fid of it
    assert sorted(each.name for each in folder.iterdir()) == ["d", "i"]
    (folder / "i").rename(folder / "j")
    (folder / "i").write_bytes(b"another")
    assert number(lambda: client.call(T.REMOVE, 1)) == errno.ESTALE
    assert number(lambda: client.getattr(1)) == errno.EBADF  # a remove is always a clunk
    client.at(1, b"i")
    client.call(T.REMOVE, 1)
    client.call(T.REMOVE, 2)
    assert [each.name for each in folder.iterdir()] == ["j"]
    client.walk(0, 4)
    assert number(lambda: client.call(T.REMOVE, 4)) == errno.EBUSY


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b".", errno.EINVAL), (b"..", errno.EINVAL), (b"a/b", errno.EINVAL), (b"/", errno.EINVAL),
        (b"a\0", errno.EINVAL), (b"", errno.ENOENT), (b"x" * 256, errno.ENAMETOOLONG),
    ],
)  # fmt: skip
def test_names_that_are_none(client: Client, folder: Path, name: bytes, expected: int) -> None:
    (folder / "f").write_bytes(b"")
    client.at(1, b"f")
    client.walk(0, 2)
    calls: list[Callable[[], object]] = [
        lambda: client.walk(0, 3, name),
        lambda: client.lcreate(2, name),
        lambda: client.call(T.MKDIR, 0, name, 0o777, 0),
        lambda: client.call(T.SYMLINK, 0, name, b"target", 0),
        lambda: client.call(T.MKNOD, 0, name, stat.S_IFIFO | 0o666, 0, 0, 0),
        lambda: client.call(T.LINK, 0, 1, name),
        lambda: client.call(T.RENAME, 1, 0, name),
        lambda: client.call(T.RENAMEAT, 0, b"f", 0, name),
        lambda: client.call(T.RENAMEAT, 0, name, 0, b"g"),
        lambda: client.call(T.UNLINKAT, 0, name, 0),
        lambda: client.call(T.UNLINKAT, 0, name, 0x200),
    ]
    assert {number(call) for call in calls} == {expected}
    assert [each.name for each in folder.iterdir()] == ["f"]


def test_any_bytes_make_a_name(client: Client, folder: Path) -> None:
    names = [b"\xff\xfe", "ü€".encode(), b"new\nline", b" ", b"-rf", b"x" * 255, bytes(range(1, 47))]
    for name in names:
        client.walk(0, 1)
        client.lcreate(1, name)
        client.clunk(1)
        client.at(1, name)
        client.clunk(1)
    assert set(os.listdir(os.fsencode(folder))) == set(names)
    client.walk(0, 1)
    client.lopen(1)
    assert {name for name, *_ in client.entries(1)} == {*names, b".", b".."}


# Read-only.


def test_a_read_only_share_changes_nothing(reader: Client, folder: Path) -> None:
    (folder / "f").write_bytes(b"content")
    (folder / "d").mkdir()
    client = reader
    client.at(1, b"f")
    client.walk(0, 2)
    client.at(3, b"f")
    changes: list[Callable[[], object]] = [
        *(lambda flags=flags: client.lopen(1, flags) for flags in (WRONLY, RDWR, TRUNC, WRONLY | APPEND)),
        lambda: client.lcreate(2, b"new"),
        lambda: client.lcreate(2, b"f"),
        lambda: client.setattr(1, mode=0o777),
        lambda: client.setattr(1, size=0),
        lambda: client.setattr(1, mtime_ns=0),
        lambda: client.call(T.XATTRCREATE, 2, b"user.a", 1, 0),
        lambda: client.call(T.MKDIR, 0, b"new", 0o777, 0),
        lambda: client.call(T.SYMLINK, 0, b"new", b"x", 0),
        lambda: client.call(T.MKNOD, 0, b"new", stat.S_IFREG, 0, 0, 0),
        lambda: client.call(T.LINK, 0, 1, b"new"),
        lambda: client.call(T.RENAME, 1, 0, b"new"),
        lambda: client.call(T.RENAMEAT, 0, b"f", 0, b"new"),
        lambda: client.call(T.UNLINKAT, 0, b"f", 0),
        lambda: client.call(T.UNLINKAT, 0, b"d", 0x200),
        lambda: client.call(T.REMOVE, 3),
    ]
    assert {number(change) for change in changes} == {errno.EROFS}
    client.lopen(1, RDONLY)
    assert client.read(1, 0, 9) == b"content"
    assert number(lambda: client.write(1, 0, b"x")) == errno.EROFS
    assert client.call(T.LOCK, 1, 0, 0, 0, 0, 1, b"") == b"\0"
    client.call(T.FSYNC, 1, 0)
    assert sorted(each.name for each in folder.iterdir()) == ["d", "f"]
    assert (folder / "f").read_bytes() == b"content"


# Descriptors.


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_no_descriptor_is_left(folder: Path) -> None:
    (folder / "d").mkdir()
    (folder / "d/f").write_bytes(b"x")
    before = open_descriptors()
    server = server_at(folder)
    client = Client(sender(server))
    client.attach()
    client.at(1, b"d", b"f")
    client.lopen(1)
    client.at(2, b"d")
    client.lopen(2)
    list(client.entries(2))
    client.walk(0, 3)
    client.lcreate(3, b"g")
    client.walk(0, 4)
    for call in (
        lambda: client.lcreate(4, b"d"), lambda: client.lcreate(4, b"f", EXCL), lambda: client.lcreate(4, b"x/y"),
        lambda: client.walk(0, 5, b"d", b"no"), lambda: client.call(T.MKDIR, 0, b"d", 0, 0),
        lambda: client.call(T.READDIR, 2, 1, 5),
    ):  # fmt: skip
        with suppress(OSError):
            call()
    server.close()
    assert open_descriptors() == before
    assert server._budget.used == 0


def test_a_guest_cannot_take_all_descriptors(folder: Path) -> None:
    for n in range(30):
        (folder / f"{n}").mkdir()
    server = server_at(folder, limit=20)
    client = Client(sender(server))
    client.attach()
    for n in range(19):
        client.at(n + 1, b"%d" % n)
    assert number(lambda: client.at(20, b"20")) == errno.ENFILE
    client.walk(0, 99)  # another fid of the same folder needs none
    assert number(lambda: client.lopen(99)) == errno.ENFILE
    assert number(lambda: client.lcreate(99, b"f")) == errno.ENFILE
    assert number(lambda: client.call(T.MKDIR, 0, b"new", 0o777, 0)) == errno.ENFILE
    assert not (folder / "f").exists()
    assert not (folder / "new").exists()
    for n in range(3):
        client.clunk(n + 1)
    client.lopen(99)
    assert [name for name, *_ in client.readdir(99)][:2] == [b".", b".."]
    server.close()
    assert server._budget.used == 0
