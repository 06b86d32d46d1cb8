# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that a user names to be written: through what is no regular file, and a regular one whole or not at all."""

from __future__ import annotations

import gzip
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lguest_py.cli import main
from lguest_py.errors import LguestError
from lguest_py.files.outputs import descriptor, writing

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What becomes an initrd."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root/init").write_text("#!/bin/sh\n")
    return tmp_path / "root"


def put(path: Path | str, content: bytes = b"new") -> None:
    with writing(str(path), "give another place") as file:
        file.write(content)


def run(*arguments: str, **more: object) -> subprocess.CompletedProcess[bytes]:
    how = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 120, **more}
    command = [sys.executable, "-m", "lguest_py", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, **how)  # type: ignore[call-overload,no-any-return]


def test_a_new_file_has_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        put(tmp_path / "out")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_that_is_replaced_keeps_its_mode_and_owner(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"old")
    out.chmod(0o606)
    if os.geteuid() == 0:
        os.chown(out, 1234, 4321)
    before = out.stat()
    put(out)
    after = out.stat()
    assert out.read_bytes() == b"new"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino  # it was replaced: who reads the old one reads on


def test_a_symbolic_link_stays_and_leads_to_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link, target = tmp_path / "link", tmp_path / "there/file"
    link.symlink_to("there/file")
    for content in (b"first", b"second"):
        put(link, content)
        assert link.is_symlink()
        assert target.read_bytes() == content
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["file"]


def test_a_device_is_written_through_and_stays(tmp_path: Path, root: Path) -> None:
    node = tmp_path / "null"
    try:
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        node.symlink_to("/dev/null")
    before = os.stat(node)
    assert main(["mkinitrd", str(root), "-o", str(node)]) == 0
    assert os.stat(node) == before or os.stat(node).st_rdev == before.st_rdev
    assert stat.S_ISCHR(os.stat(node).st_mode)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert sorted(tmp_path.iterdir()) == [node, root]


def test_a_fifo_is_written_through_and_stays(tmp_path: Path, root: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    assert main(["mkinitrd", str(root), "-o", str(fifo)]) == 0
    reader.join()
    assert b"070701" in gzip.decompress(got[0])
    assert stat.S_ISFIFO(fifo.lstat().st_mode)


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "LINK"])
def test_stdout_is_written_to_whatever_it_is(tmp_path: Path, root: Path, name: str) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    place = name.replace("LINK", str(tmp_path / "link"))
    piped = run("mkinitrd", str(root), "-o", place)
    assert (piped.returncode, piped.stderr) == (0, b"")
    assert b"070701" in gzip.decompress(piped.stdout)
    with open(tmp_path / "log", "ab") as log:
        log.write(b"before\n")
        log.flush()
        inode = os.fstat(log.fileno()).st_ino
        assert run("mkinitrd", str(root), "-o", place, capture_output=False, stdout=log).returncode == 0
    assert (tmp_path / "log").read_bytes() == b"before\n" + piped.stdout
    assert (tmp_path / "log").stat().st_ino == inode
    assert (tmp_path / "link").is_symlink()


def test_what_names_a_descriptor() -> None:
    assert descriptor("-") == descriptor("/dev/stdout") == descriptor(f"/proc/{os.getpid()}/fd/1") == 1
    assert descriptor("/dev/fd/63") == 63
    assert descriptor("out") is descriptor("./-") is descriptor("/proc/1/fd/1") is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "No such file"),
        (".", "Is a directory"),
        ("new/", "Is a directory"),
        ("none/out", "No such file"),
        ("/dev/full", "No space left"),
        ("/dev/fd/999", "Bad file descriptor"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LguestError, match=rf"cannot be written \({why}.*\): give another place$"):
        put(name)
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_old_file_whole_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"old")

    def fail(error: type[BaseException]) -> None:
        with writing(str(out), "") as file:
            file.write(b"half")
            raise error

    for error, told in ((KeyboardInterrupt, KeyboardInterrupt), (SystemExit, SystemExit), (OSError, LguestError)):
        with pytest.raises(told):
            fail(error)
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write whatever its mode
    with pytest.raises(LguestError, match="Permission denied"):
        put(out)
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_the_old_file_whole_and_nothing_else(
    tmp_path: Path, root: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"old")
    os.mkfifo(root / "slow")
    program = (
        "import sys, time; from lguest_py.kernels import mkinitrd; from lguest_py.cli import main\n"
        "mkinitrd._record = lambda *_: (print('writing', flush=True), time.sleep(60))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "mkinitrd", str(root), "-o", str(out)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(number)
        assert process.wait(60) == 128 + number
    assert out.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == [out, root]


def test_a_reader_that_goes_away_ends_it_as_sigpipe_would(root: Path) -> None:
    (root / "large").write_bytes(os.urandom(1 << 20))
    read, write = os.pipe()
    os.close(read)
    done = run("mkinitrd", str(root), "-o", "-", capture_output=False, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
