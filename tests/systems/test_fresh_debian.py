# SPDX-License-Identifier: GPL-2.0-or-later
"""The README's two commands on a Debian that has nothing: no git, no pip, no Python, no compiler.

Each system is a directory of its own (tests/lab/debian_lab.py).
"""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

import debian_lab
import pytest
from debian_lab import Debian

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.timeout(3 * 3600),
    pytest.mark.skipif(bool(debian_lab.missing()), reason=debian_lab.missing()),
]
APT = re.compile(r"apt-get update && apt-get install -y --no-install-recommends ([a-z0-9 -]+)$")
PROMPT = "lguest-py tiny Guest, ring 1\nits programs, ring 3\nlguest> "


@pytest.fixture(params=list(debian_lab.RELEASES))
def debian(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Debian, None, None]:
    """A fresh system of each release."""
    root = tmp_path / "debian"
    root.mkdir()
    system = Debian(request.param, root)
    yield system
    system.close()


def passed(output: str) -> int:
    """How many tests passed, of a run of pytest without a failure."""
    last = output.splitlines()[-1]
    assert "failed" not in last
    assert "error" not in last
    found = re.search(r"(\d+) passed", last)
    assert found, last
    return int(found[1])


def test_one_command_boots_the_tiny_guest(debian: Debian) -> None:
    for program in ("git", "pip", "pip3", "python3", "gcc", "ld", "sudo", "qemu-system-i386"):
        assert debian.run("sh", "-c", f"command -v {program}").stdout == ""
    first = debian.run("tools/setup", "boot")
    assert (first.returncode, first.stdout) == (0, PROMPT + "\n"), first.stderr
    assert "apt-get install" in first.stderr
    again = debian.run("tools/setup", "boot", "--engine", "tcg", "--quiet")
    assert (again.returncode, again.stdout, again.stderr) == (0, PROMPT + "\n", "")
    for module in ("cffi", "elftools", "lguest_py"):  # the system's Python is left alone
        assert debian.run("python3", "-I", "-c", f"import {module}").returncode == 1
    assert debian.run("sh", "-c", "ls -A /usr/local/lib/python3*/dist-packages").stdout == ""
    manual = debian.run("find", ".venv", "-name", "lguest-py.1").stdout
    assert manual == ".venv/share/man/man1/lguest-py.1\n"


def test_without_root_one_line_is_all_it_takes(debian: Debian) -> None:
    refused = debian.run("tools/setup", "boot", user="ada")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    line = APT.search(refused.stderr.strip())
    assert line, refused.stderr
    assert not (debian.root / debian.source[1:] / ".venv").exists()
    assert debian.run("sh", "-c", line[0]).returncode == 0
    boot = debian.run("tools/setup", "boot", user="ada")
    assert (boot.returncode, boot.stdout) == (0, PROMPT + "\n"), boot.stderr
    assert "apt-get" not in boot.stderr


def test_with_sudo_it_installs_by_itself(debian: Debian) -> None:
    debian.run("sh", "-c", "apt-get update && apt-get install -y --no-install-recommends sudo", check=True)
    (debian.root / "etc/sudoers.d/ada").write_text("ada ALL=(ALL) NOPASSWD: ALL\n")
    boot = debian.run("tools/setup", "boot", user="ada")
    assert (boot.returncode, boot.stdout) == (0, PROMPT + "\n"), boot.stderr


def test_one_command_passes_the_tests(debian: Debian) -> None:
    done = debian.run("tools/setup", "test", "-q")
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
    assert passed(done.stdout) > 900
    assert re.search(r"^engine kvm: [1-9]\d* passed, 0 failed$", done.stdout, re.M)
    assert re.search(r"^engine tcg: [1-9]\d* passed, 0 failed$", done.stdout, re.M)


def test_beside_a_compiler_for_32_bit_programs(debian: Debian) -> None:
    install = "apt-get update && apt-get install -y --no-install-recommends gcc-multilib"
    debian.run("sh", "-c", install, check=True)
    some = [f"tests/{name}.py" for name in ("test_build", "test_build_wheel", "test_guest", "test_boot")]
    done = debian.run("tools/setup", "test", "-q", "--engines=tcg", *some)
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
    assert passed(done.stdout) > 50
