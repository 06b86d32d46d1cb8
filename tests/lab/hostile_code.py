# SPDX-License-Identifier: GPL-2.0-or-later
"""What random Guests are made of: encodings, values that are nearly valid, and what code in any ring tries.

Nearly valid, because what is plainly wrong ends a Guest before it has done any harm.
Encodings: Intel SDM vol. 2; descriptors and gates: vol. 3, 3.4.5 and 6.11.  Read next: hostile_guest.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random

from lguest_py.shared_memory import _layouts as L

SLOT, SLOTS_BYTES = 64, 0x20000
PLACES = {  # Guest-physical, and virtual; hostile.S knows them too
    "SLOTS": 0x110000,
    "SLOTS_BYTES": SLOTS_BYTES,
    "USER_SLOTS": 0x130000,
    "BUDGET": 0x150000,  # four words of hostile.S
    "PROGRESS": 0x150004,
    "MENDS": 0x150008,
    "CLOCK": 0x15000C,  # lguest: does it run from the start?
    "STEPS": 0x150010,  # how many slots began, of a Guest that is given new ones (fuzz_lab.py)
    "WAITING": 0x150014,  # and what it waits for
    "BUFFER": 0x740000,  # where it finds them
    **{"WAIT_LOOK": 1, "WAIT_REFILL": 2, "WAIT_FINISH": 3, "WAIT_AGAIN": 4},
    "DATA": 0x151000,  # struct lguest_data
    "GDT": 0x180000,
    "IDT": 0x181000,
    "TSS": 0x183000,
    "KEPT": 0x184000,  # of GDT, IDT, the directory and its tables
    "STACK": 0x190000,
    "USER_STACK": 0x1A0000,
    "DIRECTORY": 0x200000,
}
GDT, IDT, TSS, DATA, DIRECTORY = (PLACES[name] for name in ("GDT", "IDT", "TSS", "DATA", "DIRECTORY"))
BARS, BARS_BYTES = 0x900000, 0x10000  # of PCI, above RAM_END
POINTER, LDT, SCRATCH, RAM_END = 0x152000, 0x182000, 0x300000, 8 << 20
TSS_BESIDE_GDT = GDT + 0x800
STUBS = 0x101000  # 256 ways into the handler, 16 bytes apart
LOOK = STUBS + 0x1000  # jump here: wait while the test looks (fuzz_lab.py)
SELECTORS = 0x10, 0x18, 0x23, 0x2B, 0x61, 0x69, 0x73, 0x7B, 0x50, 0x51, 0x58, 0x80, 0, 3
ACCESS = b"\x9b\x93\xfb\xf3\xfb\xf3\x9f\xdb\xd3\xb3\x97\x7b\x82\x89\x85\xec\xe5"
DESCRIPTOR_S = 1 << 44
PORTS = (
    *(0x20, 0x21, 0xA0, 0xA1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x70, 0x71, *range(0x3F8, 0x400), 0x3F8, 0x3F8),
    *(0x4D0, 0x4D1, 0x500, 0x501, 0xE9, 0x600, 0x602, 0x80, 0xFFFF),
    *(0xCF8, 0xCFC, 0xCFE),
)
ENDING_PORTS = 0x64, 0x604, 0xCF9
# sysenter, sysexit, syscall, sysret, vmcall, vmmcall, monitor, rsm, smsw, sldt, str, cpuid, rdtsc, rdpmc, clts, invd,
# wbinvd, a division by zero of the FPU's, emms, addps
ODD = """0f34 0f35 0f05 0f07 0f01c1 0f01d9 0f01c8 0faa 0f01e0 0f00c0 0f00c8 0fa2 0f31 0f33 0f06 0f08
0f09 dbe3d9eed9e8d8f19b 0f77 0f58c1"""
EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI = range(8)
DEBUG, NOT_PRESENT, GENERAL, PAGE_FAULT = 1, 11, 13, 14  # vectors
Maker = Callable[[Random], bytes]


class Patient(Random):
    """For Guests that are to live long."""


def rare(r: Random, chance: float) -> bool:
    """For what may end a Guest, or loop for long."""
    return r.random() < (chance / 50 if isinstance(r, Patient) else chance)


def le32(value: int) -> bytes:
    """Four bytes."""
    return struct.pack("<I", value & 0xFFFFFFFF)


def mov(register: int, value: int) -> bytes:
    """A register gets a value."""
    return bytes([0xB8 + register]) + le32(value)


def store(place: int, value: int) -> bytes:
    """A word of memory gets a value."""
    return b"\xc7\x05" + le32(place) + le32(value)


def two_words(place: int, both: int) -> bytes:
    """A descriptor or gate by plain stores."""
    return store(place, both) + store(place + 4, both >> 32)


def push(*values: int) -> bytes:
    """One after the other."""
    return b"".join(b"\x68" + le32(value) for value in values)


def gate(offset: int, selector: int, access: int) -> int:
    """An interrupt or trap gate, or one of another kind, by its access byte."""
    return offset & 0xFFFF | selector << 16 | access << 40 | offset >> 16 << 48


def flat(access: int) -> int:
    """A segment of 4 GiB from 0."""
    return 0x00CF00000000FFFF | access << 40


# --- values -----------------------------------------------------------------------------------------------------------


def any_address(r: Random) -> int:
    """Where something is, or nothing."""
    span: tuple[int, int] = r.choice(
        (
            (SCRATCH, 0x10000),
            (GDT, 0x1000),
            (IDT, 0x800),
            (PLACES["STACK"] - 0x1000, 0x1000),
            (DIRECTORY, 0x8000),
            (L.SWITCHER_BASE, L.SWITCHER_PAGES * 0x1000),
            (L.SWITCHER_BASE, 0x20000),
            (0, RAM_END),
            (0xC0000000, RAM_END),
            (RAM_END, 0x100000),
            (0, 1 << 32),
        )
    )
    if r.random() < 0.02:
        span = BARS, BARS_BYTES
    return span[0] + r.randrange(span[1])


def any_value(r: Random) -> int:
    """Any word."""
    return r.choice((0, 1, r.randrange(256), r.getrandbits(16), r.getrandbits(32), any_address(r), 0xFFFFFFFF))


def any_selector(r: Random) -> int:
    """Mostly one of those that exist."""
    number = r.randrange(32) << 3 | r.randrange(8)
    return r.choice((number, number, r.choice(SELECTORS), r.choice(SELECTORS), r.choice(SELECTORS), r.getrandbits(16)))


def any_descriptor(r: Random) -> int:
    """Of any kind, mostly flat and present."""
    access: int = r.choice((*ACCESS, r.randrange(256)))
    base: int = r.choice((0, 0, 0, LDT, TSS, any_address(r)))
    limit = r.choice((0xFFFFF, 0xFFFFF, 0xFFFFF, 0xFFF, 0x7F, r.getrandbits(20)))
    flags = r.choice((0xC, 0xC, 0xC, 4, 0, 8))
    low = limit & 0xFFFF | (base & 0xFFFFFF) << 16
    return low | access << 40 | limit >> 16 << 48 | flags << 52 | base >> 24 << 56


def any_flags(r: Random) -> int:
    """Every flag has its turn, but for virtual-8086 mode: nothing comes after it."""
    return r.choice((2, 0x202, 0x102, 0x302, 0x4002, 0x3002, 0x40002, 0x10002, 0x402, r.getrandbits(17)))


# --- what any ring tries ----------------------------------------------------------------------------------------------


def touch(r: Random) -> bytes:
    """Read, write, invlpg and cmpxchg, anywhere."""
    place = any_address(r)
    one = r.choice((b"\xa1", b"\xff\x05", b"\xa2", b"\x0f\x01\x3d", b"\xf0\x0f\xb1\x05"))
    return r.choice((store(place, any_value(r)), one + le32(place), one + le32(place)))


def soft_int(r: Random) -> bytes:
    """By all instructions that there are for it."""
    seldom = r.choice((L.HYPERCALL_VECTOR, 2, 8, 14)) if rare(r, 0.1) else 4
    called = b"\xcd" + bytes([r.choice((0x80, 0x80, 3, seldom, L.VECTOR_TIMER, 0x20, r.randrange(256)))])
    return r.choice((called, called, called, b"\xcc", b"\xce", b"\xf1", b"\x0f\x0b"))


def segments(r: Random) -> bytes:
    """Loads of segment registers, also just before an int, where the CPU holds traps back."""
    load = mov(EAX, any_selector(r)) + bytes([0x8E, r.choice((0xC0, 0xD0, 0xD8, 0xE0, 0xE8))])
    stack = r.choice((b"\x16", b"\x16", b"\x07", b"\x1f", b"\x17", b"\x0f\xa1", b"\x0f\xa9"))
    pointer = r.choice((b"\x0f\xb2", b"\x0f\xb4", b"\x0f\xb5", b"\xc5", b"\xc4")) + b"\x25" + le32(POINTER)
    asked = r.choice((b"\x0f\x02\xd8", b"\x0f\x03\xd8", b"\x0f\x00\xe0", b"\x0f\x00\xe8"))
    return r.choice(
        (
            load,
            load + soft_int(r),
            push(any_selector(r)) + stack + soft_int(r),
            push(any_flags(r) | 0x100) + b"\x9d\x16\x17" + soft_int(r),
            mov(EAX, any_selector(r)) + asked,
            two_words(POINTER, PLACES["STACK"] - 0x100 | any_selector(r) << 32) + pointer,
        )
    )


def flags(r: Random) -> bytes:
    """popf, and what then shows."""
    return push(any_flags(r)) + b"\x9d" + r.choice((b"", b"\x9c\x58", b"\xfb", b"\xfa", soft_int(r)))


def far(r: Random, direct: bytes = b"\xea") -> bytes:
    """Far jumps and returns."""
    slot = PLACES["SLOTS"] + r.randrange(SLOTS_BYTES // SLOT) * SLOT
    place = r.choice((slot, any_address(r)))
    frame = push(any_selector(r), any_address(r), any_flags(r), any_selector(r), place)
    return r.choice(
        (
            direct + le32(place) + le32(any_selector(r))[:2],
            push(any_selector(r), place) + r.choice((b"\xcb", b"\xca\x08\x00", b"\x66\xcb")),
            frame + r.choice((b"\xcf", b"\xcf", b"\x66\xcf")),
        )
    )


def far_call(r: Random) -> bytes:
    """QEMU lets it push where its ring may not write: nothing for programs that must not harm their kernel."""
    return far(r, b"\x9a")


def ports(r: Random) -> bytes:
    """In and out, one or very many."""
    port = r.choice(ENDING_PORTS if rare(r, 0.01) else PORTS)
    prefix = r.choice((b"", b"", b"\x66", b"\xf3", b"\xf2\x66", b"\x67\xf3", b"\x2e"))
    one = prefix + bytes([r.choice((0xEC, 0xED, 0xEE, 0xEF, 0x6C, 0x6D, 0x6E, 0x6F))])
    immediate = bytes([r.choice((0xE4, 0xE5, 0xE6, 0xE7)), r.choice((0x20, 0x21, 0x40, 0x43, 0x61, 0x70, 0x71, 0x80))])
    place = any_address(r)
    strings = mov(ECX, r.choice((0, 1, 100, 5000, 0xFFFFFFFF))) + mov(ESI, place) + mov(EDI, place)
    return r.choice((strings, b"")) + mov(EDX, port) + mov(EAX, any_value(r)) + r.choice((one, one, immediate))


def switcher(r: Random) -> bytes:
    """Into the Switcher's code, with a stack that it might believe."""
    place = L.SWITCHER_BASE + r.randrange(r.choice((0x100, 0x1000, 0x3000)))
    top = mov(ESP, any_address(r) if rare(r, 0.1) else SCRATCH + 0x8000)
    frame = push(any_selector(r), any_address(r))
    return r.choice((b"", b"", top, frame)) + mov(EAX, place) + r.choice((b"\xff\xe0", b"\xff\xd0"))


