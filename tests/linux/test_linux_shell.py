# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Linux at its interactive shell on hvc0: typed to, worked with, rebooted, powered off.

The tests share one Guest per engine; one that spoils it has the next one boot anew.
Read next: tests/lab/linux_lab.py, tests/linux/test_linux_ends.py.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from linux_lab import PATIENT, Linux, check_the_emulator_has_none_of

from lguest_py.images import open_image

if TYPE_CHECKING:
    from linux_lab import RealLinux

Kept = Callable[[], Linux]


@pytest.fixture(scope="module")
def kept(engine_name: str, linux: RealLinux) -> Iterator[Kept]:
    guests: list[Linux] = []

    def get() -> Linux:
        if not guests or not guests[-1].usable:
            for old in guests:
                old.close()
            guests[:] = [Linux(engine_name, linux.bzimage, linux.initrd, "quiet")]
            guests[-1].to_the_shell()
        return guests[-1]

    yield get
    for guest in guests:
        guest.close()


@pytest.fixture
def shell(kept: Kept) -> Linux:
    """A Guest at its prompt."""
    return kept()


def test_what_is_typed_is_answered(shell: Linux) -> None:
    assert shell.ask("echo $((6 * 7)); tty") == "42\n/dev/hvc0\n"
    assert shell.ask("uname -s; grep -c . /proc/self/status").startswith("Linux\n")
    shell.ask("ls /nonexistent", status=1)


def test_a_program_reads_ring_3(shell: Linux) -> None:
    assert shell.ask("/tests/rpl").startswith("RPL 3 ")


def test_the_emulator_never_gets_the_guests_kernel(shell: Linux, engine_name: str, linux: RealLinux) -> None:
    kernel = bytes(open_image(str(linux.vmlinux)).segments[0].data[:4096])
    packed = linux.bzimage.read_bytes()[-4096:]
    names = ["bzImage", "vmlinux", "initrd", str(linux.bzimage.parent)]
    check_the_emulator_has_none_of(shell, engine_name, names, [kernel, packed])


@pytest.mark.timeout(900)
def test_work(shell: Linux) -> None:
    """fork, exec, mmap, copy-on-write, signals, pipes, floating point, threads, timers … (ok or not ok, each)."""
    names = shell.ask("/tests/work --list").split()
    assert {"fork", "exec", "mmap", "cow", "sig_segv", "pipe", "fpregs", "threads", "itimer"} <= set(names)
    lines = shell.ask(f"{PATIENT} /tests/work").split("\n")
    assert [line.split()[1] for line in lines if line.startswith("ok ")] == names
    assert [line for line in lines if line.startswith(f"WORK PASSED {len(names)}/{len(names)}")]


def test_sleep_10_against_our_clock(shell: Linux) -> None:
    shell.type(b"read a _ </proc/uptime; echo B=$a=; sleep 10; read b _ </proc/uptime; echo E=$b=\n")
    slept_from = float(shell.wait_for(re.compile(rb"B=([\d.]+)=\r\n"))[1])
    start = time.monotonic()
    slept_to = float(shell.wait_for(re.compile(rb"E=([\d.]+)=\r\n"))[1])
    ours = time.monotonic() - start
    shell.to_the_shell()
    assert slept_to - slept_from >= 10
    assert 0.8 < (slept_to - slept_from) / ours < 1.2


def test_its_wall_clock_is_ours(shell: Linux) -> None:
    before = time.time()
    told = int(shell.ask("date +%s"))
    assert before - 5 < told < time.time() + 5


def test_a_busy_loop_in_ring_3_does_not_stop_the_console(shell: Linux) -> None:
    shell.ask("sh -c 'while :; do :; done' & p=$!")

    def ticks() -> int:
        """Of processor time that the loop had in ring 3."""
        return int(shell.ask("cut -d' ' -f14 /proc/$p/stat"))

    before = ticks()
    for number in range(5):
        assert shell.ask(f"echo $(({number} * 1001))") == f"{number * 1001}\n"
    deadline = time.monotonic() + 300
    while ticks() < before + 50:
        assert time.monotonic() < deadline, "the loop does not run"
    shell.ask("kill $p; wait $p", status=143)


def test_a_long_output_is_complete(shell: Linux) -> None:
    assert shell.ask("seq -s ' ' 20000") == " ".join(map(str, range(1, 20001))) + "\n"
    assert shell.ask("seq 200").split("\n") == [*map(str, range(1, 201)), ""]


def test_a_long_input_is_complete(shell: Linux) -> None:
    typed = "".join(f"{number:07} {'x' * (number % 60)}\n" for number in range(2000)).encode()
    shell.type(b"stty -echo; echo RE''ADY; cat >/tmp/typed; stty echo; md5sum /tmp/typed; wc -c /tmp/typed\n")
    shell.wait_for(b"READY\r\n")
    shell.type(typed + b"\x04")
    shell.wait_for(hashlib.md5(typed).hexdigest().encode())
    shell.wait_for(f"{len(typed)} /tmp/typed".encode())
    shell.to_the_shell()


def test_ctrl_c_ends_a_program(shell: Linux) -> None:
    shell.type(b"sh -c 'echo RE\"\"ADY; exec sleep 100000'; echo =$((1 + 1))=\n")
    shell.wait_for(b"READY\r\n")
    shell.type(b"\x03")
    shell.to_the_shell()
    assert shell.ask("echo $?") == "130\n"


def test_it_reboots_and_powers_off_at_the_end_of_the_input(shell: Linux, engine_name: str) -> None:
    shell.type(b"reboot -f\n")
    shell.to_the_shell()
    assert shell.text.count("SHELL START") == 2
    data = shell.finish()  # one Ctrl-D
    assert shell.text.count("SHELL EXIT 0") == 1
    assert (data["end"], data["status"], data["restarts"], data["engine"]) == ("powered off", 0, 1, engine_name)
    assert data["rings"] == [1, 3]
    causes = data["switches"]["by_cause"]
    assert data["switches"]["total"] >= sum(causes.values())
    assert min(causes[cause] for cause in ("hypercall", "page fault", "timer")) > 10
    calls = data["switches"]["hypercalls"]
    assert (calls["LGUEST_INIT"], calls["SHUTDOWN"]) == (1, 1)
    assert calls["SET_PTE"] > 1000
    assert data["interrupts_delivered"] > 10
    assert 0 < data["times"]["host_kernel"] < data["times"]["guest"] < data["times"]["total"]
