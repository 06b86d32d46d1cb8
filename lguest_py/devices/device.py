# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtio device, whatever bus it sits on.

What a Guest writes is hostile until checked: a broken rule raises GuestError, which ends that Guest and nothing else.
Read next: virtqueue.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lguest_py.devices.virtqueue import Virtqueue


class Device(Protocol):
    """A virtio device, whatever bus it sits on."""

    name: str
    type: int  # virtio device ID (virtio 1.0, section 5)
    queue_count: int
    features: int  # offered, bit by bit
    config: bytes  # its configuration space at the start

    def start(self, queues: Sequence[Virtqueue], features: int) -> None:
        """The driver accepted ``features`` (a subset of those offered); the queues may be used from now on."""

    def reset(self) -> None:
        """The driver reset the device: forget the queues, which are emptied."""

    def kick(self, queue: int) -> None:
        """The driver made buffers available in queue number ``queue``; called only when started."""


Interrupt = Callable[[int], None]  # raise this virtual interrupt
