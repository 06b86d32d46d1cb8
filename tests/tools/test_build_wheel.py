# SPDX-License-Identifier: GPL-2.0-or-later
"""The wheel and the source distribution: what they hold, and that they run without sources and without a compiler."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_SOURCES = shutil.ignore_patterns(
    *(".git", ".venv", ".*_cache", ".hypothesis", "build", "_images", "_layouts.py", "__pycache__"),
    *("*.egg-info", "*.so", "_kvm.c"),
)
IMAGES = {
    *("host_kernel.elf", "host_kernel.bin", "reset.bin", "guest.elf", "guest.bzImage", "selftest.bin"),
    *("host_bench.bin", "native_bench.elf", "linux_bench.elf"),
}
NEEDED = ("cffi", "_cffi_backend", "pycparser", "elftools")  # at run time, besides Python
PROMPT = "lguest-py tiny Guest, ring 1\nits programs, ring 3\nlguest> "


def wheel_of(tree: Path, **variables: str) -> Path:
    """Make the wheel of a source tree, with what this environment has."""
    options = ["--no-deps", "--no-index", "--no-build-isolation", "-w", "out"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "."]
    done = subprocess.run(command, cwd=tree, env={**os.environ, **variables}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (tree / "out").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy of the sources."""
    tree = tmp_path_factory.mktemp("wheel") / "tree"
    shutil.copytree(ROOT, tree, ignore=NOT_SOURCES)
    return tree


@pytest.fixture(scope="module")
def wheel(tree: Path) -> Path:
    """The wheel, made from them."""
    return wheel_of(tree)


@pytest.fixture(scope="module")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    program = "import setuptools.build_meta as meta; print(meta.build_sdist('out'))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    unpacked = tmp_path_factory.mktemp("sdist")
    archive = tree / "out" / done.stdout.splitlines()[-1]
    subprocess.run(["tar", "-C", str(unpacked), "-xf", str(archive)], check=True)
    (found,) = unpacked.iterdir()
    return found


class Installed:
    """The wheel in a fresh environment, whose programs find QEMU and no other program."""

    def __init__(self, wheel: Path, where: Path) -> None:
        self.environment = where / "environment"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.environment)], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(self.environment / "bin" / "python"), "install", "-q"]
        subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
        self.needed, self.path = where / "needed", where / "path"
        self.needed.mkdir()
        self.path.mkdir()
        for name in NEEDED:
            spec = importlib.util.find_spec(name)
            assert spec
            assert spec.origin
            origin = Path(spec.origin)
            source = origin.parent if spec.submodule_search_locations else origin
            (self.needed / source.name).symlink_to(source)
        qemu = shutil.which("qemu-system-i386")
        if qemu:
            (self.path / "qemu-system-i386").symlink_to(qemu)

    @property
    def package(self) -> Path:
        """lguest_py there."""
        (found,) = self.environment.glob("lib/python*/site-packages/lguest_py")
        return found

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``lguest-py`` there."""
        return subprocess.run(
            [self.environment / "bin" / "lguest-py", *arguments], cwd=self.path, stdin=subprocess.DEVNULL,
            env={"PATH": str(self.path), "PYTHONPATH": str(self.needed), "HOME": str(self.path)},
            capture_output=True, text=True,
        )  # fmt: skip


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Installed:
    """It, installed."""
    return Installed(wheel, tmp_path)


def test_it_holds_all_that_is_needed_to_run(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tree = wheel.parent.parent
    sources = {str(path.relative_to(tree)) for path in (tree / "lguest_py").rglob("*.py")}
    assert sources <= names
    assert {f"lguest_py/_images/{name}" for name in IMAGES} <= names
    assert {"lguest_py/py.typed", "lguest_py/kvm/_kvm.abi3.so"} <= names
    assert not [name for name in names if name.startswith(("tests/", "tools/"))]


def test_one_wheel_serves_every_python(wheel: Path) -> None:
    assert "-cp311-abi3-linux_" in wheel.name


@pytest.mark.parametrize("engine_name", ["tcg", pytest.param("kvm", marks=pytest.mark.nightly)])
def test_it_boots_in_a_fresh_environment_without_a_compiler(installed: Installed, engine_name: str) -> None:
    done = installed.run("boot", "--engine", engine_name)
    assert (done.returncode, done.stdout) == (0, PROMPT + "\n"), done.stderr
    manual = installed.environment / "share/man/man1/lguest-py.1"
    assert "lguest\\-py completion" in manual.read_text()


def test_without_the_kvm_extension_it_runs_on_tcg(installed: Installed) -> None:
    (extension,) = installed.package.glob("kvm/_kvm*.so")
    extension.unlink()
    done = installed.run("boot", "--engine", "tcg")
    assert (done.returncode, done.stdout, done.stderr.count("Traceback")) == (0, PROMPT + "\n", 0)
    done = installed.run("boot")
    assert (done.returncode, done.stdout) == (0, PROMPT + "\n")
    assert "engine tcg: QEMU" in done.stderr
    assert "KVM extension of lguest-py was not built" in done.stderr
    done = installed.run("boot", "--engine", "kvm")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (5, "", 1)
    assert "--engine tcg runs without KVM" in done.stderr
    done = installed.run("doctor")
    assert done.returncode == 0
    assert "python3-dev" in done.stdout


def test_the_source_distribution_has_every_source(tree: Path, sdist: Path) -> None:
    def files(where: Path) -> set[str]:
        found = {str(path.relative_to(where)) for path in where.rglob("*") if path.is_file()}
        return {name for name in found if not name.startswith(("build/", "out/", "lguest_py.egg-info/"))}

    made = {"PKG-INFO", "setup.cfg"}
    not_taken = {name for name in files(tree) - files(sdist) if "__pycache__" not in name}
    assert not_taken <= {".gitignore", "lguest_py/kvm/_kvm.c", "lguest_py/kvm/_kvm.abi3.so"}
    assert files(sdist) - files(tree) <= made
    assert os.access(sdist / "tools" / "setup", os.X_OK)


def test_the_source_distribution_makes_a_wheel(sdist: Path, tmp_path: Path) -> None:
    shutil.copytree(sdist, tmp_path / "sdist", ignore=shutil.ignore_patterns("_images"))
    wheel = wheel_of(tmp_path / "sdist")
    assert "-cp311-abi3-linux_" in wheel.name
    assert {f"lguest_py/_images/{name}" for name in IMAGES} <= set(zipfile.ZipFile(wheel).namelist())


def test_without_a_compiler_it_makes_one_without_the_extension(sdist: Path, tmp_path: Path) -> None:
    shutil.copytree(sdist, tmp_path / "sdist")
    (tmp_path / "empty").mkdir()
    wheel = wheel_of(tmp_path / "sdist", PATH=str(tmp_path / "empty"))
    assert "-py3-none-any.whl" in wheel.name
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"lguest_py/_images/{name}" for name in IMAGES} <= names
    assert not [name for name in names if name.endswith(".so")]
    done = Installed(wheel, tmp_path).run("boot", "--engine", "tcg")
    assert (done.returncode, done.stdout) == (0, PROMPT + "\n"), done.stderr
