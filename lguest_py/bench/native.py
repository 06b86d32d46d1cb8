# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a Linux natively, that is on QEMU's PC without lguest-py, as the comparison for a Guest.

Only here QEMU gets a kernel.  Read next: linux.py, which compares.
"""

from __future__ import annotations

import select
import subprocess
import time
from dataclasses import dataclass

from lguest_py.engines.cpuid import qemu_cpu
from lguest_py.engines.tcg import find_qemu
from lguest_py.errors import LguestError, NoEngineError
from lguest_py.hardware.kinds import Hardware
from lguest_py.sandbox.child import die_with_parent

ICOUNT = ("-icount", "shift=0,sleep=off")  # one nanosecond of virtual time is one instruction
STATUS_LINE = b"lguest-py: exit status "  # printed by the init of mkinitrd at its end
SECONDS = 300.0


@dataclass(frozen=True)
class Workload:
    """A kernel, its initrd, command line and RAM (bytes), to run in a Guest and natively.

    ``devices`` are a Guest's; ``qemu`` are arguments for those of QEMU's PC, and ``fds`` descriptors in these.
    """

    kernel: str
    initrd: str
    words: str
    memory: int = 64 << 20
    devices: tuple[Hardware, ...] = ()
    qemu: tuple[str, ...] = ()
    fds: tuple[int, ...] = ()


def arguments(qemu: str, twin: Workload, counted: bool, accel: str = "tcg") -> list[str]:
    """QEMU's command line: a PC with a serial port, and ``twin.qemu``."""
    return [
        *(qemu, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"),
        *("-machine", "pc", "-accel", accel, "-cpu", qemu_cpu(), "-m", f"{twin.memory >> 20}M"),
        *("-kernel", twin.kernel, "-initrd", twin.initrd, "-append", f"console=ttyS0 {twin.words}"),
        *(ICOUNT if counted else ()),
        *twin.qemu,
    ]


def failure_message(text: str) -> str:
    """The line that explains a failure: the last of init (guest_kernel/linux/bench), else the last one."""
    lines = text.strip().splitlines() or ["no word"]
    return next((line for line in reversed(lines) if line.startswith("init: ")), lines[-1]).strip()


def run_native(
    twin: Workload, counted: bool = False, seconds: float = SECONDS, last: bytes = STATUS_LINE, accel: str = "tcg"
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
        pass_fds=twin.fds,
        start_new_session=True,
        preexec_fn=die_with_parent(),
    )
    assert process.stdout
    try:
        while b"\n" not in text.partition(last)[2]:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                raise LguestError(f"the native run was not finished after {seconds:g} seconds")
            chunk = process.stdout.read1(65536)  # type: ignore[attr-defined]
            if not chunk:
                message = failure_message(text.decode(errors="replace"))
                raise LguestError(f"the native run ended early, with {message!r}")
            text += chunk
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    return text.decode(errors="replace")
