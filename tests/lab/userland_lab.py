# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian 12 on its root disk, as a Machine whose shell runs commands one by one.

Read next: tests/userland/test_userland.py, tests/userland/test_day_of_work.py.
"""

from __future__ import annotations

import re
import shlex
from types import TracebackType
from typing import Any

from lguest_py import Machine
from lguest_py.launcher.result import Result

NAME = "debian-12-i386"
PATIENCE = 1200.0  # seconds until a wait gives up: the carrier is slow
# Kernel messages of the level warning and worse that a boot may have (docs/userland.md says why).
EXPECTED = (
    "L1TF: Kernel not compiled for PAE",
    "APIC calibration not consistent with PM-Timer",
    "Failed to access perfctr msr",
    "fail to add MMCONFIG information",
    "mce: Unable to init MCE device",
    r"hrtimer: interrupt took \d+ ns",
)
STATUS = re.compile(r"<status (\d+)>\r\n")


class Userland:
    """One run of the system, or of another kernel; ``words`` are of its command line, ``more`` is for Machine."""

    def __init__(self, *words: str, engine: Any, kernel: str = NAME, limit: float = 2 * PATIENCE, **more: Any) -> None:
        self.machine = Machine(kernel, engine=engine, command_line=list(words), timeout=limit, on_reboot="exit", **more)

    def __enter__(self) -> Userland:
        self.machine.__enter__()
        try:
            self.machine.console.expect("login: root (automatic login)", PATIENCE)
            self.machine.console.expect(":~# ", PATIENCE)
            # Without line editing, echo and prompt, so that what comes is what a command prints.
            self.machine.console.sendline("PS1=next-$((1+1)): exec bash --noediting --noprofile --norc")
            self.machine.console.expect("next-2:", PATIENCE)
            self.machine.console.sendline("stty -echo; PS1=; export TERM=dumb SYSTEMD_PAGER=; echo ready-$((6*7))")
            self.machine.console.expect("ready-42\r\n", PATIENCE)
        except BaseException:
            print(self.machine.console.output)
            self.machine.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind:
            print(self.machine.console.output[-20000:])
        self.machine.__exit__(kind, value, trace)

    def status(self, command: str, timeout: float = PATIENCE) -> tuple[int, str]:
        """Run a command of bash; its exit status, and what it printed without the white space around it."""
        console = self.machine.console
        console.sendline(f'eval {shlex.quote(command)} </dev/null 2>&1; echo "<status $?>"')
        match = console.expect(STATUS, timeout)
        printed = match.string[match.pos : match.start()]  # a pattern that has it, too, takes its square in time
        return int(match[1]), printed.replace("\r\n", "\n").strip()

    def run(self, command: str, timeout: float = PATIENCE) -> str:
        """What a command printed, which must not fail."""
        status, output = self.status(command, timeout)
        assert status == 0, f"{command}: {status}\n{output[-4000:]}"
        return output

    def messages(self) -> list[str]:
        """The kernel's messages of the level warning and worse that are not expected."""
        lines = self.run("dmesg --kernel --level=emerg,alert,crit,err,warn").splitlines()
        return [line for line in lines if not any(re.search(pattern, line) for pattern in EXPECTED)]

    def check_messages(self) -> None:
        """The kernel has not complained."""
        assert self.messages() == []

    def poweroff(self, command: str = "systemctl poweroff") -> Result:
        """Let its own init end it; how it ended."""
        self.machine.console.sendline(command)
        return self.machine.wait(PATIENCE)
