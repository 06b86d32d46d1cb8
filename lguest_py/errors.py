# SPDX-License-Identifier: GPL-2.0-or-later
"""The errors a user can meet, each with the exit status that the command line gives it."""

from __future__ import annotations


class LguestError(Exception):
    """One line: what is wrong, with what, and what to do.  ``status`` is the process's exit status."""

    status = 1


class UsageError(LguestError):
    """A wrong option or value."""

    status = 2


class ImageError(LguestError):
    """An image, initrd or memory size that cannot be used."""

    status = 2


class EngineError(LguestError):
    """An engine that should work failed."""

    status = 1


class NoEngineError(LguestError):
    """No engine on this machine can serve."""

    status = 5


class StoppedError(LguestError):
    """A time limit or a signal ended the run before there was a machine.

    ``end`` is what --json calls it (lguest_py/launcher/result.py, End).
    """

    def __init__(self, message: str, status: int, end: str) -> None:
        super().__init__(message)
        self.status = status
        self.end = end
