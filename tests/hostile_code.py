# SPDX-License-Identifier: GPL-2.0-or-later
"""Make random Guests: code in slots for ring 1 and ring 3, and the tables that it stands on (see hostile.S).

Nearly everything is nearly valid: what is plainly wrong ends a Guest before it has done any harm.
Encodings: Intel SDM vol. 2; descriptors and gates: vol. 3, 3.4.5 and 6.11.  Read next: hostile_lab.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random

from lguest_py import _layouts as L

LGUEST, NATIVE = "lguest", "native"
SLOT, SLOTS_BYTES = 64, 0x20000
STOCK = 800
ONCE_IN_A_WHILE = 0.003
PLACES = {
    "SLOTS": 0x110000,
    "SLOTS_BYTES": SLOTS_BYTES,
    "USER_SLOTS": 0x130000,
    "BUDGET": 0x150000,  # words of hostile.S, not among the targets below
    "PROGRESS": 0x150004,
    "MENDS": 0x150008,
    "DATA": 0x151000,  # struct lguest_data
    "GDT": 0x180000,
    "IDT": 0x181000,
    "TSS": 0x183000,
    "KEPT": 0x184000,  # of GDT, IDT, the directory and its tables
    "STACK": 0x190000,
    "USER_STACK": 0x1A0000,
    "DIRECTORY": 0x200000,
}
GDT, IDT, DATA, DIRECTORY = (PLACES[name] for name in ("GDT", "IDT", "DATA", "DIRECTORY"))
TSS, TSS_BESIDE_GDT = PLACES["TSS"], GDT + 0x800
LDT, POINTER, SCRATCH = 0x182000, 0x152000, 0x300000
TABLES = 3  # behind the directory: 12 MiB, so the device pages above 8 MiB too
SECOND, THIRD, LARGE = DIRECTORY + 0x4000, DIRECTORY + 0x6000, DIRECTORY + 0x7000
RAM_END = 8 << 20
QUEUES = RAM_END + 0x1000, RAM_END + 0x4000
PORTS = (0x20, 0x21, 0xA0, 0xA1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x64, 0x70, 0x71, 0x3F8, 0x3F9, 0x3FA, 0x3FB, 0x3FC,
         0x3FD, 0x3FF, 0x4D0, 0x4D1, 0x500, 0x501, 0xE9, 0x600, 0x602, 0x604, 0xCF8, 0xCFC, 0xFFFF)  # fmt: skip
EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI = range(8)
Maker = Callable[[Random], bytes]


def le32(value: int) -> bytes:
    """Four bytes."""
    return struct.pack("<I", value & 0xFFFFFFFF)


def le16(value: int) -> bytes:
    """Two bytes."""
    return struct.pack("<H", value & 0xFFFF)


def mov(register: int, value: int) -> bytes:
    """A register gets a value."""
    return bytes([0xB8 + register]) + le32(value)


def store(address: int, value: int) -> bytes:
    """A word of memory gets a value."""
    return b"\xc7\x05" + le32(address) + le32(value)


def address(r: Random) -> int:
    """Where something is, or nothing."""
    return r.choice(
        (
            SCRATCH + r.randrange(0x10000),
            GDT + r.randrange(0x1000),
            IDT + r.randrange(0x800),
            PLACES["STACK"] - r.randrange(0x1000),
            DIRECTORY + r.randrange(0x8000),
            L.SWITCHER_BASE + r.randrange(L.SWITCHER_PAGES * 0x1000),
            L.SWITCHER_BASE + r.randrange(0x20000),
            r.randrange(RAM_END),
            0xC0000000 + r.randrange(RAM_END),
            RAM_END + r.randrange(0x100000),
            r.getrandbits(32),
        )
    )


def value(r: Random) -> int:
    """Any word."""
    return r.choice((0, 1, r.randrange(256), r.randrange(1 << 16), r.getrandbits(32), address(r), 0xFFFFFFFF))


def selector(r: Random) -> int:
    """Mostly one of those that exist."""
    return r.choice((r.randrange(32) << 3 | r.randrange(8), 0x10, 0x18, 0x23, 0x2B, 0x61, 0x69, 0x73, 0x7B, 0x50, 0x51, 0x58,
                     0x80, 0, 3, r.randrange(1 << 16)))  # fmt: skip


def descriptor(r: Random) -> int:
    """Of any kind, mostly flat and present."""
    access = r.choice((0x9B, 0x93, 0xFB, 0xF3, 0xFB, 0xF3, 0x9F, 0xDB, 0xD3, 0xB3, 0x97, 0x7B, 0x82, 0x89, 0x85, 0xEC, 0xE5,
                       r.randrange(256)))  # fmt: skip
    base = r.choice((0, 0, 0, LDT, TSS, address(r)))
    limit = r.choice((0xFFFFF, 0xFFFFF, 0xFFFFF, 0xFFF, 0x7F, r.randrange(1 << 20)))
    flags = r.choice((0xC, 0xC, 0xC, 4, 0, 8))
    return limit & 0xFFFF | (base & 0xFFFFFF) << 16 | access << 40 | limit >> 16 << 48 | flags << 52 | base >> 24 << 56


def gate(offset: int, chosen: int, access: int) -> int:
    """An interrupt or trap gate."""
    return offset & 0xFFFF | chosen << 16 | access << 40 | offset >> 16 << 48


def entry(r: Random) -> int:
    """Of a page table: mostly memory, used before."""
    frame = r.choice((r.randrange(RAM_END), r.randrange(RAM_END), DIRECTORY + r.randrange(8) * 0x1000, GDT, address(r)))
    return frame & ~0xFFF | r.choice((0x67, 0x67, 7, 3, 0x63, 0x65, 0x61, 0x167, 0xE7, 0, r.randrange(0x1000)))


def eflags(r: Random) -> int:
    """Every flag has its turn."""
    return r.choice((2, 0x202, 0x102, 0x302, 0x4002, 0x3002, 0x20002 if r.random() < 0.1 else 2, 0x40002, 0x10002, 0x402, r.getrandbits(17)))


def two_words(place: int, both: int) -> bytes:
    """A descriptor or gate by plain stores."""
    return store(place, both) + store(place + 4, both >> 32)


# --- what any ring tries ----------------------------------------------------------------------------------------------


def touch(r: Random) -> bytes:
    place = address(r)
    return r.choice((store(place, value(r)), b"\xa1" + le32(place), b"\xff\x05" + le32(place), b"\xa2" + le32(place),
                     b"\x0f\x01\x3d" + le32(place), b"\xf0\x0f\xb1\x05" + le32(place)))  # fmt: skip


def soft_int(r: Random) -> bytes:
    vector = r.choice((0x80, 0x80, 3, 4, L.HYPERCALL_VECTOR if r.random() < 0.05 else 4, L.VECTOR_TIMER, 0x20, 2, 8, 14, r.randrange(256)))
    return r.choice((b"\xcd" + bytes([vector]), b"\xcd" + bytes([vector]), b"\xcc", b"\xce", b"\xf1", b"\x0f\x0b"))


def segments(r: Random) -> bytes:
    """Loads of segment registers, also just before an int, where the CPU holds traps back."""
    load = r.choice((0xC0, 0xD0, 0xD8, 0xE0, 0xE8))
    chosen = selector(r)
    stack = r.choice((0x16, 0x16, 0x07, 0x1F, 0x17, 0x17))
    return r.choice(
        (
            mov(EAX, chosen) + bytes([0x8E, load]),
            mov(EAX, chosen) + bytes([0x8E, load]) + soft_int(r),
            b"\x68" + le32(chosen) + bytes([stack]) + soft_int(r),
            b"\x68" + le32(eflags(r) | 0x100) + b"\x9d\x16\x17" + soft_int(r),
            b"\x68" + le32(chosen) + b"\x0f" + bytes([r.choice((0xA1, 0xA9))]),
            mov(EAX, chosen) + b"\x0f" + bytes([r.choice((2, 3))]) + b"\xd8" + b"\x0f\x00" + bytes([0xE0 + r.randrange(16)]),
            store(POINTER, address(r)) + store(POINTER + 4, chosen)
            + r.choice((b"\x0f\xb2", b"\x0f\xb4", b"\x0f\xb5", b"\xc5", b"\xc4")) + b"\x25" + le32(POINTER),
        )
    )  # fmt: skip


def flags(r: Random) -> bytes:
    return b"\x68" + le32(eflags(r)) + b"\x9d" + r.choice((b"", b"\x9c\x58", b"\xfb", b"\xfa", soft_int(r)))


def far(r: Random) -> bytes:
    """Far jumps, calls and returns."""
    place = r.choice((PLACES["SLOTS"] + r.randrange(SLOTS_BYTES // SLOT) * SLOT, address(r)))
    return r.choice(
        (
            bytes([r.choice((0xEA, 0x9A))]) + le32(place) + le16(selector(r)),
            b"\x68" + le32(selector(r)) + b"\x68" + le32(place) + r.choice((b"\xcb", b"\xca\x08\x00", b"\x66\xcb")),
            iret_frame(r, place),
        )
    )


def iret_frame(r: Random, place: int) -> bytes:
    pushed = (selector(r), address(r), eflags(r), selector(r), place)
    return b"".join(b"\x68" + le32(each) for each in pushed) + r.choice((b"\xcf", b"\xcf", b"\x66\xcf"))


def ports(r: Random) -> bytes:
    port = r.choice(PORTS)
    one = bytes([r.choice((0xEC, 0xED, 0xEE, 0xEF, 0x6C, 0x6D, 0x6E, 0x6F))])
    prefix = r.choice((b"", b"", b"\x66", b"\xf3", b"\xf2\x66", b"\x67\xf3", b"\x2e"))
    count, place = r.choice((0, 1, 100, 5000, 0xFFFFFFFF)), address(r)
    if port in (0x604, 0x64, 0xCF8, 0xCFC) and r.random() < 0.9:  # these may end it
        port = 0x3F8
    immediate = bytes([r.choice((0xE4, 0xE5, 0xE6, 0xE7)), r.choice((0x20, 0x21, 0x40, 0x43, 0x61, 0x70, 0x71, 0x80))])
    strings = mov(ECX, count) + mov(ESI, place) + mov(EDI, place)
    return r.choice((strings, b"")) + mov(EDX, port) + mov(EAX, value(r)) + r.choice((prefix + one, prefix + one, immediate))


def switcher(r: Random) -> bytes:
    """Into the Switcher's code, with registers that it might believe."""
    place = L.SWITCHER_BASE + r.choice((r.randrange(0x1000), r.randrange(0x100), r.randrange(0x3000)))
    setup = r.choice((b"", b"", mov(ESP, address(r) if r.random() < 0.1 else SCRATCH + 0x8000), b"\x68" + le32(selector(r)) + b"\x68" + le32(address(r))))
    return setup + mov(EAX, place) + r.choice((b"\xff\xe0", b"\xff\xd0"))


