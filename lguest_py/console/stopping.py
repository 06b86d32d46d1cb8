# SPDX-License-Identifier: GPL-2.0-or-later
"""A Launcher's signals where a thread of the same process takes their place.  Read next: lguest_py/machine.py."""

from __future__ import annotations

from lguest_py.console.expect import Wake
from lguest_py.console.terminal import QuitRequested


class StopSignals(Wake):
    """A Launcher's Signals, by which another thread ends it; ``why`` is told then."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self._why = why
        self._stopped = False

    def stop(self) -> None:
        """End it."""
        self._stopped = True
        self.set()

    def take(self) -> int:
        """See Signals.  Raises QuitRequested after ``stop``."""
        if self._stopped:
            raise QuitRequested(self._why)
        return 0
