# SPDX-License-Identifier: GPL-2.0-or-later
"""The user's cache folder, and lguest-py cache."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import NoReturn

import pytest

from lguest_py.cli import main
from lguest_py.cli.cache import amount
from lguest_py.errors import LguestError
from lguest_py.files import caches


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with something in it, beside something that is not."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "lguest-py"
    (folder / "kernels" / "one").mkdir(parents=True)
    (folder / "kernels" / "one" / "vmlinuz").write_bytes(bytes(range(256)) * 8000)
    (folder / "lock").touch()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (folder / "link").symlink_to(tmp_path / "precious")
    return folder


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    for value, where in (("/x/y", "/x/y"), ("relative", "/home/ada/.cache"), ("", "/home/ada/.cache")):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert caches.folder() == Path(where, "lguest-py")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert caches.folder() == Path("/home/ada/.cache/lguest-py")


def test_without_a_home_it_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("no home")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(LguestError, match="set HOME or XDG_CACHE_HOME"):
        caches.folder()


def test_it_is_shown_with_sizes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{folder}: 2.")
    assert first.endswith(" MB")
    assert [line.split()[2] for line in lines] == ["kernels", "link", "lock"]
    assert " MB  kernels    kernels (lguest-py fetch)" in lines[0]
    assert sum(entry.size for entry in caches.entries()) < 3_000_000


def test_clear_deletes_it_and_nothing_else(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out.startswith(f"{folder}: 2.")
    assert list(folder.iterdir()) == []
    assert (tmp_path / "precious" / "file").exists()
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == f"{folder}: empty\n"


def test_a_cache_that_was_never_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    assert [main(["cache"]), main(["cache", "clear"])] == [0, 0]
    assert capsys.readouterr().out.splitlines()[0].endswith(": empty")
    assert not (tmp_path / "none").exists()


def test_what_runs_is_not_pulled_away(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = folder / "carrier" / "job.abc"
    job.mkdir(parents=True)
    fd = os.open(job, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    assert main(["cache", "clear"]) == 1
    error = capsys.readouterr().err
    assert error == f"lguest-py: {folder}/carrier is in use: a test or a tools/run-in-kvm runs; " \
        "try again when it has ended\n"  # fmt: skip
    assert job.exists()
    os.close(fd)
    assert main(["cache", "clear"]) == 0
    assert not job.exists()


def test_what_may_not_be_deleted_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(name: str, **_: object) -> NoReturn:
        raise PermissionError(13, "Permission denied", name)  # root may delete whatever its mode

    monkeypatch.setattr(os, "unlink", denied)
    assert main(["cache", "clear"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"lguest-py: {folder}/kernels cannot be deleted (")
    assert said.endswith("vmlinuz: Permission denied): see whose it is, and delete it by hand\n")
    assert (folder / "kernels/one/vmlinuz").exists()


def test_a_file_in_its_place_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lguest-py").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["cache"]) == 1
    said = "lguest-py cannot be read (Not a directory): set XDG_CACHE_HOME to another place\n"
    assert capsys.readouterr().err == f"lguest-py: {tmp_path}/{said}"


@pytest.mark.parametrize("arguments", [["clean"], ["clear", "all"], ["--all"]])
def test_wrong_use(folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert (folder / "kernels").exists()


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (5 * 10**9, "5.0 GB")]
)
def test_amounts(size: int, text: str) -> None:
    assert amount(size) == text
