# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/setup, on machines that lack something: their commands are links in a directory of the test's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Machine:
    """The commands of a Debian without development packages, used by somebody who is not root."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("sh", "dirname", "cat", "find", "env", "tail", "echo"):
            (directory / name).symlink_to(shutil.which(name) or name)
        self.command("id", "echo 1000")
        self.command("apt-get", "echo apt-get was run; exit 9")

    def command(self, name: str, script: str) -> None:
        """A command of this machine, as a shell script."""
        (self.directory / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.directory / name).chmod(0o755)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, stdout and stderr of tools/setup there."""
        done = subprocess.run(
            [ROOT / "tools/setup", *arguments], env={"PATH": str(self.directory), "HOME": str(self.directory)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A fresh machine."""
    return Machine(tmp_path)


@pytest.mark.parametrize("verb", [[], ["bood"]])
def test_an_unknown_verb_is_refused(machine: Machine, verb: list[str]) -> None:
    status, output, error = machine.run(*verb)
    assert (status, output, error.count("\n")) == (2, "", 1)
    assert "give boot, labs or test" in error


@pytest.mark.parametrize("verb", ["boot", "labs", "test"])
def test_without_root_it_prints_the_command_to_run(machine: Machine, verb: str) -> None:
    status, output, error = machine.run(verb)
    assert (status, output, error.count("\n")) == (2, "", 1)
    wanted = "python3 python3-venv python3-dev gcc libc6-dev binutils qemu-system-x86"
    more = {"boot": "", "labs": "", "test": " cpio e2fsprogs qemu-utils gdb chromium mmdebstrap zstd"}[verb]
    assert error.endswith(f"apt-get update && apt-get install -y --no-install-recommends {wanted}{more}\n")


def test_what_is_there_is_not_asked_for(machine: Machine) -> None:
    for name in ("python3", "gcc", "ld"):
        machine.command(name, "exit 0")
    assert machine.run("boot")[2].endswith("--no-install-recommends qemu-system-x86\n")


def test_without_apt_it_names_the_packages(machine: Machine) -> None:
    (machine.directory / "apt-get").unlink()
    status, _, error = machine.run("boot")
    assert (status, error.count("\n")) == (2, 1)
    assert error.endswith("python3 python3-venv python3-dev gcc libc6-dev binutils qemu-system-x86\n")


def test_root_installs_and_a_failure_of_apt_is_one(machine: Machine) -> None:
    machine.command("id", "echo 0")
    status, output, error = machine.run("boot")
    assert (status, output) == (1, "")
    assert "apt-get was run" in error
    assert error.endswith("lguest-py: apt-get failed (see above)\n")


def test_sudo_is_used_where_it_asks_for_no_password(machine: Machine) -> None:
    machine.command("sudo", '[ "$1" = -n ] || echo "sudo $*"')
    status, output, error = machine.run("boot")
    assert (status, output) == (2, "")  # this sudo installs nothing, so Python is still missing
    assert "sudo apt-get update" in error
    assert "sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3" in error
    assert error.splitlines()[-1].startswith("lguest-py: needs Python 3.11 or newer")


def test_the_workflow_runs_what_the_readme_names() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    assert {"run: .ci/run", "run: .ci/run --nightly"} <= {line.strip() for line in workflow.splitlines()}
    assert 'tools/setup" test "$@"' in (ROOT / ".ci/run").read_text()
