# SPDX-License-Identifier: GPL-2.0-or-later
"""What an idle unmodified kernel costs: world switches and clock interrupts for each second that passes in the Guest.

Its clock ticks 250 times a second, used or not.  Read next: slack() in host_kernel/native/pc/timers.c.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import pytest

from lguest_py import Machine
from lguest_py.kernels.stock import Kernel
from lguest_py.launcher.vm import Vm
from lguest_py.shared_memory.mailbox import Snapshot

NAME = "debian-6.1-686"
PATIENCE = 400.0
PROMPT = "# "
TICKS = 250  # a second, when nothing spares them
SWITCHES = 6  # a tick: its end, the timer's next count, the work of the kernel, and the way back to sleep


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> list[Vm]:
    """Each machine that is started, to look into while it runs."""
    found: list[Vm] = []

    class Seen(Vm):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            found.append(self)

    monkeypatch.setattr("lguest_py.launcher.launcher.Vm", Seen)
    return found


def seconds(machine: Machine, before: str = "") -> float:
    """Do this in the shell; how long the Guest has been up then."""
    machine.console.sendline(f"{before}read up idle < /proc/uptime; echo up=$up=")
    up = machine.console.expect(re.compile(r"up=([\d.]+)="), timeout=PATIENCE)
    machine.console.expect(PROMPT, timeout=PATIENCE)
    return float(up[1])


def rates(before: Snapshot, after: Snapshot, passed: float) -> tuple[float, float]:
    """World switches and interrupts, a second."""
    interrupts = after.interrupts_delivered - before.interrupts_delivered
    return (after.switches - before.switches) / passed, interrupts / passed


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_an_idle_shell_is_seldom_woken(engine_name: Literal["tcg", "kvm"], stock: Kernel, running: list[Vm]) -> None:
    with Machine(NAME, command_line="quiet", engine=engine_name) as machine:
        machine.console.expect(PROMPT, timeout=PATIENCE)
        start, before = seconds(machine), running[-1]._mailbox.snapshot()
        end, after = seconds(machine, "sleep 30; "), running[-1]._mailbox.snapshot()
        machine.console.sendline("poweroff -f")
        machine.wait(timeout=PATIENCE)
    assert end - start >= 30  # no sleep ends early
    switches, interrupts = rates(before, after, end - start)
    assert 4 < interrupts < TICKS / 6
    assert switches < TICKS * SWITCHES / 6
