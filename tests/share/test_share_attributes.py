# SPDX-License-Identifier: GPL-2.0-or-later
"""Attributes by the 9P server: stat and its changes, owners, the file system's, extended ones."""

from __future__ import annotations

import errno
import os
import stat
import struct
from pathlib import Path

import pytest
from p9_client import Client, number, sender

from lguest_py.share.server import Server
from lguest_py.share.wire import T

RDONLY, WRONLY, RDWR, EXCL, TRUNC, APPEND = 0, 1, 2, 0o200, 0o1000, 0o2000


def test_getattr_is_stat(client: Client, folder: Path) -> None:
    (folder / "f").write_bytes(b"x" * 5000)
    (folder / "f").chmod(0o640)
    os.utime(folder / "f", ns=(1_600_000_000_123456789, 1_700_000_000_987654321))
    client.at(1, b"f")
    got, status = client.getattr(1), (folder / "f").stat()
    assert (got.mode, got.uid, got.gid, got.nlink) == (status.st_mode, status.st_uid, status.st_gid, 1)
    assert (got.size, got.blocks, got.rdev) == (5000, status.st_blocks, 0)
    assert (got.atime_ns, got.mtime_ns, got.ctime_ns) == (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)
    assert client.msize - 24 - status.st_blksize < got.blksize <= client.msize - 24
    version = got.qid[1]
    (folder / "f").write_bytes(b"y")
    assert client.getattr(1).qid[1] != version
    assert client.getattr(0).blksize == folder.stat().st_blksize


def test_setattr(client: Client, folder: Path) -> None:
    (folder / "f").write_bytes(b"0123456789")
    client.at(1, b"f")
    client.setattr(1, mode=0o604)
    client.setattr(1, size=4)
    client.setattr(1, atime_ns=5_000_000_001, mtime_ns=-2_000_000_000)
    status = (folder / "f").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_size) == (0o604, 4)
    assert (status.st_atime_ns, status.st_mtime_ns) == (5_000_000_001, -2_000_000_000)
    client.setattr(1, mtime_ns=7_000_000_000)
    assert (folder / "f").stat().st_atime_ns == 5_000_000_001
    client.setattr(1, atime_ns=-1)
    assert (folder / "f").stat().st_mtime_ns == 7_000_000_000
    assert (folder / "f").stat().st_atime_ns > 10**18
    client.setattr(1, atime_ns=-1, mtime_ns=-1)
    assert (folder / "f").stat().st_mtime_ns > 10**18
    assert number(lambda: client.setattr(0, size=1)) == errno.EISDIR
    assert number(lambda: client.call(T.SETATTR, 1, 0x120, 0, 0, 0, 0, 0, 0, 0, 10**9)) == errno.EINVAL
    assert number(lambda: client.call(T.SETATTR, 1, 0x120, 0, 0, 0, 0, 0, 0, 1 << 62, 0)) == errno.EINVAL


def test_attributes_of_a_link_are_not_those_of_its_target(client: Client, folder: Path) -> None:
    (folder / "f").write_bytes(b"")
    os.symlink("f", folder / "s")
    before = (folder / "f").stat()
    client.at(1, b"s")
    assert number(lambda: client.setattr(1, mode=0o777)) == errno.EOPNOTSUPP
    assert number(lambda: client.setattr(1, size=9)) == errno.EINVAL
    client.setattr(1, mtime_ns=5)
    client.setattr(1, uid=os.getuid(), gid=os.getgid())
    assert (folder / "s").lstat().st_mtime_ns == 5
    assert (folder / "f").stat() == before


def test_no_regular_file_becomes_setuid_or_setgid(client: Client, folder: Path) -> None:
    client.walk(0, 1)
    client.lcreate(1, b"f", RDWR, 0o6755)
    client.call(T.MKNOD, 0, b"g", stat.S_IFREG | 0o6755, 0, 0, 0)
    assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o755}
    client.setattr(1, mode=0o7711)
    assert stat.S_IMODE((folder / "f").stat().st_mode) == 0o1711


def test_a_chown_that_the_launcher_may_not_do_is_ignored(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "f").write_bytes(b"")
    client.at(1, b"f")

    def forbidden(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EPERM, "")

    monkeypatch.setattr(os, "chown", forbidden)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    client.setattr(1, uid=12345, gid=12345, mode=0o600)
    assert client.getattr(1).uid == (folder / "f").stat().st_uid
    assert stat.S_IMODE((folder / "f").stat().st_mode) == 0o600
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert number(lambda: client.setattr(1, uid=12345)) == errno.EPERM


