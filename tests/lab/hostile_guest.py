# SPDX-License-Identifier: GPL-2.0-or-later
"""Make random Guests: code in slots for ring 1 and ring 3, and the tables that it stands on (see hostile.S).

Read before: hostile_code.py.  Read next: hostile_lab.py.
"""

from __future__ import annotations

import struct
from random import Random

from hostile_code import (
    ANYWHERE,
    BARS,
    BARS_BYTES,
    DATA,
    DESCRIPTOR_S,
    DIRECTORY,
    EAX,
    EBX,
    ECX,
    EDI,
    EDX,
    ESI,
    ESP,
    GDT,
    IDT,
    LDT,
    PLACES,
    POINTER,
    RAM_END,
    SCRATCH,
    SLOT,
    SLOTS_BYTES,
    STUBS,
    TSS,
    TSS_BESIDE_GDT,
    Maker,
    any_address,
    any_descriptor,
    any_flags,
    any_selector,
    any_value,
    far_call,
    flat,
    gate,
    le32,
    mov,
    ports,
    push,
    rare,
    store,
    two_words,
)

from lguest_py.images.image import Personality
from lguest_py.shared_memory import _layouts as L

STOCK = 800  # pieces of code, of which a Guest's slots are made
ONCE_IN_A_WHILE = 0.003
TABLES = 3  # behind the directory: 12 MiB, so the device pages above 8 MiB too
SECOND, THIRD, LARGE = DIRECTORY + 0x4000, DIRECTORY + 0x6000, DIRECTORY + 0x7000
QUEUES = RAM_END + 0x1000, RAM_END + 0x4000
WITH_ERROR_CODE = 8, 10, 11, 12, 13, 14, 17
OWN_WORDS = "irq_enabled", "blocked_interrupts", "irq_pending", "cr2", "syscall_vec", "noirq_start", "kernel_address"
CALL = b"\xcd\x1f"
INVLPG, RELOAD_CR3 = b"\x0f\x01\x3d", b"\x0f\x20\xd8\x0f\x22\xd8"


