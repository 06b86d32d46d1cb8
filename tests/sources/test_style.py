# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of the sources: ruff, mypy --strict, licence lines, small files."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUFFIXES = {".py", ".pyi", ".c", ".h", ".S", ".ld", ".sh"}
NOT_OURS = {"build", "__pycache__", "_images", "_layouts.py", "_kvm.c"}  # and whatever starts with a dot, but for .ci


def sources() -> list[Path]:
    """Every source file, scripts without a suffix among them."""
    found = []
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if any(part in NOT_OURS or (part.startswith(".") and part != ".ci") for part in parts) or not path.is_file():
            continue
        if path.suffix in SUFFIXES or path.name == "Dockerfile" or path.read_bytes()[:2] == b"#!":
            found.append(path)
    return found


SOURCES = sources()


def lines(path: Path) -> list[str]:
    """The lines of a file."""
    return path.read_text().splitlines()


def test_there_are_sources_of_every_kind() -> None:
    assert {".py", ".c", ".h", ".S", ".ld", ""} <= {path.suffix for path in SOURCES}


def test_every_source_says_its_licence_first() -> None:
    silent = []
    for path in SOURCES:
        text = lines(path)
        first = text[1 if text[0].startswith("#!") else 0] if len(text) > 1 else ""
        if "SPDX-License-Identifier: GPL-2.0-or-later" not in first:
            silent.append(str(path.relative_to(ROOT)))
    assert not silent


def test_no_file_is_long_and_most_are_short() -> None:
    sizes = {str(path.relative_to(ROOT)): len(lines(path)) for path in SOURCES}
    assert not {name: size for name, size in sizes.items() if size > 500}
    assert statistics.median(sizes.values()) < 150


@pytest.mark.parametrize("command", [["ruff", "check", "--quiet", "."], ["mypy"]], ids=["ruff", "mypy"])
def test_checkers_find_nothing(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
