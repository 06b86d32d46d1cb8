# SPDX-License-Identifier: GPL-2.0-or-later
"""No Guest, whatever it does, makes the Host kernel fail, leaves its own memory or hangs the Launcher.

Random Guests by seed (hostile_guest.py), and by hand those that once got through.  Read next: hostile_lab.py.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hostile_code import (
    EAX,
    EBX,
    GDT,
    IDT,
    PLACES,
    TSS_BESIDE_GDT,
    gate,
    le32,
    mov,
    push,
    store,
    two_words,
)
from hostile_lab import (
    LONG,
    PERSONALITIES,
    SECONDS,
    Run,
    Watched,
    harmless,
    image_of,
    offences,
    run,
    run_image,
    symbols,
    word,
)
from told_lab import to_program

from lguest_py.images.image import Personality
from lguest_py.launcher.result import End
from lguest_py.shared_memory import _layouts as L

SEEDS, GROUP = range(8), 20
LOW = 0x50000  # where virtual-8086 code may be


def survived(done: Run) -> None:
    """What QEMU lets ring 3 do to get to virtual-8086 mode, a CPU would not; all else is for the kernel's handlers."""
    outcome = done.result.outcome
    assert not done.failures
    assert outcome.end is End.POWERED_OFF or "virtual-8086" in outcome.reason, outcome


@PERSONALITIES
@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_guest_does_no_harm(engine_name: str, personality: Personality, seed: int) -> None:
    assert not run(engine_name, personality, seed, SECONDS).failures


@PERSONALITIES
@pytest.mark.parametrize("seed", SEEDS[:4])
def test_a_random_program_does_not_kill_its_kernel(engine_name: str, personality: Personality, seed: int) -> None:
    survived(run(engine_name, personality, seed, LONG, sane=True))


@pytest.mark.nightly
@PERSONALITIES
@pytest.mark.parametrize("first", range(len(SEEDS), len(SEEDS) + 5 * GROUP, GROUP))
def test_many_random_programs_do_not_kill_their_kernel(engine_name: str, personality: Personality, first: int) -> None:
    for seed in range(first, first + GROUP):
        survived(run(engine_name, personality, seed, LONG, sane=True))


@pytest.mark.nightly
@PERSONALITIES
@pytest.mark.parametrize("first", range(len(SEEDS), len(SEEDS) + 10 * GROUP, GROUP))
def test_many_random_guests_do_no_harm(engine_name: str, personality: Personality, first: int) -> None:
    failures = {seed: run(engine_name, personality, seed, SECONDS).failures for seed in range(first, first + GROUP)}
    assert not {seed: found for seed, found in failures.items() if found}


def liveliness(engine_name: str, personality: Personality, seconds: float) -> tuple[bool, bool, bool]:
    """Do random Guests reach ring 3, make many world switches, and many kinds of traps?"""
    runs = [run(engine_name, personality, seed, seconds).result.snapshot for seed in SEEDS]
    start = 0 if personality == "native" else 270  # its calls before anything random
    many = max(each.switches for each in runs) > start + 100
    return any(3 in each.rings for each in runs), many, len({vector for each in runs for vector in each.by_vector}) > 5


@PERSONALITIES
def test_random_guests_live_and_reach_their_programs(engine_name: str, personality: Personality) -> None:
    found = liveliness(engine_name, personality, SECONDS)
    assert all(found) or all(liveliness(engine_name, personality, 20 * SECONDS)), found  # on a busy machine


# --- Guests that once got through -------------------------------------------------------------------------------------


@pytest.mark.parametrize("selector", [L.HOST_CS, L.HOST_CS | 1, L.HOST_CS | 3])
def test_a_system_call_gate_into_ring_0_is_not_direct(engine_name: str, selector: int) -> None:
    """The Guest dies of it; in ring 0 its handler would stop the CPU."""
    handler = PLACES["USER_SLOTS"] + 2
    code = two_words(IDT + 8 * 0x80, gate(handler, selector, 0xEE)) + to_program()
    done = harmless(run_image(engine_name, image_of("native", code, b"\xcd\x80\xfa\xf4")))
    assert done.result.outcome.end is End.KILLED
    assert done.result.snapshot.rings == (1, 3)