def stack(r: Random) -> bytes:
    """Pushes and pops, where tables are too."""
    near_top = PLACES["STACK"] - r.randrange(0x100)
    top = r.choice((near_top, SCRATCH + 0x8000, GDT + r.randrange(0x800), DIRECTORY + 0x1100))
    use = r.choice((b"\x50", b"\x58", b"\x60", b"\x61", b"\x9c", b"\x9d", b"\xc3", b"\xc8\x08\x00\x01"))
    return mov(ESP, any_address(r) if rare(r, 0.05) else top) + use


def odd(r: Random) -> bytes:
    """What should be refused, does nothing, or is no instruction at all."""
    if r.random() < 0.5:
        return bytes.fromhex(r.choice(ODD.split()))
    prefixes = bytes(r.choice(b"\x66\x67\xf0\xf2\xf3\x26\x64") for _ in range(r.choice((1, 5, 16))))
    return r.choice(
        (
            b"\xf4" if rare(r, 0.1) else b"\xfb",
            r.choice((b"\x0f\x01\x05", b"\x0f\x01\x0d", b"\x62\x05")) + le32(any_address(r)),
            r.choice((b"\x0f\xae\x05", b"\x0f\xae\x0d")) + le32(SCRATCH),
            b"\x0f\x20" + bytes([0xC0 + r.randrange(64)]),
            prefixes + r.randbytes(3),
            r.randbytes(8),
        )
    )


def registers(r: Random) -> bytes:
    """All but the stack pointer."""
    return b"".join(mov(r.choice((EAX, ECX, EDX, EBX, EBP, ESI, EDI)), any_value(r)) for _ in range(3))


ANYWHERE: tuple[Maker, ...] = (
    *(touch,) * 3,
    *(segments, flags, odd) * 2,
    *(soft_int, far, ports, switcher, stack, registers),
)
