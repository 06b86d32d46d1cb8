# SPDX-License-Identifier: GPL-2.0-or-later
"""A split virtqueue, seen from the device's side: the legacy layout and that of virtio 1.x.

Source: Virtual I/O Device (VIRTIO) 1.2, section 2.7: 2.7.2 (legacy layout), 2.7.4 (readable before writable), 2.7.5
(descriptors; 2.7.5.3 indirect ones), 2.7.6 (available ring), 2.7.7 and 2.7.10 (notifications and how to suppress
them), 2.7.8 (used ring).

All of it lies in memory the Guest can write at any moment, so each word is read once and then checked, and
the device's own state (its position in either ring) is never read back.  This is the data path of every device: buffers
are views of the Guest's memory, and a request costs a few microseconds.

Read next: lguest_py/devices/page_bus.py, pci_function.py.
Next in the book: page_bus.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lguest_py.devices.errors import GuestError
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import words
from lguest_py.shared_memory.mailbox import barrier

DESC_NEXT, DESC_WRITE, DESC_INDIRECT = L.DESC_NEXT, L.DESC_WRITE, L.DESC_INDIRECT
AVAIL_NO_INTERRUPT, USED_NO_NOTIFY = L.AVAIL_NO_INTERRUPT, L.USED_NO_NOTIFY
F_INDIRECT_DESC, F_EVENT_IDX = 1 << 28, 1 << 29
RING_FEATURES = F_INDIRECT_DESC | F_EVENT_IDX
LONGEST = 1024  # descriptors of one chain; Linux makes no longer ones, whatever the size of its ring
_DESCRIPTOR = struct.Struct("<QIHH")  # address, length, flags, next
_USED = struct.Struct("<II")  # head, bytes written
_unpack, _walk, _pack_used = _DESCRIPTOR.unpack_from, _DESCRIPTOR.iter_unpack, _USED.pack_into
_IN_PAGE = 0xFFF
_WROTE, _RING = bytes((L.DEVICE_WROTE,)), bytes((L.DEVICE_RING,))


@dataclass(frozen=True)
class Ring:
    """Where the parts of a virtqueue are in Guest-physical memory, and how many entries each has."""

    size: int
    descriptors: int
    available: int
    used: int

    @property
    def parts(self) -> Sequence[tuple[str, int, int, int]]:
        """(name, address, bytes, alignment) of each part; both rings with the word of the event index."""
        return (
            ("descriptor table", self.descriptors, 16 * self.size, 16),
            ("available ring", self.available, 6 + 2 * self.size, 2),
            ("used ring", self.used, 6 + 8 * self.size, 4),
        )

    @property
    def end(self) -> int:
        """The address of the first byte after its last part."""
        return max(address + size for _, address, size, _ in self.parts)


def legacy_ring(address: int, size: int, align: int) -> Ring:
    """The legacy layout: one block, whose used ring begins at the next multiple of ``align``."""
    available = address + 16 * size
    return Ring(size, address, available, -(-(available + 6 + 2 * size) // align) * align)


@dataclass(slots=True, eq=False)
class Chain:
    """Buffers that the driver made available together: what it wrote, then where it wants to read."""

    head: int
    readable: tuple[memoryview, ...]
    writable: tuple[memoryview, ...]
    places: Sequence[tuple[int, int]] = ()  # start and end of each writable one


class Virtqueue:
    """One queue in ``memory``, the Guest-physical memory that the device may reach.

    It has nothing available until ``enable``.  ``interrupt`` is called by ``notify`` when used buffers are worth an
    interrupt to the driver.

    ``wrote`` has a byte for each page of ``memory`` (machine.device_writes), so that the Host kernel sees what a device
    wrote into a page table.  It is set after the write, and before the driver can see that the buffer is used.
    """

    def __init__(
        self, name: str, memory: memoryview, interrupt: Callable[[], None], wrote: memoryview | None = None
    ) -> None:
        self.name = name
        self.size = 0
        self._memory = memory
        self._limit = len(memory)
        self._interrupt = interrupt
        self._wrote = memoryview(bytearray(-(-len(memory) // 4096))) if wrote is None else wrote
        self._enabled = False
        self._next_avail = self._seen_avail = self._next_used = self._pushed = 0

    def enable(self, ring: Ring, features: int = 0) -> None:
        """Use this ring from its start, with the ``features`` among RING_FEATURES.  Raises GuestError for a bad one."""
        for part, address, length, align in ring.parts:
            if address % align or address + length > self._limit:
                raise self._bad(f"its {part} cannot be at {address:#x}")
        if ring.size & (ring.size - 1) or not 0 < ring.size <= 0x8000:
            raise self._bad(f"a ring of {ring.size} entries")
        self.size = size = ring.size
        memory = self._memory
        self._descriptors = ring.descriptors
        self._avail = words(memory[ring.available : ring.available + 6 + 2 * size], "H")
        self._used = memory[ring.used : ring.used + 6 + 8 * size]
        self._used_halves = words(self._used, "H")
        pages = ring.used >> 12, (ring.used + len(self._used) + _IN_PAGE) >> 12
        self._used_pages, self._used_marks = slice(*pages), _RING * (pages[1] - pages[0])
        self._wrote[self._used_pages] = self._used_marks
        self._used_event, self._avail_event = 2 + size, 2 + 4 * size  # their places in the two
        self._indirect = bool(features & F_INDIRECT_DESC)
        self._event_index = bool(features & F_EVENT_IDX)
        self._next_avail = self._seen_avail = self._next_used = 0
        self._pushed = 0  # chains since the last ``notify``
        self._quiet = False  # the driver was told not to notify
        self._enabled = True

    @property
    def position(self) -> int:
        """Where the device stands in a ring of which it uses the chains in their order."""
        return self._next_used

    def go_on(self, position: int) -> None:
        """After ``enable``: go on there.  Chains that were popped and not pushed are popped again."""
        self._next_used = self._next_avail = self._seen_avail = position & 0xFFFF
        self._quiet = bool(self._used_halves[0] & USED_NO_NOTIFY)

    def disable(self) -> None:
        """Nothing is available from now on, and what is pushed goes nowhere."""
        if self._enabled:
            self._enabled = False
            if self._next_used != self._next_avail:  # the device may have written to buffers that it keeps
                self._wrote[:] = _WROTE * len(self._wrote)
            self._wrote[self._used_pages] = _WROTE * len(self._used_marks)
            self._next_avail = self._seen_avail = 0
            del self._avail, self._used, self._used_halves

    def _bad(self, what: str) -> GuestError:
        return GuestError(f"{self.name}: {what}")

    def _look(self) -> bool:
        """Read how far the driver got.  If nothing is there, it shall notify the device when something is."""
        if not self._enabled:
            return False
        there = self._avail[1]
        if there == self._next_avail:
            if self._event_index:
                self._used_halves[self._avail_event] = there
            elif self._quiet:
                self._quiet = False
                self._used_halves[0] = 0
            self._wrote[self._used_pages] = self._used_marks
            barrier()  # the driver sees that before its next entry, or the index read now has that entry
            there = self._avail[1]
            if there == self._next_avail:
                return False
        new, unfinished = (there - self._next_avail) & 0xFFFF, (there - self._next_used) & 0xFFFF
        if new > self.size or unfinished > self.size:
            raise self._bad(f"available index moved {max(new, unfinished)} beyond a ring of {self.size}")
        if not (self._quiet or self._event_index):
            self._quiet = True
            self._used_halves[0] = USED_NO_NOTIFY
            self._wrote[self._used_pages] = self._used_marks
        self._seen_avail = there
        barrier()  # the entries were written before the index
        return True

    def available(self) -> int:
        """How many chains the driver made available that were not popped; if none, it notifies of the next one."""
        return (self._seen_avail - self._next_avail) & 0xFFFF if self._look() else 0

    def pop(self) -> Chain | None:
        """The next available chain, checked; None when there is none.  Raises GuestError for a bad one.

        Buffers that meet at the start of a page are one piece: a driver gives large data page by page.
        """
        position = self._next_avail
        if position == self._seen_avail and not self._look():
            return None
        head = index = self._avail[2 + (position & (self.size - 1))]
        memory, limit = self._memory, self._limit
        table, entries = self._descriptors, self.size
        if index >= entries:
            raise self._bad(f"descriptor {index} in a table of {entries}")
        readable: list[memoryview] = []
        writable: list[memoryview] = []
        places: list[tuple[int, int]] = []
        pieces, kind, start, stop = readable, 0, 0, 0  # start to stop: buffers that are one piece of memory
        going = -1  # the flags of a descriptor after which there is another of this kind
        left, direct = min(entries, LONGEST), True
        walk: Iterable[tuple[int, int, int, int]] = (_unpack(memory, table + (index << 4)),)
        while True:
            begun = index
            for address, length, flags, following in walk:
                index += 1
                end = address + length
                if not address < end <= limit:
                    if end > limit:
                        raise self._bad(f"{length} bytes at {address:#x} are beyond the Guest's memory")
                    raise self._bad("a descriptor of no bytes")
                if flags == going:
                    if address == stop and not address & _IN_PAGE:
                        stop = end
                    else:
                        pieces.append(memory[start:stop])
                        places.append((start, stop))
                        start, stop = address, end
                elif flags & DESC_INDIRECT:
                    break
                else:
                    if stop:
                        pieces.append(memory[start:stop])
                        places.append((start, stop))
                    if flags & DESC_WRITE != kind:
                        if kind:
                            raise self._bad("a buffer to read after one to write")
                        pieces, kind = writable, DESC_WRITE
                    start, stop, going = address, end, DESC_NEXT | kind
                    if not flags & DESC_NEXT:
                        pieces.append(memory[start:stop])
                        places.append((start, stop))
                        if sum(map(len, readable)) + sum(map(len, writable)) > limit:
                            raise self._bad("a chain of more bytes than the Guest's memory has")
                        self._next_avail = (position + 1) & 0xFFFF
                        return Chain(head, tuple(readable), tuple(writable), places[len(readable) :])
                if following != index:
                    break
            left -= index - begun
            if flags & DESC_INDIRECT:
                if not (direct and self._indirect):
                    raise self._bad("an indirect descriptor " + ("that was not agreed on" if direct else "in another"))
                if flags & DESC_NEXT or length & 15:
                    raise self._bad(f"an indirect descriptor of {length} bytes with flags {flags}")
                table, entries, index, direct = address, length >> 4, 0, False
                left = min(entries, left + 1 + LONGEST - min(self.size, LONGEST))
            elif left <= 0:
                raise self._bad("a chain of descriptors that loops")
            elif (index := following) >= entries:
                raise self._bad(f"descriptor {index} in a table of {entries}")
            # Mostly they stand in the order of the chain.
            walk = _walk(memory[table + (index << 4) : table + (min(index + left, entries) << 4)])

    def push(self, chain: Chain, written: int) -> None:
        """Give a chain back; ``written`` bytes of its writable part were filled."""
        if self._enabled:
            self._mark(chain)
            _pack_used(self._used, 4 + 8 * (self._next_used & (self.size - 1)), chain.head, written)
            self._publish(1)

    def push_all(self, chains: Iterable[tuple[Chain, int]]) -> None:
        """Give chains back that the driver must see at once, such as the merged buffers of one packet."""
        if self._enabled:
            count = 0
            for chain, written in chains:
                self._mark(chain)
                slot = (self._next_used + count) & (self.size - 1)
                _pack_used(self._used, 4 + 8 * slot, chain.head, written)
                count += 1
            self._publish(count)

    def _mark(self, chain: Chain) -> None:
        """The device wrote there: to all of it, since one that failed may have written more than it says."""
        wrote = self._wrote
        for start, stop in chain.places:
            first, end = start >> 12, (stop + _IN_PAGE) >> 12
            wrote[first:end] = _WROTE * (end - first)

    def _publish(self, count: int) -> None:
        self._wrote[self._used_pages] = self._used_marks  # a buffer may share a page with the ring
        self._next_used = (self._next_used + count) & 0xFFFF
        self._pushed += count
        barrier()  # the driver must not see the index before the entries
        self._used_halves[1] = self._next_used

    def notify(self) -> None:
        """Interrupt the driver if chains were pushed since the last call, and it wants to know of one of them."""
        pushed = self._pushed
        if not pushed or not self._enabled:
            return
        self._pushed = 0
        barrier()  # the driver sees the index, or what it wrote before it looked is read now
        if self._event_index:
            wanted = (self._next_used - self._avail[self._used_event] - 1) & 0xFFFF < pushed
        else:
            wanted = not self._avail[0] & AVAIL_NO_INTERRUPT
        if wanted:
            self._interrupt()
