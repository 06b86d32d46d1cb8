# SPDX-License-Identifier: GPL-2.0-or-later
"""The errors that a user can get, each with its exit status on the command line.

Read next: lguest_py/cli/__init__.py, which prints them.
"""

from __future__ import annotations


class LguestError(Exception):
    """One line: what is wrong, with what, and what to do.  ``status`` is the exit status of the command line."""

    status = 1


class UsageError(LguestError):
    """A wrong option or value."""

    status = 2


class ImageError(LguestError):
    """An image, initrd or memory size that cannot be used."""

    status = 2


class EngineError(LguestError):
    """An engine that was chosen failed."""

    status = 1


class NoEngineError(LguestError):
    """No engine works on this machine."""

    status = 5


class StoppedError(LguestError):
    """A time limit or a signal ended the run before the machine existed.

    ``end`` is the value of End for it, as --json prints it (lguest_py/launcher/result.py).
    """

    def __init__(self, message: str, status: int, end: str) -> None:
        super().__init__(message)
        self.status = status
        self.end = end
