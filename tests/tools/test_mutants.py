# SPDX-License-Identifier: GPL-2.0-or-later
"""The lists of tools/mutants hold, and tools/mutate.py tells a mutant that dies from one that survives.

Each pattern must stand once in its file, and each test must be there, so that whoever changes a protection changes its
line too.  Nightly each protection is removed.  Read before: tools/mutate.py.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import mutate
import pytest
from mutate import Mutant, MutantError

ROOT = mutate.ROOT
LEAST = 60
SOURCE = "limit = 4\nassert limit\n"
TEST = "import protected\ndef test_limit():\n    assert protected.limit == 4\n"
OPTIONS = (
    "def pytest_addoption(parser):\n    parser.addoption('--engines')\n"
    "    parser.addoption('--nightly', action='store_true')\n    parser.addoption('--as-built', action='store_true')\n"
)


def test_each_pattern_stands_once() -> None:
    found = mutate.mutants()
    assert len(found) >= LEAST
    for mutant in found:
        text = (ROOT / mutant.file).read_text()
        assert mutant.applied(text) != text, mutant.name


def test_each_test_is_there() -> None:
    functions: dict[str, set[str]] = {}
    for mutant in mutate.mutants():
        for each in mutant.test.split():
            file, _, name = each.partition("::")
            if file not in functions:
                tree = ast.parse((ROOT / file).read_text())
                functions[file] = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert not name or name in functions[file], f"{mutant.name}: there is no {each}"


@pytest.mark.nightly
def test_each_keyword_chooses_a_test() -> None:
    for test, keyword in {(mutant.test, mutant.keyword) for mutant in mutate.mutants() if mutant.keyword}:
        command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "--engines=tcg", "--nightly", "--as-built"]
        done = subprocess.run([*command, "-k", keyword, *test.split()], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, f"{test} -k {keyword!r}: {done.stdout}"


@pytest.mark.nightly
@pytest.mark.timeout(6 * 3600)
def test_no_mutant_survives(capfd: pytest.CaptureFixture[str]) -> None:
    status = mutate.main([])
    assert not status, capfd.readouterr().out


# --- the tool itself ------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with one protection, and a test of it."""
    for name, text in (("protected.py", SOURCE), ("test_it.py", TEST), ("conftest.py", OPTIONS)):
        (tmp_path / name).write_text(text)
    return tmp_path


def mutant(pattern: str, replacement: str) -> Mutant:
    return Mutant("limit", "protected.py", pattern, replacement, "test_it.py::test_limit")


@pytest.mark.parametrize(
    ("replacement", "outcome"),
    [("limit = 5", mutate.KILLED), ("limit = 2 + 2", mutate.SURVIVED), ("limit = ", mutate.UNTRIED)],
)
def test_what_becomes_of_a_mutant(tree: Path, replacement: str, outcome: str) -> None:
    """One that is not even a program is no proof of anything."""
    assert mutate.tried(tree, mutant("limit = 4", replacement), "tcg") == outcome
    assert (tree / "protected.py").read_text() == SOURCE


@pytest.mark.parametrize("pattern", ["limit", "no such line"])
def test_a_pattern_that_does_not_stand_there_once(tree: Path, pattern: str) -> None:
    assert mutate.tried(tree, mutant(pattern, ""), "tcg") == mutate.UNTRIED


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[mutant]]\nname = "a"\n', "missing"),
        ('[[mutant]]\nname = "a"\nfile = "f"\npattern = "p"\nreplacement = ""\ntest = "t"\nreason = "r"\n', "reason"),
        (2 * '[[mutant]]\nname = "a"\nfile = "f"\npattern = "p"\nreplacement = ""\ntest = "t"\n', "twice"),
    ],
)
def test_a_line_that_is_wrong(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "list.toml").write_text(text)
    with pytest.raises(MutantError, match=problem):
        mutate.mutants(tmp_path)


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [([mutate.KILLED] * 2, 0), ([mutate.KILLED, mutate.SURVIVED], 1), ([mutate.SURVIVED, mutate.UNTRIED], 2)],
)
def test_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], outcomes: list[str], status: int
) -> None:
    waiting = list(outcomes)
    tried: Callable[..., str] = lambda *_: waiting.pop(0)  # noqa: E731
    monkeypatch.setattr(mutate, "copy_of_the_tree", lambda: nullcontext(Path()))
    monkeypatch.setattr(mutate, "tried", tried)
    names = [each.name for each in mutate.mutants()[:2]]
    assert mutate.main(names) == status
    assert capsys.readouterr().out.startswith("2 mutants: ")
    assert mutate.main(["no such one"]) == 2
