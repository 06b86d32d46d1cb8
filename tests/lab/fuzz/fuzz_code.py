# SPDX-License-Identifier: GPL-2.0-or-later
"""What a long-lived random Guest does: what hostile_guest.py does, churn of page directories, and virtqueues.

A step is one slot: it counts itself, then does what one maker made.  What ends a Guest is rare here: it lives long.
Read before: hostile_guest.py.  Read next: fuzz_lab.py.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

from hostile_code import (
    ANYWHERE,
    BARS,
    DIRECTORY,
    EAX,
    EBX,
    ECX,
    EDX,
    LOOK,
    ODD,
    PLACES,
    RAM_END,
    SCRATCH,
    SLOT,
    SLOTS_BYTES,
    Maker,
    any_value,
    far_call,
    flags,
    le32,
    mov,
    rare,
    registers,
    segments,
    soft_int,
    store,
)
from hostile_guest import LGUEST_RING_1, NATIVE_RING_1, call, own_data, to_user, virtqueue
from hostile_pae import FIRST, NX, PAE_RING_1, P

from lguest_py.shared_memory import _layouts as L

Variant = Literal["lguest", "native", "pae"]
SLOTS = SLOTS_BYTES // SLOT
STOCK = 512  # new pieces of a batch, of which its slots are made
COUNT = b"\x36\xff\x05" + le32(PLACES["STEPS"])  # incl, of ss
ROOM = SLOT - len(COUNT)
UD2 = b"\x0f\x0b".ljust(SLOT, b"\x90")
CALL, INVLPG = b"\xcd\x1f", b"\x0f\x01\x3d"
DIRECTORIES, TABLES, TARGETS, POINTERS = 0x400000, 0x480000, 0x700000, 0x4F0000
DIRECTORY_COUNT, TABLE_COUNT, TARGET_COUNT, ENTRY_COUNT, POINTER_COUNT = 80, 96, 32, 12, 80
PARTS, INDICES = (1, 2), range(8, 32)  # of a PDPT; of a page directory
LINKS, ENTRIES = (0x67, 0x67, 7, 0x65, 0x63, 0), (0x67, 0x65, 0x61, 7, 0x167, 3, 0)
RINGS, RING_BYTES, DEVICES = 0x7A0000, 0x4000, 3
PAGE_QUEUES = 3  # of the entropy device and the console
ENTROPY = 0, 1  # among the queues of the device page; among the devices on PCI
WRITTEN_COUNT = 4  # page tables, from TABLES on: devices write into them, and half of all links lead there


# --- churn of page directories ----------------------------------------------------------------------------------------


def _address(r: Random, pae: bool) -> int:
    index, low = r.choice(INDICES), r.randrange(ENTRY_COUNT)
    return r.choice(PARTS) << 30 | index << 21 | low << 12 if pae else index << 22 | low << 12


def _touch(r: Random, pae: bool) -> bytes:
    place = _address(r, pae) + 4 * r.randrange(1024)
    return r.choice((b"\xa1" + le32(place), b"\xa1" + le32(place), store(place, any_value(r))))


def _target(r: Random) -> int:
    """Mostly a page of its own; now and then a page table, so that it is read and written as memory too."""
    table = DIRECTORIES + r.randrange(0xF0000)
    return (TARGETS + 0x1000 * r.randrange(TARGET_COUNT) if r.random() < 0.98 else table) & ~0xFFF


def _linked(r: Random, tables: int) -> int:
    """Where a directory entry leads: to a page table of these, or of those that devices write into."""
    written = r.random() < 0.5
    return TABLES + 0x1000 * r.randrange(WRITTEN_COUNT) if written else tables + 0x1000 * r.randrange(TABLE_COUNT)


def lguest_churn(r: Random) -> bytes:
    """A directory entry or a table entry changes and the Host hears of it, or not; another directory; a flush."""
    directory, index = DIRECTORIES + 0x1000 * r.randrange(DIRECTORY_COUNT), r.choice(INDICES)
    table, low = TABLES + 0x1000 * r.randrange(TABLE_COUNT), r.randrange(ENTRY_COUNT)
    link, entry = r.choice(LINKS), r.choice(ENTRIES)
    link, entry = link and _linked(r, TABLES) | link, entry and _target(r) | entry
    tell = r.random() < 0.75
    set_pgd = mov(EAX, L.LHCALL_SET_PGD) + mov(EBX, directory) + mov(ECX, index) + CALL
    address = index << 22 | low << 12
    set_pte = mov(EAX, L.LHCALL_SET_PTE) + mov(EBX, directory) + mov(ECX, address) + mov(EDX, entry) + CALL
    return r.choice(
        (
            store(directory + 4 * index, link) + (set_pgd if tell else b""),
            store(table + 4 * low, entry) + (set_pte if tell else b""),
            store(table + 4 * low, entry) + (set_pte if tell else b""),
            mov(EAX, L.LHCALL_NEW_PGTABLE) + mov(EBX, directory) + CALL + _touch(r, False),
            mov(EAX, L.LHCALL_FLUSH_TLB) + mov(EBX, r.randrange(2)) + CALL + _touch(r, False),
            _touch(r, False) + _touch(r, False),
            _touch(r, False) + _touch(r, False) + _touch(r, False),
        )
    )


def native_churn(r: Random) -> bytes:
    """The same where a store, invlpg and a load of CR3 are all that there is."""
    directory, index = DIRECTORIES + 0x1000 * r.randrange(DIRECTORY_COUNT), r.choice(INDICES)
    table, low = TABLES + 0x1000 * r.randrange(TABLE_COUNT), r.randrange(ENTRY_COUNT)
    link, entry = r.choice(LINKS), r.choice(ENTRIES)
    link = 0xE7 | r.randrange(2) << 22 if r.random() < 0.1 else link and _linked(r, TABLES) | link  # or a large page
    entry = entry and _target(r) | entry
    said = r.choice((b"", INVLPG + le32(_address(r, False))))
    enter = mov(EAX, directory) + b"\x0f\x22\xd8"
    return r.choice(
        (
            store(directory + 4 * index, link) + said,
            store(table + 4 * low, entry) + said,
            store(table + 4 * low, entry) + said,
            enter + _touch(r, False),
            enter + _touch(r, False) + _touch(r, False),
            _touch(r, False) + _touch(r, False) + _touch(r, False),
        )
    )


def pae_churn(r: Random) -> bytes:
    """The same with PDPTs, of which several lead to the same page directories."""
    pointers = POINTERS + 32 * r.randrange(POINTER_COUNT)
    directory = DIRECTORIES + 0x1000 * r.randrange(DIRECTORY_COUNT // 2)
    table = DIRECTORIES + 0x40000 + 0x1000 * r.randrange(TABLE_COUNT)
    index, low = r.choice(INDICES), r.randrange(ENTRY_COUNT)
    link, entry = r.choice(LINKS), r.choice(ENTRIES)
    link = 0xE7 | r.randrange(4) << 21 if r.random() < 0.1 else link and _linked(r, DIRECTORIES + 0x40000) | link
    high = r.choice((0, 0, 0, NX >> 32))
    said = r.choice((b"", INVLPG + le32(_address(r, True))))
    enter = mov(EAX, pointers) + b"\x0f\x22\xd8"

    def halves(place: int, value: int, high: int) -> bytes:
        return store(place + 4, high if value else 0) + store(place, value)

    return r.choice(
        (
            store(pointers + 8 * r.choice(PARTS), r.choice((directory | P, directory | P, 0))),
            halves(directory + 8 * index, link, high) + said,
            halves(table + 8 * low, entry and _target(r) | entry, high) + said,
            halves(table + 8 * low, entry and _target(r) | entry, high) + said,
            enter + _touch(r, True),
            enter + _touch(r, True) + _touch(r, True),
            _touch(r, True) + _touch(r, True) + _touch(r, True),
        )
    )


# --- virtqueues -------------------------------------------------------------------------------------------------------


def entropy(r: Random, pae: bool, count: int) -> bytes:
    """What the entropy device writes: entries of page tables.  Of one that is written elsewhere P is clear."""
    lower = [TARGETS + 0x1000 * r.randrange(16) | r.choice((0x67, 0x67, 7, 0x65, 0x61, 3, 0)) for _ in range(count)]
    return b"".join(le32(each) + le32(r.choice((0, 0, NX >> 32))) * pae for each in lower)


def _table(r: Random) -> tuple[int, int]:
    """Where devices write: into a page table, or a directory, among its entries of these tables.  How many bytes."""
    if r.random() < 0.1:
        return DIRECTORIES + 0x1000 * r.randrange(DIRECTORY_COUNT // 2) + 8 * r.randrange(8, 12), r.choice((16, 32))
    return TABLES + 0x1000 * r.randrange(WRITTEN_COUNT) + 8 * r.randrange(2), r.choice((4, 8, 16, 16, 64, 4080))


def _ring(r: Random, ring: int) -> bytes:
    """A descriptor, an available entry, or its index."""
    number = r.randrange(4)
    seldom = r.random() < 0.02
    address = any_value(r) if seldom else r.choice((SCRATCH + 0x4000, RAM_END - 16, ring + 0x3000, _table(r)[0]))
    size = any_value(r) if seldom else r.choice((1, 16, 512, 4096))
    link = r.choice((0, 2, 2, 1 | (number + 1) << 16, 3 | (number + 1) << 16, 1 | r.randrange(5) << 16))
    index = ring + 0x1002
    return r.choice(
        (
            store(ring + 16 * number, address)
            + store(ring + 16 * number + 8, size)
            + store(ring + 16 * number + 12, link),
            store(ring + 16 * number, address)
            + store(ring + 16 * number + 8, size)
            + store(ring + 16 * number + 12, link),
            store(index + 2, number | number << 16) + b"\x66\xff\x05" + le32(index),
            store(index + 2 + 4 * r.randrange(16), any_value(r) if seldom else number),
            store(index - 2, r.choice((0, 1, 1 << 16, any_value(r) if seldom else 0))),
        )
    )


def page_virtqueue(r: Random) -> bytes:
    """Of the devices on lguest's page, where a driver that breaks a rule dies: whole buffers, and rarely anything."""
    if rare(r, 0.1):
        return virtqueue(r)
    number = r.randrange(PAGE_QUEUES)
    queue = RAM_END + 0x1000 + 0x3000 * number
    buffer, size = r.choice((SCRATCH + 0x4000, RAM_END - 4096, RINGS)), r.choice((1, 16, 4096))
    if number == ENTROPY[0] and r.random() < 0.8:
        buffer, size = _table(r)
    kind = 0 if number == PAGE_QUEUES - 1 else 2  # all but the console's output are for the device to write
    filled = store(queue, buffer) + store(queue + 8, size) + store(queue + 12, kind)
    kick = mov(EAX, L.LHCALL_NOTIFY) + mov(EBX, queue) + CALL
    return r.choice(
        (
            filled + b"\x66\xff\x05" + le32(queue + 0x1002) + kick,
            filled,
            b"\xc6\x05" + le32(queue + 0x1000) + bytes([r.randrange(2)]) + kick,
        )
    )


