# SPDX-License-Identifier: GPL-2.0-or-later
"""tsc_rate.py: print the rate of this machine's time stamp counter (TSC) in kHz, measured in a tenth of a second.

QEMU's emulated processor has the same TSC.  The carrier's kernel is told the rate because it cannot be relied on to
measure it: with the emulated interval timer (PIT) it counts too few ticks when this machine is busy and QEMU has to
wait for a processor in the middle.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import time
from collections.abc import Callable

RDTSC = bytes.fromhex("0f31 48c1e220 4809d0 c3")  # rdtsc; shl rdx,32; or rax,rdx; ret
SPAN = 0.1  # seconds between the two readings
TRIES = 100  # of each reading: the one with the least delay counts


def code() -> mmap.mmap:
    """Memory with RDTSC in it; raises OSError where none may be made executable."""
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(RDTSC)
    return memory


def reading(tsc: Callable[[], int]) -> tuple[int, int]:
    """The TSC and the clock (nanoseconds) at the same instant."""

    def attempt() -> tuple[int, int, int]:
        before, now, after = tsc(), time.monotonic_ns(), tsc()
        return after - before, (before + after) // 2, now

    return min(attempt() for _ in range(TRIES))[1:]


def main() -> None:
    """The program."""
    if platform.machine() != "x86_64":
        raise SystemExit(f"run-in-kvm: a {platform.machine()} has no time stamp counter")
    try:
        memory = ctypes.c_char.from_buffer(code())
    except OSError as error:
        raise SystemExit(f"run-in-kvm: cannot read the time stamp counter: {error}") from None
    tsc = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(memory))
    first = reading(tsc)
    time.sleep(SPAN)
    last = reading(tsc)
    print((last[0] - first[0]) * 1_000_000 // (last[1] - first[1]))


if __name__ == "__main__":
    main()
