# SPDX-License-Identifier: GPL-2.0-or-later
"""A split virtqueue in the legacy layout, seen from the device's side.

Source: Virtual I/O Device (VIRTIO) 1.0, section 2.4: 2.4.2 (legacy layout: descriptors, available ring, padding
to the alignment, used ring), 2.4.4 (readable before writable), 2.4.5 (descriptors), 2.4.6 (available ring), 2.4.8
(used ring).  Indirect descriptors and event indices are not offered.

All of it lies in memory the Guest can write at any moment, so each word is read once and then checked, and
the device's own state (its position in either ring) is never read back.

Read next: lguest_py/devices/bus.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from lguest_py.devices.errors import GuestError
from lguest_py.shared_memory.layout import Layout, View
from lguest_py.shared_memory.mailbox import barrier

DESC_NEXT, DESC_WRITE, DESC_INDIRECT = 1, 2, 4
AVAIL_NO_INTERRUPT = 1
_DESCRIPTOR = struct.Struct("<QIHH")  # address, length, flags, next


def ring_layout(size: int, align: int) -> Layout:
    """The legacy layout of a ring of ``size`` entries."""
    used = -(-(16 * size + 2 * (3 + size)) // align) * align
    return Layout(
        "vring",
        used + 6 + 8 * size,
        {
            "descriptors": (0, 16 * size, "B"),
            "avail_flags": (16 * size, 0, "H"),
            "avail_index": (16 * size + 2, 0, "H"),
            "avail_ring": (16 * size + 4, size, "H"),
            "used_flags": (used, 0, "H"),
            "used_index": (used + 2, 0, "H"),
            "used_ring": (used + 4, 2 * size, "I"),
        },
    )


@dataclass(frozen=True)
class Chain:
    """Buffers that the driver made available together: what it wrote, then where it wants to read."""

    head: int
    readable: tuple[memoryview, ...]
    writable: tuple[memoryview, ...]


class Virtqueue:
    """One ring at ``address`` in ``memory``, the Guest-physical memory that the device may reach.

    ``interrupt`` is called by ``notify`` when used buffers are worth an interrupt to the driver.
    """

    def __init__(
        self, name: str, memory: memoryview, address: int, size: int, align: int, interrupt: Callable[[], None]
    ) -> None:
        self.name = name
        self.size = size
        self._memory = memory
        self._layout = ring_layout(size, align)
        self._bytes = memory[address : address + self._layout.size]
        self._ring = View(memory, address, self._layout)
        self._interrupt = interrupt
        self.reset()

    def reset(self) -> None:
        """Empty and zeroed, as the driver expects it."""
        self._bytes[:] = bytes(len(self._bytes))
        self._next_avail = 0
        self._next_used = 0
        self._interrupt_pending = False

    def _bad(self, what: str) -> GuestError:
        return GuestError(f"{self.name}: {what}")

    def available(self) -> int:
        """How many chains the driver made available that were not popped."""
        count = (self._ring["avail_index"] - self._next_avail) & 0xFFFF
        if count > self.size:
            raise self._bad(f"available index moved {count} beyond a ring of {self.size}")
        return count

    def pop(self) -> Chain | None:
        """The next available chain, checked; None when there is none.  Raises GuestError for a bad one."""
        if not self.available():
            return None
        barrier()  # the entry was written before the index
        head = self._ring["avail_ring", self._next_avail % self.size]
        readable: list[memoryview] = []
        writable: list[memoryview] = []
        index, total = head, 0
        for _ in range(self.size):
            if index >= self.size:
                raise self._bad(f"descriptor {index} in a ring of {self.size}")
            address, length, flags, following = _DESCRIPTOR.unpack_from(self._bytes, _DESCRIPTOR.size * index)
            total += length
            if flags & DESC_INDIRECT:
                raise self._bad("an indirect descriptor, which was not offered")
            if not length:
                raise self._bad("a descriptor of no bytes")
            if address + length > len(self._memory):
                raise self._bad(f"{length} bytes at {address:#x} are beyond the Guest's memory")
            if total > len(self._memory):
                raise self._bad("a chain of more bytes than the Guest's memory has")
            if flags & DESC_WRITE:
                writable.append(self._memory[address : address + length])
            elif writable:
                raise self._bad("a buffer to read after one to write")
            else:
                readable.append(self._memory[address : address + length])
            if not flags & DESC_NEXT:
                break
            index = following
        else:
            raise self._bad("a chain of descriptors that loops")
        self._next_avail = (self._next_avail + 1) & 0xFFFF
        return Chain(head, tuple(readable), tuple(writable))

    def push(self, chain: Chain, written: int) -> None:
        """Give a chain back; ``written`` bytes of its writable part were filled."""
        slot = self._next_used % self.size
        self._ring["used_ring", 2 * slot] = chain.head
        self._ring["used_ring", 2 * slot + 1] = written
        self._next_used = (self._next_used + 1) & 0xFFFF
        barrier()  # the driver must not see the index before the entry
        self._ring["used_index"] = self._next_used
        self._interrupt_pending = True

    def notify(self) -> None:
        """Interrupt the driver if chains were pushed since the last call, unless it disabled interrupts."""
        if not self._interrupt_pending:
            return
        self._interrupt_pending = False
        barrier()
        if not self._ring["avail_flags"] & AVAIL_NO_INTERRUPT:
            self._interrupt()
