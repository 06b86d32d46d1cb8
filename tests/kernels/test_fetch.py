# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py fetch``: through the real apt from an archive in a directory here, and from local packages."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any, NoReturn

import pytest
from archive_lab import BUSYBOX, KERNEL, NAME, Archive, archive, left_behind, pytestmark, refused, trust

from lguest_py.cli import main
from lguest_py.errors import ImageError
from lguest_py.kernels import fetch, mkinitrd, stock

__all__ = ["archive", "pytestmark"]


def test_the_newest_kernel_and_a_busybox_are_fetched(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", NAME]) == 0
    out, err = capsys.readouterr()
    found = stock.find(NAME)
    assert found
    assert (found.package, found.busybox, found.source) == (
        "linux-image-6.1.0-50-686 1.2-3", "busybox-static 1:1.35.0-4", "apt"
    )  # fmt: skip
    assert found.kernel.read_bytes() == b"kernel 50"
    assert (found.modules / "6.1.0-50-686/kernel/lib/crc8.ko").read_bytes() == b"module"
    assert (found.directory / "copyright").read_bytes() == b"GPL-2"
    assert (found.directory / "copyright-busybox").read_bytes() == b"GPL-2 too"
    assert BUSYBOX in gzip.decompress(found.initrd.read_bytes())
    assert str(found.kernel) in out
    assert out.count("GPL-2.0, see ") == 2
    assert "apt-get download" in err
    assert left_behind() == [".lock", NAME]


def test_what_is_there_is_not_fetched_again_unless_asked(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", NAME]) == 0
    shutil.rmtree(archive.root)
    assert main(["fetch", NAME]) == 0
    assert "is already in the cache: linux-image-6.1.0-50-686 1.2-3" in capsys.readouterr().err
    assert main(["fetch", "--again", NAME]) == 1
    assert stock.find(NAME)  # a failure does not take what was there
    assert left_behind() == [".lock", NAME]


def test_a_newer_one_replaces_it(archive: Archive) -> None:
    assert main(["fetch", NAME]) == 0
    archive.kernel(52)
    assert main(["fetch", "--again", NAME]) == 0
    found = stock.find(NAME)
    assert found
    assert found.kernel.read_bytes() == b"kernel 52"
    assert not (found.modules / "6.1.0-50-686").exists()


def test_the_systems_apt_is_left_alone(archive: Archive, tmp_path: Path) -> None:
    hook = tmp_path / "hooked"
    with (tmp_path / "apt.conf").open("a") as file:
        file.write(f'APT::Update::Post-Invoke {{ "touch {hook}"; }};\nAPT::Update::Pre-Invoke {{ "false"; }};\n')
    places = [Path("/var/lib/apt/lists"), Path("/var/cache/apt"), Path("/var/cache/apt/archives")]
    before = [os.stat(path).st_mtime_ns for path in places if path.exists()]
    assert main(["fetch", NAME]) == 0
    assert not hook.exists()
    assert [os.stat(path).st_mtime_ns for path in places if path.exists()] == before


def test_a_changed_package_is_refused_by_apt(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    deb = archive.root / f"{KERNEL.format(50)}_1.2-3_i386.deb"
    data = bytearray(deb.read_bytes())
    data[-100] ^= 1
    deb.write_bytes(data)
    error = refused(capsys)
    assert "apt cannot download linux-image-6.1.0-50-686" in error
    assert "LGUEST_STOCK_DEB" in error


def test_an_archive_without_a_signature_is_refused_by_apt(
    archive: Archive, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(archive, tmp_path, monkeypatch, "")
    with (tmp_path / "apt.conf").open("a") as file:
        file.write('APT::Get::AllowUnauthenticated "true";\nAcquire::AllowInsecureRepositories "true";\n')
    assert "apt cannot read this machine's package sources" in refused(capsys)


def test_a_package_that_is_gone_from_the_mirror(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    (archive.root / f"{KERNEL.format(50)}_1.2-3_i386.deb").unlink()
    assert "apt cannot download linux-image-6.1.0-50-686" in refused(capsys)


def test_sources_without_the_package(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    archive.index = ""
    archive.kernel(51, architecture="amd64")
    error = refused(capsys)
    assert "have no linux-image-6.1.0-N-686:i386: add Debian 12's" in error
    assert "sources.list.d" in error


def test_sources_that_cannot_be_read(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(archive.root)
    error = refused(capsys)
    assert "cannot read this machine's package sources" in error
    assert "LGUEST_STOCK_DEB" in error


def test_one_bad_source_among_others_does_no_harm(archive: Archive, tmp_path: Path) -> None:
    with (tmp_path / "sources.list").open("a") as file:
        file.write(f"deb [trusted=yes] file:{tmp_path}/nowhere ./\n")
    assert main(["fetch", NAME]) == 0


@pytest.mark.parametrize("program", ["apt-get", "dpkg-deb"])
def test_a_machine_without_apt(
    archive: Archive, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in {"apt-get", "apt-cache", "dpkg-deb", "dpkg"} - {program}:
        (tools / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(tools))
    assert f"{program} is not installed" in refused(capsys)


def test_no_space(archive: Archive, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: object, target: Any) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    error = refused(capsys)
    assert "No space left on device" in error
    assert "XDG_CACHE_HOME" in error


def test_a_cache_that_cannot_be_made(
    archive: Archive, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/x")
    error = refused(capsys)
    assert "/dev/null" in error
    assert "set XDG_CACHE_HOME" in error


def test_an_unknown_name(capsys: pytest.CaptureFixture[str], archive: Archive) -> None:
    error = refused(capsys, "slackware", status=2)
    assert "'slackware'" in error
    assert NAME in error
    assert "NAME" in refused(capsys, "--again", status=2)


# --- local packages -----------------------------------------------------------------------------------------


def test_local_packages_need_no_apt(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, busybox = archive.kernel(7), archive.busybox()
    monkeypatch.setenv("LGUEST_STOCK_DEB", f"{kernel}:{busybox}")
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "no such file"))
    assert main(["fetch", NAME]) == 0
    found = stock.find(NAME)
    assert found
    assert found.kernel.read_bytes() == b"kernel 7"
    assert found.source == f"{kernel}:{busybox}"
    other = archive.kernel(8)
    monkeypatch.setenv("LGUEST_STOCK_DEB", f"{other}:{busybox}")  # another is not the one that is there
    assert main(["fetch", NAME]) == 0
    assert found.kernel.read_bytes() == b"kernel 8"


def test_with_a_local_kernel_busybox_comes_by_apt(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(archive.root)
    monkeypatch.setenv("LGUEST_STOCK_DEB", archive.kernel(7).name)
    assert main(["fetch", NAME]) == 0
    found = stock.find(NAME)
    assert found
    assert (found.package, found.busybox) == ("linux-image-6.1.0-7-686 1.2-3", "busybox-static 1:1.35.0-4")


@pytest.mark.parametrize(
    ("which", "word"),
    [
        ("missing", "not a readable Debian package"),
        ("no deb", "not a readable Debian package"),
        ("amd64", "is a package for amd64"),
        ("busybox", "is busybox-static 1:1.35.0-4, which is not debian-6.1-686"),
        ("newer", "is linux-image-6.12.9-686 1.2-3, which is not debian-6.1-686: set LGUEST_STOCK_DEB to Debian 12's"),
        ("empty", "has no vmlinuz in it"),
        ("cut short", "get it anew"),
    ],
)
def test_a_wrong_local_package(
    archive: Archive, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, which: str, word: str
) -> None:
    file = archive.root / "no deb"
    file.write_bytes(b"no deb at all")
    kernel = archive.kernel(7)
    paths = {"amd64": archive.kernel(7, architecture="amd64"), "busybox": archive.busybox(), "cut short": kernel}
    paths["newer"] = archive.add("linux-image-6.12.9-686", {"boot/vmlinuz-6.12.9-686": b"another"})
    paths["empty"] = archive.add(KERNEL.format(8), {"boot/other": b"x"})
    kernel.write_bytes(kernel.read_bytes()[:-200])
    monkeypatch.setenv("LGUEST_STOCK_DEB", f"{paths.get(which, archive.root / which)}:{archive.busybox()}")
    assert word in refused(capsys)


def test_a_package_cannot_write_outside_of_its_place(archive: Archive, tmp_path: Path) -> None:
    evil = tmp_path / "evil.deb"
    tar = tmp_path / "data.tar"
    with tarfile.open(tar, "w") as file:
        for name in ("./lib/modules/../../../../escaped", "/lib/modules/6/absolute", "./boot/vmlinuz-6"):
            member = tarfile.TarInfo(name)
            member.size = 1
            file.addfile(member, io.BytesIO(b"x"))
        link = tarfile.TarInfo("./lib/modules/6/link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        file.addfile(link)
    control = tmp_path / "control"
    control.write_text("Package: linux-image-6.1.0-1-686\nVersion: 1\nArchitecture: i386\n")
    with tarfile.open(tmp_path / "control.tar", "w") as file:
        file.add(control, "./control")
    (tmp_path / "debian-binary").write_text("2.0\n")
    parts = [tmp_path / name for name in ("debian-binary", "control.tar", "data.tar")]
    with evil.open("wb") as out:
        out.write(b"!<arch>\n")
        for part in parts:
            data = part.read_bytes()
            out.write(f"{part.name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode())
            out.write(data + b"\n" * (len(data) % 2))
    into = tmp_path / "into/a/b/c"
    into.mkdir(parents=True)
    fetch._unpack(evil, into, fetch._kernel_file)
    assert (into / "vmlinuz").read_bytes() == b"x"
    assert not (into / "modules/6/link").exists()
    assert not [path for path in tmp_path.rglob("escaped")]
    assert not [path for path in Path("/lib/modules").glob("6/absolute")]


# --- by name ------------------------------------------------------------------------------------------------


def test_a_name_means_the_kernel_in_the_cache(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ImageError, match="is not in the cache: run lguest-py fetch debian-6"):
        stock.resolve(NAME)
    assert main(["fetch", NAME]) == 0
    assert stock.resolve(NAME) == stock.find(NAME)
    assert stock.resolve("bzImage") is None
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).write_bytes(b"a file of that name goes first")
    assert stock.resolve(NAME) is None


@pytest.mark.parametrize("file", stock.FILES)
def test_what_is_not_whole_counts_as_not_there(archive: Archive, file: str) -> None:
    assert main(["fetch", NAME]) == 0
    place = stock.kernels() / NAME / file
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    assert stock.find(NAME) is None
    assert main(["fetch", NAME]) == 0
    assert stock.find(NAME)


def test_a_broken_record_counts_as_not_there(archive: Archive) -> None:
    assert main(["fetch", NAME]) == 0
    for text in ("", "[]", "{}", '{"package": 1'):
        (stock.kernels() / NAME / stock.RECORD).write_text(text)
        assert stock.find(NAME) is None


def test_an_initrd_of_another_version_is_made_anew(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["fetch", NAME]) == 0
    found = stock.find(NAME)
    assert found
    wanted, record = found.initrd.read_bytes(), found.directory / stock.RECORD

    def spoil() -> None:
        """As versions before there were editions left it."""
        found.initrd.write_bytes(b"old")
        old = json.loads(record.read_text())
        del old["edition"]
        record.write_text(json.dumps(old))

    spoil()
    assert stock.resolve(NAME) == found  # by boot
    assert found.initrd.read_bytes() == wanted
    assert stock.find(NAME) == found
    spoil()
    assert main(["fetch", NAME]) == 0
    assert found.initrd.read_bytes() == wanted
    monkeypatch.setattr(mkinitrd, "INIT", "#!/bin/sh\necho other\n")
    stock.resolve(NAME)
    assert b"echo other" in gzip.decompress(found.initrd.read_bytes())
    assert {path.name for path in found.directory.iterdir()} == {*stock.FILES, "config"}


def test_an_old_initrd_stays_where_the_cache_cannot_be_written(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["fetch", NAME]) == 0
    before = stock.find(NAME)
    assert before

    def read_only(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(mkinitrd, "INIT", "#!/bin/sh\necho other\n")
    monkeypatch.setattr(mkinitrd, "writing", read_only)
    assert stock.resolve(NAME) == before
