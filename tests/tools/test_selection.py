# SPDX-License-Identifier: GPL-2.0-or-later
"""Which tests run where (tests/conftest.py, tests/lab/engines), in a tree whose carrier is a shell script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CARRIER = '#!/bin/sh\nRUN_IN_KVM=1 exec "$@"\n'
BROKEN = "#!/bin/sh\necho no such machine\nexit 125\n"
TESTS = """
import os, pytest
def test_everywhere(engine_name):
    assert (engine_name == "kvm") == bool(os.environ.get("RUN_IN_KVM"))
def test_once(): pass
@pytest.mark.nightly
def test_long(): pass
def test_linux(linux):
    assert linux.bzimage.is_file()
"""


class Tree:
    """A tree of its own with our conftest.py."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "tests/lab/engines").mkdir(parents=True)
        (root / "tools").mkdir()
        (root / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
        (root / "tests/conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
        # Here KVM never serves, so that the tests below say the same on every machine.
        for name in ("linux_lab.py", "engines/second_try.py"):
            (root / "tests/lab" / name).write_text((ROOT / "tests/lab" / name).read_text())
        text = (ROOT / "tests/lab/engines/kvm_carrier.py").read_text()
        (root / "tests/lab/engines/kvm_carrier.py").write_text(text + "\n\nkvm_serves = inside\nMARGIN = 1.0\n")
        self.carrier(CARRIER)
        self.tests(TESTS)

    def carrier(self, script: str) -> None:
        """What stands for tools/run-in-kvm."""
        (self.root / "tools/run-in-kvm").write_text(script)
        (self.root / "tools/run-in-kvm").chmod(0o755)

    def tests(self, text: str) -> None:
        """The tests to run."""
        (self.root / "tests/test_it.py").write_text(text)

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Exit status and output of pytest there."""
        kept = {name: value for name, value in os.environ.items() if name not in ("CI", "LGUEST_LINUX", "RUN_IN_KVM")}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            cwd=self.root, env={**kept, "PYTHONPATH": str(ROOT / "tools"), **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A fresh tree."""
    return Tree(tmp_path)


def test_both_engines_in_one_count(tree: Tree) -> None:
    status, output = tree.run("--engines=tcg,kvm")
    assert status == 0, output
    assert "engine tcg: 1 passed, 0 failed" in output
    assert "engine kvm: 1 passed, 0 failed" in output
    assert "3 passed, 2 deselected" in output.splitlines()[-1]


def test_without_usable_kvm_its_tests_are_left_out_and_named(tree: Tree) -> None:
    status, output = tree.run()
    assert status == 0, output
    assert "NOT RUN: engine kvm" in output
    assert "2 passed, 3 deselected" in output.splitlines()[-1]


def test_a_failure_in_the_carrier_fails_the_run_and_is_shown(tree: Tree) -> None:
    tree.tests("def test_it(engine_name):\n    side = 6\n    assert engine_name == 'tcg' or side == 7\n")
    status, output = tree.run("--engines=tcg,kvm")
    assert status == 1
    assert "assert (False or 6 == 7)" in output or "assert ('kvm' == 'tcg'" in output
    assert "engine kvm: 0 passed, 1 failed" in output


def test_a_test_that_ends_the_carrier_fails_the_run(tree: Tree) -> None:
    tree.tests("import os\ndef test_it(engine_name):\n    if engine_name == 'kvm': os._exit(3)\n")
    status, output = tree.run("--engines=kvm")
    assert status == 1
    assert "the carrier ended with status 3 before this test did" in output


UNSTEADY = """
import pathlib, time
def fails(name, times):
    file = pathlib.Path("{folder}", name)
    before = len(file.read_text()) if file.exists() else 0
    file.write_text("x" * (before + 1))
    time.sleep(before / 2)  # so that the end of a first try is read before there is a second one
    assert before >= times, f"{{name}}: the odd time"
def test_engine(engine_name): fails("engine" + engine_name, {times})
def test_without(): fails("without", {without})
"""
ENGINE_BOTH = "--engines=tcg,kvm"


def test_under_ci_an_engine_has_a_second_try_and_its_failure_is_shown(tree: Tree, tmp_path: Path) -> None:
    tree.tests(UNSTEADY.format(folder=tmp_path, times=1, without=0))
    status, output = tree.run(ENGINE_BOTH, CI="true")
    assert status == 0, output
    assert "3 passed, 2 rerun" in output.splitlines()[-1]
    for engine in ("tcg", "kvm"):
        assert f"TRIED TWICE: tests/test_it.py::test_engine[{engine}]" in output
        assert f"AssertionError: engine{engine}: the odd time" in output


@pytest.mark.parametrize(
    ("times", "without", "options", "environment"),
    [(2, 0, [], {"CI": "true"}), (0, 1, [], {"CI": "true"}), (1, 0, [], {}), (1, 0, ["--nightly"], {"CI": "true"})],
)
def test_it_fails_all_the_same(
    tree: Tree, tmp_path: Path, times: int, without: int, options: list[str], environment: dict[str, str]
) -> None:
    tree.tests(UNSTEADY.format(folder=tmp_path, times=times, without=without))
    status, output = tree.run(ENGINE_BOTH, *options, **environment)
    assert status == 1, output


def test_second_tries_have_a_budget(tree: Tree, tmp_path: Path) -> None:
    each = "def test_{}(engine_name): fails('{}' + engine_name, 1)\n"
    names = "abc"
    tree.tests(
        UNSTEADY.format(folder=tmp_path, times=0, without=0) + "".join(each.format(name, name) for name in names)
    )
    status, output = tree.run("--engines=tcg", CI="true")
    assert status == 1, output
    assert "1 failed, 4 passed" in output.splitlines()[-1]


HANGS = """
import pathlib, pytest, signal, time
@pytest.mark.timeout(8)
def test_it(engine_name):
    marker = pathlib.Path("{marker}")
    if marker.exists():
        marker.unlink()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(400)
@pytest.mark.timeout(8)
def test_after_it(engine_name):
    if {always}:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(400)
def test_last(engine_name): pass
"""


@pytest.mark.parametrize("always", [False, True])
def test_a_carrier_that_hangs_is_replaced_once(tree: Tree, tmp_path: Path, always: bool) -> None:
    marker = tmp_path / "hang"
    marker.touch()
    tree.tests(HANGS.format(marker=marker, always=always))
    status, output = tree.run("--engines=kvm")
    assert status == always, output
    assert "test_it[kvm] is run again: the carrier hangs: no report for" in output
    assert "a carrier hung, and another took its place: " in output
    assert ("2 passed, 3 deselected, 1 error" if always else "3 passed, 3 deselected") in output.splitlines()[-1]


def test_a_carrier_that_does_not_start_fails_the_run(tree: Tree) -> None:
    tree.carrier(BROKEN)
    status, output = tree.run("--engines=kvm")
    assert status == 1
    assert "no such machine" in output


def test_a_skip_in_the_carrier_is_a_skip(tree: Tree) -> None:
    tree.tests("import pytest\ndef test_it(engine_name):\n    if engine_name == 'kvm': pytest.skip('why not')\n")
    status, output = tree.run("--engines=tcg,kvm", "-rs")
    assert status == 0, output
    assert "why not" in output
    assert "1 passed, 1 skipped" in output.splitlines()[-1]


def test_nothing_to_run_is_a_failure(tree: Tree) -> None:
    tree.tests("def test_it(linux): pass\n")
    assert tree.run()[0] == pytest.ExitCode.NO_TESTS_COLLECTED


def test_nightly_runs_what_is_long(tree: Tree) -> None:
    assert "3 passed, 2 deselected" in tree.run("--nightly")[1].splitlines()[-1]


def test_a_test_may_be_long_with_one_engine_only(tree: Tree) -> None:
    tree.tests('import pytest\n@pytest.mark.nightly("kvm")\ndef test_it(engine_name): pass\n')
    status, output = tree.run("--engines=tcg,kvm")
    assert (status, output.splitlines()[-1].partition(" in ")[0].strip("= ")) == (0, "1 passed, 1 deselected"), output
    status, output = tree.run("--engines=tcg,kvm", "--nightly")
    assert (status, "2 passed" in output.splitlines()[-1]) == (0, True), output


def test_a_real_linux_is_named_or_found(tree: Tree, tmp_path: Path) -> None:
    assert "NOT RUN: real Linux" in tree.run()[1]
    linux = tmp_path / "linux"
    linux.mkdir()
    status, output = tree.run(LGUEST_LINUX=str(linux))
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "no bzImage, vmlinux, initrd there" in output
    for name in ("bzImage", "vmlinux", "initrd"):
        (linux / name).touch()
    status, output = tree.run(LGUEST_LINUX=str(linux))
    assert status == 0, output
    assert "NOT RUN: real Linux" not in output
    assert "3 passed, 2 deselected" in output.splitlines()[-1]


def test_several_real_linuxes_are_each_tested(tree: Tree, tmp_path: Path) -> None:
    for version in ("2.6.35", "4.2"):
        (tmp_path / "several" / version).mkdir(parents=True)
        for name in ("bzImage", "vmlinux", "initrd"):
            (tmp_path / "several" / version / name).touch()
    status, output = tree.run(LGUEST_LINUX=str(tmp_path / "several"))
    assert status == 0, output
    assert "4 passed, 2 deselected" in output.splitlines()[-1]
    (tmp_path / "several" / "4.2" / "initrd").unlink()
    status, output = tree.run(LGUEST_LINUX=str(tmp_path / "several"))
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "no initrd in 4.2" in output


def test_an_unknown_engine_is_refused(tree: Tree) -> None:
    status, output = tree.run("--engines=xen")
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "--engines=xen: give tcg, kvm or tcg,kvm" in output
    assert "Traceback" not in output
