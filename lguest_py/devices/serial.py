# SPDX-License-Identifier: GPL-2.0-or-later
"""The Launcher's end of the native Guest's serial port: the mailbox's input ring.

The port itself is in the Host kernel (host_kernel/native/pc/uart.c); its output is the mailbox's text, which the Vm
takes.  As for the virtio console, nothing is lost, and
input is read only when ``wants_input``.
Read next: lguest_py/devices/panic.py, which reads the output too.
"""

from __future__ import annotations

from collections.abc import Callable

from lguest_py.devices.device import Progress
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.mailbox import Mailbox


class Serial:
    """``inbox`` is input on its way to the Guest; ``wake`` makes the Host kernel look at the ring."""

    def __init__(self, inbox: bytearray, mailbox: Mailbox, wake: Callable[[], None]) -> None:
        self._inbox = inbox
        self._mailbox = mailbox
        self._wake = wake

    @property
    def has_room(self) -> bool:
        """The ring is at least half empty.  The doorbell rings when that becomes so."""
        return self._mailbox.input_pending() <= L.INPUT_BYTES // 2

    @property
    def wants_input(self) -> bool:
        """There is room in the ring, and no input waits for it."""
        return not self._inbox and self.has_room

    def service(self) -> Progress:
        """Move input as far as there is room."""
        if self._inbox and (count := self._mailbox.give_input(self._inbox)):
            del self._inbox[:count]
            self._wake()
        return Progress.IDLE
