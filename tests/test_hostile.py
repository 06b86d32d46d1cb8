# SPDX-License-Identifier: GPL-2.0-or-later
"""No Guest, whatever it does, makes the Host kernel fail, leaves its own memory or hangs the Launcher.

Random Guests by seed (hostile_code.py), and by hand those that once got through.  Read next: hostile_lab.py.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hostile_code import (
    EAX,
    EBX,
    GDT,
    IDT,
    LGUEST,
    NATIVE,
    PLACES,
    TSS_BESIDE_GDT,
    gate,
    le32,
    mov,
    store,
    two_words,
)
from hostile_lab import Run, Watched, image_of, run, run_image, symbols, word

from lguest_py import _layouts as L
from lguest_py.result import End

PERSONALITIES = pytest.mark.parametrize("personality", [LGUEST, NATIVE])
GROUP = 20
LOW = 0x50000  # where virtual-8086 code may be


def to_ring_3() -> bytes:
    pushed = (0x2B, PLACES["USER_STACK"], 2, 0x23, PLACES["USER_SLOTS"])
    return b"".join(b"\x68" + le32(each) for each in pushed) + b"\xcf"


@PERSONALITIES
@pytest.mark.parametrize("seed", range(10))
def test_a_random_guest_does_no_harm(engine_name: str, personality: str, seed: int) -> None:
    assert not run(engine_name, personality, seed).failures


@pytest.mark.nightly
@PERSONALITIES
@pytest.mark.parametrize("first", range(10, 210, GROUP))
def test_many_random_guests_do_no_harm(engine_name: str, personality: str, first: int) -> None:
    failures = {seed: run(engine_name, personality, seed).failures for seed in range(first, first + GROUP)}
    assert not {seed: found for seed, found in failures.items() if found}


@PERSONALITIES
def test_random_guests_live_and_reach_their_programs(engine_name: str, personality: str) -> None:
    runs = [run(engine_name, personality, seed).result.snapshot for seed in range(1000, 1008)]
    assert any(3 in each.rings for each in runs)
    assert max(sum(each.by_vector.values()) for each in runs) > 300
    assert len({vector for each in runs for vector in each.by_vector}) > 5


# --- Guests that once got through -------------------------------------------------------------------------------------


def harmless(done: Run) -> Run:
    assert not done.failures
    return done


@pytest.mark.parametrize("selector", [L.HOST_CS, L.HOST_CS | 1, L.HOST_CS | 3])
def test_a_system_call_gate_into_ring_0_is_not_direct(engine_name: str, selector: int) -> None:
    """The Guest dies of it; in ring 0 its handler would stop the CPU."""
    handler = PLACES["USER_SLOTS"] + 2
    code = two_words(IDT + 8 * 0x80, gate(handler, selector, 0xEE)) + to_ring_3()
    done = harmless(run_image(engine_name, image_of(NATIVE, code, b"\xcd\x80\xfa\xf4")))
    assert done.result.outcome.end is End.KILLED
    assert done.result.snapshot.rings == (1, 3)


@PERSONALITIES
@pytest.mark.parametrize("flags", [0x20202, 0x20002, 0x23202, 0x60302])
def test_no_way_into_virtual_8086_mode_reaches_the_host(engine_name: str, personality: str, flags: int) -> None:
    """QEMU lets ring 1 go there by iret; what comes then is not a frame as others are."""
    frame = b"".join(b"\x68" + le32(each) for each in (0, 0, 0, 0, 0, 0x8000, flags, LOW >> 4, 0)) + b"\xcf"
    clock = mov(EAX, L.LHCALL_SET_CLOCKEVENT) + mov(EBX, 3000000) + b"\xcd\x1f" if personality == LGUEST else b""
    spin = store(LOW, 0xFEEB)  # the page is there then: no fault comes before the interrupt
    harmless(run_image(engine_name, image_of(personality, spin + clock + frame)))


@pytest.mark.parametrize("place", [GDT + 8 * 20, TSS_BESIDE_GDT + 0x40, GDT + 0xFFE])
def test_stores_to_watched_pages_are_done(engine_name: str, place: int) -> None:
    """Also where the TSS lies in such a page, and where one store is to two of them."""
    tss = two_words(GDT + 8 * 8, 0x67 | TSS_BESIDE_GDT << 16 | 0x89 << 40) + mov(EAX, 8 * 8) + b"\x0f\x00\xd8"
    spin_unless_equal = b"\x74\x02\xeb\xfe"
    compare = b"\x81\x3d" + le32(place) + le32(0x12345679)
    code = tss + store(place, 0x12345678) + b"\xff\x05" + le32(place) + compare + spin_unless_equal
    done = harmless(run_image(engine_name, image_of(NATIVE, code)))
    assert done.result.outcome.end is End.POWERED_OFF


@PERSONALITIES
def test_a_guest_that_does_nothing_wrong_powers_off(engine_name: str, personality: str) -> None:
    assert harmless(run_image(engine_name, image_of(personality, b"\x90"))).result.outcome.end is End.POWERED_OFF


# --- the canaries themselves ------------------------------------------------------------------------------------------


SPOILS: dict[str, Callable[[memoryview], tuple[int, int]]] = {  # an address, and a word for it
    "image changed": lambda memory: (symbols()["host_main"], 0x12345678),
    "struct machine": lambda memory: (L.MACHINE_ADDRESS + 4, 1),
    "nobody uses": lambda memory: (len(memory) - 4, 1),
    "has DPL 0": lambda memory: (field("gdt") + 8 * 3 + 4, 0x00CF9300),
    "system one": lambda memory: (field("gdt_user") + 8 * 9 + 4, 0x0000EC00),
    "gate 128": lambda memory: (field("idt") + 8 * 0x80, L.HOST_CS << 16),
    "the TSS": lambda memory: (field("guest_tss") + L.TSS.fields["esp0"][0], 0x1000),
    "host_cr3": lambda memory: (field("host_cr3"), 0x300000),
    "Switcher's region": lambda memory: (symbols()["guest_switcher_table"] + 8, symbols()["state_page"] | 3),
    "is mapped by": lambda memory: ((word(memory, word(memory, field("guest_cr3"))) & ~0xFFF) + 12, 0x100067),
    "directory entry 0x2": lambda memory: (word(memory, field("guest_cr3")) + 8, 0x100067),
}


def field(name: str) -> int:
    return symbols()["state_page"] + L.LGUEST_STATE.fields[name][0]


@pytest.mark.parametrize("what", SPOILS)
def test_what_must_not_change_is_seen_to_change(engine_name: str, what: str) -> None:
    class Spoiled(Watched):
        def close(self) -> None:
            if not self.closed:
                address, value = SPOILS[what](self.memory)
                self.memory[address : address + 4] = le32(value)
            super().close()

    done = run_image(engine_name, image_of(NATIVE, b"\x90"), watched=Spoiled)
    assert done.wrong
    assert any(what in each for each in done.wrong)
