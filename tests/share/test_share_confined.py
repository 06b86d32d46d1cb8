# SPDX-License-Identifier: GPL-2.0-or-later
"""The Guest stays in the folder: an attack for each way out."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
from p9_client import Client, number, sender, server_at

from lguest_py.share.server import Server
from lguest_py.share.wire import T

RDWR, TRUNC = 2, 0o1000
SECRET = b"secret of the Host"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the shared one, with a file."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(SECRET)
    (tmp_path / "shared-too").mkdir()  # its name begins as that of the shared one
    return tmp_path / "outside"


def test_a_link_to_outside_is_never_followed(client: Client, folder: Path, outside: Path) -> None:
    os.symlink(outside, folder / "d")
    os.symlink(outside / "secret", folder / "f")
    os.symlink("../outside/secret", folder / "up")
    os.symlink(outside / "new", folder / "dangling")
    assert number(lambda: client.at(1, b"d", b"secret")) == errno.ENOENT  # a walk that stops at the link
    client.at(2, b"d")
    for call in (
        lambda: client.walk(2, 3, b"secret"),
        lambda: client.call(T.MKDIR, 2, b"new", 0o777, 0),
        lambda: client.call(T.SYMLINK, 2, b"new", b"x", 0),
        lambda: client.call(T.MKNOD, 2, b"new", stat.S_IFREG | 0o666, 0, 0, 0),
        lambda: client.call(T.UNLINKAT, 2, b"secret", 0),
        lambda: client.call(T.RENAMEAT, 2, b"secret", 0, b"mine"),
        lambda: client.call(T.RENAMEAT, 0, b"f", 2, b"theirs"),
        lambda: client.call(T.LINK, 2, 2, b"new"),
        lambda: client.lcreate(2, b"new"),
    ):
        assert number(call) == errno.ENOTDIR
    assert number(lambda: client.lopen(2)) == errno.ELOOP
    for fid, name in ((4, b"f"), (5, b"up"), (6, b"dangling")):
        client.at(fid, name)
        for flags in (0, 1, RDWR, TRUNC):
            assert number(lambda fid=fid, flags=flags: client.lopen(fid, flags)) == errno.ELOOP  # type: ignore[misc]
        client.walk(0, 10 + fid)
        assert number(lambda fid=fid, name=name: client.lcreate(10 + fid, name)) == errno.ELOOP  # type: ignore[misc]
        assert number(lambda fid=fid: client.setattr(fid, mode=0o777)) == errno.EOPNOTSUPP  # type: ignore[misc]
        assert number(lambda fid=fid: client.call(T.XATTRWALK, fid, 99, b"user.a")) == errno.EOPNOTSUPP  # type: ignore[misc]
    assert sorted(each.name for each in outside.iterdir()) == ["secret"]
    assert (outside / "secret").read_bytes() == SECRET


def test_a_hard_link_can_only_be_made_of_what_is_inside(client: Client, folder: Path, outside: Path) -> None:
    os.symlink(outside / "secret", folder / "f")
    client.at(1, b"f")
    client.call(T.LINK, 0, 1, b"g")
    assert os.readlink(folder / "g") == str(outside / "secret")
    assert (outside / "secret").stat().st_nlink == 1


def test_the_root_has_nothing_above(client: Client, folder: Path) -> None:
    (folder / "a").mkdir()
    client.at(1, b"a")
    for path in ((b"..",), (b"..", b"outside"), (b"a", b".."), (b"a", b"..", b"..")):
        with suppress(OSError):
            assert len(client.walk(0, 9, *path)) < len(path)
    for name in (b"..", b"../outside", b"/etc", b"a/../../outside"):
        assert number(lambda name=name: client.walk(1, 9, name)) == errno.EINVAL  # type: ignore[misc]
        assert number(lambda name=name: client.call(T.UNLINKAT, 1, name, 0)) == errno.EINVAL  # type: ignore[misc]
    client.lopen(1)
    parent = {name: inode for name, _, _, inode in client.entries(1)}[b".."]
    assert parent == folder.stat().st_ino
    client.walk(0, 2)
    client.lopen(2)
    assert {name: inode for name, _, _, inode in client.entries(2)}[b".."] == folder.stat().st_ino


@pytest.mark.parametrize("to", ["outside/d", "shared-too/d"])
def test_a_directory_that_was_moved_out_gives_nothing(client: Client, folder: Path, outside: Path, to: str) -> None:
    (folder / "d/e").mkdir(parents=True)
    (folder / "d/f").write_bytes(b"x")
    client.at(1, b"d")
    client.at(2, b"d", b"e")
    client.at(3, b"d")
    client.lopen(3)
    client.readdir(3)
    client.at(4, b"d")
    target = folder.parent / to
    (folder / "d").rename(target)
    (target / "secret").write_bytes(SECRET)
    for call in (
        lambda: client.walk(1, 9, b"secret"),
        lambda: client.walk(2, 9, b"x"),
        lambda: client.readdir(3),
        lambda: client.lcreate(4, b"new"),
        lambda: client.lopen(4),
        lambda: client.call(T.MKDIR, 1, b"new", 0o777, 0),
        lambda: client.call(T.SYMLINK, 1, b"new", b"x", 0),
        lambda: client.call(T.MKNOD, 1, b"new", stat.S_IFREG | 0o666, 0, 0, 0),
        lambda: client.call(T.UNLINKAT, 1, b"secret", 0),
        lambda: client.call(T.RENAMEAT, 1, b"secret", 0, b"mine"),
    ):
        assert number(call) == errno.ESTALE
    target.rename(folder / "back")
    assert client.walk(1, 9, b"f")


def test_a_folder_that_itself_moves_is_still_served(client: Client, folder: Path) -> None:
    (folder / "d").mkdir()
    (folder / "d/f").write_bytes(b"x")
    client.at(1, b"d")
    folder.rename(folder.parent / "elsewhere")
    client.walk(1, 2, b"f")
    client.lopen(2)
    assert client.read(2, 0, 9) == b"x"


def test_paths_longer_than_a_system_call_takes(client: Client, folder: Path, outside: Path) -> None:
    name, deep = b"n" * 250, 24
    client.walk(0, 1)
    for _ in range(deep):
        client.call(T.MKDIR, 1, name, 0o755, 0)
        client.walk(1, 1, name)
    client.lcreate(1, b"f")
    assert client.write(1, 0, b"deep") == 4
    client.at(2, *[name] * 16)
    (folder / os.fsdecode(name)).rename(outside / "moved")
    assert number(lambda: client.walk(2, 3, name)) == errno.ESTALE
    root = os.open(outside / "moved", os.O_RDONLY)
    try:
        client.attach(5)
        assert number(lambda: client.walk(2, 3, name)) == errno.ESTALE
    finally:
        os.close(root)
    (outside / "moved").rename(folder / os.fsdecode(name))
    client.walk(2, 3, name)


def test_devices_of_the_host_are_seen_and_not_opened(folder: Path) -> None:
    """/dev has them without the rights to make any."""
    server = server_at("/dev")
    client = Client(sender(server))
    client.attach()
    client.at(1, b"null")
    assert stat.S_ISCHR(client.getattr(1).mode)
    assert client.getattr(1).rdev == os.makedev(1, 3)
    for flags in (0, 1, 2):
        assert number(lambda flags=flags: client.lopen(1, flags)) == errno.ENXIO  # type: ignore[misc]
    server.close()


def test_the_launchers_own_memory_is_not_open_to_the_guest() -> None:
    server = server_at("/proc")
    client = Client(sender(server))
    client.attach()
    client.at(1, b"%d" % os.getpid(), b"mem")
    assert stat.S_ISREG(client.getattr(1).mode)
    assert number(lambda: client.lopen(1, RDWR)) == errno.EACCES
    server.close()


CONFINED = """
import os, sys
from p9_client import Client, sender, server_at
from lguest_py.share.wire import T
server = server_at(sys.argv[1])
os.chroot(sys.argv[2])
os.chdir("/")
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
assert not os.path.exists("/proc")
client = Client(sender(server))
client.attach()
client.walk(0, 1)
client.lcreate(1, b"f", 2, 0o640)
assert client.write(1, 0, b"content") == 7
client.at(2, b"d", b"g")
client.lopen(2, 2)
assert client.read(2, 0, 99) == b"here"
client.setattr(2, mode=0o600, size=2, mtime_ns=5)
client.setattr(2, uid=1)
client.call(T.LINK, 0, 2, b"h")
client.at(3, b"d")
client.lopen(3)
assert len(list(client.entries(3))) == 3
assert client.getattr(1).uid == 65534
another = server.another()
server.close()
client = Client(sender(another))
client.attach()
client.at(1, b"h")
client.lopen(1)
assert client.read(1, 0, 9) == b"he"
print("done")
"""


def test_after_chroot_and_without_rights_it_serves_on(folder: Path, tmp_path: Path) -> None:
    """As with --chroot and --username."""
    if os.geteuid():
        pytest.skip("only root can chroot")
    (folder / "d").mkdir()
    (folder / "d/g").write_bytes(b"here")
    for path in (folder, folder / "d", folder / "d/g"):
        os.chown(path, 65534, 65534)
    (tmp_path / "jail").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CONFINED, folder, tmp_path / "jail"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.stdout == "done\n", done.stderr
    assert stat.S_IMODE((folder / "f").stat().st_mode) == 0o640
    assert ((folder / "h").stat().st_uid, (folder / "h").stat().st_mtime_ns) == (65534, 5)


@contextmanager
def meanwhile(step: Callable[[int], None]) -> Iterator[None]:
    """Do ``step`` again and again in another thread."""
    stop = threading.Event()

    def run() -> None:
        for n in count():
            if stop.is_set():
                return
            step(n)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_name_that_changes_between_file_and_link_never_leads_out(client: Client, folder: Path, outside: Path) -> None:
    (folder / "file").write_bytes(b"inside")
    os.symlink(outside / "secret", folder / "link")
    os.link(folder / "file", folder / "x")

    def swap(n: int) -> None:
        os.link(folder / ("file" if n % 2 else "link"), folder / "new", follow_symlinks=False)
        os.rename(folder / "new", folder / "x")

    seen: set[object] = set()
    with meanwhile(swap):
        for _ in range(3000):
            try:
                client.at(1, b"x")
                client.lopen(1, RDWR)
                seen.add(client.read(1, 0, 99))
                client.setattr(1, mode=0o644)
            except OSError as error:
                seen.add(error.errno)
            with suppress(OSError):
                client.clunk(1)
            client.walk(0, 2)
            with suppress(OSError):
                client.lcreate(2, b"x", RDWR)
                assert client.write(2, 0, b"inside") == 6
            client.clunk(2)
    assert seen <= {b"inside", errno.ELOOP, errno.ENOENT, errno.EOPNOTSUPP}
    assert {b"inside", errno.ELOOP} <= seen
    assert (outside / "secret").read_bytes() == SECRET


def test_a_directory_that_changes_into_a_link_never_leads_out(client: Client, folder: Path, outside: Path) -> None:
    (folder / "real").mkdir()
    (folder / "real/secret").write_bytes(b"inside")
    os.symlink(outside, folder / "link")

    def swap(n: int) -> None:
        with suppress(OSError):
            os.rename(folder / "real", folder / "d")
            os.rename(folder / "d", folder / "real")
            os.rename(folder / "link", folder / "d")
            os.rename(folder / "d", folder / "link")

    seen: set[object] = set()
    with meanwhile(swap):
        for n in range(3000):
            try:
                client.at(1, b"d", b"secret")
                client.lopen(1)
                seen.add(client.read(1, 0, 99))
            except OSError as error:
                seen.add(error.errno)
            with suppress(OSError):
                client.clunk(1)
            with suppress(OSError):
                client.at(2, b"d")
                client.call(T.MKDIR, 2, b"%d" % n, 0o777, 0)
            with suppress(OSError):
                client.clunk(2)
    assert SECRET not in seen
    assert sorted(each.name for each in outside.iterdir()) == ["secret"]


def test_a_file_that_becomes_a_fifo_does_not_stop_the_server(server: Server, client: Client, folder: Path) -> None:
    (folder / "file").write_bytes(b"inside")
    os.mkfifo(folder / "fifo")

    def swap(n: int) -> None:
        os.link(folder / ("fifo" if n % 2 else "file"), folder / "new")
        os.rename(folder / "new", folder / "x")

    (folder / "x").write_bytes(b"inside")
    seen: set[object] = set()
    with meanwhile(swap):
        for n in range(2000):
            client.at(1, b"x")
            try:
                client.lopen(1, n % 3)
                seen.add(0)
            except OSError as error:
                seen.add(error.errno)
            client.clunk(1)
            client.walk(0, 2)
            with suppress(OSError):
                client.lcreate(2, b"x", n % 3)
            client.clunk(2)
    assert seen == {0, errno.ENXIO}
