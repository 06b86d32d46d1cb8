# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux's own self-tests in a Guest and natively: each ends as selftests.json says.

LGUEST_SELFTESTS=DIR holds static 32-bit programs, ``GROUP.NAME``, built from tools/testing/selftests of a Linux tree,
which is not part of this project; docs/native.md has the table.  A program that ends otherwise is tried again, because
many measure times.  The kernel is Debian's.  Read next: tests/lab/linux_lab.py.
"""

from __future__ import annotations

import json
import re
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from linux_lab import Linux

from lguest_py.bench.native import Workload, arguments
from lguest_py.engines.tcg import find_qemu
from lguest_py.kernels import mkinitrd
from lguest_py.kernels.stock import Kernel

NAME = "debian-6.1-686"
RECORD = Path(__file__).with_name("selftests.json")
MEMORY = 512
WORDS = "quiet no_timer_check"  # QEMU's PC on a busy computer loses the tick that the kernel looks for
SECONDS = 240  # for one program, in its own time
ATTEMPTS = 3
READY = "echo 1 >/proc/sys/kernel/printk; for at in /tmp /dev/shm; do mkdir -p $at; mount -t tmpfs none $at; done"
COMPLAINT = re.compile(r"BUG|WARNING|[Oo]ops|Call Trace|unchecked MSR|double fault")


def record() -> dict[str, dict[str, str]]:
    """For each program how it ends natively and in a Guest, and why these differ where they do.

    How it ends is its exit status, and how many of its lines say that something failed: many have status 0 then.
    """
    kept: dict[str, dict[str, str]] = json.loads(RECORD.read_text())
    return kept


class Native(Linux):
    """The same kernel on the emulated processor itself, with the same console."""

    def __init__(self, kernel: Path, initrd: Path) -> None:
        qemu = find_qemu()
        assert qemu
        workload = Workload(str(kernel), str(initrd), WORDS, MEMORY << 20)
        command = arguments(qemu[0], workload, counted=False)
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
        self._attach(process, process.stdout)


@pytest.fixture(scope="module")
def programs(self_tests: Path) -> list[Path]:
    """Those that are recorded."""
    found = sorted(path for path in self_tests.iterdir() if path.name in record())
    assert found, f"LGUEST_SELFTESTS={self_tests}: none of {RECORD.name} is there"
    return found


@pytest.fixture(scope="module")
def initrd(stock: Kernel, programs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stock initrd with the programs."""
    tree = mkinitrd.busybox_tree(str(stock.directory / "busybox"))
    for path in programs:
        tree[path.name] = mkinitrd.Entry(stat.S_IFREG | 0o755, path.read_bytes)
    path = tmp_path_factory.mktemp("selftests") / "initrd"
    mkinitrd.make_initrd(str(path), tree)
    return path


def end(shell: Linux, program: str) -> str:
    """Run it; how it ends."""
    status = shell.ask(f"timeout {SECONDS} /{program} >/tmp/said 2>&1; echo $?").split()[-1]
    failed = int(shell.ask("grep -cE '^not ok|\\[FAIL\\]' /tmp/said; true"))
    return f"{status}, {failed} failed" if failed else status


def deviations(shell: Linux, programs: list[Path], column: str) -> list[str]:
    """Run each; what ended otherwise than the record says, and what the kernel complained of."""
    found = []
    shell.to_the_shell()
    shell.ask(READY)
    for path in programs:
        wanted, seen = record()[path.name][column], list[str]()
        while len(seen) < ATTEMPTS and wanted not in seen:
            seen.append(end(shell, path.name))
        if wanted not in seen:
            said = shell.ask("tail -n 5 /tmp/said | tr -cd '[:print:]\\n'")
            found.append(f"{path.name}: {seen}, and {wanted} is recorded: {said}")
        found += [f"{path.name}: {line}" for line in shell.ask("dmesg -c").splitlines() if COMPLAINT.search(line)]
    return found


@pytest.mark.nightly
@pytest.mark.timeout(3 * 3600)
def test_natively(stock: Kernel, initrd: Path, programs: list[Path]) -> None:
    with closing(Native(stock.kernel, initrd)) as shell:
        assert not deviations(shell, programs, "native")


@pytest.mark.nightly
@pytest.mark.timeout(3 * 3600)
def test_in_a_guest(engine_name: str, initrd: Path, programs: list[Path]) -> None:
    options = ("--memory", f"{MEMORY}M")
    with closing(Linux(engine_name, NAME, initrd, "quiet", console="ttyS0", options=options, limit=3 * 3600)) as shell:
        assert not deviations(shell, programs, "guest")


def test_the_record_says_why_a_guest_is_different() -> None:
    for name, row in record().items():
        assert ("why" in row) == (row["native"] != row["guest"]), name