def pci_ready(r: Random) -> bytes:
    """Half of what makes the entropy device ready: its features, or its queue."""
    bar, ring = BARS + L.BAR_BYTES * ENTROPY[1], RINGS + RING_BYTES * 2 * ENTROPY[1]
    common = {name: bar + L.BAR_COMMON + at for name, (at, _, _) in L.VIRTIO_PCI_COMMON.fields.items()}
    status = {value: b"\xc6\x05" + le32(common["device_status"]) + bytes([value]) for value in (0, 3, 11, 15)}
    used = r.choice((ring + 0x2000, ring + 0x2000, _table(r)[0] & ~0xFFF))
    if r.random() < 0.5:
        agreed = store(common["driver_feature_select"], 1) + store(common["driver_feature"], 1)  # VERSION_1
        return status[0] + status[3] + agreed + status[11] + store(ring + 0x1000, 0)
    select, enable = (b"\x66\xc7\x05" + le32(common[name]) for name in ("queue_select", "queue_enable"))
    places = zip(("queue_desc_low", "queue_driver_low", "queue_device_low"), (ring, ring + 0x1000, used), strict=True)
    set_up = b"".join(store(common[name], at) for name, at in places)
    return select + bytes(2) + set_up + enable + b"\x01\x00" + status[15]


