# SPDX-License-Identifier: GPL-2.0-or-later
"""The wheel: what ``pip install .`` puts on a machine, which later has neither these sources nor a compiler."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOT_SOURCES = shutil.ignore_patterns(".*", "build", "_images", "_layouts.py", "__pycache__", "*.egg-info", "*.so")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made in a clean copy of the sources, with what this environment has."""
    tree = tmp_path_factory.mktemp("wheel") / "tree"
    shutil.copytree(ROOT, tree, ignore=NOT_SOURCES)
    options = ["--no-deps", "--no-index", "--no-build-isolation", "-w", "out"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "."]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (tree / "out").iterdir()
    return found


def test_it_holds_all_that_is_needed_to_run(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tree = wheel.parent.parent
    sources = {str(path.relative_to(tree)) for path in (tree / "lguest_py").rglob("*.py")}
    assert sources <= names
    images = {"host_kernel.elf", "host_kernel.bin", "reset.bin", "guest.elf", "guest.bzImage", "selftest.bin"}
    assert {f"lguest_py/_images/{name}" for name in images} <= names
    assert {"lguest_py/py.typed", "lguest_py/kvm/_kvm.abi3.so"} <= names


def test_one_wheel_serves_every_python(wheel: Path) -> None:
    assert "-cp311-abi3-linux_" in wheel.name


def test_it_runs_where_the_sources_are_not(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = (
        "import lguest_py, lguest_py.kvm._kvm; print(lguest_py.__file__);"
        "from lguest_py.cli import main; main(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith(f"{tmp_path}/lguest_py/__init__.py\n"), done.stderr
    assert "boot" in done.stdout
