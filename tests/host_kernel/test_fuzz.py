# SPDX-License-Identifier: GPL-2.0-or-later
"""Random Guests that live long: no step of theirs harms the Host, and no shadow table allows what it may not.

50,000 steps each day, 1,000,000 with --nightly (--engines=tcg); what was counted is printed.  A failure is made small.
To run one again: tests/lab/fuzz/fuzz_lab.py, fuzz(engine, variant, seed, steps).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random

import pytest
from fuzz_code import SLOTS, Batch, Variant, batch
from fuzz_lab import LOOK, Fed, batches, fuzz, live
from hostile_code import PLACES, SCRATCH, SLOT, Patient, store
from hostile_lab import symbols, word
from shadow_model import Shadow
from shadow_walk import protected, too_much, writable_though_protected
from shrink import fewest, smallest

from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import PAGE

VARIANTS = pytest.mark.parametrize("variant", ["lguest", "native", "pae"])
DAILY, NIGHTLY, KVM = 17_000, 48_000, 2_000  # steps: three times, 21 times, three times
MARK = SCRATCH + 0xF000


def check(engine_name: str, variant: Variant, seed: int, steps: int, capsys: pytest.CaptureFixture[str]) -> None:
    count, given, switcher = fuzz(engine_name, variant, seed, steps)
    with capsys.disabled():
        print("\n" + count.text(f"fuzz {variant}, seed {seed}, {engine_name}"))
    if count.failures:
        small = smallest(engine_name, variant, seed, given, switcher, runs=30)
        shown = "\n".join(
            f"  batch {n}, ring {ring}, slot {slot}: {code.hex()}" for (n, ring, slot), code in small[:40]
        )
        pytest.fail(
            f"{count.failures[:5]}\n{len(small)} slots of {len(given)} batches still do it:\n{shown}", pytrace=False
        )
    assert count.steps >= steps
    assert count.tables > 30, "it is no test of what it is meant to test"
    assert count.writes > steps // 1000, "no device writes into page tables"


@pytest.mark.nightly("kvm")
@VARIANTS
def test_no_step_of_a_random_guest_harms_the_host(
    engine_name: str, variant: Variant, capsys: pytest.CaptureFixture[str]
) -> None:
    check(engine_name, variant, 1, DAILY if engine_name == "tcg" else KVM, capsys)


@pytest.mark.nightly
@VARIANTS
@pytest.mark.parametrize("seed", range(100, 107))
@pytest.mark.timeout(3000)
def test_no_step_of_many_random_guests_harms_the_host(
    engine_name: str, variant: Variant, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    check(engine_name, variant, seed, NIGHTLY if engine_name == "tcg" else KVM, capsys)


# --- the test itself --------------------------------------------------------------------------------------------------


@VARIANTS
def test_the_same_seed_makes_the_same_guest(variant: Variant) -> None:
    first, second = batches(variant, 7), batches(variant, 7)
    assert [next(first).data() for _ in range(2)] == [next(second).data() for _ in range(2)]
    assert next(batches(variant, 8)) != next(batches(variant, 7))


@pytest.mark.nightly("kvm")
@VARIANTS
def test_too_much_in_a_shadow_is_seen(engine_name: str, variant: Variant) -> None:
    """Another frame, a page that is the Host's, a permission more, and one that write-protection took."""
    seen: dict[str, list[str]] = {}

    def spoil(fed: Fed) -> None:
        pae, size = fed.pae, 8 if fed.pae else 4
        shadow = Shadow.read(fed.memory, pae)
        links = Shadow.read(fed.memory, pae)
        pool = word(fed.memory, symbols(pae)["pool"])
        table, index = next(
            (page, index)
            for page, each in links.pages.items()
            if page not in shadow.directories and page not in shadow.free
            for index, entry in enumerate(each.entries)
            if entry & 1 and entry & ~0xFFF == fed.guest.start + (index << 12) and index > 0x150
        )
        entry = shadow.pages[table].entries[index]
        assert not too_much(fed.memory, shadow, fed.guest, pae)
        there = pool + PAGE * table + size * index
        for name, value in (("frame", entry ^ 0x1000), ("host", entry & 0xFFF | 0x100000), ("more", 2 | entry)):
            memory = memoryview(bytearray(fed.memory))
            memory[there : there + 4] = struct.pack("<I", value)
            if name == "more":  # the Guest's entry is made to allow less
                at = fed.guest.start + 0x200000 + (0x2000 if pae else 0x1000) + size * index
                memory[at : at + 4] = struct.pack("<I", word(memory, at) & ~2)
            seen[name] = too_much(memory, Shadow.read(memory, pae), fed.guest, pae)
        for frame in protected(fed.memory, pae):
            memory = memoryview(bytearray(fed.memory))
            memory[there : there + 4] = struct.pack("<I", fed.guest.start + frame * PAGE | 0x67)
            seen["protected"] = writable_though_protected(memory, Shadow.read(memory, pae), fed.guest, pae)

    live(engine_name, variant, 1, iter([]), hook=spoil)
    assert seen.keys() >= {"frame", "host", "more"}
    assert ("protected" in seen) == (variant != "lguest")
    assert all(seen.values()), seen


def test_shrinking_finds_the_few_that_are_needed() -> None:
    def fails(items: Sequence[int]) -> bool:
        return {3, 77, 500} <= set(items)

    assert sorted(fewest(range(1000), fails)) == [3, 77, 500]
    assert len(fewest(range(1000), fails, runs=5)) < 1000
    assert fewest([1], lambda items: True) == [1]


@pytest.mark.nightly
def test_a_guest_that_does_harm_is_made_small(engine_name: str) -> None:
    """Harm that one slot does: the hook does it for a Guest that has the slot, run or not, so each try is the same."""

    def harm(fed: Fed) -> None:
        there = fed.guest.start + PLACES["SLOTS"] + 321 * SLOT
        if wrong in bytes(fed.memory[there : there + SLOT]):
            at = symbols(fed.pae)["host_main"]
            fed.memory[at : at + 4] = b"\xcc" * 4

    quiet = [b"\x90\x90"] * (SLOTS - 1)
    wrong = store(MARK, 0xBAD)
    quiet[321] = wrong
    given = [Batch(tuple(quiet), (), LOOK)]
    assert not live(engine_name, "lguest", 1, iter([batch(Patient(1), "lguest", LOOK)])).failures
    found = smallest(engine_name, "lguest", 1, given, hook=harm, runs=60)
    assert found == [((0, 1, 321), wrong)]


def test_a_guest_without_a_batch_powers_off(engine_name: str) -> None:
    life = live(engine_name, "lguest", Random(1).randrange(100), iter([]))
    assert not life.failures
    assert life.run.result.outcome.end is End.POWERED_OFF