def test_as_root_what_is_made_belongs_to_the_guests_user(server: Server, folder: Path) -> None:
    if os.geteuid():
        pytest.skip("only root gives files away")
    client = Client(sender(server))
    client.attach(0, uid=1234)
    client.walk(0, 1)
    client.lcreate(1, b"f", RDWR, 0o644, 567)
    client.call(T.MKDIR, 0, b"d", 0o755, 567)
    client.call(T.SYMLINK, 0, b"s", b"/etc/passwd", 567)
    assert {(each.lstat().st_uid, each.lstat().st_gid) for each in folder.iterdir()} == {(1234, 567)}
    assert Path("/etc/passwd").stat().st_uid == 0


def test_statfs(client: Client, folder: Path) -> None:
    got = struct.unpack("<IIQQQQQQI", client.call(T.STATFS, 0))
    is_ = os.statvfs(folder)
    assert got[:3] == (0x01021997, is_.f_bsize, is_.f_blocks)
    assert got[5] == is_.f_files
    assert got[8] == 255


# Extended attributes.


def xattr(client: Client, name: bytes, fid: int = 1) -> bytes:
    (size,) = struct.unpack("<Q", client.call(T.XATTRWALK, fid, 90, name))
    try:
        return client.read(90, 0, size)
    finally:
        client.clunk(90)


def set_xattr(client: Client, name: bytes, value: bytes, flags: int = 0, fid: int = 1) -> None:
    client.walk(fid, 91)
    try:
        client.call(T.XATTRCREATE, 91, name, len(value), flags)
        if value:
            assert client.write(91, 0, value) == len(value)
    finally:
        client.clunk(91)


@pytest.fixture
def with_xattrs(folder: Path) -> None:
    try:
        os.setxattr(folder, "user.probe", b"1")
        os.removexattr(folder, "user.probe")
    except OSError:
        pytest.skip("the file system of the tests has no extended attributes")


@pytest.mark.usefixtures("with_xattrs")
def test_extended_attributes_of_users(client: Client, folder: Path) -> None:
    (folder / "f").write_bytes(b"")
    client.at(1, b"f")
    set_xattr(client, b"user.a", b"value")
    assert os.getxattr(folder / "f", "user.a") == b"value"
    assert xattr(client, b"user.a") == b"value"
    assert xattr(client, b"") == b"user.a\0"
    assert number(lambda: set_xattr(client, b"user.a", b"x", os.XATTR_CREATE)) == errno.EEXIST
    set_xattr(client, b"user.empty", b"")
    assert xattr(client, b"user.empty") == b""
    set_xattr(client, b"user.a", b"", os.XATTR_REPLACE)
    assert os.listxattr(folder / "f") == ["user.empty"]
    assert number(lambda: xattr(client, b"user.a")) == errno.ENODATA


def test_values_on_their_way_are_few(client: Client, folder: Path) -> None:
    (folder / "f").write_bytes(b"")
    client.at(1, b"f")
    for fid in range(2, 258):
        if fid % 2:
            client.walk(1, fid)
            client.call(T.XATTRCREATE, fid, b"user.a", 60_000, 0)
        else:
            client.call(T.XATTRWALK, 1, fid, b"")
    client.walk(1, 300)
    assert number(lambda: client.call(T.XATTRCREATE, 300, b"user.a", 1, 0)) == errno.ENFILE
    assert number(lambda: client.call(T.XATTRWALK, 1, 301, b"")) == errno.ENFILE
    client.clunk(2)
    client.call(T.XATTRWALK, 1, 301, b"")
    client.version(8192)
    client.attach()
    client.at(1, b"f")
    client.call(T.XATTRWALK, 1, 2, b"")


@pytest.mark.usefixtures("with_xattrs")
def test_a_value_comes_in_order_and_whole(client: Client, folder: Path) -> None:
    client.walk(0, 1)
    client.call(T.XATTRCREATE, 1, b"user.a", 6, 0)
    assert client.write(1, 0, b"abc") == 3
    assert number(lambda: client.write(1, 0, b"abc")) == errno.EINVAL
    assert number(lambda: client.write(1, 3, b"defg")) == errno.EINVAL
    assert number(lambda: client.read(1, 0, 3)) == errno.EBADF
    assert number(lambda: client.clunk(1)) == errno.EINVAL
    assert os.listxattr(folder) == []
    assert number(lambda: client.getattr(1)) == errno.EBADF


@pytest.mark.parametrize("name", [b"security.capability", b"trusted.x", b"system.posix_acl_access", b"nonsense"])
def test_other_extended_attributes_are_not_supported(client: Client, folder: Path, name: bytes) -> None:
    (folder / "f").write_bytes(b"")
    os.symlink("f", folder / "s")
    client.at(1, b"f")
    assert number(lambda: xattr(client, name)) == errno.EOPNOTSUPP
    assert number(lambda: set_xattr(client, name, b"x")) == errno.EOPNOTSUPP
    client.at(2, b"s")
    assert number(lambda: xattr(client, b"user.a", 2)) == errno.EOPNOTSUPP
    assert xattr(client, b"", 2) == b""
    assert number(lambda: client.call(T.XATTRCREATE, 1, b"user.a", 65537, 0)) == errno.E2BIG
