# SPDX-License-Identifier: GPL-2.0-or-later
"""lguest-py --version: the version, the commit that tools/commit.py found, the engines."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import commit
import pytest

from lguest_py import __version__, engines, version
from lguest_py.cli import main
from lguest_py.engines import tcg
from lguest_py.engines.probe import KvmProbe

needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")


def git(root: Path, *arguments: str) -> str:
    """Run git there, as somebody."""
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *who, *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one file."""
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("one\n")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "one")
    return tmp_path


@needs_git
def test_the_commit_is_recorded(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD").strip()
    (repository / "untracked").touch()
    commit.record(repository, repository / "commit")
    assert (repository / "commit").read_text() == f"{head[:12]}\n"
    (repository / "file").write_text("two\n")
    commit.record(repository, repository / "commit")
    assert (repository / "commit").read_text() == f"{head[:12]}+\n"


@needs_git
def test_a_tarball_in_another_repository_has_not_that_ones_commit(repository: Path) -> None:
    tree = repository / "unpacked"
    tree.mkdir()
    assert commit.find(tree) is None
    (tree / "commit").write_text("came with it\n")
    commit.record(tree, tree / "commit")
    assert (tree / "commit").read_text() == "came with it\n"


def test_without_git_nothing_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    commit.record(tmp_path, tmp_path / "commit")
    assert not (tmp_path / "commit").exists()


def test_the_environment_may_tell_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LGUEST_PY_COMMIT", "abc")
    assert commit.find(tmp_path) == "abc"


def test_a_package_tells_what_was_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "COMMIT", tmp_path / "commit")
    assert version.commit() == "unknown"
    (tmp_path / "commit").write_text("abc+\n")
    assert version.commit() == "abc+"


def test_the_command_tells_the_version_and_the_engines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(version, "COMMIT", tmp_path / "commit")
    (tmp_path / "commit").write_text("abc\n")
    monkeypatch.setattr(engines, "probe_kvm", lambda: KvmProbe(False, "PVM", "this KVM is none"))
    monkeypatch.setattr(tcg, "find_qemu", lambda: ("/usr/bin/qemu-system-i386", "9.9"))
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == (
        f"lguest-py {__version__} (commit abc)\n"
        "no engine kvm: this KVM is none; --engine tcg runs without KVM\n"
        "engine tcg: QEMU 9.9 emulates the CPU\n"
    )
