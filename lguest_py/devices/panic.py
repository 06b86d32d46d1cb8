# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds out from its console that a native Guest panicked: it has no hypercall to say so.

A Linux that panics prints ``Kernel panic - not syncing: TEXT``, a report, ``---[ end Kernel panic``, and then spins
for ever, unless it was told to restart.
"""

from __future__ import annotations

import re
import time

PATIENCE = 2.0  # seconds of silence after which a report without an end is over
_STAMP = rb"(?:^|[\r\n])(?:<\d>)?(?:\[[ \d.]+\](?:\[ *[TC]\d+\])? )?"
_PANIC = re.compile(_STAMP + rb"Kernel panic - not syncing: ([^\r\n]*)[\r\n]")
_END = re.compile(_STAMP + rb"---\[ end Kernel panic[^\r\n]*[\r\n]")
_LONGEST = 1100  # bytes of a line of the kernel's log, with room


class PanicWatch:
    """Fed with all output; ``reason`` is None while all is well."""

    def __init__(self) -> None:
        self._tail = b"\n"
        self._over = False
        self._heard = 0.0
        self.reason: str | None = None

    def feed(self, text: bytes) -> None:
        """Some more output."""
        if not text:
            return
        self._heard = time.monotonic()
        window = self._tail + text
        if self.reason is None and (match := _PANIC.search(window)):
            said = match[1].decode("utf-8", "replace")
            self.reason = "".join(c if c.isprintable() else " " for c in said).strip() or "without a word"
            window = window[match.end() - 1 :]
        if self.reason is not None:
            self._over = self._over or _END.search(window) is not None
        self._tail = window[-_LONGEST:]

    @property
    def deadline(self) -> float:
        """When (time.monotonic) the report will be over if nothing more comes; infinity: no panic."""
        if self.reason is None:
            return float("inf")
        return 0.0 if self._over else self._heard + PATIENCE

    @property
    def over(self) -> bool:
        """The Guest panicked, and has said all that it will."""
        return time.monotonic() >= self.deadline
