# SPDX-License-Identifier: GPL-2.0-or-later
"""The time from the start of ``lguest-py boot``, a process at a terminal, to the tiny Guest's prompt.

Read next: micro.py, which makes the row "prompt" of it.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from lguest_py.errors import LguestError

PROMPT: Final = b"lguest> "
LEAVE: Final = b"\x01x"  # Ctrl-A x
TIMES: Final = 3  # starts in a run
SECONDS: Final = 60.0  # limit of a start
TO_LEAVE: Final = 5.0


def prompt_samples(engine: str, times: int = TIMES) -> Counter[int]:
    """Milliseconds, of ``times`` starts.  Raises LguestError when no prompt comes."""
    command = [sys.executable, "-m", "lguest_py", "boot", "--engine", engine]
    return Counter(round(until_shown(command, PROMPT) * 1000) for _ in range(times))


def until_shown(command: Sequence[str], wanted: bytes, seconds: float = SECONDS) -> float:
    """Seconds from starting ``command`` at a pseudo-terminal until it shows ``wanted``; then it gets LEAVE.

    Raises LguestError when it ends, or ``seconds`` pass, before.
    """
    ours, theirs = pty.openpty()
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        _read_until(ours, wanted, start + seconds, command)
        took = time.monotonic() - start
        os.write(ours, LEAVE)
        with contextlib.suppress(LguestError):  # read further output, so that the process does not block
            _read_until(ours, b"", time.monotonic() + TO_LEAVE, command)
    finally:
        process.kill()  # if it still runs
        process.wait()
        os.close(ours)
    return took


def _read_until(fd: int, wanted: bytes, deadline: float, command: Sequence[str]) -> None:
    """``wanted`` empty: to the end.  Raises LguestError at the end, and at the deadline (of time.monotonic())."""
    shown = bytearray()
    while not wanted or wanted not in shown:
        left = deadline - time.monotonic()
        ready = left > 0 and bool(select.select([fd], [], [], left)[0])
        try:
            data = os.read(fd, 4096) if ready else b""
        except OSError:  # EIO: the terminal was closed
            data = b""
        if not data:
            last = (shown.decode(errors="replace").strip().splitlines() or ["nothing"])[-1]
            raise LguestError(f"{' '.join(command[1:])} did not reach its prompt; the last it showed: {last!r}")
        shown += data