def pci_write(r: Random) -> bytes:
    """The entropy device is to write into a page table, if its queue is ready."""
    ring, number = RINGS + RING_BYTES * 2 * ENTROPY[1], r.randrange(4)
    descriptor, index, (table, size) = ring + 16 * number, ring + 0x1002, _table(r)
    kick = b"\x66\xc7\x05" + le32(BARS + L.BAR_BYTES * ENTROPY[1] + L.BAR_NOTIFY) + bytes(2)
    filled = store(descriptor, table) + store(descriptor + 8, size) + store(descriptor + 12, 2)
    return filled + store(index + 2, number | number << 16) + b"\x66\xff\x05" + le32(index) + kick


def pci_virtqueue(r: Random) -> bytes:
    """Of the devices on PCI: their registers, and rings of any place."""
    device = r.randrange(DEVICES)
    bar, queue = BARS + L.BAR_BYTES * device, r.randrange(3)
    ring = RINGS + RING_BYTES * (2 * device + queue % 2)
    common = {name: bar + L.BAR_COMMON + at for name, (at, _, _) in L.VIRTIO_PCI_COMMON.fields.items()}
    select = b"\x66\xc7\x05" + le32(common["queue_select"]) + struct.pack("<H", queue)
    kick = b"\x66\xc7\x05" + le32(bar + L.BAR_NOTIFY + 4 * queue) + struct.pack("<H", queue)
    status = r.choice((0, 1, 3, 11, 11, 15, 15, 15, r.randrange(256)))
    port = 0x80000000 | r.randrange(5) << 11 | r.choice((4, 4, 4, 0x10, 0x14, 0x3C, 4 * r.randrange(64)))
    config = mov(EDX, 0xCF8) + mov(EAX, port) + b"\xef" + mov(EDX, 0xCFC) + mov(EAX, r.choice((6, 7, 6, any_value(r))))
    return r.choice(
        (
            select + store(common["queue_desc_low"], ring) + store(common["queue_driver_low"], ring + 0x1000),
            select + store(common["queue_device_low"], r.choice((ring + 0x2000, ring + 0x2000, _table(r)[0] & ~0xFFF))),
            select + store(r.choice((common["queue_desc_low"], common["queue_driver_low"])), any_value(r)),
            select + b"\x66\xc7\x05" + le32(common["queue_size"]) + struct.pack("<H", r.choice((4, 16, 256, 3))),
            select + b"\x66\xc7\x05" + le32(common["queue_enable"]) + b"\x01\x00",
            store(common["driver_feature_select"], r.randrange(2))
            + store(common["driver_feature"], r.choice((0, 1, any_value(r)))),
            b"\xc6\x05" + le32(common["device_status"]) + bytes([status]),
            b"\xc6\x05" + le32(common["device_status"]) + bytes([status]),
            b"\xa1" + le32(bar + 4 * r.randrange(L.BAR_BYTES // 4)),
            store(bar + 4 * r.randrange(L.BAR_BYTES // 4), any_value(r)),
            config + b"\xef",
            *(_ring(r, ring),) * 6,
            *(kick,) * 4,
        )
    )


# --- what any ring tries, and lives -----------------------------------------------------------------------------------


def near_touch(r: Random) -> bytes:
    """Read and write where nothing of the Guest's own is."""
    place = r.choice((SCRATCH + 0x2000, TARGETS, L.SWITCHER_BASE, 0x40000000)) + r.randrange(0x8000)
    if r.random() < 0.1:
        place = r.choice((PLACES["GDT"] + 0x100, TABLES, DIRECTORIES + 64)) + r.randrange(0x700)
    return r.choice(
        (
            b"\xa1" + le32(place),
            b"\xff\x05" + le32(place),
            store(place, any_value(r)),
            b"\xf0\x0f\xb1\x05" + le32(place),
        )
    )


def unmask(r: Random) -> bytes:
    """Interrupts: sti, with what the CPU holds back behind it."""
    return b"\xfb" + r.choice((b"", soft_int(r)))


def harmless_odd(r: Random) -> bytes:
    """Instructions that are refused, or do nothing."""
    return bytes.fromhex(r.choice(ODD.split()))


# --- all of it --------------------------------------------------------------------------------------------------------

# What sooner or later ends a Guest: it destroys what the Guest stands on.
WILD: Mapping[Variant, tuple[Maker, ...]] = {
    "lguest": (*LGUEST_RING_1, far_call),
    "native": (*NATIVE_RING_1, far_call),
    "pae": (*PAE_RING_1, far_call),
}
WILD_CHANCE = 0.01
CALM: tuple[Maker, ...] = (near_touch, near_touch, soft_int, registers, harmless_odd)
PCI: tuple[Maker, ...] = (*(pci_virtqueue,) * 6, *(pci_ready,) * 2, *(pci_write,) * 2)
RING_1: Mapping[Variant, tuple[Maker, ...]] = {
    "lguest": (*CALM, own_data, to_user, to_user, *(call,) * 4, *(lguest_churn,) * 24, *(page_virtqueue,) * 4),
    "native": (*CALM, to_user, to_user, unmask, segments, *(native_churn,) * 16, *PCI),
    "pae": (*CALM, to_user, to_user, unmask, segments, *(pae_churn,) * 16, *PCI),
}
RING_3: tuple[Maker, ...] = (near_touch, near_touch, soft_int, registers, segments, flags, harmless_odd)


def piece(r: Random, calm: tuple[Maker, ...], wild: tuple[Maker, ...]) -> bytes:
    """One, which rarely is of those that end a Guest."""
    return r.choice(wild if r.random() < WILD_CHANCE else calm)(r)


@dataclass(frozen=True)
class Batch:
    """Slots for both rings; the test looks after each ``look`` of them."""

    ring_1: tuple[bytes, ...]
    ring_3: tuple[bytes, ...]
    look: int

    def data(self) -> bytes:
        """As the Guest copies it.  The last slots trap, so that it does not run out of them."""
        made = bytearray()
        for number in range(SLOTS - 1):
            own = self.ring_1[number] if number < len(self.ring_1) else b""
            look = number % self.look == self.look - 1
            made += look_slot(number) if look else slot(own)
        made += UD2
        for number in range(SLOTS - 1):
            made += slot(self.ring_3[number] if number < len(self.ring_3) else b"")
        return bytes(made + UD2)


def look_slot(number: int) -> bytes:
    """Wait for the test, and go on with the slot behind it."""
    behind = b"\x36\xc7\x05" + le32(PLACES["PROGRESS"]) + le32(PLACES["SLOTS"] + SLOT * (number + 1))
    return (behind + mov(EAX, LOOK) + b"\xff\xe0").ljust(SLOT, b"\x90")


def slot(piece: bytes) -> bytes:
    """A step; b"": what is left out, which does not count."""
    return (COUNT * bool(piece) + piece[:ROOM]).ljust(SLOT, b"\x90")


def batch(r: Random, variant: Variant, look: int) -> Batch:
    """The next one of this random Guest."""
    ring_1 = [piece(r, RING_1[variant], WILD[variant]) for _ in range(STOCK)]
    ring_3 = [piece(r, RING_3, ANYWHERE) for _ in range(STOCK // 2)]
    return Batch(tuple(r.choices(ring_1, k=SLOTS - 1)), tuple(r.choices(ring_3, k=SLOTS - 1)), look)


def memory(variant: Variant) -> dict[int, bytes]:
    """The page directories of the churn and their tables, by address: most entries lead somewhere."""
    r = Random(f"fuzz {variant}")
    pae = variant == "pae"
    form, size = ("<512Q", 8) if pae else ("<1024I", 4)
    tables = DIRECTORIES + 0x40000 if pae else TABLES
    below, above = bytearray(), bytearray()
    for _ in range(TABLE_COUNT):
        rows = [0] * (0x1000 // size)
        rows[:ENTRY_COUNT] = [_target(r) | r.choice(ENTRIES[:5]) for _ in range(ENTRY_COUNT)]
        below += struct.pack(form, *rows)
    for _ in range(DIRECTORY_COUNT // 2 if pae else DIRECTORY_COUNT):
        rows = [0] * (0x1000 // size)
        if not pae:
            rows[:3] = rows[768:771] = [DIRECTORY + 0x1000 * (1 + number) | 0x67 for number in range(3)]
        for index in INDICES:
            rows[index] = _linked(r, tables) | r.choice(LINKS[:5])
        above += struct.pack(form, *rows)
    made = {DIRECTORIES: bytes(above), tables: bytes(below)}
    if pae:
        parts = [DIRECTORIES + 0x1000 * r.randrange(DIRECTORY_COUNT // 2) | P for _ in range(2 * POINTER_COUNT)]
        halves = zip(parts[::2], parts[1::2], strict=True)
        made[POINTERS] = b"".join(struct.pack("<4Q", FIRST | P, one, two, FIRST | P) for one, two in halves)
    return made
