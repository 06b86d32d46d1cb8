# SPDX-License-Identifier: GPL-2.0-or-later
"""Random files for every parser of the Launcher: each is read, or refused by one line, in bounded time and memory.

A failure names its kind and seed, and as few changes of a good file as do it.  Read before: image_fuzz.py,
image_kinds.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from image_fuzz import Edit, Kind, TooLong, bounded, fuzz, made, outcome
from image_kinds import KINDS
from module_lab import module

from lguest_py.errors import ImageError, UsageError
from lguest_py.kernels.modules import Modules
from lguest_py.launcher.machine_file import read

DAILY, NIGHTLY = 100, 100_000 // len(KINDS) + 1  # of each kind


@pytest.mark.parametrize("name", KINDS)
def test_a_random_file_is_read_or_refused(name: str, tmp_path: Path) -> None:
    _, failure = fuzz(name, KINDS[name], range(DAILY), tmp_path)
    assert not failure, str(failure)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", KINDS)
def test_many_random_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    read_some, failure = fuzz(name, KINDS[name], range(DAILY, DAILY + NIGHTLY), tmp_path)
    assert not failure, str(failure)
    assert 0 < read_some < NIGHTLY


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"disk"}))
def test_what_they_are_made_of_is_read(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    assert outcome(kind, made(kind, []), 0, tmp_path) == (True, "")


# --- what these found -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "f" * 5000, "[[[" + "1" * 20 + "]]]", "-9223372036854775809"])
@pytest.mark.parametrize("key", ["memory", "timeout", "engine", "disk", "command-line", "share"])
def test_a_number_of_too_many_digits(key: str, number: str, tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_text(f"{key} = {number}\n")
    with pytest.raises(UsageError, match=r"machine\.toml: a number in it is larger than any that TOML has"):
        read(str(path))


def test_a_module_needs_one_whose_name_is_no_text(tmp_path: Path) -> None:
    folder = tmp_path / "modules"
    (folder / "kernel").mkdir(parents=True)
    (folder / "kernel" / "a.ko").write_bytes(module("depends=\x1b[2J"))
    with pytest.raises(ImageError, match=r"lacks the module '\\x1b\[2J'") as caught:
        Modules(str(folder)).choose(["a"])
    assert str(caught.value).isprintable()


# --- the tool itself ------------------------------------------------------------------------------------------------


def _raises(error: BaseException) -> Callable[[Path, bytes, random.Random], None]:
    def reads(_: Path, data: bytes, __: random.Random) -> None:
        if b"x" in data and b"y" in data:
            raise error

    return reads


@pytest.mark.parametrize("error", [ValueError("odd"), MemoryError(), TooLong(), UsageError("two\nlines")])
def test_a_failure_is_found_and_made_small(error: BaseException, tmp_path: Path) -> None:
    kind = Kind(bytes(64), bytes, _raises(error), words=(b"x", b"y" * 9))
    failures = [fuzz("example", kind, range(200), tmp_path)[1] for _ in range(2)]
    assert failures[0] == failures[1]
    assert failures[0]
    assert sorted(edit.data for edit in failures[0].changes) == [b"x", b"y"]
    assert f"seed {failures[0].seed}" in str(failures[0])


def test_changes_are_made_where_they_are_said(tmp_path: Path) -> None:
    kind = Kind(b"abcdef", lambda data: b"<" + data + b">", lambda *_: None)
    assert made(kind, [Edit(True, 0, 1, b""), Edit(True, 3, 2, b"XYZ"), Edit(False, 0, 0, b"!")]) == b"!<bcXYZf>"


def test_neither_time_nor_memory_is_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loops(*_: object) -> None:
        while True:
            pass

    def grows(*_: object) -> None:
        bytes(8 << 30)

    monkeypatch.setattr("image_fuzz.CPU_SECONDS", 0.05)
    with bounded():
        assert outcome(Kind(b"", bytes, loops), b"", 0, tmp_path) == (False, "TooLong: ")
        assert outcome(Kind(b"", bytes, grows), b"", 0, tmp_path)[1].startswith("MemoryError")
