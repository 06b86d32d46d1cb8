# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux on a disk whose Launcher is killed: the initrd, the image, one life of the Guest, and a look at what is left.

In the Guest guest_kernel/linux/crash writes numbers and prints each that is synced.
"""

from __future__ import annotations

import random
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lguest_py.kernels import mkinitrd
from lguest_py.kernels.modules import Modules

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = ROOT / "build" / "crash" / "crash.elf"
TO_MOUNT = 400.0  # seconds until a Guest has mounted its disk: the carrier is slow
LIMIT = 3000.0  # seconds for a life that ends by itself
IMAGE_MIB = 24
MOMENTS = {"tcg": 3.0, "kvm": 20.0}  # seconds of writing at most, before a kill
SYNCED = re.compile(rb"^SYNCED ([0-9]+)\r?\n", re.M)
FOUND = re.compile(rb"^FOUND ([0-9]+)\r?\n", re.M)
NEEDED = ("mkfs.ext4", "e2fsck", "debugfs")


def missing() -> str:
    """What the tests need and this computer does not have; empty: nothing."""
    return ", ".join(name for name in NEEDED if not tool(name))


def tool(name: str) -> str | None:
    """The path of a program, which may be root's."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def run(name: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of the tools of ext4."""
    program = tool(name)
    assert program, name
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=120)


def make_image(path: Path, mib: int = IMAGE_MIB) -> Path:
    """A file with an empty ext4."""
    with path.open("wb") as file:
        file.truncate(mib << 20)
    done = run("mkfs.ext4", "-q", "-F", path)
    assert done.returncode == 0, done.stderr
    return path


def make_initrd(path: Path, busybox: Path, modules: Path | None, names: Sequence[str] = ()) -> Path:
    """An initrd with the program; ``modules``: the folder that has ``names``."""
    tree = mkinitrd.busybox_tree(str(busybox))
    if modules:
        found = Modules(str(next(modules.iterdir())))
        tree |= found.tree(found.choose(list(names))[0])
    tree["bin/crash"] = mkinitrd.Entry(stat.S_IFREG | 0o755, PROGRAM.read_bytes)
    mkinitrd.make_initrd(str(path), tree)
    return path


class Life:
    """One boot of a Guest with the disk."""

    def __init__(
        self, engine: str, kernel: Path, initrd: Path, disk: str, script: str, console: str = "hvc0", *options: str
    ) -> None:
        boot = [sys.executable, "-m", "lguest_py", "boot", "--engine", engine, "--memory", "64M", "--quiet"]
        words = ["--initrd", initrd, "--disk", disk, *options, kernel, f"console={console}", "quiet", f"run={script}"]
        command, output = [*boot, *map(str, words)], subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT
        )
        self.shown = b""

    def read(self, until: float, wanted: re.Pattern[bytes] | None = None) -> bool:
        """Read the console up to a time (time.monotonic), to ``wanted``, or to its end; whether the time has come."""
        assert self.process.stdout
        while not (wanted and wanted.search(self.shown)):
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                return True
            data = self.process.stdout.read1(65536)  # type: ignore[attr-defined]
            if not data:
                return False
            self.shown += data
        return False

    def kill(self) -> None:
        """End the Launcher without a warning, and take what is left of the console."""
        self.process.send_signal(signal.SIGKILL)
        assert self.process.stdout
        self.shown += self.process.stdout.read()
        self.process.wait()
        self.process.stdout.close()

    def finish(self) -> int:
        """Wait for the end; the exit status."""
        self.read(time.monotonic() + LIMIT)
        status = self.process.wait(TO_MOUNT)
        assert self.process.stdout
        self.process.stdout.close()
        return status

    @property
    def text(self) -> str:
        return self.shown.decode(errors="replace")

    @property
    def synced(self) -> int:
        """The last number that was synced, of whole lines only; 0: none."""
        found = SYNCED.findall(self.shown)
        return int(found[-1]) if found else 0


def script(modules: Sequence[str], synced: int, count: int = 0) -> str:
    """What the Guest's shell does."""
    load = "".join(f"modprobe {name}; " for name in modules)
    return f"{load}mkdir -p /disk && mount -t ext4 /dev/vda /disk && crash /disk {synced} {count} && umount /disk"


def check_image(path: Path) -> None:
    """Replay the journal as a mount would, and find no fault after it."""
    replay = run("e2fsck", "-p", path)
    assert replay.returncode in (0, 1), replay.stdout + replay.stderr
    clean = run("e2fsck", "-fn", path)
    assert clean.returncode == 0, clean.stdout + clean.stderr


def numbers_in(path: Path) -> int:
    """How many entries the log in the image has: each is its own number."""
    done = subprocess.run(
        [str(tool("debugfs")), "-R", "cat /log", str(path)], capture_output=True, timeout=60, check=True
    )
    entries = [int.from_bytes(done.stdout[at : at + 4], "little") for at in range(0, len(done.stdout), 4)]
    assert entries == list(range(1, len(entries) + 1))
    return len(entries)


def crash(
    engine: str,
    kernel: Path,
    initrd: Path,
    image: Path,
    modules: Sequence[str],
    times: int,
    console: str,
    host_replays: bool = True,
    say: Callable[[str], None] = print,
) -> int:
    """Kill the Launcher ``times`` times at random moments of the Guest's writing; the last number that was synced.

    Each next life finds what was synced, by the Guest's own replay of the journal.  ``host_replays``: e2fsck replays a
    copy too, and finds it clean; else (the journal of a vendor's Linux 4.2 is not as e2fsck expects it) it looks at the
    image after a life that ended by itself.
    """
    synced, random_delay = 0, random.Random(11)
    for life_number in range(times):
        life = Life(engine, kernel, initrd, str(image), script(modules, synced), console)
        try:
            life.read(time.monotonic() + TO_MOUNT, FOUND)
            assert FOUND.search(life.shown), f"life {life_number}: {life.text[-2000:]}"
            late = life.read(time.monotonic() + random_delay.uniform(0.0, MOMENTS[engine]))
            assert late, f"life {life_number} ended by itself: {life.text[-2000:]}"
        finally:
            life.kill()
        assert "BROKEN" not in life.text, life.text[-2000:]
        before, synced = synced, max(synced, life.synced)
        checked = image
        if host_replays:
            checked = image.with_suffix(".checked")  # the Guest shall replay the journal itself
            shutil.copyfile(image, checked)
        else:
            life = Life(engine, kernel, initrd, str(image), script(modules, synced, 1), console)
            assert life.finish() == 0, life.text[-2000:]
            assert "BROKEN" not in life.text, life.text[-2000:]
            assert life.synced > synced, life.text[-2000:]
            synced = life.synced
        check_image(checked)
        found = numbers_in(checked)
        assert found >= synced, f"life {life_number}"
        say(
            f"{engine}, {kernel}, life {life_number}: synced {before} to {synced}, {found} in the image, which is clean"
        )
    return synced
