# SPDX-License-Identifier: GPL-2.0-or-later
"""Long work with a real Linux, and with a distribution's kernel: many boots in a row, many rounds of work without a
kernel message.

Read next: tests/lab/linux_lab.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from linux_lab import PATIENCE, PATIENT, Linux

from lguest_py import End, Machine
from lguest_py.kernels.stock import Kernel

if TYPE_CHECKING:
    from linux_lab import RealLinux

STOCK = "debian-6.1-686"

BOOTS = {"tcg": 20, "kvm": 5}
SECONDS = {"tcg": 1800, "kvm": 240}


def boots(engine_name: str, image: Path | str, initrd: Path | None, console: str) -> None:
    """Boot it so many times to its shell, and leave the shell."""
    for number in range(1, BOOTS[engine_name] + 1):
        guest = Linux(engine_name, image, initrd, console=console)
        try:
            guest.wait_for(b" # ")
            guest.type(b"echo alive $((6 * 7))\n")
            guest.wait_for(b"alive 42\r\n")
            guest.type(b"exit\n")
            data = guest.finish()
        finally:
            guest.close()
        assert (data["end"], data["status"]) == ("powered off", 0)
        print(f"boot {number}: {data['end']}, status {data['status']}")


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_boots_in_a_row(engine_name: str, linux: RealLinux) -> None:
    boots(engine_name, linux.bzimage, linux.initrd, "hvc0")


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_boots_in_a_row_of_an_unmodified_kernel(engine_name: str, stock: Kernel) -> None:
    boots(engine_name, STOCK, None, "ttyS0")


@pytest.mark.nightly
@pytest.mark.timeout(3 * 3600)
def test_work_for_a_long_time_without_a_kernel_message(engine_name: str, linux: RealLinux) -> None:
    soak(engine_name, linux.bzimage, linux.initrd, "hvc0", rounds=3)


@pytest.mark.nightly
@pytest.mark.timeout(3 * 3600)
def test_work_in_an_unmodified_kernel(engine_name: str, stock: Kernel, linux: RealLinux) -> None:
    soak(engine_name, STOCK, linux.initrd, "ttyS0", rounds=1)


@pytest.mark.nightly
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("kind", ["lguest", "unmodified"])
def test_a_restored_guest_works_for_a_long_time(
    engine_name: Any, kind: str, linux: RealLinux, stock: Kernel, tmp_path: Path
) -> None:
    image, console = (linux.bzimage, "hvc0") if kind == "lguest" else (STOCK, "ttyS0")
    saved, seconds = tmp_path / "saved", SECONDS[engine_name]
    with Machine(
        image, engine=engine_name, initrd=linux.initrd, command_line=["quiet", f"console={console}"]
    ) as first:
        first.console.expect("/ # ", PATIENCE)
        first.save(saved)
    with Machine(saved=saved, engine=engine_name) as guest:
        guest.console.sendline(f"export secs={seconds} {PATIENT}; /tests/soak; echo left with $?; exit")
        left = guest.console.expect(re.compile(r"\nleft with (\d+)"), 5 * seconds)
        result = guest.wait(PATIENCE)
    assert left[1] == "0", guest.console.output[-3000:]
    assert "\nDMESG CLEAN" in guest.console.output
    loop = re.search(r"\nWORK LOOP PASSED fails=0 rounds=(\d+)", guest.console.output)
    assert loop
    print(loop[0].strip())
    assert (result.outcome.end, result.status) == (End.POWERED_OFF, 0)


def soak(engine_name: str, image: Path | str, initrd: Path, console: str, rounds: int) -> None:
    """Work for long, so many rounds at least."""
    seconds = SECONDS[engine_name]
    words = ("quiet", "run=soak", f"secs={seconds}", *PATIENT.split())  # what Linux does not know, init gets
    guest = Linux(engine_name, image, initrd, *words, console=console, limit=5 * seconds)
    try:
        guest.wait_for(re.compile(rb"\nTEST soak EXIT \d+\r\n"), patience=5 * seconds)
        data = guest.finish()
    finally:
        guest.close()
    loop = re.search(r"\nWORK LOOP PASSED fails=0 rounds=(\d+)\n", guest.text)
    assert loop, guest.text[-3000:]
    assert int(loop[1]) >= rounds
    print(loop[0].strip())
    assert "\nDMESG CLEAN\n" in guest.text
    assert "\nTEST soak EXIT 0\n" in guest.text
    assert (data["end"], data["status"]) == ("powered off", 0)
