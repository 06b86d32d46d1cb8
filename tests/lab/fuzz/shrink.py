# SPDX-License-Identifier: GPL-2.0-or-later
"""Make what a random Guest did small: the fewest slots with which it still does harm.

Zeller's ddmin, with a limit of runs, because a run takes seconds.  Read before: fuzz_lab.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from fuzz_code import Batch, Variant
from fuzz_lab import Hook, live

from lguest_py.launcher.vm_memory import Switcher

T = TypeVar("T")
RUNS = 100
Place = tuple[int, int, int]  # the batch, the ring and the slot


def fewest(items: Sequence[T], fails: Callable[[Sequence[T]], bool], runs: int = RUNS) -> list[T]:
    """Of ``items``, which fail, as few as are found to fail too."""
    kept, parts = list(items), 2
    while len(kept) > 1 and runs:
        size = -(-len(kept) // parts)
        for start in range(0, len(kept), size):
            tried = kept[:start] + kept[start + size :]
            runs -= 1
            if fails(tried):
                kept, parts = tried, max(parts - 1, 2)
                break
            if not runs:
                return kept
        else:
            if size == 1:
                return kept
            parts = min(2 * parts, len(kept))
    return kept


def places(batches: Sequence[Batch]) -> list[Place]:
    """All slots that do something."""
    return [
        (number, ring, slot)
        for number, each in enumerate(batches)
        for ring, slots in ((1, each.ring_1), (3, each.ring_3))
        for slot, piece in enumerate(slots)
        if piece
    ]


def only(batches: Sequence[Batch], kept: Sequence[Place]) -> list[Batch]:
    """The batches with these slots alone; those in between are empty, so that nothing moves."""
    those = set(kept)

    def left(number: int, ring: int, slots: Sequence[bytes]) -> tuple[bytes, ...]:
        return tuple(piece if (number, ring, slot) in those else b"" for slot, piece in enumerate(slots))

    return [
        replace(each, ring_1=left(number, 1, each.ring_1), ring_3=left(number, 3, each.ring_3))
        for number, each in enumerate(batches)
    ]


def smallest(
    engine_name: str,
    variant: Variant,
    seed: int,
    batches: Sequence[Batch],
    switcher: Switcher = "lean",
    hook: Hook | None = None,
    runs: int = RUNS,
) -> list[tuple[Place, bytes]]:
    """The slots that a Guest which did harm needs to do it, each with its code."""

    def fails(kept: Sequence[Place]) -> bool:
        return bool(live(engine_name, variant, seed, iter(only(batches, kept)), switcher, hook).failures)

    found = fewest(places(batches), fails, runs)
    return [
        (place, (batches[place[0]].ring_1 if place[1] == 1 else batches[place[0]].ring_3)[place[2]]) for place in found
    ]
