# SPDX-License-Identifier: GPL-2.0-or-later
"""Page table entries of all kinds, in both forms of tables: the Guest faults where a CPU would, with its error code.

A small kernel (tests/lab/walks.S) tries random entries with all accesses; a model, written after the Intel SDM vol. 3,
4.3 to 4.8, says what must come of each.  Read next: host_kernel/memory/walk.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random

import pytest
from hostile_lab import LONG, Watched, run_image
from small_kernel import small_kernel

from lguest_py.engines.base import Engine
from lguest_py.images import Image, Segment
from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher

SOURCE = Path(__file__).resolve().parents[1] / "lab" / "walks.S"
TSS_AT = 0x140000
DIRECTORY, TEST_TABLE, CASES = 0x180000, 0x190000, 0x200000
TARGET, FRAME, LARGE_FRAME = 0x10200000, 0x600000, {True: 0x600000, False: 0x400000}
KEPT = 0xC0FFEE
P, RW, US, A, D, PS, NX = 1, 2, 4, 0x20, 0x40, 0x80, 1 << 63
READ, WRITE, FETCH, USER, WP, NXE = 0, 1, 2, 4, 8, 16
FAULT_P, FAULT_W, FAULT_US, FAULT_RESERVED, FAULT_FETCH = 1, 2, 4, 8, 16
NO_FAULT = 0xFFFFFFFF
WIDTH = 36  # of a physical address, where CPUID does not tell
CASE = struct.Struct("<QQ4I")


@dataclass(frozen=True)
class Case:
    """Two entries, and an access through them."""

    pde: int
    pte: int
    kind: int

    def packed(self) -> bytes:
        return CASE.pack(self.pde, self.pte, self.kind, 0, 0, 0)


def reserved(entry: int, kind: int, pae: bool) -> bool:
    """Whether a present entry has bits that must be clear."""
    if not pae:
        return False
    high = entry >> WIDTH & (1 << 63 - WIDTH) - 1
    return bool(high or (entry & NX and not kind & NXE))


def error_of(case: Case, pae: bool) -> int:
    """The error code of the page fault, or NO_FAULT."""
    access = case.kind & 3
    error = FAULT_W * (access == WRITE) | FAULT_US * bool(case.kind & USER)
    error |= FAULT_FETCH * (pae and access == FETCH and bool(case.kind & NXE))
    entries = [case.pde] if case.pde & PS else [case.pde, case.pte]
    for entry in entries:
        if not entry & P:
            return error
        large = pae and entry is case.pde and entry & PS and entry >> 13 & 0xFF
        if reserved(entry, case.kind, pae) or large:
            return error | FAULT_P | FAULT_RESERVED
    allowed = all(entry & US for entry in entries) or not case.kind & USER
    if access == WRITE and case.kind & (USER | WP):
        allowed = allowed and all(entry & RW for entry in entries)
    if access == FETCH and pae:
        allowed = allowed and not any(entry & NX for entry in entries)
    return NO_FAULT if allowed else error | FAULT_P


def beyond(case: Case) -> bool:
    """Whether the last entry names a frame from 4 GiB on, where no memory is."""
    return bool((case.pde if case.pde & PS else case.pte) >> 32 & 0xF)


def any_entry(r: Random, address: int, pae: bool, high: bool) -> int:
    """Mostly present; with PAE now and then with NX, with a reserved bit, or (``high``) beyond 4 GiB."""
    entry = address | r.choice((P, P, P, P, P, 0)) | r.choice((RW, RW, 0)) | r.choice((US, US, 0))
    entry |= r.choice((0, A, A | D)) | r.choice((0, 0x100, 0x18, 0xE00))
    if pae:
        entry |= NX * (r.random() < 0.3)
        entry |= (r.random() < 0.05) << r.randrange(WIDTH, 63)
        entry |= (high and r.random() < 0.05) << r.randrange(32, WIDTH)
    return entry


def any_case(r: Random, pae: bool) -> Case:
    kind = r.choice((READ, WRITE, FETCH)) | r.choice((0, USER)) | r.choice((0, WP)) | r.choice((0, NXE, NXE))
    if r.random() < 0.3:
        pde = any_entry(r, LARGE_FRAME[pae], pae, True) | PS
        pde |= (pae and r.random() < 0.1) << r.randrange(13, 21)
    else:
        pde = any_entry(r, TEST_TABLE, pae, False)
    case = Case(pde, any_entry(r, FRAME, pae, True), kind)
    return replace(case, kind=kind & ~3) if beyond(case) and kind & 3 == FETCH else case


def tables(pae: bool) -> dict[int, bytes]:
    """What the kernel stands on: 8 MiB mapped as they are, for programs too, and the table behind TARGET's entry."""
    flags = P | RW | US | A | D | PS
    if not pae:
        return {DIRECTORY: struct.pack("<2I", flags, 0x400000 | flags)}
    pointers = struct.pack("<4Q", *(DIRECTORY + 0x1000 * (1 + part) | P for part in range(4)))
    return {DIRECTORY: pointers, DIRECTORY + 0x1000: struct.pack("<4Q", *(n << 21 | flags for n in range(4)))}