def stack(r: Random) -> bytes:
    good = r.choice((PLACES["STACK"] - 0x100 + r.randrange(0x100), SCRATCH + 0x8000, GDT + r.randrange(0x800), DIRECTORY + 0x1100))
    return mov(ESP, address(r) if r.random() < 0.05 else good) + r.choice((b"\x50", b"\x58", b"\x60", b"\x61", b"\x9c", b"\x9d", b"\xc3", b"\xc8\x08\x00\x01"))


def odd(r: Random) -> bytes:
    """What should be refused, does nothing, or is no instruction at all."""
    return r.choice(
        (
            b"\x0f\x34", b"\x0f\x35", b"\x0f\x05", b"\x0f\x07", b"\x0f\x01\xc1", b"\x0f\x01\xd9", b"\x0f\x01\xc8", b"\x0f\xaa",
            b"\x0f\x01\x05" + le32(address(r)), b"\x0f\x01\x0d" + le32(address(r)), b"\x0f\x01\xe0", b"\x0f\x00\xc0",
            b"\x0f\x00\xc8", b"\x0f\xa2", b"\x0f\x31", b"\x0f\x33", b"\xf4" if r.random() < 0.1 else b"\xfb", b"\x0f\x06", b"\x0f\x08", b"\x0f\x09", b"\x62\x05"
            + le32(address(r)), b"\xdb\xe3\xd9\xee\xd9\xe8\xd8\xf1\x9b", b"\x0f\x77", b"\x0f\xae\x05" + le32(SCRATCH),
            b"\x0f\xae\x0d" + le32(SCRATCH), b"\x0f\x20" + bytes([0xC0 + r.randrange(64)]), b"\x0f\x58\xc1",
            bytes(r.choice((0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x26, 0x64)) for _ in range(r.choice((1, 5, 16)))) + r.randbytes(3),
            r.randbytes(8),
        )
    )  # fmt: skip


