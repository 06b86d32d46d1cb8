# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py mkinitrd``: archives that unpack to what went in, and inputs that are refused."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cpio_lab import Member, unpack
from imagewriter import ElfFile, Part

from lguest_py.cli import main
from lguest_py.errors import ImageError
from lguest_py.kernels import mkinitrd

PROGRAM = Part(0x8048000, b"\x90" * 64)
BUSYBOX = ElfFile((PROGRAM,)).bytes()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with something of each kind."""
    root = tmp_path / "root"
    for name in ("bin", "empty", "a"):
        (root / name).mkdir(parents=True)
    (root / "init").write_text("#!/bin/sh\n")
    (root / "init").chmod(0o755)
    (root / "bin/tool").write_bytes(bytes(range(256)) * 5 + b"x")
    (root / "bin/tool").chmod(0o4750)
    (root / "a.b").write_bytes(b"")
    (root / "a/ä\udcff").write_text("odd name")
    (root / "bin/link").symlink_to("/nowhere/at/all")
    os.mkfifo(root / "pipe", 0o600)
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(root)  # a socket's path must be short
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
    return root


def made(tmp_path: Path, *arguments: str) -> bytes:
    out = tmp_path / "out"
    assert main(["mkinitrd", *arguments, "-o", str(out)]) == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o644
    return out.read_bytes()


def test_a_directory_becomes_an_archive(tmp_path: Path, root: Path) -> None:
    members = unpack(made(tmp_path, str(root)))
    assert set(members) == {
        *("a", "a/ä\udcff", "a.b", "bin", "bin/link", "bin/tool", "dev", "dev/console", "dev/null"),
        *("empty", "init", "pipe"),
    }
    assert (members["init"].mode, members["init"].data) == (0o100755, b"#!/bin/sh\n")
    assert (members["bin/tool"].mode, len(members["bin/tool"].data)) == (0o104750, 1281)
    assert (members["bin/link"].mode, members["bin/link"].data) == (0o120777, b"/nowhere/at/all")
    assert stat.S_ISFIFO(members["pipe"].mode)
    assert (members["dev/console"].mode, members["dev/console"].device) == (0o020600, (5, 1))
    assert (members["dev/null"].mode, members["dev/null"].device) == (0o020666, (1, 3))
    assert {member.owner for member in members.values()} == {(0, 0)}
    assert len({member.number for member in members.values()}) == len(members)  # equal ones would be hard links


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, root: Path) -> None:
    first = made(tmp_path, str(root))
    for path in root.rglob("*"):
        os.utime(path, (5, 5), follow_symlinks=False)
    assert made(tmp_path, str(root)) == first


def test_cpio_agrees(tmp_path: Path, root: Path) -> None:
    if not shutil.which("cpio"):
        pytest.skip("no cpio here; unpack() above reads the archive itself")
    archive = gzip.decompress(made(tmp_path, str(root)))
    (tmp_path / "new").mkdir()
    wanted = ["bin/*", "init", "a*"]
    subprocess.run(
        ["cpio", "-id", "--quiet", "--no-absolute-filenames", *wanted],
        input=archive, cwd=tmp_path / "new", check=True, stderr=subprocess.PIPE,
    )  # fmt: skip
    for name in ("bin/tool", "init", "a/ä\udcff"):
        assert (tmp_path / "new" / name).read_bytes() == (root / name).read_bytes()
    assert os.readlink(tmp_path / "new/bin/link") == "/nowhere/at/all"


def test_busybox_gets_an_init_and_a_directory_is_laid_over_it(tmp_path: Path, root: Path) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_bytes(BUSYBOX)
    members = unpack(made(tmp_path, "--busybox", str(busybox)))
    assert (members["bin/busybox"].mode, members["bin/busybox"].data) == (0o100755, BUSYBOX)
    assert members["bin/sh"].data == b"busybox"
    assert members["init"].data.startswith(b"#!/bin/sh\n")
    assert members["init"].mode == 0o100755
    assert {members[name].data for name in ("sbin", "usr/bin", "usr/sbin")} == {b"/bin"}  # any usual path finds it
    both = unpack(made(tmp_path, "--busybox", str(busybox), str(root)))
    assert both["init"].data == b"#!/bin/sh\n"
    assert both["bin/busybox"] == Member(**{**vars(members["bin/busybox"]), "number": both["bin/busybox"].number})
    assert "bin/tool" in both


def test_the_init_is_a_script_that_a_shell_can_read() -> None:
    subprocess.run(["sh", "-n"], input=mkinitrd.INIT.encode(), check=True)


REFUSED = {
    "no ELF": (b"#!/bin/sh\n", "is not an ELF program"),
    "empty": (b"", "is empty"),
    "half a header": (BUSYBOX[:30], "is not an ELF program"),
    "64 bits": (ElfFile((PROGRAM,), bits=2, machine=62).bytes() + bytes(99), "not built for 32-bit x86"),
    "ARM": (ElfFile((PROGRAM,), machine=40).bytes(), "not built for 32-bit x86"),
    "dynamic": (
        ElfFile((PROGRAM, Part(0, b"/lib/ld-linux.so.2\0", kind=3))).bytes(),
        "needs shared libraries",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_static_busybox_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    data, reason = REFUSED[kind]
    busybox = tmp_path / "busybox"
    busybox.write_bytes(data)
    assert main(["mkinitrd", "--busybox", str(busybox), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert error.endswith("in /bin\n")
    assert sorted(tmp_path.iterdir()) == [busybox]


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        ([], 2, "neither DIR nor --busybox"),
        (["/nonexistent/dir"], 2, "/nonexistent/dir is not a directory"),
        (["/dev/null"], 2, "/dev/null is not a directory"),
        (["--busybox", "/nonexistent/busybox"], 2, "does not exist"),
        (["--wrong"], 2, "--wrong"),
    ],
)
def test_wrong_use_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, word: str
) -> None:
    assert main(["mkinitrd", *arguments]) == status
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1


def test_a_directory_that_cannot_be_read_is_one_line(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.scandir

    def denied(path: str) -> Any:
        if path == f"{root}/empty":
            raise PermissionError(13, "Permission denied", path)  # root may read whatever its mode
        return really(path)

    monkeypatch.setattr(os, "scandir", denied)
    assert main(["mkinitrd", str(root), "-o", str(tmp_path / "out")]) == 2
    said = f"lguest-py: {root}/empty cannot be read (Permission denied): make it readable, or leave it out\n"
    assert capsys.readouterr().err == said
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_one_line(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mkinitrd", str(root), "-o", str(tmp_path / "none/out")]) == 1
    assert "choose another place (-o)" in capsys.readouterr().err


def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"old")
    tree = mkinitrd.directory_tree(str(root))
    (root / "a.b").unlink()  # between the look at it and the reading
    with pytest.raises(ImageError, match=r"a\.b cannot be read"):
        mkinitrd.make_initrd(str(out), tree)
    assert out.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == [out, root]
    monkeypatch.setattr(mkinitrd, "LARGEST", 1000)
    with pytest.raises(ImageError, match="bin/tool has more than"):
        mkinitrd.make_initrd(str(out), {"bin": tree["bin"], "bin/tool": tree["bin/tool"]})
    assert sorted(tmp_path.iterdir()) == [out, root]


def test_a_directory_without_init_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "root").mkdir()
    made(tmp_path, str(tmp_path / "root"))
    assert "has no /init" in capsys.readouterr().err