@pytest.mark.parametrize("opcode", [b"\x8e\xd8", b"\x8e\xc0", b"\x8e\xe0", b"\x8e\xe8"], ids=["ds", "es", "fs", "gs"])
@pytest.mark.parametrize(("personality", "selector"), [("native", 0x23), ("lguest", 0x73)])
def test_a_program_may_read_its_code_by_any_segment(
    engine_name: str, personality: Personality, selector: int, opcode: bytes
) -> None:
    """Its kernel then runs with that selector, though this code is there for programs only."""
    code, data = selector, selector + 8
    kernel = store(PLACES["BUDGET"], 1) + push(data, PLACES["USER_STACK"], 2, code, PLACES["USER_SLOTS"]) + b"\xcf"
    done = harmless(run_image(engine_name, image_of(personality, kernel, mov(EAX, selector) + opcode + b"\x0f\x0b")))
    assert (done.result.outcome.end, done.result.snapshot.rings) == (End.POWERED_OFF, (1, 3)), done.result.outcome


@pytest.mark.parametrize(
    ("kind", "end"),
    [(0xEE, b"\xfa\xcf"), (0xEE, b"\xfb\xcf"), (0xEF, b"\xcf"), (0xEF, b"\xfa\xcf")],
    ids=["interrupt-gate-cli", "interrupt-gate-sti", "trap-gate", "trap-gate-cli"],
)
def test_interrupts_still_reach_a_program_after_its_system_call(engine_name: str, kind: int, end: bytes) -> None:
    """Whether it went direct or not: the clock ends its endless loop, let in by the handler's end at the earliest."""
    open_interrupts = b"\x81\x4c\x24\x08" + le32(0x200)  # in the frame
    handler = b"\x36" + store(PLACES["BUDGET"], 1) + open_interrupts + end
    leads = two_words(IDT + 8 * 0x80, gate(PLACES["SLOTS"] + 2, 0x10, kind))
    mapped = store(PLACES["BUDGET"], 1000)  # no fault comes between the call and its end
    code = b"\xeb" + bytes([len(handler)]) + handler + leads + mapped + to_program()
    done = harmless(run_image(engine_name, image_of("native", code, b"\xcd\x80")))
    assert (done.result.outcome.end, done.result.snapshot.rings) == (End.POWERED_OFF, (1, 3))


@PERSONALITIES
@pytest.mark.parametrize("flags", [0x20202, 0x23202, 0x60302])
def test_no_way_into_virtual_8086_mode_reaches_the_host(engine_name: str, personality: Personality, flags: int) -> None:
    """QEMU lets ring 1 go there by iret; what comes then is not a frame as others are."""
    frame = push(0, 0, 0, 0, 0, 0x8000, flags, LOW >> 4, 0) + b"\xcf"
    clock = mov(EAX, L.LHCALL_SET_CLOCKEVENT) + mov(EBX, 3000000) + b"\xcd\x1f" if personality == "lguest" else b""
    spin = store(LOW, 0xFEEB)  # the page is there then: no fault comes before the interrupt
    harmless(run_image(engine_name, image_of(personality, spin + clock + frame), seconds=SECONDS))


@pytest.mark.parametrize("place", [GDT + 8 * 20, TSS_BESIDE_GDT + 0x40, GDT + 0xFFE])
def test_stores_to_watched_pages_are_done(engine_name: str, place: int) -> None:
    """Also where the TSS lies in such a page, and where one store is to two of them."""
    tss = two_words(GDT + 8 * 8, 0x67 | TSS_BESIDE_GDT << 16 | 0x89 << 40) + mov(EAX, 8 * 8) + b"\x0f\x00\xd8"
    spin_unless_equal = b"\x74\x02\xeb\xfe"
    compare = b"\x81\x3d" + le32(place) + le32(0x12345679)
    code = tss + store(place, 0x12345678) + b"\xff\x05" + le32(place) + compare + spin_unless_equal
    done = harmless(run_image(engine_name, image_of("native", code)))
    assert done.result.outcome.end is End.POWERED_OFF


