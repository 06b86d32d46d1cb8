# SPDX-License-Identifier: GPL-2.0-or-later
"""The labs: each fails as it starts and says what is missing, its solution passes, and wrong answers do not.

All of it runs in copies of the tree.  The solutions change different lines: they are applied together, and built once.
Read before: labs/README.md, labs/exercise.py.  Read next: tests/lab/exercises/wrong_answers.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import exercise
import pytest
from pages_lab import blocks
from wrong_answers import FIRST, MORE, Wrong

ROOT = exercise.ROOT
LABS = sorted(path.parent.name for path in exercise.LABS.glob("*/solution.patch"))
COPIED = ["build", "guest_kernel", "host_kernel", "labs", "lguest_py", "switcher", "tests/lab", "tools"]
SECTIONS = ["Background", "What to change", "Run the test", "See it", "Hints", "Questions", "Going further"]
COMPILES_ALL = "02-hypercall"  # its solution changes a header that every file includes
LONG = 3000  # seconds in the carrier, where a compiler takes some twenty times as long
MISSING = {  # what the test of each lab says as it starts
    "01-null-switch": "the Host kernel saw no null hypercall",
    "02-hypercall": "there is no line '#define LHCALL_SWITCHES 20'",
    "03-demand-paging": "page_fault() in labs/03-demand-paging/demand.c must map a frame there",
    "04-interrupt": "no gate to inject it through: set_clock_gate() in labs/04-interrupt/guest.c",
    "05-device": "there is no class Upper in lguest_py/hardware/kinds.py",
    "06-break-out": "the Host kernel had nothing against this Guest",
}

COMMANDS = [
    block
    for block in blocks()
    if block.page.startswith("labs/") and block.language == "sh" and not block.reason
    if not block.code.startswith("pytest ")  # which is what the tests below do
]
SLOW = "labs/06-break-out/README.md"  # builds two Host kernels
PAGES = [
    pytest.param(page, marks=pytest.mark.nightly if page == SLOW else ())
    for page in sorted({each.page for each in COMMANDS})
]

pytestmark = [
    pytest.mark.skipif(not shutil.which("git"), reason="git is not installed"),
    pytest.mark.timeout(LONG),
]


# A compiler takes minutes in the carrier, and what these look for does not depend on the engine.
ONE_ENGINE = pytest.mark.parametrize("engine_name", ["tcg"], scope="session")


def copy_of_the_tree(tree: Path) -> Path:
    """What the labs need, with what is built."""
    for name in COPIED:
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", tree)
    return tree


def environment(tree: Path, **more: str) -> dict[str, str]:
    """As in an environment that is active, where this tree is installed."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", **more}


