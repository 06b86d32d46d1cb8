# SPDX-License-Identifier: GPL-2.0-or-later
"""A Launcher whose Guest runs is taken over, by a test's own code in its console device: it cannot leave its walls.

Read next: tests/lab/sandbox/wall_climber.py, what it tries.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from sandbox_lab import IN_SHARES, ROOT, STILL, needs_landlock, needs_seccomp, succeeded

from lguest_py.launcher.vm_memory import built
from lguest_py.sandbox import landlock

# What the Guest's console driver does first makes the attempts; their results go to descriptor 8.
TAKEN_OVER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import wall_climber
from lguest_py.cli import main
from lguest_py.devices.console import Console
folder, start, tried = sys.argv[2], Console.start, []
def first(self, *arguments):
    if not tried:
        tried.append(True)
        os.write(8, json.dumps(wall_climber.results(folder)).encode())
    start(self, *arguments)
Console.start = first
del sys.argv[1:3]
sys.exit(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("shared/below", "readonly"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("secret", "shared/file", "shared/other", "readonly/file"):
        (tmp_path / name).write_text("text")
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    (tmp_path / "shared/link").symlink_to(tmp_path / "secret")
    return tmp_path


def taken_over(folder: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], dict[str, int]]:
    """Boot so; its end, and the results."""
    read, write = os.pipe()
    disk = os.open(folder / "disk", os.O_RDWR)
    command = [
        sys.executable,
        "-c",
        TAKEN_OVER,
        str(ROOT / "tests/lab/sandbox"),
        str(folder),
        "boot",
        "--timeout",
        "300",
        *options,
    ]

    def descriptors() -> None:
        os.dup2(write, 8)
        os.dup2(disk, 9)

    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            input="poweroff\n",
            capture_output=True,
            text=True,
            preexec_fn=descriptors,
            close_fds=False,
        )
        os.close(write)
        with open(read, "rb", closefd=False) as results:
            return done, json.loads(results.read() or b"{}")
    finally:
        os.close(read)
        os.close(disk)


@needs_landlock
@needs_seccomp
@pytest.mark.engine
@pytest.mark.nightly("kvm")
def test_nothing_but_its_work_is_left_to_it(engine_name: str, folder: Path) -> None:
    done, found = taken_over(folder, "--engine", engine_name, "-v")
    assert done.returncode == 0, done.stderr
    assert "behind no-new-privs, Landlock and seccomp\n" in done.stderr
    assert succeeded(found) == STILL
    assert (folder / "secret").read_text() == "text"


@needs_landlock
@needs_seccomp
@pytest.mark.engine
@pytest.mark.nightly("kvm")
def test_with_all_devices_it_has_the_shares_too(engine_name: str, folder: Path) -> None:
    devices = (
        "--share", f"{folder}/shared", "--share", f"{folder}/readonly,readonly", "--disk", f"{folder}/disk", "--rng",
        "--console", f"{folder}/console", "--vsock", f"{folder}/vsock", "--core", f"{folder}/core",
        "--report", f"{folder}/report",
    )  # fmt: skip
    done, found = taken_over(folder, "--engine", engine_name, *devices)
    assert done.returncode == 0, done.stderr
    assert succeeded(found) == STILL | IN_SHARES | {"change the mode beside"}
    assert json.loads((folder / "report").read_text())["end"] == "powered off"
    left = {path.name for path in folder.iterdir()}
    assert left == {"shared", "readonly", "secret", "disk", "core", "report"}


@needs_landlock
@pytest.mark.engine
@pytest.mark.nightly("kvm")
def test_no_sandbox_leaves_all_of_it(engine_name: str, folder: Path) -> None:
    options = ("--engine", engine_name, "--no-sandbox", str(built("guest.elf")), "run=poweroff")
    command = [sys.executable, "-m", "lguest_py", "boot", "-v", *options]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "walls" not in done.stderr
    assert "behind" not in done.stderr


WITHOUT = {
    "Landlock": "from lguest_py.sandbox import landlock; landlock.version = lambda: (0, 'this kernel has none')",
    "seccomp": "from lguest_py.sandbox import seccomp; seccomp.LIBRARY = 'none'",
}


@needs_landlock
@needs_seccomp
@pytest.mark.engine
@pytest.mark.nightly("kvm")
@pytest.mark.parametrize("lacking", [["Landlock"], ["seccomp"], ["Landlock", "seccomp"]], ids="+".join)
def test_a_machine_that_lacks_some_uses_the_others(engine_name: str, lacking: Sequence[str]) -> None:
    patches = "; ".join(WITHOUT[name] for name in lacking)
    program = f"import sys; {patches}; from lguest_py.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "boot", "-v", "--engine", engine_name]
    done = subprocess.run(command, cwd=ROOT, input="reboot\npoweroff\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stderr.splitlines() if "behind" in line)
    assert line.startswith("lguest-py: the Launcher is behind no-new-privs")
    for name in ("Landlock", "seccomp"):
        assert (f"without {name} (" in line) is (name in lacking)


# A filter as a container may have, below ours: no Landlock, and no filter of our own.
CONTAINER = """
import ctypes, os, sys
from lguest_py.sandbox.child import no_new_privileges
library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_init.restype = ctypes.c_void_p
context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(0x7FFF0000)))
no_new_privileges()
for name in (b"landlock_create_ruleset", b"seccomp"):
    number = library.seccomp_syscall_resolve_name(name)
    assert not library.seccomp_rule_add_array(context, ctypes.c_uint32(0x00050001), number, 0, None)
assert not library.seccomp_rule_add_array(
    context, ctypes.c_uint32(0x00050001), library.seccomp_syscall_resolve_name(b"prctl"), 1,
    (ctypes.c_uint64 * 3)(4 << 32, 22, 0),
)
assert not library.seccomp_load(context)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@needs_seccomp
@pytest.mark.engine
@pytest.mark.nightly("kvm")
def test_a_container_that_lets_neither_pass(engine_name: str) -> None:
    inner = ["-m", "lguest_py", "boot", "-v", "--engine", engine_name]
    command = [sys.executable, "-c", CONTAINER, *inner]
    done = subprocess.run(command, cwd=ROOT, input="reboot\npoweroff\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "behind no-new-privs; without Landlock (Operation not permitted); without seccomp (" in done.stderr


@needs_landlock
@needs_seccomp
@pytest.mark.engine
@pytest.mark.nightly("kvm")
@pytest.mark.skipif(
    not shutil.which("setpriv") or os.geteuid() != 0, reason="needs root, and setpriv to have no rights"
)
def test_no_right_of_roots_is_needed(engine_name: str) -> None:
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-m", "lguest_py", "boot", "-v"]
    done = subprocess.run(
        [*command, "--engine", engine_name], cwd=ROOT, input="reboot\npoweroff\n", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "behind no-new-privs, Landlock and seccomp\n" in done.stderr
    assert landlock.version()[0]
