# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast the console gives input: no faster than the Guest works it off.

A Linux echoes a flood of input without letting any other program run: up to 64 KiB, two characters a piece.  Input that
never ends would so keep it from its work for ever, as no serial line can.  So after some input the Guest is given time:
until it is idle, or was silent for as long as it wrote about the last input, or a second has passed.  A Guest that was
idle gets more each time, so that a large input is not slow.

Read next: console.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LEAST, MOST = 64, 16384  # bytes that it gets at once
ANSWERED = 1024  # the most for one that writes about what it gets
CRUMB = 16  # bytes for one that writes without end
LOOK = 0.001  # seconds: how often to look whether it is idle
QUIET = 0.02  # seconds: the least silence
GAPS = 4  # silence is so many times as long as a pause in the Guest's output: a busy computer makes them long
LONGEST = 1.0  # seconds: a Guest that writes without end hears something too


class InputPace:
    """``idles`` counts how often the Guest was idle."""

    def __init__(self, idles: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._idles, self._clock = idles, clock
        self._seen = idles()  # what ``idles`` was when the Guest was last given room
        self._room, self._next = 0, LEAST
        self._given = self._written = clock()  # when the Guest last got room, and wrote last
        self._gap = 0.0  # the longest pause in its output since then, or a part of an earlier one

    @property
    def room(self) -> int:
        """How many bytes the Guest may get now."""
        if self._room <= 0:
            idles = self._idles()
            if idles != self._seen or self._clock() >= self._patience():
                self._renew(idles)
        return self._room

    @property
    def spent(self) -> bool:
        """Whether the Guest got all the room that ``room`` last gave; it is not renewed here."""
        return self._room <= 0

    def _renew(self, idles: int) -> None:
        most = MOST if self._written <= self._given else ANSWERED
        self._next = min(2 * self._next, most) if idles != self._seen else LEAST
        chatty = idles == self._seen and self._clock() < self._silence()
        self._room, self._seen = CRUMB if chatty else self._next, idles
        self._given = self._clock()
        self._gap /= 2

    def _silence(self) -> float:
        """When it was silent for long enough."""
        busy = max(self._written - self._given, 0.0)
        return max(self._written, self._given) + max(QUIET, busy, GAPS * self._gap)

    def _patience(self) -> float:
        """When it gets more although it was not idle."""
        return min(self._silence(), self._given + LONGEST)

    @property
    def deadline(self) -> float:
        """When (on the clock) to ask for ``room`` again, if there is none."""
        return min(self._patience(), self._clock() + LOOK)

    def gave(self, count: int) -> None:
        """The Guest got so many bytes."""
        self._room -= count

    def wrote(self) -> None:
        """The Guest wrote something."""
        now = self._clock()
        self._gap = max(self._gap, now - max(self._written, self._given))
        self._written = now
