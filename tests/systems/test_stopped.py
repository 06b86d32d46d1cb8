# SPDX-License-Identifier: GPL-2.0-or-later
"""A native Guest is stopped with its Launcher, as by a suspended computer: its clocks go on, and never backwards.

Read next: tests/lab/linux_lab.py.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from linux_lab import Linux

NAME = "debian-6.1-686"
SECONDS = 6.0
LOG = "while :; do cat /proc/uptime; usleep 100000; done >/up 2>&1 & clear"
COMPLAINTS = (
    "dmesg -r | grep '^<[0-4]>'"  # a warning or worse; the kernel may still be refining the TSC's rate, and say so
)


def processes(parent: int) -> list[int]:
    """It, and all below it."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [parent, *(each for child in children for each in processes(int(child)))]


@contextmanager
def stopped(numbers: list[int]) -> Iterator[None]:
    """They do not run within the context."""
    for number in numbers:
        os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        for number in reversed(numbers):
            os.kill(number, signal.SIGCONT)


def uptimes(shell: Linux) -> list[float]:
    """What a program in it reads again and again."""
    return [float(line.split()[0]) for line in shell.ask("cat /up").splitlines() if line.count(".") == 2]


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize("who", ["all", "launcher"])
def test_its_clock_goes_on(engine_name: str, stock: object, who: str) -> None:
    with closing(Linux(engine_name, NAME, None, "quiet", console="ttyS0")) as shell:
        shell.to_the_shell()
        shell.ask(LOG)
        shell.ask("sleep 2; dmesg -c >/dev/null")
        before = uptimes(shell)
        numbers = processes(shell.process.pid)
        with stopped(numbers if who == "all" else numbers[:1]):
            time.sleep(SECONDS)
        shell.ask("sleep 2")
        after = uptimes(shell)
        assert after[: len(before)] == before
        assert after == sorted(after)
        assert after[-1] - before[-1] > SECONDS
        assert not shell.ask(COMPLAINTS, status=1)
