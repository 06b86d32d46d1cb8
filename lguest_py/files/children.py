# SPDX-License-Identifier: GPL-2.0-or-later
"""A child process that does not outlive this one, however this one ends.

Read next: lguest_py/engines/tcg.py, which starts QEMU so.
"""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> Callable[[], None] | None:
    """For Popen's preexec_fn: signal the child when this process dies (Linux: prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)

    return prepare
