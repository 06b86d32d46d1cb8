# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals before there is a machine: they end the reading of an image at once, with the exit status that README names.

Read next: lguest_py/cli/signals.py, from when the machine is made.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lguest_py.cli.signals import _ENDING as ENDING
from lguest_py.errors import StoppedError


class _EndingSignal(BaseException):  # no handler of Exception may swallow it
    def __init__(self, number: int) -> None:
        self.number = number


def _handle(number: int, frame: FrameType | None) -> None:
    raise _EndingSignal(number)


@contextmanager
def ending_signals() -> Iterator[None]:
    """Within it a signal that ends the run raises StoppedError.  For the main thread only.

    A signal that was ignored when we came stays ignored.
    """
    old = {number: signal.getsignal(number) for number in ENDING}
    changed = [number for number, handler in old.items() if handler not in (signal.SIG_IGN, None)]
    try:
        for number in changed:
            signal.signal(number, _handle)
        yield
    except _EndingSignal as ended:
        name = signal.Signals(ended.number).name
        raise StoppedError(f"{name} ended the run before the Guest was loaded", 128 + ended.number, "signal") from None
    finally:
        for number in changed:
            signal.signal(number, old[number])
