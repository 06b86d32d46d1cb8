# SPDX-License-Identifier: GPL-2.0-or-later
"""A distribution's own kernel, unmodified, in ring 1: to its shell on ttyS0, worked with there, and each of its ends.

The tests at the shell share one Guest per engine.  Read next: tests/lab/linux_lab.py.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from linux_lab import Linux

from lguest_py.kernels import mkinitrd
from lguest_py.kernels.stock import Kernel

NAME = "debian-6.1-686"
MODULE = "kernel/lib/crc8.ko"
Kept = Callable[[], Linux]


@pytest.fixture(scope="module")
def initrd(stock: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stock initrd, and a module of the kernel's package."""
    tree = mkinitrd.busybox_tree(str(stock.directory / "busybox"))
    (release,) = stock.modules.iterdir()
    tree["crc8.ko"] = mkinitrd.Entry(stat.S_IFREG | 0o644, (release / MODULE).read_bytes)
    path = tmp_path_factory.mktemp("native") / "initrd"
    mkinitrd.make_initrd(str(path), tree)
    return path


@pytest.fixture(scope="module")
def kept(engine_name: str, stock: Kernel, initrd: Path) -> Iterator[Kept]:
    guests: list[Linux] = []

    def get() -> Linux:
        if not guests or not guests[-1].usable:
            for old in guests:
                old.close()
            guests[:] = [Linux(engine_name, NAME, initrd, "quiet", console="ttyS0")]
            guests[-1].type(b"echo typed $((6 * 7)) ahead\n")
            guests[-1].to_the_shell()
        return guests[-1]

    yield get
    for guest in guests:
        guest.close()


@pytest.fixture
def shell(kept: Kept) -> Linux:
    """A Guest at its prompt."""
    return kept()


def test_it_is_that_kernel_and_the_shell_is_on_its_serial_port(shell: Linux, stock: Kernel) -> None:
    (release,) = stock.modules.iterdir()
    assert shell.ask("uname -r; tty") == f"{release.name}\n/dev/ttyS0\n"
    assert "personality native" in shell.text
    assert "\ntyped 42 ahead\n" in shell.text
    line = shell.ask("cat /proc/cmdline")
    assert line.startswith("reservetop=0x400000 ")
    assert line.endswith("console=ttyS0 quiet\n")
    assert "16550A" in shell.ask("dmesg | grep ttyS0")


def test_jobs_can_be_controlled(shell: Linux) -> None:
    assert "Running" in shell.ask("sleep 1000 & jobs")
    shell.ask("kill %1; wait %1", status=143)
    shell.type(b"sh -c 'echo wait $((6 * 7)); exec cat'\n")
    shell.wait_for(b"wait 42\r\n")  # who says so has the terminal by now
    shell.type(b"\x03")
    shell.to_the_shell()
    shell.ask("true")


def test_no_byte_of_a_long_input_is_lost(shell: Linux) -> None:
    lines = [f"{n:04} " + "x" * (n % 60) for n in range(120)]
    shell.ask("stty -echo")
    shell.type(b"cat > /tmp/typed\n" + "".join(f"{line}\n" for line in lines).encode() + b"\x04")
    wanted = hashlib.md5("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    shell.to_the_shell()
    shell.type(b"stty echo; md5sum < /tmp/typed\n")
    shell.wait_for(wanted.encode())
    shell.to_the_shell()


def test_a_module_loads_from_the_initrd(shell: Linux) -> None:
    assert "crc8" in shell.ask("insmod /crc8.ko && lsmod")
    assert "crc8" not in shell.ask("rmmod crc8; lsmod")


def test_its_clock_is_right(shell: Linux) -> None:
    before = shell.ask("date +%s; sleep 3; date +%s").split()
    assert 3 <= int(before[1]) - int(before[0]) < 60


def test_its_log_has_no_complaint(shell: Linux) -> None:
    log = shell.ask("dmesg")
    assert "Linux version 6.1" in log
    assert "ACPI: 1 ACPI AML tables successfully acquired and loaded" in log
    assert "ACPI: PM: (supports S0 S5)" in log
    bad = re.compile(r"BUG|WARNING|[Oo]ops|Call Trace|ACPI (?:BIOS )?(?:Error|Warning)|nobody cared")
    assert not [line for line in log.splitlines() if bad.search(line)]


def test_it_restarts_and_it_panics(shell: Linux) -> None:
    shell.type(b"reboot -f\n")
    shell.wait_for(b"the Guest restarts (1)")
    shell.to_the_shell()
    shell.type(b"echo c > /proc/sysrq-trigger\n")
    data = shell.finish()
    assert (data["end"], data["status"], data["restarts"]) == ("panicked", 3, 1)
    assert data["reason"] == "sysrq triggered crash"
    assert "---[ end Kernel panic" in shell.text
    assert "the Guest panicked: sysrq triggered crash" in shell.text


@pytest.fixture
def boot(engine_name: str) -> Iterator[Callable[..., Linux]]:
    """Start it as a user would, with what was fetched alone."""
    guests: list[Linux] = []

    def start(*words: str, options: tuple[str, ...] = ()) -> Linux:
        guests.append(Linux(engine_name, NAME, None, "quiet", *words, console="ttyS0", options=options))
        return guests[-1]

    yield start
    for guest in guests:
        guest.close()


@pytest.mark.nightly("kvm")
def test_typed_ahead_it_does_all_of_that_and_powers_off_at_the_end(boot: Callable[..., Linux], stock: Kernel) -> None:
    guest = boot()
    guest.type(b"echo in ring $((2 - 1))\nexit\n")  # a Ctrl-D alone is lost where the shell was faster than the input
    data = guest.finish()
    assert "\nin ring 1\n" in guest.text
    assert (data["end"], data["status"], data["rings"]) == ("powered off", 0, [1, 3])
    causes = data["switches"]["by_cause"]
    assert causes["general protection"] > 1000  # by trap and emulate, indeed
    assert not data["switches"]["hypercalls"]


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize(
    ("command", "end", "status", "switcher"),
    [("exit 7", "powered off", 7, "classic"), ("halt -f", "halted", 3, "lean")],
)
def test_a_command_instead_of_the_shell(
    boot: Callable[..., Linux], stock: Kernel, command: str, end: str, status: int, switcher: str
) -> None:
    guest = boot(f'run="{command}"', options=("--guest-status", "--switcher", switcher))
    data = guest.finish()
    assert (data["end"], data["status"]) == (end, status)
