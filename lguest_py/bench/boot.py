# SPDX-License-Identifier: GPL-2.0-or-later
"""The time from a kernel's start to its init, in a Guest and natively, by the kernel's own clock.

Both boot the same initrd (of lguest-py mkinitrd), and the kernel's log has the time at which init starts.  The clock
stands still early in a boot until it is initialized, so boot-to-init in linux.py covers more.

Read next: linux.py.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Final, cast

from lguest_py.bench.counting import choose
from lguest_py.bench.linux import run_guest
from lguest_py.bench.native import SECONDS, Workload, run_native
from lguest_py.errors import LguestError
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.measurements.row import INSTRUCTIONS, MICROSECONDS, Row

ASK: Final = "dmesg | grep 'Run /init'"
STARTED = re.compile(r"^\[ *([0-9]+)\.([0-9]{6})\] Run /init", re.M)


def _microseconds(text: str, where: str) -> int:
    found = STARTED.search(text.replace("\r", ""))
    if not found:
        raise LguestError(f"the kernel's log {where} does not have the start of init")
    return int(found[1] + found[2])


def boot_rows(image: Path, initrd: Path, engine: str, switcher: str, counted: bool) -> list[Row]:
    """Boot in a Guest and natively; a row for each.  ``counted``: a nanosecond of the clock is an instruction.

    Raises LguestError when a boot does not reach its init.
    """
    twin = Workload(str(image), str(initrd), f'quiet run="{ASK}"')
    choice = choose(engine, counted)
    native = run_native(twin, counted, accel=choice.name)
    guest, snapshot = run_guest(twin, choice.make, seconds=SECONDS, switcher=cast(Switcher, switcher))
    counts = {"switches": snapshot.switches}

    def row(where: str, switcher: str, time: int, counts: dict[str, int]) -> Row:
        value, unit = (time * 1000, INSTRUCTIONS) if counted else (time, MICROSECONDS)
        return Row("boot", "boot", where, switcher, unit, Counter([value]), counts)

    return [
        row("guest", switcher, _microseconds(guest, "in the Guest"), counts),
        row("native", "", _microseconds(native, "natively"), {}),
    ]
