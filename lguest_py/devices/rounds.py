# SPDX-License-Identifier: GPL-2.0-or-later
"""Which devices of a bus have something to do: in each round of the Launcher every one of those works once.

So a Guest that floods one device holds up no other, and a device that has nothing to do costs nothing.
Read next: lguest_py/launcher/launcher.py, whose loop this serves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from lguest_py.devices.device import Device, Progress
from lguest_py.files.poller import READABLE, WRITABLE, Poller


class Slot(Protocol):
    """A device's place on its bus."""

    due: bool  # it may have something to do, or other descriptors to wait for

    @property
    def device(self) -> Device:
        """The device."""

    @property
    def running(self) -> bool:
        """Whether the Guest's driver started it."""

    def service(self) -> Progress:
        """Let it work."""


class Rounds:
    """The devices in ``slots``; ``poller`` learns which descriptors they wait for."""

    def __init__(self, slots: Iterable[Slot], poller: Poller) -> None:
        self._slots = list(slots)
        self._poller = poller
        self._waiting: list[tuple[Collection[int], Collection[int]]] = [((), ())] * len(self._slots)
        self._owners: dict[int, Slot] = {}
        self._served: dict[int, Slot] = {}  # since the last ``settle``

    def happened(self, ready: Collection[int]) -> None:
        """Something happened to these descriptors, of which some may be the devices'."""
        owners = self._owners
        for fd in ready:
            if fd in owners:
                owners[fd].due = True

    def service(self) -> Progress:
        """Let each device work that is due.  Raises GuestError on a bus that ends the Guest for a broken rule."""
        progress = Progress.IDLE
        for number, slot in enumerate(self._slots):
            if not slot.due:
                continue
            slot.due = False
            if slot.running:
                self._served[number] = slot
                remains = slot.service()
                if remains is not Progress.IDLE:
                    slot.due = True
                    progress = max(progress, remains)
            self._watch(number, slot)
        return progress

    def settle(self) -> None:
        """Nothing more will be done before the next wait."""
        while self._served:
            _, slot = self._served.popitem()
            if slot.running:
                slot.device.settle()

    def _watch(self, number: int, slot: Slot) -> None:
        device = slot.device
        wanted = (device.watched(), device.blocked()) if slot.running else ((), ())
        before = self._waiting[number]
        if wanted == before:
            return
        self._waiting[number] = tuple(wanted[0]), tuple(wanted[1])
        for fd in {*before[0], *before[1]}:
            self._owners.pop(fd, None)
            if fd not in wanted[0] and fd not in wanted[1]:
                self._poller.set(fd, 0)
        for fd in {*wanted[0], *wanted[1]}:
            self._owners[fd] = slot
            self._poller.set(fd, (READABLE if fd in wanted[0] else 0) | (WRITABLE if fd in wanted[1] else 0))

    def close(self) -> None:
        """Wait for nothing any more."""
        for fd in self._owners:
            self._poller.set(fd, 0)
        self._owners.clear()

