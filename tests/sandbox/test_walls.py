# SPDX-License-Identifier: GPL-2.0-or-later
"""The Launcher's walls, tried from inside: by all of them together, by Landlock alone and by seccomp alone.

Read next: tests/lab/sandbox/wall_climber.py, what is tried; test_walled_boot.py, the same in a Launcher.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox_lab import IN_SHARES, ROOT, STILL, needs_landlock, needs_seccomp, no_seccomp, succeeded

from lguest_py.sandbox import landlock, seccomp
from lguest_py.sandbox.walls import MOST_DATA

CLIMBER = ROOT / "tests/lab/sandbox/wall_climber.py"
# Only Landlock knows places, and only it sees a share of one Guest among all files.
PLACES = {
    "read passwd", "read /proc/1", "read a file beside", "list the folder", "write a file beside", "make a file beside",
    "make a nameless file", "write in /tmp", "open a device", "remove a file beside", "truncate by name",
    "move out of the share", "link into the share", "follow a link out of the share", "make a device in the share",
    "write in the readonly share", "make in the readonly share", "signal the parent",
}  # fmt: skip
# What seccomp refuses when no share is to be written; it does not look at places.
ALWAYS_READ = {"read passwd", "read /proc/1", "read a file beside", "list the folder", "open a device"}
# The owner's mode is no matter of opening, so it is seccomp's, and with a share to write nobody's.
MODE = "change the mode beside"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("shared/below", "readonly"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("secret", "disk", "shared/file", "shared/other", "readonly/file"):
        (tmp_path / name).write_text("text")
    (tmp_path / "shared/link").symlink_to(tmp_path / "secret")
    return tmp_path


def climb(folder: Path, *only: str, **needs: list[str]) -> dict[str, int]:
    command = [sys.executable, str(CLIMBER), str(folder), json.dumps(needs), *only]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert bool(told["missing"]) is bool(only and "landlock" not in only), told["missing"]
    found: dict[str, int] = told["results"]
    return found


@needs_landlock
@needs_seccomp
def test_a_launcher_without_shares_can_do_its_work_and_nothing_else(folder: Path) -> None:
    found = climb(folder)
    assert succeeded(found) == STILL
    assert set(found.values()) <= {0, 1, 13, 38}, found  # EPERM, EACCES, ENOSYS: refused, and not failed otherwise
    assert (folder / "secret").read_text() == "text"


@needs_landlock
@needs_seccomp
def test_a_share_is_what_can_be_reached_then(folder: Path) -> None:
    found = climb(folder, writes=[str(folder / "shared")], reads=[str(folder / "readonly")])
    assert succeeded(found) == STILL | IN_SHARES | {MODE}
    assert (folder / "shared/below/file").exists()


@needs_landlock
@needs_seccomp
def test_a_readonly_share_gives_no_right_to_write(folder: Path) -> None:
    found = climb(folder, reads=[str(folder / "shared"), str(folder / "readonly")])
    assert succeeded(found) == STILL | {"read in the share", "read in the readonly share"}


@needs_landlock
def test_landlock_alone_keeps_all_places(folder: Path) -> None:
    found = climb(folder, "landlock", writes=[str(folder / "shared")], reads=[str(folder / "readonly")])
    wanted = PLACES - ({"signal the parent"} if landlock.version()[0] < 6 else set())
    assert not succeeded(found) & wanted
    assert succeeded(found) >= STILL | IN_SHARES


@needs_seccomp
def test_seccomp_alone_keeps_all_calls(folder: Path) -> None:
    found = climb(folder, "seccomp")
    assert succeeded(found) - {name for name in found if name.startswith("read in")} == STILL | ALWAYS_READ | {
        "follow a link out of the share"
    }


@needs_seccomp
def test_limits_are_lowered_for_good() -> None:
    program = f"""
import resource
from lguest_py.sandbox.walls import Needs, Walls
soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
Walls(Needs()).put_up()
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, soft)
assert resource.getrlimit(resource.RLIMIT_DATA)[1] <= {MOST_DATA}
try:
    bytearray({MOST_DATA})
except MemoryError:
    print("no memory")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "no memory\n"


@needs_landlock
def test_another_thread_would_be_outside_of_landlock_so_that_is_told() -> None:
    program = """
import threading
from lguest_py.sandbox.walls import Needs, Walls
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
walls = Walls(Needs())
walls.put_up()
stop.set()
thread.join()
print(walls.told())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "; without Landlock (other threads run)" in done.stdout


@pytest.mark.parametrize(
    ("answer", "why"), [((0, "this kernel has none"), "this kernel has none"), ((1, ""), "no way to move a file")]
)
def test_a_kernel_without_landlock_is_told(
    answer: tuple[int, str], why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from lguest_py.sandbox import walls

    monkeypatch.setattr(landlock, "version", lambda: answer)
    made = walls.Walls(walls.Needs(writes=(str(tmp_path),)))
    made.close()
    assert why in made.told()
    assert "behind no-new-privs and seccomp;" in made.told() or no_seccomp()


def test_a_machine_without_libseccomp_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from lguest_py.sandbox import walls

    monkeypatch.setattr(seccomp, "LIBRARY", "libseccomp.so.none")
    made = walls.Walls(walls.Needs())
    made.close()
    assert "without seccomp (libseccomp.so.none is not installed" in made.told()