def registers(r: Random) -> bytes:
    return b"".join(mov(r.choice((EAX, ECX, EDX, EBX, EBP, ESI, EDI)), value(r)) for _ in range(3))


def to_user(r: Random) -> bytes:
    """Down to ring 3 by the proper way."""
    native = r.random() < 0.5
    code, data = (0x23, 0x2B) if native else (0x73, 0x7B)
    place = PLACES["USER_SLOTS"] + r.randrange(SLOTS_BYTES // SLOT) * SLOT
    pushed = (data, PLACES["USER_STACK"], r.choice((0x202, 0x302, 2, eflags(r))), code, place)
    return b"".join(b"\x68" + le32(each) for each in pushed) + b"\xcf"


ANYWHERE: tuple[Maker, ...] = (touch, touch, touch, soft_int, segments, segments, flags, flags, far, ports, switcher, stack,
                               odd, odd, registers)  # fmt: skip


# --- what an unmodified kernel does in ring 1 -------------------------------------------------------------------------


def control(r: Random) -> bytes:
    cr0 = r.choice((0x80010033, 0x80000033, 0x8001003B, 0x80050033, 0x33, 0x80010037, 0x80000000, r.getrandbits(32)))
    cr3 = r.choice((DIRECTORY, DIRECTORY, SECOND, THIRD, LARGE, DIRECTORY + 0x18))
    if r.random() < 0.02:
        cr3 = r.randrange(RAM_END)
    cr4 = r.choice((0x10, 0x10, 0x90, 0, 0x6D0, 0x20, 0x800, r.getrandbits(11)))
    return r.choice(
        (
            mov(EAX, cr0) + b"\x0f\x22\xc0",
            mov(EAX, cr3) + b"\x0f\x22\xd8",
            mov(EAX, cr4) + b"\x0f\x22\xe0",
            b"\x0f\x06",
            mov(EAX, value(r)) + b"\x0f\x01\xf0",
            mov(EAX, value(r)) + b"\x0f" + bytes([r.choice((0x21, 0x23, 0x20)), 0xC0 + r.randrange(64)]),
            b"\x0f\x01\x3d" + le32(address(r)),
            mov(ECX, r.choice((0x10, 0x1B, 0x174, 0x1A0, 0xC0000080, value(r)))) + b"\x0f" + r.choice((b"\x30", b"\x32")),
        )
    )


def table_register(r: Random) -> bytes:
    """lgdt and lidt; the handler of the next trap may mend it."""
    base, limit = r.choice((GDT, IDT)), r.choice((0xFF, 0x7FF, 0xFFFF))
    if r.random() < 0.02:
        base, limit = r.choice((GDT + 8, address(r), 0xFFFF0000)), r.choice((0x27, 0, 7, r.randrange(0x10000)))
    load = b"\x0f\x01" + (b"\x1d" if base == IDT else b"\x15")
    return store(POINTER, limit << 16) + store(POINTER + 4, base) + load + le32(POINTER + 2)


def descriptors(r: Random) -> bytes:
    """Changes of the tables by plain stores, and their use."""
    number = r.randrange(8 if r.random() < 0.95 else 0, 32)
    handler = r.choice((0x101000 + 16 * r.randrange(256), 0x101000 + 16 * 0x80, address(r)))
    any_gate = gate(handler, r.choice((0x10, 0x10, selector(r))), r.choice((0xEE, 0xEE, 0x8E, 0xEF, 0xE5, r.randrange(256))))
    vector = r.choice((0x80, 0x80, 3, r.randrange(0x21, 256), r.randrange(256) if r.random() < 0.1 else 4))
    loaded = mov(EAX, r.choice((0x38, 0x40, 0x30, selector(r)))) + b"\x0f\x00"
    return r.choice(
        (
            two_words(GDT + 8 * number, descriptor(r)),
            two_words(GDT + 8 * number, descriptor(r)) + mov(EAX, 8 * number) + bytes([0x8E, r.choice((0xC0, 0xE0, 0xE8))]),
            two_words(LDT + 8 * number, descriptor(r)) + loaded + b"\xd0",
            loaded + b"\xd0" + mov(EAX, 8 * number + 4 + r.randrange(4)) + bytes([0x8E, r.choice((0xC0, 0xD0, 0xE0, 0xE8))]),
            loaded + b"\xd8",
            two_words(IDT + 8 * vector, any_gate) + b"\xcd" + bytes([vector]),
            two_words(IDT + 8 * 0x80, any_gate) + to_user(r),
            store(r.choice((TSS, TSS_BESIDE_GDT)) + 4, r.choice((PLACES["STACK"], PLACES["STACK"] - 0x800, L.SWITCHER_STACK_PAGE + r.randrange(0x1004), GDT + 0x100, address(r))))
            + to_user(r),
            store(TSS + 8, r.choice((0x18, selector(r)))) + to_user(r),
            mov(EDI, GDT + r.randrange(0x100)) + mov(ESI, SCRATCH) + mov(ECX, r.randrange(40)) + b"\xf3\xa5",
            mov(ESP, GDT + r.randrange(0x100)) + b"\x60",
        )
    )  # fmt: skip


def page_tables(r: Random) -> bytes:
    """Changes of page tables, said or left unsaid."""
    table = r.choice((DIRECTORY + 0x1000, DIRECTORY + 0x2000, SECOND, SECOND + 0x1000, THIRD, LARGE, DIRECTORY))
    index = r.randrange(0x1A0, 1024) if table <= DIRECTORY + 0x2000 else r.randrange(1024)
    if table == DIRECTORY:
        index = r.randrange(8, 1024)
    new = entry(r) | (r.choice((0, 0x80)) if table in (DIRECTORY, SECOND, THIRD, LARGE) else 0)
    said = r.choice((b"", b"\x0f\x01\x3d" + le32(index << 12), b"\x0f\x20\xd8\x0f\x22\xd8"))
    return store(table + 4 * index, new) + said + r.choice((b"", b"\xa1" + le32(index << 12), store(index << 12, value(r))))


NATIVE_RING_1: tuple[Maker, ...] = (*ANYWHERE, *(control,) * 3, *(table_register,), *(descriptors,) * 6, *(page_tables,) * 3,
                                    *(ports,) * 2, *(to_user,) * 4, lambda r: b"\xfb\xf4" if r.random() < 0.2 else b"\xfb")  # fmt: skip


# --- what a kernel that knows its Host does in ring 1 -----------------------------------------------------------------


def near(r: Random, *good: int) -> int:
    """One of the good values, but for once in a while."""
    return value(r) if r.random() < ONCE_IN_A_WHILE else r.choice(good)


def arguments(r: Random) -> tuple[int, int, int, int]:
    """A hypercall's number and arguments."""
    directory = near(r, DIRECTORY, DIRECTORY, SECOND, THIRD)
    mapped, index = r.randrange(0x1A0, 0xB00) << 12, r.randrange(1024)
    place = near(r, *(SCRATCH + 8 * r.randrange(1000) for _ in range(20)), RAM_END - 24, DATA)
    safe_descriptor = descriptor(r) | near(r, DESCRIPTOR_S)
    low, high = safe_descriptor & 0xFFFFFFFF, safe_descriptor >> 32
    handler = 0x101000 + 16 * r.randrange(256)
    offset = gate(handler, selector(r), near(r, 0xEE, 0xEF, 0x8E, 0x8F, 0xEF, 0x0E))
    return r.choice(
        (
            (L.LHCALL_FLUSH_ASYNC, value(r), value(r), value(r)),
            (L.LHCALL_NEW_PGTABLE, directory, 0, 0),
            (L.LHCALL_FLUSH_TLB, r.randrange(2), 0, 0),
            (L.LHCALL_SET_PTE, directory, mapped, near(r, 0, 0x67 | r.randrange(RAM_END) & ~0xFFF, 7)),
            (L.LHCALL_SET_PTE, directory, near(r, mapped, L.SWITCHER_BASE, 0xC0000000), near(r, 0, 2, 6)),
            (L.LHCALL_SET_PGD, directory, near(r, index % 1023, 0), 0),
            (L.LHCALL_LOAD_IDT_ENTRY, near(r, 0x80, 3, 4, 0x80, r.randrange(256)), offset & 0xFFFFFFFF, offset >> 32),
            (L.LHCALL_LOAD_GDT_ENTRY, near(r, 6, 7, 8, 10, 11, 16, *range(17, 32)), low, high),
            (L.LHCALL_LOAD_TLS, place, 0, 0),
            (L.LHCALL_SET_STACK, near(r, 0x69) if r.random() < 0.98 else selector(r) & ~3 | 1,
             near(r, PLACES["STACK"], PLACES["STACK"] - 0x800, SCRATCH, DIRECTORY + 0x1000), near(r, 1, 2)),
            (L.LHCALL_TS, r.randrange(2), 0, 0),
            (L.LHCALL_SET_CLOCKEVENT, near(r, 1, 1000, 100000, 1000000), 0, 0),
            (L.LHCALL_SEND_INTERRUPTS, 0, 0, 0),
            (L.LHCALL_NOTIFY, near(r, *QUEUES, QUEUES[1], RAM_END, place), 0, 0),
        )
    )  # fmt: skip


DESCRIPTOR_S = 1 << 44


def call(r: Random) -> bytes:
    number, first, second, third = arguments(r)
    if r.random() < 0.003:
        number = r.randrange(0x20)
    return mov(EAX, number) + mov(EBX, first) + mov(ECX, second) + mov(EDX, third) + b"\xcd\x1f"


def sleep(r: Random) -> bytes:
    """Until its clock wakes it."""
    clock = mov(EAX, L.LHCALL_SET_CLOCKEVENT) + mov(EBX, r.choice((1, 1000, 100000))) + b"\xcd\x1f"
    return clock + mov(EAX, L.LHCALL_HALT) + b"\xcd\x1f"


def asynchronous(r: Random) -> bytes:
    """An entry of the ring, and its status byte; the next call finds it."""
    slot = r.randrange(64)
    at = DATA + L.LGUEST_DATA.fields["hcalls"][0] + slot * L.HYPERCALL_ENTRY.size
    ready = b"\xc6\x05" + le32(DATA + L.LGUEST_DATA.fields["hcall_status"][0] + slot) + bytes([r.choice((0, 0, 0xFF))])
    return b"".join(store(at + 4 * n, each) for n, each in enumerate(arguments(r))) + ready


def own_data(r: Random) -> bytes:
    """Its words in lguest_data."""
    name = r.choice(("irq_enabled", "blocked_interrupts", "irq_pending", "cr2", "syscall_vec", "noirq_start", "kernel_address"))
    return store(DATA + L.LGUEST_DATA.fields[name][0], r.choice((0, 0x200, 0x200, 0x200)) if name.startswith("irq_") else near(r, 0, 0xFFFFFFFE))


def virtqueue(r: Random) -> bytes:
    """Descriptors and available entries for the Launcher's devices, good and bad."""
    queue = r.choice(QUEUES)
    number = r.randrange(4)
    at = queue + 16 * number
    kick = mov(EAX, L.LHCALL_NOTIFY) + mov(EBX, queue) + b"\xcd\x1f"
    link = store(at + 12, near(r, 0, 1 | (number + 1) << 16, 2, 1 | r.randrange(5) << 16, 4))
    filled = store(at, near(r, SCRATCH, RAM_END - 16, DATA)) + store(at + 8, near(r, 1, 16, 4096))
    link = store(at + 12, 2 if queue == QUEUES[0] else 0) if r.random() < 0.95 else link
    entries = queue + 0x1004
    return r.choice(
        (
            filled + link,
            filled + link,
            filled + store(entries, number) + b"\x66\xff\x05" + le32(queue + 0x1002) + kick,
            filled + store(entries + 4 * r.randrange(128), near(r, number, number | number << 16)),
            store(queue + 0x1000, near(r, 1 << 16, 0, 1)) + kick,
            store(at + 4, near(r, 0)),
            kick,
            b"\xc6\x05" + le32(RAM_END + 4) + bytes([r.choice((0, 1, 3, 7, 0x80))])
            + mov(EAX, L.LHCALL_NOTIFY) + mov(EBX, RAM_END) + b"\xcd\x1f",
        )
    )  # fmt: skip


def lguest_tables(r: Random) -> bytes:
    """A change of a page table, and the call that tells."""
    index = r.randrange(0x1A0, 0x400)
    new = r.choice((r.randrange(RAM_END) & ~0xFFF | r.choice((0x67, 7, 0x61, 0x63, 3, 0x167)), 0))
    told = mov(EAX, L.LHCALL_SET_PTE) + mov(EBX, DIRECTORY) + mov(ECX, index << 12) + mov(EDX, new) + b"\xcd\x1f"
    return store(DIRECTORY + 0x1000 + 4 * index, new) + r.choice((told, told, b"")) + b"\xa1" + le32(index << 12)


LGUEST_RING_1: tuple[Maker, ...] = (*ANYWHERE, *(call,) * 12, *(asynchronous,) * 4, own_data, sleep, *(virtqueue,) * 4,
                                    *(lguest_tables,) * 3, *(to_user,) * 4)  # fmt: skip


# --- all of it --------------------------------------------------------------------------------------------------------


def slots(r: Random, makers: tuple[Maker, ...]) -> bytes:
    """All slots, each with as much as goes into it, from a stock of such pieces."""
    made = bytearray()
    stock = [r.choice(makers)(r) for _ in range(STOCK)]
    while len(made) < SLOTS_BYTES:
        one = r.choice(stock)
        while len(one) < SLOT and len(more := r.choice(stock)) + len(one) <= SLOT:
            one += more
        made += one[:SLOT].ljust(SLOT, b"\x90")
    return bytes(made)


def guest_code(r: Random, personality: str) -> dict[int, bytes]:
    """The code, and the words of hostile.S, by address."""
    first = PLACES["SLOTS"]
    words = struct.pack("<III", r.choice((1000, 5000, 20000)), first, r.choice((0, 0, 1, 7)))
    return {
        first: slots(r, NATIVE_RING_1 if personality == NATIVE else LGUEST_RING_1),
        PLACES["USER_SLOTS"]: slots(r, ANYWHERE),
        PLACES["BUDGET"]: words,
        SCRATCH: struct.pack("<1024Q", *(descriptor(r) | DESCRIPTOR_S for _ in range(1024))),
    }


def flat(access: int) -> int:
    """A segment of 4 GiB from 0."""
    return 0x00CF00000000FFFF | access << 40


def guest_tables(r: Random, personality: str, handlers: int) -> dict[int, bytes]:
    """GDT, IDT, page tables and what is kept of them, by address; ``handlers`` are 256, 16 bytes apart."""
    tss = TSS_BESIDE_GDT if r.random() < 0.1 else TSS
    stacks = struct.pack("<IIH", 0, PLACES["STACK"], 0x18)
    gdt = [0, 0, flat(0x9B), flat(0x93), flat(0xFB), flat(0xF3), 0x67 | tss << 16 | 0x89 << 40,
           0xFF | LDT << 16 | 0x82 << 40, *(descriptor(r) for _ in range(24))]  # fmt: skip
    page = struct.pack("<32Q", *gdt).ljust(TSS_BESIDE_GDT - GDT, b"\0") + stacks
    page = page.ljust(0x1000, b"\0")
    code = 0x10 if personality == NATIVE else L.GUEST_CS
    kinds = (0xEE, 0xEE, 0x8E, 0xEF)
    gates = [gate(handlers + 16 * vector, code, r.choice(kinds)) for vector in range(256)]
    for vector in (8, 10, 11, 12, 13, 14, 17):  # a call of these lacks the error code: kept for once in a while
        gates[vector] = gate(handlers + 16 * vector, code, r.choice((*(0x8E,) * 50, 0xEE)))
    idt = struct.pack("<256Q", *gates)
    used = r.choice((0x67, 7))
    tables = b"".join(struct.pack("<I", frame << 12 | used) for frame in range((RAM_END >> 12) + L.LGUEST_DEVICE_PAGES))
    tables = tables.ljust(TABLES * 0x1000, b"\0")
    links = [DIRECTORY + 0x1000 * (1 + number) | 0x67 for number in range(TABLES)]

    def directory(low: list[int]) -> bytes:
        rows = [0] * 1024
        rows[: len(low)] = rows[768 : 768 + len(low)] = low
        return struct.pack("<1024I", *rows)

    first = directory(links)
    second_table = struct.pack("<1024I", *(frame << 12 | r.choice((0x67, 0x67, 7, 0x65)) for frame in range(1024)))
    large = directory([0xE7, 0x4000E7, 0x8000E7])
    return {
        GDT: page,
        IDT: idt,
        TSS: stacks,
        LDT: struct.pack("<32Q", *(descriptor(r) for _ in range(32))),
        PLACES["KEPT"]: page + idt + first + tables,
        DATA: struct.pack("<6I", 0, 0, 0, 0, 0, 0).ljust(L.LGUEST_DATA.size, b"\xff")[: L.LGUEST_DATA.size - 16]
        + struct.pack("<4I", 0, 0, 0xC0000000, 0x80),
        DIRECTORY: first + tables,
        SECOND: directory([SECOND + 0x1000 | 0x67, *links[1:]]) + second_table,
        THIRD: directory(links),
        LARGE: large,
    }