@cache
def kernel(pae: bool) -> tuple[int, tuple[Segment, ...]]:
    """Its entry point and its segments."""
    shift, entries, size = (21, 512, 8) if pae else (22, 1024, 4)
    pde = DIRECTORY + 0x1000 * pae + size * (TARGET >> shift)
    constants = {
        **{"PAE": int(pae), "DIRECTORY": DIRECTORY, "CASES": CASES, "TARGET": TARGET, "TSS_AT": TSS_AT},
        **{"PDE": pde, "PTE": TEST_TABLE + size * ((TARGET >> 12) % entries)},
    }
    kernel = small_kernel(SOURCE, constants, f"--section-start=.tss={TSS_AT:#x}")
    return kernel.entry, kernel.segments


def answers(
    engine_name: str, cases: list[Case], pae: bool, switcher: Switcher = "lean", taken_for: bool | None = None
) -> list[tuple[int, ...]]:
    """What came of each: its entries' lower halves, the error code, CR2 and what was read.

    ``taken_for``: whether it is started as a kernel with PAE; None: as what it is.
    """
    entry, segments = kernel(pae)
    listed = b"".join(case.packed() for case in cases) + CASE.pack(0, 0, 0xFFFFFFFF, 0, 0, 0)
    target = b"\xc3".ljust(16, b"\x90") + struct.pack("<I", KEPT)
    parts = {**tables(pae), CASES: listed, FRAME: target}
    more = tuple(Segment(address, data, len(data)) for address, data in parts.items())
    image = Image("walks", "ELF", entry, (*segments, *more), b"", None, 1, personality="native")
    image = replace(image, pae=pae if taken_for is None else taken_for)
    seen: list[bytes] = []

    class Ended(Watched):
        def __init__(self, engine: Engine, guest: range) -> None:
            super().__init__(engine, guest)

        def _look(self) -> None:
            super()._look()
            start = self.guest.start + CASES
            seen.append(bytes(self.memory[start : start + CASE.size * len(cases)]))

    done = run_image(engine_name, image, b"", LONG, watched=Ended, switcher=switcher)
    assert not done.failures
    assert done.result.outcome.end is End.POWERED_OFF, done.result.outcome
    assert done.result.pae is pae
    assert len(seen) == 1 + (image.pae is not pae)
    return [(pde & 0xFFFFFFFF, pte & 0xFFFFFFFF, *rest) for pde, pte, _, *rest in CASE.iter_unpack(seen[-1])]


def untruths(case: Case, answer: tuple[int, ...], pae: bool) -> list[str]:
    """In what an answer is not that of the model."""
    pde, pte, error, cr2, value = answer
    access, wanted = case.kind & 3, error_of(case, pae)
    wrong = []
    if error != wanted:
        wrong.append(f"error code {error:#x} and not {wanted:#x}")
    if wanted != NO_FAULT:
        if cr2 != TARGET + {READ: 16, WRITE: 20, FETCH: 0}[access]:
            wrong.append(f"cr2 {cr2:#x}")
        return wrong
    if access == READ and value != (0xFFFFFFFF if beyond(case) else KEPT):
        wrong.append(f"{value:#x} was read")
    used = A | (D if access == WRITE else 0)
    if not pde & A or (pde if pde & PS else pte) & used != used:
        wrong.append(f"entries {pde:#x} {pte:#x} are not marked")
    return wrong


@pytest.mark.parametrize("pae", [False, True], ids=["two-level", "pae"])
@pytest.mark.parametrize(("seed", "switcher"), [(1, "lean"), (2, "classic")])
def test_walks_are_those_of_a_cpu(engine_name: str, pae: bool, seed: int, switcher: Switcher) -> None:
    r = Random(seed)
    cases = [any_case(r, pae) for _ in range(700)]
    found = answers(engine_name, cases, pae, switcher)
    wrong = [
        f"{case.pde:#018x} {case.pte:#018x} kind {case.kind:#04x}: {'; '.join(each)}"
        for case, answer in zip(cases, found, strict=True)
        if (each := untruths(case, answer, pae))
    ]
    assert not wrong
    errors = {error for _, _, error, *_ in found}
    assert len(errors) > (15 if pae else 5), "it is no test of what it is meant to test"


@pytest.mark.parametrize("pae", [False, True], ids=["two-level", "pae"])
def test_a_kernel_that_is_taken_for_one_with_the_other_tables_starts_again(engine_name: str, pae: bool) -> None:
    case = Case(TEST_TABLE | P | RW | US, FRAME | P | RW | US, READ)
    (answer,) = answers(engine_name, [case], pae, taken_for=not pae)
    assert not untruths(case, answer, pae)
