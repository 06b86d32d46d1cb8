# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtio device, whatever bus it sits on.

What a Guest writes is hostile until checked.  A broken rule raises GuestError: a bus that can say so marks the device
as broken until the driver resets it, and the other bus ends the Guest.  A failure of the Host (a disk that cannot be
read) is no GuestError: the Guest gets an I/O error, and the user one line.
Read next: virtqueue.py.
Next in the book: virtqueue.py.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lguest_py.devices.virtqueue import Virtqueue

Interrupt = Callable[[int], None]  # raise this virtual interrupt
Say = Callable[[str], None]  # tell the user one line


class Progress(enum.IntEnum):
    """What remains after a call of ``service``; the greater value wins."""

    IDLE = 0  # nothing until the next event
    BLOCKED = 1  # until the console's sink has room
    MORE = 2  # call again at once


class Device(Protocol):
    """A virtio device.  It lives as long as the run: a restart of the Guest resets it, and only ``close`` ends it."""

    @property
    def name(self) -> str:
        """For messages: "disk root.img"."""

    @property
    def type(self) -> int:
        """The virtio device ID (virtio 1.2, section 5)."""

    @property
    def queue_sizes(self) -> Sequence[int]:
        """The most entries of each queue, powers of two; a device page has 256 for each."""

    @property
    def features(self) -> int:
        """The device's own features, offered bit by bit; the bus adds those of rings and of the transport."""

    def config(self) -> bytes:
        """The configuration space, now.  Its length never changes."""

    def write_config(self, offset: int, data: bytes) -> None:
        """The driver wrote ``data`` there, within the length; what cannot be written is ignored."""

    def start(self, queues: Sequence[Virtqueue], features: int, config_changed: Callable[[], None]) -> None:
        """The driver accepted ``features`` (of those offered; with VERSION_1 on PCI); the queues may be used now.

        A queue that the driver did not enable is there, and never has anything available.  ``config_changed`` is to be
        called after a change of ``config``.
        """

    def reset(self) -> None:
        """The driver, or a new boot of the Guest, reset the device: forget the queues and all views of memory.

        What is on its way is given up, or waited for when it cannot be.
        """

    def kick(self, queue: int) -> None:
        """The driver made buffers available in this queue; called only when started.  ``service`` follows."""

    def watched(self) -> Collection[int]:
        """Descriptors that are worth a call of ``service`` when readable; asked before each wait, so be quick."""

    def blocked(self) -> Collection[int]:
        """Descriptors whose being writable is worth a call of ``service``; mostly empty."""

    def service(self) -> Progress:
        """Do what there is to do, at most some milliseconds of it; never wait.  Raises GuestError for a bad ring."""

    def settle(self) -> None:
        """The Launcher waits after this: tell the driver what it was not told yet; called only when started."""

    def busy(self) -> bool:
        """Whether something is on its way that the device would have to do again, if it were saved now."""

    def save(self) -> dict[str, Any]:
        """What the next one has to know that goes on for this one, as JSON has it; called when it is not ``busy``.

        Raises LguestError where it cannot be saved.
        """

    def restore(self, state: dict[str, Any]) -> None:
        """Go on as the one that was saved so; called after ``start``, if that one was started."""

    def close(self) -> None:
        """The end of the run: write out what is written behind, release everything."""


class Defaults:
    """What a device does that has no more to do: a base class of devices."""

    def write_config(self, offset: int, data: bytes) -> None:
        """See Device: nothing can be written."""

    def kick(self, queue: int) -> None:
        """See Device: the work is done by ``service``, which follows."""

    def watched(self) -> Collection[int]:
        """See Device."""
        return ()

    def blocked(self) -> Collection[int]:
        """See Device."""
        return ()

    def settle(self) -> None:
        """See Device: ``service`` told everything."""

    def busy(self) -> bool:
        """See Device: all is done by ``service``."""
        return False

    def save(self) -> dict[str, Any]:
        """See Device: the rings say it all."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """See Device."""

    def close(self) -> None:
        """See Device."""
