# SPDX-License-Identifier: GPL-2.0-or-later
"""Every example runs, and is as short as its name says."""

from __future__ import annotations

import io
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
TESTED = {"kvm_in_30_lines.py", "guest_test_in_ten.py", "break_a_rule.py", "own_guest/boot.py", "own_guest/guest.S"}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run Python on an example, with warnings as errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", *command], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def code_lines(path: Path) -> int:
    """Lines that have code on them: no comment, no docstring, nothing empty."""
    text = path.read_text()
    _, start, rest = text.split('"""', 2)
    assert start.strip()
    nothing = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.INDENT, tokenize.DEDENT)
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(rest).readline) if token.type not in nothing]
    return len({line for token in tokens for line in range(token.start[0], token.end[0] + 1)})


def test_every_example_is_tested_here() -> None:
    found = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*") if path.suffix in (".py", ".S")}
    assert found == TESTED


@pytest.mark.parametrize(("name", "lines"), [("kvm_in_30_lines.py", 30), ("guest_test_in_ten.py", 10)])
def test_examples_are_as_short_as_they_say(name: str, lines: int) -> None:
    assert code_lines(EXAMPLES / name) <= lines


@pytest.mark.parametrize("engine_name", ["kvm"])
def test_kvm_in_30_lines(engine_name: str) -> None:
    done = run("examples/kvm_in_30_lines.py")
    assert (done.stdout, done.stderr, done.returncode) == ("Hello from a VM\n", "", 0)


@pytest.mark.nightly("kvm")
def test_a_guest_test_in_ten_lines(engine_name: str) -> None:
    options = ["-p", "no:cacheprovider", "--rootdir=examples", "-c", "/dev/null", f"--lguest-engine={engine_name}"]
    done = run("-m", "pytest", *options, "examples/guest_test_in_ten.py")
    assert "1 passed" in done.stdout
    assert done.returncode == 0


def test_a_guest_of_your_own(engine_name: str) -> None:
    done = run("examples/own_guest/boot.py")
    assert done.stdout.startswith("hello from ring 1\n"), done.stderr
    assert "the Guest powered off" in done.stdout
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("arguments", "reason"), [([], "GDT entry 20 is a system descriptor"), (["bad-hypercall"], "hypercall")]
)
def test_breaking_a_rule(engine_name: str, arguments: list[str], reason: str) -> None:
    done = run("examples/break_a_rule.py", *arguments)
    assert done.stdout.startswith("the Guest was killed: "), done.stderr
    assert reason in done.stdout.splitlines()[0]
    assert "Guest registers, in ring 1, after hypercall" in done.stdout
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_rule_that_does_not_exist_is_no_success(engine_name: str) -> None:
    assert run("examples/break_a_rule.py", "no-such-offence").returncode == 1