def any_program(r: Random) -> int:
    """Where some code for ring 3 is."""
    return PLACES["USER_SLOTS"] + r.randrange(SLOTS_BYTES // SLOT) * SLOT


def to_user(r: Random) -> bytes:
    """Down to ring 3 by the proper way, of one personality or the other."""
    code, data = r.choice(((0x23, 0x2B), (0x73, 0x7B)))
    flags = r.choice((0x202, 0x302, 2, any_flags(r)))
    return push(data, PLACES["USER_STACK"], flags, code, any_program(r)) + b"\xcf"


# --- what an unmodified kernel does in ring 1 -------------------------------------------------------------------------


def control(r: Random) -> bytes:
    """Control, debug and model-specific registers."""
    cr0 = r.choice((0x80010033, 0x80000033, 0x8001003B, 0x80050033, 0x33, 0x80010037, 0x80000000, r.getrandbits(32)))
    cr3 = r.choice((DIRECTORY, DIRECTORY, SECOND, THIRD, LARGE, DIRECTORY + 0x18))
    if rare(r, 0.02):
        cr3 = r.randrange(RAM_END)
    cr4 = r.choice((0x10, 0x10, 0x90, 0, 0x6D0, 0x20, 0x800, r.getrandbits(11)))
    number = r.choice((0x10, 0x1B, 0x174, 0x1A0, 0xC0000080, any_value(r)))
    return r.choice(
        (
            mov(EAX, cr0) + b"\x0f\x22\xc0",
            mov(EAX, cr3) + b"\x0f\x22\xd8",
            mov(EAX, cr4) + b"\x0f\x22\xe0",
            b"\x0f\x06",
            mov(EAX, any_value(r)) + b"\x0f\x01\xf0",
            mov(EAX, any_value(r)) + bytes([0x0F, r.choice((0x21, 0x23, 0x20)), 0xC0 + r.randrange(64)]),
            INVLPG + le32(any_address(r)),
            mov(ECX, number) + r.choice((b"\x0f\x30", b"\x0f\x32")),
        )
    )


def table_register(r: Random) -> bytes:
    """lgdt and lidt; the handler of some later trap mends it."""
    base, limit = r.choice((GDT, IDT)), r.choice((0xFF, 0x7FF, 0xFFFF))
    if rare(r, 0.02):
        base, limit = r.choice((GDT + 8, any_address(r), 0xFFFF0000)), r.choice((0x27, 0, 7, r.getrandbits(16)))
    load = b"\x0f\x01\x1d" if base == IDT else b"\x0f\x01\x15"
    return two_words(POINTER, limit << 16 | base << 32) + load + le32(POINTER + 2)


def descriptors(r: Random) -> bytes:
    """Changes of the tables by plain stores, and their use."""
    number = r.randrange(8 if r.random() < 0.95 else 0, 32)
    handler = r.choice((STUBS + 16 * r.randrange(256), STUBS + 16 * 0x80, any_address(r)))
    kind = r.choice((0xEE, 0xEE, 0x8E, 0xEF, 0xE5, r.randrange(256)))
    leads = gate(handler, r.choice((0x10, 0x10, any_selector(r))), kind)
    vector = r.choice((0x80, 0x80, 3, r.randrange(0x21, 256), r.randrange(256) if rare(r, 0.1) else 4))
    task = mov(EAX, r.choice((0x38, 0x40, 0x30, any_selector(r))))
    lldt, ltr = task + b"\x0f\x00\xd0", task + b"\x0f\x00\xd8"
    use = bytes([0x8E, r.choice((0xC0, 0xD0, 0xE0, 0xE8))])
    top = r.choice((PLACES["STACK"], L.SWITCHER_STACK_PAGE + r.randrange(0x1004), GDT + 0x100, any_address(r)))
    return r.choice(
        (
            two_words(GDT + 8 * number, any_descriptor(r)),
            two_words(GDT + 8 * number, any_descriptor(r)) + mov(EAX, 8 * number) + use,
            two_words(LDT + 8 * number, any_descriptor(r)) + lldt,
            lldt + mov(EAX, 8 * number + 4 + r.randrange(4)) + use,
            ltr,
            two_words(IDT + 8 * vector, leads) + b"\xcd" + bytes([vector]),
            two_words(IDT + 8 * 0x80, leads) + to_user(r),
            store(r.choice((TSS, TSS_BESIDE_GDT)) + 4, top) + to_user(r),
            store(TSS + 8, r.choice((0x18, any_selector(r)))) + to_user(r),
            mov(EDI, GDT + r.randrange(0x100)) + mov(ESI, SCRATCH) + mov(ECX, r.randrange(40)) + b"\xf3\xa5",
            mov(ESP, GDT + r.randrange(0x100)) + b"\x60",
        )
    )


def page_tables(r: Random) -> bytes:
    """Changes of page tables, said or left unsaid."""
    table = r.choice((DIRECTORY + 0x1000, DIRECTORY + 0x2000, SECOND, SECOND + 0x1000, THIRD, LARGE, DIRECTORY))
    index = r.randrange(8 if table == DIRECTORY else 0x1A0 if table <= DIRECTORY + 0x2000 else 0, 1024)
    frame = r.choice((r.randrange(RAM_END), r.randrange(RAM_END), DIRECTORY + r.randrange(0x8000), GDT, any_address(r)))
    kind = r.choice((0x67, 0x67, 7, 3, 0x63, 0x65, 0x61, 0x167, 0xE7, 0, r.getrandbits(12)))
    large = r.choice((0, 0x80)) if table in (DIRECTORY, SECOND, THIRD, LARGE) else 0
    said = r.choice((b"", INVLPG + le32(index << 12), RELOAD_CR3))
    used = r.choice((b"", b"\xa1" + le32(index << 12), store(index << 12, any_value(r))))
    return store(table + 4 * index, frame & ~0xFFF | kind | large) + said + used


def sti(r: Random) -> bytes:
    """And sometimes hlt."""
    return b"\xfb\xf4" if r.random() < 0.2 else b"\xfb"


NATIVE_RING_1: tuple[Maker, ...] = (
    *(*ANYWHERE, far_call, *(control,) * 3, table_register, *(descriptors,) * 6, *(page_tables,) * 3, *(ports,) * 2),
    *(*(to_user,) * 4, sti),
)


# --- what a kernel that knows its Host does in ring 1 -----------------------------------------------------------------


def near(r: Random, *good: int) -> int:
    """One of the good values, but for once in a while."""
    return any_value(r) if rare(r, ONCE_IN_A_WHILE) else r.choice(good)


def arguments(r: Random) -> tuple[int, int, int, int]:
    """A hypercall's number and arguments."""
    directory = near(r, DIRECTORY, DIRECTORY, SECOND, THIRD)
    mapped = near(r, *(page << 12 for page in range(0x1A0, 0xB00, 7)))
    frame = 0x67 | r.randrange(RAM_END) & ~0xFFF
    high, low = divmod(any_descriptor(r) | near(r, DESCRIPTOR_S), 1 << 32)
    kind = near(r, 0xEE, 0xEF, 0x8E, 0x8F, 0xEF, 0x0E)
    leads = gate(STUBS + 16 * r.randrange(256), any_selector(r), kind)
    stack_segment = near(r, 0x69) if r.random() < 0.98 else any_selector(r) & ~3 | 1
    stack = near(r, PLACES["STACK"], PLACES["STACK"] - 0x800, SCRATCH + 0x8000)
    return r.choice(
        (
            (L.LHCALL_FLUSH_ASYNC, any_value(r), any_value(r), any_value(r)),
            (L.LHCALL_NEW_PGTABLE, directory, 0, 0),
            (L.LHCALL_FLUSH_TLB, r.randrange(2), 0, 0),
            (L.LHCALL_SET_PTE, directory, mapped, near(r, 0, frame, 7)),
            (L.LHCALL_SET_PTE, directory, near(r, L.SWITCHER_BASE, 0xC0000000), near(r, 0, 2, 6)),
            (L.LHCALL_SET_PGD, directory, near(r, *range(1024)), 0),
            (L.LHCALL_LOAD_IDT_ENTRY, near(r, 0x80, 3, 4, 0x80, r.randrange(256)), leads & 0xFFFFFFFF, leads >> 32),
            (L.LHCALL_LOAD_GDT_ENTRY, near(r, 6, 7, 8, 10, 11, 16, *range(17, 32)), low, high),
            (L.LHCALL_LOAD_TLS, near(r, *range(SCRATCH, SCRATCH + 0x1000, 8)), 0, 0),
            (L.LHCALL_SET_STACK, stack_segment, stack, near(r, 1, 2)),
            (L.LHCALL_TS, r.randrange(2), 0, 0),
            (L.LHCALL_SET_CLOCKEVENT, near(r, 1, 1000, 100000, 1000000), 0, 0),
            (L.LHCALL_SEND_INTERRUPTS, 0, 0, 0),
            (L.LHCALL_NOTIFY, near(r, *QUEUES, QUEUES[1], RAM_END, SCRATCH), 0, 0),
        )
    )


def call(r: Random) -> bytes:
    """A hypercall, mostly one that exists."""
    number, first, second, third = arguments(r)
    if rare(r, ONCE_IN_A_WHILE):
        number = r.randrange(0x20)
    return mov(EAX, number) + mov(EBX, first) + mov(ECX, second) + mov(EDX, third) + CALL


def sleep(r: Random) -> bytes:
    """Until its clock wakes it."""
    clock = mov(EAX, L.LHCALL_SET_CLOCKEVENT) + mov(EBX, r.choice((1, 1000, 100000))) + CALL
    return clock + mov(EAX, L.LHCALL_HALT) + CALL


def asynchronous(r: Random) -> bytes:
    """An entry of the ring, and its status byte; the next call finds it."""
    slot = r.randrange(64)
    at = DATA + L.LGUEST_DATA.fields["hcalls"][0] + slot * L.HYPERCALL_ENTRY.size
    status = DATA + L.LGUEST_DATA.fields["hcall_status"][0] + slot
    ready = b"\xc6\x05" + le32(status) + bytes([r.choice((0, 0, L.HCALL_FREE))])
    return b"".join(store(at + 4 * n, each) for n, each in enumerate(arguments(r))) + ready


def own_data(r: Random) -> bytes:
    """Its words in lguest_data."""
    name = r.choice(OWN_WORDS)
    new = r.choice((0, 0x200, 0x200, 0x200)) if name.startswith("irq_") else near(r, 0, 0xFFFFFFFE)
    return store(DATA + L.LGUEST_DATA.fields[name][0], new)


def virtqueue(r: Random) -> bytes:
    """Descriptors and available entries for the Launcher's devices, good and bad."""
    queue, number = r.choice(QUEUES), r.randrange(4)
    at, index = queue + 16 * number, queue + 0x1002
    kick = mov(EAX, L.LHCALL_NOTIFY) + mov(EBX, queue) + CALL
    linked = near(r, 0, 1 | (number + 1) << 16, 2, 1 | r.randrange(5) << 16, 4)
    link = store(at + 12, linked if r.random() < 0.05 else 2 if queue == QUEUES[0] else 0)
    filled = store(at, near(r, SCRATCH, RAM_END - 16, DATA)) + store(at + 8, near(r, 1, 16, 4096))
    status = b"\xc6\x05" + le32(RAM_END + 4) + bytes([r.choice((0, 1, 3, 7, 0x80))])
    return r.choice(
        (
            filled + link,
            filled + link,
            filled + store(index + 2, number) + b"\x66\xff\x05" + le32(index) + kick,
            filled + store(index + 2 + 4 * r.randrange(128), near(r, number, number | number << 16)),
            store(index - 2, near(r, 1 << 16, 0, 1)) + kick,
            store(at + 4, near(r, 0)),
            kick,
            status + mov(EAX, L.LHCALL_NOTIFY) + mov(EBX, RAM_END) + CALL,
        )
    )


def told_tables(r: Random) -> bytes:
    """A change of a page table, and mostly the call that tells."""
    index = r.randrange(0x1A0, 0x400)
    new = r.choice((r.randrange(RAM_END) & ~0xFFF | r.choice((0x67, 7, 0x61, 0x63, 3, 0x167)), 0))
    told = mov(EAX, L.LHCALL_SET_PTE) + mov(EBX, DIRECTORY) + mov(ECX, index << 12) + mov(EDX, new) + CALL
    return store(DIRECTORY + 0x1000 + 4 * index, new) + r.choice((told, told, b"")) + b"\xa1" + le32(index << 12)


LGUEST_RING_1: tuple[Maker, ...] = (
    *(*ANYWHERE, far_call, own_data, sleep),
    *(*(call,) * 12, *(asynchronous,) * 4, *(virtqueue,) * 4, *(told_tables,) * 3, *(to_user,) * 4),
)


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


def sane_slots(r: Random, personality: Personality) -> bytes:
    """A kernel that does nothing but start programs."""
    code, data = (0x23, 0x2B) if personality == "native" else (0x73, 0x7B)
    made = bytearray()
    while len(made) < SLOTS_BYTES:
        flags = r.choice((0x202, 0x202, 0x302))
        made += (push(data, PLACES["USER_STACK"], flags, code, any_program(r)) + b"\xcf").ljust(SLOT, b"\x90")
    return bytes(made)


def guest_code(
    r: Random, personality: Personality, sane: bool, ring_1: tuple[Maker, ...] | None = None
) -> dict[int, bytes]:
    """The code, and the words of hostile.S, by address; ``sane``: only its programs are random."""
    first = PLACES["SLOTS"]
    ring_1 = ring_1 or (NATIVE_RING_1 if personality == "native" else LGUEST_RING_1)
    return {
        first: sane_slots(r, personality) if sane else slots(r, ring_1),
        PLACES["USER_SLOTS"]: slots(r, ANYWHERE if sane else (*ANYWHERE, far_call)),
        PLACES["BUDGET"]: struct.pack("<IIII", r.choice((1000, 5000, 20000)), first, r.choice((0, 0, 1, 7)), 1),
        SCRATCH: struct.pack("<1024Q", *(any_descriptor(r) | DESCRIPTOR_S for _ in range(1024))),
    }


def directory(links: list[int]) -> bytes:
    """A page directory that maps the same from 0 and from 3 GiB."""
    rows = [0] * 1024
    rows[: len(links)] = rows[768 : 768 + len(links)] = links
    return struct.pack("<1024I", *rows)


def for_programs(frame: int) -> bool:
    """Is this page one of theirs?"""
    code, stack = PLACES["USER_SLOTS"], PLACES["USER_STACK"]
    own = (code, SLOTS_BYTES), (stack - 0x4000, 0x4000), (SCRATCH, 0x10000), (POINTER, 0x1000), (BARS, BARS_BYTES)
    return any(start <= frame << 12 < start + size for start, size in own)


def guest_tables(r: Random, personality: Personality, sane: bool) -> dict[int, bytes]:
    """GDT, IDT, page tables, what is kept of them, and lguest_data, by address; ``sane``: safe from its programs."""
    tss = TSS_BESIDE_GDT if r.random() < 0.1 else TSS
    ports = 0xFFFF if sane else 0  # the I/O bitmap: a program that masks the timer could loop for ever
    stacks = struct.pack("<IIH92xH", 0, PLACES["STACK"], 0x18, ports)
    gdt = [0, 0, flat(0x9B), flat(0x93), flat(0xFB), flat(0xF3)]
    gdt += [0x67 | tss << 16 | 0x89 << 40, 0xFF | LDT << 16 | 0x82 << 40]
    gdt += [r.choice((flat(0xF3), flat(0xFB), flat(0x93), 0)) if sane else any_descriptor(r) for _ in range(24)]
    page = (struct.pack("<32Q", *gdt).ljust(TSS_BESIDE_GDT - GDT, b"\0") + stacks).ljust(0x1000, b"\0")
    code = 0x10 if personality == "native" else L.GUEST_CS
    gates = [gate(STUBS + 16 * vector, code, r.choice((0xEE, 0xEE, 0x8E, 0xEF))) for vector in range(256)]
    for vector in WITH_ERROR_CODE:  # an int to these lacks it, and what comes then is short
        gates[vector] = gate(STUBS + 16 * vector, code, 0xEE if r.random() < 0.02 else 0x8E)
    for vector in range(256) if sane else ():
        kind = 0xEE if vector in (3, 4, 0x80) else 0x8E
        gates[vector] = gate(STUBS + 16 * vector, code, kind)
    idt = struct.pack("<256Q", *gates)
    used = r.choice((0x67, 7))
    frames = range(BARS + BARS_BYTES * (personality == "native") >> 12)  # lguest: up to the device pages' end
    tables = b"".join(le32(frame << 12 | (used if not sane or for_programs(frame) else used & ~4)) for frame in frames)
    tables = tables.ljust(TABLES * 0x1000, b"\0")
    links = [DIRECTORY + 0x1000 * (1 + number) | 0x67 for number in range(TABLES)]
    second = b"".join(le32(frame << 12 | r.choice((0x67, 0x67, 7, 0x65))) for frame in range(1024))
    data = bytearray(L.LGUEST_DATA.size)
    status = L.LGUEST_DATA.fields["hcall_status"][0]
    data[status : status + L.HCALL_RING] = bytes([L.HCALL_FREE]) * L.HCALL_RING
    # Where it says that its memory begins: there, where nothing is, or where it is another part of its memory.
    seen = r.choice((0xC0000000, 0xC0000000, 0x80000000, 0x400000, 0xFF000000))
    for name, value in (("kernel_address", seen), ("syscall_vec", 0x80)):
        struct.pack_into("<I", data, L.LGUEST_DATA.fields[name][0], value)
    return {
        GDT: page,
        IDT: idt,
        TSS: stacks,
        LDT: struct.pack("<32Q", *(any_descriptor(r) for _ in range(32))),
        PLACES["KEPT"]: page + idt + directory(links) + tables,
        DATA: bytes(data),
        DIRECTORY: directory(links) + tables,
        SECOND: directory([SECOND + 0x1000 | 0x67, *links[1:]]) + second,
        THIRD: directory(links),
        LARGE: directory([0xE7, 0x4000E7, 0x8000E7]),
    }
