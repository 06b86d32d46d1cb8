# SPDX-License-Identifier: GPL-2.0-or-later
"""Detects the panic of a native Guest in its console output: it has no hypercall for it.

A Linux that panics prints ``Kernel panic - not syncing: TEXT``, a report, ``---[ end Kernel panic``, and then
spins without end, unless panic= makes it restart.
Read next: lguest_py/launcher/vm.py, which feeds it.
"""

from __future__ import annotations

import re
import time

PATIENCE = 2.0  # seconds without output after which an unfinished report is taken as complete
_STAMP = rb"(?:^|[\r\n])(?:<\d>)?(?:\[[ \d.]+\](?:\[ *[TC]\d+\])? )?"
_PANIC = re.compile(_STAMP + rb"Kernel panic - not syncing: ([^\r\n]*)[\r\n]")
_END = re.compile(_STAMP + rb"---\[ end Kernel panic[^\r\n]*[\r\n]")
_LONGEST = 1100  # bytes of a line of the kernel's log, with room


class PanicWatch:
    """Gets all output by ``feed``; ``reason`` is None until a panic."""

    def __init__(self) -> None:
        self._tail = b"\n"
        self._complete = False
        self._last_output = 0.0
        self.reason: str | None = None

    def feed(self, text: bytes) -> None:
        """Search more output."""
        if not text:
            return
        self._last_output = time.monotonic()
        window = self._tail + text
        if self.reason is None and (match := _PANIC.search(window)):
            text_of_panic = match[1].decode("utf-8", "replace")
            self.reason = "".join(c if c.isprintable() else " " for c in text_of_panic).strip() or "no reason given"
            window = window[match.end() - 1 :]
        if self.reason is not None:
            self._complete = self._complete or _END.search(window) is not None
        self._tail = window[-_LONGEST:]

    @property
    def deadline(self) -> float:
        """When (time.monotonic) the report counts as complete if nothing more comes; infinity: no panic."""
        if self.reason is None:
            return float("inf")
        return 0.0 if self._complete else self._last_output + PATIENCE

    @property
    def complete(self) -> bool:
        """Whether the Guest panicked, and printed the whole report."""
        return time.monotonic() >= self.deadline
