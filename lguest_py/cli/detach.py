# SPDX-License-Identifier: GPL-2.0-or-later
"""``boot --detach``: the Launcher runs in the background, in a session of its own.

The process that was called waits until the Guest runs, passes on what is said until then, prints the Guest's name, and
ends; or ends as the Launcher did.  Read next: lguest_py/control/detached.py, the console.
"""

from __future__ import annotations

import os
import signal
import sys

RUNS = b"\0"  # after the messages: the Guest runs, and its name follows


def _relay(words: int, child: int) -> int:
    """The first process: what it ends with."""
    heard = b""
    try:
        while data := os.read(words, 4096):
            heard += data
            if RUNS not in heard:
                *whole, heard = heard.split(b"\n")
                for line in whole:
                    sys.stderr.buffer.write(line + b"\n")
                sys.stderr.flush()
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        return 128 + signal.SIGINT
    said, runs, name = heard.partition(RUNS)
    sys.stderr.buffer.write(said)
    sys.stderr.flush()
    if runs:
        sys.stdout.write(name.decode() + "\n")
        return 0
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if status >= 0 else 128 - status


class Detached:
    """In the background process: ``runs`` tells the other one that the Guest does."""

    def __init__(self, words: int) -> None:
        self._words = words

    def runs(self, name: str) -> None:
        """The Guest runs.  Nothing more is said to anybody."""
        sys.stderr.flush()
        if self._words >= 0:
            os.write(self._words, RUNS + name.encode())
            os.dup2(0, 2)
            os.close(self._words)
            self._words = -1


def detach() -> Detached | int:
    """Fork.  In the first process: the exit status, when the Guest runs or has ended."""
    sys.stdout.flush()
    sys.stderr.flush()
    ours, theirs = os.pipe()
    child = os.fork()
    if child:
        os.close(theirs)
        return _relay(ours, child)
    os.close(ours)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.dup2(theirs, 2)
    os.close(nothing)
    return Detached(theirs)
