# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernels with PAE, unmodified, in ring 1: to the shell, with NX, and many times in a row.

That NX holds for programs too is tested in tests/host_kernel/test_walk_model.py: the page tables that Linux 6.1 makes
for them lack the bit (docs/native.md).
Read before: test_native_boot.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from linux_lab import Linux

from lguest_py.kernels.stock import Kernel

PAE, RT = "debian-6.1-686-pae", "debian-6.1-rt-686-pae"


@pytest.fixture
def boot(engine_name: str) -> Iterator[Callable[..., Linux]]:
    guests: list[Linux] = []

    def start(name: str, *words: str, options: tuple[str, ...] = ()) -> Linux:
        guests.append(Linux(engine_name, name, None, "quiet", *words, console="ttyS0", options=options))
        return guests[-1]

    yield start
    for guest in guests:
        guest.close()


def complaints(log: str) -> list[str]:
    """What of a kernel's log is none of its usual lines."""
    bad = re.compile(r"BUG|WARNING|[Oo]ops|Call Trace|ACPI (?:BIOS )?(?:Error|Warning)|nobody cared|insecure W\+X")
    return [line for line in log.splitlines() if bad.search(line)]


@pytest.mark.nightly("kvm")
def test_a_kernel_with_pae_to_its_shell(boot: Callable[..., Linux], stock_pae: Kernel) -> None:
    guest = boot(PAE)
    guest.to_the_shell()
    (release,) = stock_pae.modules.iterdir()
    assert guest.ask("uname -r") == f"{release.name}\n"
    assert release.name.endswith("-686-pae")
    log = guest.ask("dmesg")
    assert "NX (Execute Disable) protection: active" in log
    assert "Checked W+X mappings: passed, no W+X pages found." in log
    assert not complaints(log)
    guest.type(b"exit\n")
    data = guest.finish()
    assert (data["end"], data["status"], data["rings"]) == ("powered off", 0, [1, 3])
    assert (data["page_tables"], data["restarts"]) == ("PAE", 0)


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize("switcher", ["classic", "lean"])
def test_a_kernel_with_pae_and_preempt_rt(boot: Callable[..., Linux], stock_rt: Kernel, switcher: str) -> None:
    guest = boot(RT, 'run="uname -v"', options=("--switcher", switcher))
    data = guest.finish()
    assert "PREEMPT_RT" in guest.text
    assert (data["end"], data["status"], data["page_tables"]) == ("powered off", 0, "PAE")


@pytest.mark.nightly
@pytest.mark.parametrize("name", [PAE, RT])
@pytest.mark.parametrize("turn", range(20))
def test_many_boots(
    boot: Callable[..., Linux], stock_pae: Kernel, stock_rt: Kernel, engine_name: str, name: str, turn: int
) -> None:
    if engine_name == "kvm" and turn >= 5:
        pytest.skip("the carrier is slow")
    words = [] if turn % 2 else ["nopti"]
    guest = boot(name, 'run="cat /proc/meminfo; dmesg"', *words, options=("--memory", f"{96 + 8 * turn}M"))
    data = guest.finish()
    assert (data["end"], data["status"], data["page_tables"]) == ("powered off", 0, "PAE")
    assert "MemTotal:" in guest.text
    assert not complaints(guest.text)
