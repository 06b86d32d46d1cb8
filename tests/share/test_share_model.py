# SPDX-License-Identifier: GPL-2.0-or-later
"""Random sequences of operations: by the protocol in one folder, by system calls in its twin; both end the same."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from p9_client import Client, sender, server_at

from lguest_py.share.wire import T

NAMES = st.sampled_from([b"a", b"b", b"c", b"d\xff", b"x" * 255])
PATHS = st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=3).map(tuple)
MODES = st.sampled_from([0o755, 0o700, 0o644, 0o777])
DATA = st.binary(max_size=40)
Path_ = tuple[bytes, ...]


def outcome(call: Callable[[], Any]) -> Any:
    """What ``call`` returns, or its error number."""
    try:
        return call()
    except OSError as error:
        return OSError, error.errno


def picture(folder: bytes) -> dict[bytes, Any]:
    """All that is in a folder: kind, mode, links, and what each contains."""
    found: dict[bytes, Any] = {}
    for root, directories, files in os.walk(folder):
        for name in (*directories, *files):
            path = os.path.join(root, name)
            status = os.lstat(path)
            kind, content = stat.S_IFMT(status.st_mode), b""
            if kind == stat.S_IFLNK:
                content = os.readlink(path)
            elif kind == stat.S_IFREG:
                content = Path(os.fsdecode(path)).read_bytes()
            links = 0 if kind == stat.S_IFDIR else status.st_nlink
            found[os.path.relpath(path, folder)] = (status.st_mode, links, content)
    return found


class Twins(RuleBasedStateMachine):
    """Each rule does one thing in both folders and compares what came of it."""

    def __init__(self) -> None:
        super().__init__()
        self.umask = os.umask(0)
        self.base = os.fsencode(tempfile.mkdtemp(prefix="twins"))
        self.here, self.there = self.base + b"/protocol", self.base + b"/calls"
        for folder in (self.here, self.there):
            os.mkdir(folder)
        self.server = server_at(os.fsdecode(self.here))
        self.client = Client(sender(self.server))
        self.client.attach()
        self.fids = 0
        self.files: list[tuple[int, int]] = []  # fids and descriptors of the same open file

    def teardown(self) -> None:
        self.server.close()
        for _, descriptor in self.files:
            os.close(descriptor)
        os.umask(self.umask)
        shutil.rmtree(self.base)
        assert self.server._budget.used == 0

    def at(self, path: Path_) -> int:
        """A new fid of a path."""
        self.fids += 1
        self.client.walk(0, self.fids)
        for name in path:
            self.client.walk(self.fids, self.fids, name)
        return self.fids

    def path(self, path: Path_, *more: bytes) -> bytes:
        return b"/".join((self.there, *path, *more))

    def both(self, protocol: Callable[[], Any], calls: Callable[[], Any], exactly: bool = True) -> None:
        """Compare.  Of two wrong names not ``exactly`` the same one may be found first."""
        mine, theirs = outcome(protocol), outcome(calls)
        mine, theirs = (each if isinstance(each, tuple) else None for each in (mine, theirs))
        assert mine == theirs or (not exactly and mine and theirs)

    @rule(path=PATHS, name=NAMES, mode=MODES)
    def mkdir(self, path: Path_, name: bytes, mode: int) -> None:
        self.both(
            lambda: self.client.call(T.MKDIR, self.at(path), name, mode, 0),
            lambda: self.make_directory(path, name, mode),
        )

    @rule(path=PATHS, name=NAMES, text=st.sampled_from([b"a", b"../b", b"/etc", b"\xff"]))
    def symlink(self, path: Path_, name: bytes, text: bytes) -> None:
        self.both(
            lambda: self.client.call(T.SYMLINK, self.at(path), name, text, 0),
            lambda: self.make_link(path, name, text),
        )

    def make_directory(self, path: Path_, name: bytes, mode: int) -> None:
        self.check_directory(path)
        os.mkdir(self.path(path, name), mode)

    def make_link(self, path: Path_, name: bytes, text: bytes) -> None:
        """As the Guest's kernel does, which looks for the directory without following its last name."""
        self.check_directory(path)
        os.symlink(text, self.path(path, name))

    def check_directory(self, path: Path_) -> None:
        for end in range(len(path) + 1):
            os.close(os.open(self.path(path[:end]), os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW))

    @rule(path=PATHS, name=NAMES, mode=MODES, exclusive=st.booleans(), data=DATA)
    def create(self, path: Path_, name: bytes, mode: int, exclusive: bool, data: bytes) -> None:
        def protocol() -> None:
            fid = self.at(path)
            self.client.lcreate(fid, name, 2 | (0o200 if exclusive else 0), mode)
            self.client.write(fid, 0, data)
            self.files.append((fid, -1))

        def calls() -> None:
            self.check_directory(path)
            flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | (os.O_EXCL if exclusive else 0)
            descriptor = os.open(self.path(path, name), flags, mode)
            os.pwrite(descriptor, data, 0)
            self.files[-1] = self.files[-1][0], descriptor

        self.both(protocol, calls)

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def use_an_open_file(self, data: st.DataObject) -> None:
        fid, descriptor = data.draw(st.sampled_from(self.files))
        offset, content = data.draw(st.integers(0, 60)), data.draw(DATA)
        what = data.draw(st.sampled_from(["read", "write", "resize", "mode", "size"]))
        if what == "read":
            assert self.client.read(fid, offset, 50) == os.pread(descriptor, 50, offset)
        elif what == "write":
            assert self.client.write(fid, offset, content) == os.pwrite(descriptor, content, offset)
        elif what == "resize":
            self.client.setattr(fid, size=offset)
            os.ftruncate(descriptor, offset)
        elif what == "mode":
            self.client.setattr(fid, mode=0o640 + offset % 8)
            os.fchmod(descriptor, 0o640 + offset % 8)
        else:
            got, status = self.client.getattr(fid), os.fstat(descriptor)
            assert (got.size, got.nlink, got.mode) == (status.st_size, status.st_nlink, status.st_mode)

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        fid, descriptor = self.files.pop(data.draw(st.integers(0, len(self.files) - 1)))
        self.client.clunk(fid)
        os.close(descriptor)

    @rule(path=PATHS, name=NAMES, directory=st.booleans())
    def unlink(self, path: Path_, name: bytes, directory: bool) -> None:
        def calls() -> None:
            self.check_directory(path)
            (os.rmdir if directory else os.unlink)(self.path(path, name))

        self.both(lambda: self.client.call(T.UNLINKAT, self.at(path), name, 0x200 if directory else 0), calls)

    @rule(path=PATHS, name=NAMES, to=PATHS, new=NAMES, older=st.booleans())
    def rename(self, path: Path_, name: bytes, to: Path_, new: bytes, older: bool) -> None:
        def protocol() -> None:
            if older:
                fid = self.at((*path, name))
                self.client.call(T.RENAME, fid, self.at(to), new)
            else:
                fid = self.at(path)
                self.client.call(T.RENAMEAT, fid, name, self.at(to), new)

        def calls() -> None:
            self.check_directory(path)
            if older:
                os.lstat(self.path(path, name))
            self.check_directory(to)
            os.rename(self.path(path, name), self.path(to, new))

        self.both(protocol, calls, exactly=False)

    @rule(path=PATHS, name=NAMES, to=PATHS, new=NAMES)
    def link(self, path: Path_, name: bytes, to: Path_, new: bytes) -> None:
        def protocol() -> None:
            fid = self.at((*path, name))
            self.client.call(T.LINK, self.at(to), fid, new)

        def calls() -> None:
            self.check_directory(path)
            os.lstat(self.path(path, name))
            self.check_directory(to)
            os.link(self.path(path, name), self.path(to, new), follow_symlinks=False)

        self.both(protocol, calls, exactly=False)

    @rule(path=PATHS)
    def list_a_directory(self, path: Path_) -> None:
        def protocol() -> tuple[str, list[bytes]]:
            fid = self.at(path)
            self.client.lopen(fid, 0o200000)
            found = [name for name, *_ in self.client.entries(fid, 700)]
            self.client.clunk(fid)
            return "names", sorted(found)

        def calls() -> tuple[str, list[bytes]]:
            self.check_directory(path)
            return "names", sorted([*os.listdir(self.path(path)), b".", b".."])

        self.both(protocol, calls)

    @rule(path=PATHS, size=st.integers(0, 50))
    def truncate(self, path: Path_, size: int) -> None:
        def calls() -> None:
            self.check_directory(path[:-1])
            if stat.S_ISLNK(os.lstat(self.path(path)).st_mode):
                raise OSError(22, "")
            os.truncate(self.path(path), size)

        self.both(lambda: self.client.setattr(self.at(path), size=size), calls)

    @invariant()
    def the_folders_are_equal(self) -> None:
        assert picture(self.here) == picture(self.there)


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
