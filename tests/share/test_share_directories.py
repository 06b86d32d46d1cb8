# SPDX-License-Identifier: GPL-2.0-or-later
"""Listings: offsets that a 32-bit Guest can take, directories that change meanwhile, large ones, a bound on memory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from p9_client import Client, number

from lguest_py.share import directories
from lguest_py.share.directories import Listing


def names(client: Client, fid: int, count: int = 4096) -> list[str]:
    return [os.fsdecode(name) for name, *_ in client.entries(fid, count)]


def opened(client: Client, fid: int = 1) -> int:
    client.walk(0, fid)
    client.lopen(fid)
    return fid


def test_types_and_inodes_are_those_of_the_entries(client: Client, folder: Path) -> None:
    (folder / "d").mkdir()
    (folder / "f").write_bytes(b"")
    os.symlink("f", folder / "s")
    os.mkfifo(folder / "p")
    opened(client)
    found = {name: (kind, inode) for name, _, kind, inode in client.entries(1)}
    assert {name: kind for name, (kind, _) in found.items()} == {b".": 4, b"..": 4, b"d": 4, b"f": 8, b"s": 10, b"p": 0}
    for name in (b"d", b"f", b"s", b"p"):
        assert found[name][1] == (folder / os.fsdecode(name)).lstat().st_ino


def test_every_entry_once_whatever_the_size_of_a_reply(client: Client, folder: Path) -> None:
    wanted = {f"{n:0{1 + n % 50}}" for n in range(300)}
    for name in wanted:
        (folder / name).write_bytes(b"")
    for count in (80, 100, 1000, 60000):
        client.attach(2)
        client.lopen(2)
        found = names(client, 2, count)
        client.clunk(2)
        assert len(found) == len(set(found))
        assert set(found) == wanted | {".", ".."}


def test_offsets_are_small_and_any_of_them_continues(client: Client, folder: Path) -> None:
    for n in range(50):
        (folder / f"{n}").write_bytes(b"")
    opened(client)
    found = list(client.entries(1))
    assert [offset for _, offset, *_ in found] == list(range(1, 53))
    for at in (7, 40, 51, 12):
        assert client.readdir(1, at) == found[at:]
    assert client.readdir(1, 52) == []
    assert client.readdir(1, 1 << 31) == []
    with pytest.raises(OSError, match="Invalid"):
        client.readdir(1, 1 << 32)
    with pytest.raises(OSError, match="Invalid"):
        client.readdir(1, 0, 24)  # not one entry fits


def test_a_directory_that_changes_while_it_is_read(client: Client, folder: Path) -> None:
    stay = {f"stay{n}" for n in range(2000)}
    go = [f"go{n}" for n in range(2000)]
    for name in (*stay, *go):
        (folder / name).write_bytes(b"")
    opened(client)
    found: list[str] = []
    offset, step = 0, 0
    while some := client.readdir(1, offset, 3000):
        found += [os.fsdecode(name) for name, *_ in some]
        offset = some[-1][1]
        for name in go[step * 50 : step * 50 + 50]:
            (folder / name).unlink()
        (folder / f"new{step}").write_bytes(b"")
        step += 1
    assert step > 20
    assert len(found) == len(set(found))
    assert stay <= set(found)


def test_removing_all_while_reading_as_rm_does(client: Client, folder: Path) -> None:
    for n in range(3000):
        (folder / f"{n}").write_bytes(b"")
    opened(client)
    for name, *_ in client.entries(1, 8000):
        if name not in (b".", b".."):
            (folder / os.fsdecode(name)).unlink()
    assert list(folder.iterdir()) == []
    assert names(client, 1) == [".", ".."]  # offset 0 is a new look


def test_a_large_directory_is_read_once(client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(100_000):
        os.close(os.open(folder / f"{n:06}", os.O_CREAT | os.O_WRONLY))
    opened(client)
    read = 0
    more = Listing._more

    def counted(listing: Listing) -> None:
        nonlocal read
        read += 1
        more(listing)

    monkeypatch.setattr(Listing, "_more", counted)
    found = names(client, 1, 60000)
    assert len(found) == len(set(found)) == 100_002
    assert read == 100_001
    assert len(client.readdir(1, 50_000, 60000)) == directories.MOST_ENTRIES
    assert read == 100_001  # what was read is kept


def test_what_is_kept_is_bounded_and_forgotten_listings_go_on(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directories, "MOST_BYTES", 20_000)
    for n in range(500):
        (folder / f"{n:04}").write_bytes(b"")
    before = len(os.listdir("/proc/self/fd"))
    for fid in range(1, 6):
        opened(client, fid)
    expected = names(client, 1)
    halves = {fid: client.readdir(fid, 0, 12_000) for fid in range(1, 6)}
    # A file, and a second descriptor for those that are remembered.
    assert len(os.listdir("/proc/self/fd")) <= before + 5 + 2
    for fid, half in halves.items():
        rest, offset = [], half[-1][1]
        while some := client.readdir(fid, offset, 12_000):
            rest += some
            offset = some[-1][1]
        assert [os.fsdecode(name) for name, *_ in half + rest] == expected


def test_only_open_directories_are_listed(client: Client, folder: Path) -> None:
    (folder / "f").write_bytes(b"")
    client.at(1, b"f")
    client.lopen(1)
    client.walk(0, 2)
    for fid, expected in ((1, errno.ENOTDIR), (2, errno.EBADF)):
        assert number(lambda fid=fid: client.readdir(fid)) == expected  # type: ignore[misc]
    opened(client, 3)
    assert number(lambda: client.read(3, 0, 10)) == errno.EISDIR