def run_labs(tree: Path, engine: str, *labs: str, cwd: Path | None = None) -> dict[str, list[str]]:
    """Run the tests of these labs, or of all: by lab, what each test said in its order; "": it passed."""
    report = tree.parent / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", f"--timeout={LONG}", f"--lguest-engine={engine}", f"--junitxml={report}"]
    folders = [tree / "labs" / lab for lab in labs or LABS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *folders],
        cwd=cwd or tree, env=environment(tree), stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert "Traceback" not in done.stdout
    said: dict[str, list[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        assert case.find("error") is None, done.stdout
        assert case.find("skipped") is None, done.stdout
        failure = case.find("failure")
        words = "" if failure is None else failure.get("message", "") + "\n" + (failure.text or "")
        lab = re.search(r"(\d\d-[a-z-]+)", case.get("classname", ""))
        assert lab, case.attrib
        said.setdefault(lab[1], []).append(words)
    return said


def labs_on(engine: str) -> list[str]:
    """The labs whose solutions are tried on an engine: not the one for which all is compiled anew, in the carrier."""
    return [lab for lab in LABS if engine == "tcg" or lab != COMPILES_ALL]


def solve(tree: Path, labs: list[str]) -> Path:
    """Apply the solutions of these labs."""
    for lab in labs:
        why = exercise.apply_patch(tree, tree / "labs" / lab / "solution.patch")
        assert not why, f"{lab}: {why}"
    return tree


@pytest.fixture(scope="module")
def solved(engine_name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with the labs solved."""
    return solve(copy_of_the_tree(tmp_path_factory.mktemp("labs") / "tree"), labs_on(engine_name))


@pytest.fixture
def tried(solved: Path, tmp_path: Path) -> Callable[..., dict[str, list[str]]]:
    """Run the labs' tests with wrong answers in the solved tree, which is as before at the end."""

    def run(engine: str, *answers: Wrong) -> dict[str, list[str]]:
        files = {file for answer in answers for file, _, _ in answer.changes}
        before = {file: (solved / file).read_text() for file in files}
        try:
            for answer in answers:
                answer.apply(solved)
            return run_labs(solved, engine, *(answer.lab for answer in answers))
        finally:
            for file, text in before.items():
                (solved / file).write_text(text)

    return run


def test_each_lab_has_what_it_needs() -> None:
    assert list(MISSING) == LABS
    assert [answer.lab for answer in FIRST] == LABS
    for lab in LABS:
        page = (exercise.LABS / lab / "README.md").read_text()
        assert re.findall(r"^## (.+)$", page, re.M) == SECTIONS, lab
        assert "**Goal:**" in page
        assert page.count("<details>") == page.count("</details>") >= 2
        assert f"```sh\npytest labs/{lab}\n```" in page
        assert f"]({lab}/README.md)" in (exercise.LABS / "README.md").read_text()


def test_each_solution_applies_alone(tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")
    for lab in LABS:
        patch = tree / "labs" / lab / "solution.patch"
        assert not exercise.apply_patch(tree, patch, "--check"), lab
        assert f"labs/{lab}/solution.patch" not in patch.read_text()


def test_the_projects_own_tests_leave_the_labs_out() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert options["testpaths"] == ["tests"]


@pytest.mark.nightly("kvm")
def test_each_lab_fails_as_it_starts_and_says_what_is_missing(engine_name: str, tmp_path: Path) -> None:
    said = run_labs(copy_of_the_tree(tmp_path / "tree"), engine_name, cwd=tmp_path)
    assert sorted(said) == LABS
    for lab, tests in said.items():
        assert len(tests) >= 2
        assert all("not yet: " in words for words in tests), (lab, tests)
        assert MISSING[lab] in tests[0]


@pytest.mark.nightly("kvm")
def test_each_solution_passes(engine_name: str, solved: Path) -> None:
    said = run_labs(solved, engine_name, *labs_on(engine_name))
    assert sorted(said) == labs_on(engine_name)
    assert not [words for tests in said.values() for words in tests if words]


@ONE_ENGINE
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page(engine_name: str, solved: Path, page: str) -> None:
    """Those that are not marked otherwise, in a solved tree."""
    for block in COMMANDS:
        if block.page == page:
            done = subprocess.run(
                ["sh", "-eu", "-c", block.code], cwd=solved, env=environment(solved),
                stdin=subprocess.DEVNULL, capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, (block, done.stdout, done.stderr)
            assert "Traceback" not in done.stderr


@ONE_ENGINE
@pytest.mark.nightly
@pytest.mark.parametrize("lab", LABS)
def test_each_solution_passes_alone(engine_name: str, tmp_path: Path, lab: str) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")
    assert not exercise.apply_patch(tree, tree / "labs" / lab / "solution.patch")
    assert not [words for words in run_labs(tree, engine_name, lab)[lab] if words]


@pytest.mark.nightly("kvm")
def test_a_plausible_wrong_answer_to_each_fails(
    engine_name: str, tried: Callable[..., dict[str, list[str]]]
) -> None:
    answers = [answer for answer in FIRST if answer.lab in labs_on(engine_name)]
    said = tried(engine_name, *answers)
    for answer in answers:
        assert answer.said in "\n".join(said[answer.lab]), answer


@ONE_ENGINE
@pytest.mark.nightly
@pytest.mark.parametrize("name", MORE)
def test_more_wrong_answers_fail(engine_name: str, tried: Callable[..., dict[str, list[str]]], name: str) -> None:
    answer = MORE[name]
    assert answer.said in "\n".join(tried(engine_name, answer)[answer.lab])