@PERSONALITIES
def test_a_guest_that_does_nothing_wrong_powers_off(engine_name: str, personality: Personality) -> None:
    assert harmless(run_image(engine_name, image_of(personality, b"\x90"))).result.outcome.end is End.POWERED_OFF


# --- page tables of PAE's form (hostile_pae.py) -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_guest_with_pae_does_no_harm(engine_name: str, seed: int) -> None:
    assert not run(engine_name, "native", seed, SECONDS, pae=True).failures


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_a_random_program_does_not_kill_its_kernel_with_pae(engine_name: str, seed: int) -> None:
    done = run(engine_name, "native", seed, LONG, sane=True, pae=True)
    survived(done)
    assert done.result.pae


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(len(SEEDS), len(SEEDS) + 10 * GROUP, GROUP))
def test_many_random_guests_with_pae_do_no_harm(engine_name: str, first: int) -> None:
    seeds = range(first, first + GROUP)
    failures = {seed: run(engine_name, "native", seed, SECONDS, pae=True).failures for seed in seeds}
    assert not {seed: found for seed, found in failures.items() if found}


def test_random_guests_with_pae_live_and_reach_their_programs(engine_name: str) -> None:
    runs = [run(engine_name, "native", seed, SECONDS, pae=True).result.snapshot for seed in SEEDS]
    if not any(3 in each.rings and each.switches > 100 for each in runs):  # on a busy machine
        runs = [run(engine_name, "native", seed, 20 * SECONDS, pae=True).result.snapshot for seed in SEEDS]
    assert any(3 in each.rings for each in runs)
    assert max(each.switches for each in runs) > 100
    assert len({vector for each in runs for vector in each.by_vector}) > 5


def test_a_guest_with_pae_that_does_nothing_wrong_powers_off(engine_name: str) -> None:
    done = harmless(run_image(engine_name, image_of("native", b"\x90", pae=True)))
    assert (done.result.outcome.end, done.result.pae) == (End.POWERED_OFF, True)


# --- the canaries themselves ------------------------------------------------------------------------------------------


SPOILS: dict[str, Callable[[memoryview], tuple[int, int]]] = {  # an address, and a word for it
    "image changed": lambda memory: (symbols()["host_main"], 0x12345678),
    "struct machine": lambda memory: (L.MACHINE_ADDRESS + 4, 1),
    "nobody uses": lambda memory: (L.PCI_ADDRESS - 4, 1),
    "has DPL 0": lambda memory: (field("gdt") + 8 * 3 + 4, 0x00CF9300),
    "system one": lambda memory: (field("gdt_user") + 8 * 9 + 4, 0x0000EC00),
    "gate 64": lambda memory: (field("idt") + 8 * 0x40 + 4, 0x0010EE00),
    "the TSS": lambda memory: (field("guest_tss") + L.TSS.fields["esp0"][0], 0x1000),
    "host_cr3": lambda memory: (field("host_cr3"), 0x300000),
    "Switcher's region": lambda memory: (symbols()["guest_switcher_table"] + 8, symbols()["state_page"] | 3),
    "is mapped by": lambda memory: ((word(memory, word(memory, field("guest_cr3"))) & ~0xFFF) + 12, 0x100067),
    "directory entry 0x2": lambda memory: (word(memory, field("guest_cr3")) + 8, 0x100067),
}


def field(name: str) -> int:
    return symbols()["state_page"] + L.LGUEST_STATE.fields[name][0]


def test_what_must_not_change_is_seen_to_change(engine_name: str) -> None:
    seen: dict[str, list[str]] = {}

    class Spoiled(Watched):
        def close(self) -> None:
            if not self.closed:
                for what, spoil in SPOILS.items():
                    copy = memoryview(bytearray(self.memory))
                    address, value = spoil(copy)
                    copy[address : address + 4] = le32(value)
                    seen[what] = offences(copy, self.guest, self.machine)
            super().close()

    harmless(run_image(engine_name, image_of("native", b"\x90"), watched=Spoiled))
    assert seen.keys() == SPOILS.keys()
    assert not {what: found for what, found in seen.items() if not any(what in each for each in found)}
