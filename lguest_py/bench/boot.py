# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a stock kernel takes to its init, in a Guest and natively: by the kernel's own clock.

Both boot with the same initrd, on a processor that QEMU emulates; the kernel's log tells when it started init.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from lguest_py.bench.native import SECONDS, Twin, run_native
from lguest_py.errors import LguestError
from lguest_py.stock import Kernel

ASK = "dmesg | grep 'Run /init'"
STARTED = re.compile(r"^\[ *([0-9]+\.[0-9]+)\] Run /init", re.M)


@dataclass(frozen=True)
class BootTimes:
    """Seconds of the kernel's clock until it starts init; world switches until the Guest's end."""

    kernel: str
    guest: float
    native: float
    switches: int

    @property
    def ratio(self) -> float:
        """How many times longer the Guest takes."""
        return self.guest / self.native


def _seconds(text: str, where: str) -> float:
    found = STARTED.search(text.replace("\r", ""))
    if not found:
        raise LguestError(f"the kernel's log {where} does not tell when init was started")
    return float(found[1])


def boot_times(kernel: Kernel, engine: Literal["auto", "kvm", "tcg"] = "tcg") -> BootTimes:
    """Boot it twice.  Raises LguestError when a boot does not come to its init."""
    from lguest_py.machine import Machine

    words = f'quiet run="{ASK}"'
    native = run_native(Twin(str(kernel.kernel), str(kernel.initrd), words))
    machine = Machine(kernel.kernel, initrd=kernel.initrd, command_line=words, engine=engine, timeout=SECONDS)
    with machine:
        result = machine.wait()
    guest = _seconds(machine.console.output, "in the Guest")
    return BootTimes(kernel.package, guest, _seconds(native, "natively"), result.snapshot.switches)
