# SPDX-License-Identifier: GPL-2.0-or-later
"""Few file descriptors: one line that says so and tells the limit, wherever one was to be opened."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from lguest_py.engines import probe, tcg
from lguest_py.files import descriptors
from lguest_py.files.descriptors import DescriptorError, as_descriptor_error, descriptor_errors
from lguest_py.files.inputs import open_regular
from lguest_py.kernels import fetch, stock
from lguest_py.kernels.apt import complaint

ROOT = Path(__file__).resolve().parents[2]
SAID = re.compile(r"lguest-py: too many open files \(RLIMIT_NOFILE: soft limit (\d+), hard limit (\d+)\): .*\n")
# Python is whole before the limit counts: what it needs itself to start is no matter of ours.
COMMAND = """
import resource, sys
import lguest_py.cli
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[1])))
sys.exit(lguest_py.cli.main(sys.argv[2:]))
"""
LIBRARY = """
import os, resource, sys
import lguest_py
from lguest_py.machine import Machine
from lguest_py.errors import LguestError
before = os.listdir("/proc/self/fd")
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[1])))
try:
    with Machine(engine=sys.argv[2], command_line="run=echo well") as machine:
        print(machine.wait(400).outcome.end.value)
except LguestError as error:
    print(f"lguest-py: {error}")
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[1])))
left = set(os.listdir("/proc/self/fd")) - set(before)
assert not left, left
"""


def run(program: str, limit: int, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, str(limit), *arguments], env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=cwd,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("limit", [3, 4, 5, 8, 11, 14])
def test_boot_says_so(limit: int) -> None:
    done = run(COMMAND, limit, "boot", "--engine", "tcg", "--quiet", "--timeout", "60")
    assert (done.returncode, done.stdout) == (1, "")
    match = SAID.fullmatch(done.stderr)
    assert match, done.stderr
    assert match[1] == str(limit)


@pytest.mark.parametrize("arguments", ["doctor", "--version", "fetch debian-6.1-686", "mkinitrd . -o {}", "cache"])
def test_every_verb_says_so(arguments: str, tmp_path: Path) -> None:
    done = run(COMMAND, 3, *arguments.format(tmp_path / "out").split(), cwd=tmp_path)
    assert done.returncode == 1
    assert SAID.fullmatch(done.stderr), done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.nightly("kvm")
def test_from_some_limit_on_it_boots_and_below_it_nothing_is_left(engine_name: str) -> None:
    for limit in (9, 16, 24, 48):  # in the carrier each takes long
        done = run(LIBRARY, limit, engine_name)
        assert done.returncode == 0, done.stderr
        if limit < 48:
            assert done.stdout == "powered off\n" or SAID.fullmatch(done.stdout), done.stdout
    assert done.stdout == "powered off\n"


def none_left(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "name")


@pytest.mark.parametrize(
    "place",
    [
        lambda: open_regular("/dev/null", "give another"),
        lambda: stock.find("debian-6.1-686"),
        lambda: probe.probe_kvm(),
        lambda: fetch.fetch("debian-6.1-686", lambda text: None),
    ],
    ids=["image", "stock", "probe", "fetch"],
)
def test_a_place_that_opens_one_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: Callable[[], object]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    there = tmp_path / "lguest-py/kernels/debian-6.1-686"
    there.mkdir(parents=True)
    for name in stock.FILES:
        (there / name).touch()
    for module, name in ((os, "open"), (fetch, "open"), (Path, "read_text")):
        monkeypatch.setattr(module, name, none_left, raising=False)
    with pytest.raises(DescriptorError, match="too many open files"):
        place()


def test_another_programs_words_are_understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(DescriptorError):
        complaint("E: Could not open file - open (24: Too many open files)\n")
    assert descriptors.reports_too_many_open("libx.so: cannot open shared object file: Error 24")
    qemu = tmp_path / tcg.QEMU
    qemu.write_text("#!/bin/sh\necho 'libz.so: cannot open shared object file: Error 24' >&2\nexit 127\n")
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    tcg.ask_qemu.cache_clear()
    try:
        with pytest.raises(DescriptorError):
            tcg.find_qemu()
    finally:
        tcg.ask_qemu.cache_clear()


def test_what_else_fails_is_not_taken_for_it() -> None:
    assert as_descriptor_error(OSError(errno.ENOENT, "no such file")) is None
    assert as_descriptor_error(ImportError("no module")) is None
    assert isinstance(as_descriptor_error(ImportError("x.so: Too many open files")), DescriptorError)
    assert "fs.file-max" in str(as_descriptor_error(OSError(errno.ENFILE, "too many")))
    with pytest.raises(FileNotFoundError), descriptor_errors():
        raise FileNotFoundError
