# SPDX-License-Identifier: GPL-2.0-or-later
"""The same Linux without us: on the processor that QEMU emulates, with QEMU's own PC around it.

This is what a Guest is compared with, and the only place where QEMU is given a kernel.
"""

from __future__ import annotations

import select
import subprocess
import time
from dataclasses import dataclass

from lguest_py.engines.cpuid import qemu_cpu
from lguest_py.engines.tcg import _die_with_parent, find_qemu
from lguest_py.errors import LguestError, NoEngineError

ICOUNT = ("-icount", "shift=0,sleep=off")  # one nanosecond of the machine's time is one instruction
TOLD = b"lguest-py: exit status "  # the end of what an init of ours does (lguest_py/kernels/mkinitrd.py)
SECONDS = 300.0


@dataclass(frozen=True)
class Twin:
    """A kernel, its initrd and command line, and the RAM (bytes): what runs in a Guest and natively."""

    kernel: str
    initrd: str
    words: str
    memory: int = 64 << 20


def arguments(qemu: str, twin: Twin, counted: bool, accel: str = "tcg") -> list[str]:
    """QEMU's command line: a PC with nothing but a serial port."""
    return [
        *(qemu, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"),
        *("-machine", "pc", "-accel", accel, "-cpu", qemu_cpu(), "-m", f"{twin.memory >> 20}M"),
        *("-kernel", twin.kernel, "-initrd", twin.initrd, "-append", f"console=ttyS0 {twin.words}"),
        *(ICOUNT if counted else ()),
    ]


def last_words(text: str) -> str:
    """The line that tells most of why a run failed: what its init said (guest_kernel/linux/bench), else the last."""
    lines = text.strip().splitlines() or ["no word"]
    return next((line for line in reversed(lines) if line.startswith("init: ")), lines[-1]).strip()


def run_native(
    twin: Twin, counted: bool = False, seconds: float = SECONDS, last: bytes = TOLD, accel: str = "tcg"
) -> str:
    """Boot it; what came out of its serial port up to its init's last line, which begins with ``last``.

    ``counted``: time is the number of instructions.  ``accel``: "tcg" or "kvm", as the Guest's engine.  Raises
    NoEngineError without QEMU, LguestError when the last line does not come in time.
    """
    found = find_qemu()
    if found is None:
        raise NoEngineError("a native run needs QEMU: apt-get install qemu-system-x86")
    text, deadline = bytearray(), time.monotonic() + seconds
    process = subprocess.Popen(
        arguments(found[0], twin, counted, accel),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_die_with_parent(),
    )
    assert process.stdout
    try:
        while b"\n" not in text.partition(last)[2]:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                raise LguestError(f"the native run was not over after {seconds:g} seconds")
            chunk = process.stdout.read1(65536)  # type: ignore[attr-defined]
            if not chunk:
                raise LguestError(f"the native run ended early, with {last_words(text.decode(errors='replace'))!r}")
            text += chunk
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    return text.decode(errors="replace")
