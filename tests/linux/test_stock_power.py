# SPDX-License-Identifier: GPL-2.0-or-later
"""poweroff, halt and reboot in the shell of an initrd that we made, as people call them: each does what it says.

Read next: lguest_py/kernels/mkinitrd.py (INIT), tests/linux/test_native_boot.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from linux_lab import Linux

from lguest_py import End, Machine
from lguest_py.kernels import mkinitrd
from lguest_py.kernels.stock import Kernel

NAME = "debian-6.1-686"
PATIENCE = 400.0  # seconds; the carrier is slow
PROMPT = re.compile(r"/ # ")


@pytest.fixture(scope="module")
def initrd(stock: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``lguest-py mkinitrd --busybox`` makes it; that the cache has the same is tests/kernels/test_fetch.py's."""
    path = tmp_path_factory.mktemp("power") / "initrd"
    mkinitrd.make_initrd(str(path), mkinitrd.busybox_tree(str(stock.directory / "busybox")))
    return path


@pytest.fixture
def machine(engine_name: str, stock: Kernel, initrd: Path) -> Iterator[Machine]:
    with Machine(NAME, initrd=initrd, command_line="quiet", engine=engine_name) as machine:  # type: ignore[arg-type]
        machine.console.expect(PROMPT, PATIENCE)
        yield machine


def test_what_the_shell_runs_can_be_interrupted_and_the_readmes_poweroff_ends_it(machine: Machine) -> None:
    # Said by the program itself: until it has made itself the terminal's foreground group, Ctrl-C is the shell's.
    machine.console.sendline("sh -c 'echo $((6 * 7)) waits; exec sleep 100000'")
    machine.console.expect("42 waits", PATIENCE)
    machine.console.send("\x03")
    machine.console.expect(PROMPT, PATIENCE)
    machine.console.sendline("(sleep 0 & sleep 0 &); sleep 1; cat /proc/[0-9]*/stat | grep -c ') Z '")
    machine.console.expect(re.compile(r"^0\r", re.MULTILINE), PATIENCE)  # process 1 takes what others leave
    machine.console.sendline("poweroff")
    result = machine.wait(PATIENCE)
    assert (result.outcome.end, result.status) == (End.POWERED_OFF, 0)


def test_reboot_restarts_it_and_halt_halts_it(machine: Machine) -> None:
    machine.console.sendline("/sbin/reboot")
    machine.console.expect("Restarting system", PATIENCE)
    machine.console.expect(PROMPT, PATIENCE)
    machine.console.sendline("halt")
    result = machine.wait(PATIENCE)
    assert (result.outcome.end, result.status, result.restarts) == (End.HALTED, 3, 1)


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize(
    ("command", "end"),
    [
        ("reboot", "restarted"),  # it asks, and the session is over before that is done
        pytest.param("/sbin/halt", "halted", marks=pytest.mark.nightly),
        pytest.param("(sleep 1; /usr/sbin/poweroff) & sleep 100000", "powered off", marks=pytest.mark.nightly),
    ],
)
def test_what_was_asked_for_happens_though_the_session_ends(
    engine_name: str, stock: Kernel, initrd: Path, command: str, end: str
) -> None:
    words = ("quiet", f'run="{command}"')
    guest = Linux(engine_name, NAME, initrd, *words, console="ttyS0", options=("--on-reboot", "exit"))
    try:
        data = guest.finish()
        assert (data["end"], data["guest_status"]) == (end, None)  # nor is a success told that nobody meant
    finally:
        guest.close()
