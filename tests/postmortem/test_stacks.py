# SPDX-License-Identifier: GPL-2.0-or-later
"""Backtraces and the code around an address, of stacks and code that may be anything."""

from __future__ import annotations

import random
import struct
import sys

import pytest

from lguest_py.postmortem import code
from lguest_py.postmortem.backtrace import MOST, backtrace
from lguest_py.postmortem.code import code_around
from lguest_py.postmortem.memory import read_virtual
from lguest_py.postmortem.symbols import SortedSymbols
from lguest_py.postmortem.walk import PAGE, Tables

CALL = b"\xe8\0\0\0\0"  # and the address behind it is a return address
NAMES = SortedSymbols([(0x1000, 0x100, 0), (0x1100, 0x100, 1)], lambda key: ("inner", "outer")[key])


def flat(*parts: tuple[int, bytes], size: int = 0x10000) -> Tables:
    """Memory without paging, with these bytes in it."""
    made = bytearray(size)
    for at, data in parts:
        made[at : at + len(data)] = data
    return Tables(memoryview(made), None, False)


def registers(**values: int) -> dict[str, int]:
    return {"eip": 0x1010, "esp": 0x8000, "ebp": 0, **values}


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def test_a_chain_of_frame_pointers() -> None:
    tables = flat((0x1105, CALL), (0x1155, CALL), (0x8010, words(0x8020, 0x110A)), (0x8020, words(0, 0x115A)))
    frames = backtrace(tables, registers(ebp=0x8010), NAMES)
    assert [(each.address, each.symbol, each.found) for each in frames] == [
        (0x1010, "inner+0x10", "eip"),
        (0x110A, "outer+0xa", "frame pointer"),
        (0x115A, "outer+0x5a", "frame pointer"),
    ]


def test_without_frame_pointers_the_stack_is_searched() -> None:
    tables = flat((0x1105, CALL), (0x8004, words(0x1150, 0x110A, 0x10A)))  # only one of them is behind a call
    frames = backtrace(tables, registers(ebp=77), NAMES)
    assert [(each.address, each.found) for each in frames] == [(0x1010, "eip"), (0x110A, "stack")]
    assert len(backtrace(tables, registers(ebp=77), None)) == 1


@pytest.mark.parametrize(
    "form", [b"\xff\xd0", b"\xff\x50\x08", b"\xff\x54\x24\x08", b"\xff\x15abcd", b"\xff\x94\x24abcd"]
)
def test_each_form_of_a_call_counts(form: bytes) -> None:
    tables = flat((0x1120 - len(form), form), (0x8000, words(0x1120)))
    assert [each.address for each in backtrace(tables, registers(), NAMES)] == [0x1010, 0x1120]


@pytest.mark.parametrize("ebp", [0x8000, 0x8008, 0xFFFFFFFC, 0xFFFC, 0x8001, 0x7000])
def test_a_chain_that_loops_or_leads_nowhere_ends(ebp: int) -> None:
    tables = flat((0x1105, CALL), (0x8000, words(0x8000, 0x110A, 0x8000, 0x110A)))
    assert len(backtrace(tables, registers(ebp=ebp), NAMES)) <= 4


def test_a_stack_full_of_return_addresses_is_cut() -> None:
    tables = flat((0x1105, CALL), (0x8000, words(*[0x110A] * 4000)))
    assert len(backtrace(tables, registers(), NAMES)) == MOST


@pytest.mark.parametrize("seed", range(50))
def test_random_stacks(seed: int) -> None:
    chance = random.Random(seed)
    made = flat((0, chance.randbytes(0x10000)))
    names = "eip", "esp", "ebp"
    values = {name: chance.choice([chance.randrange(0x10000), chance.randrange(1 << 32)]) for name in names}
    assert 1 <= len(backtrace(made, values, NAMES)) <= MOST
    found = code_around(made, values["eip"])
    assert found is None or all(each.text.isprintable() for each in found.instructions)


def test_reads_end_where_nothing_is_mapped() -> None:
    assert len(read_virtual(flat(), 0xFFF0, 100)) == 16
    assert read_virtual(flat(), 0xFFFFFFF0, 100) == b""
    assert len(read_virtual(Tables(memoryview(bytearray(PAGE)), None, False), 0, 1 << 31)) == PAGE


def test_instructions_before_and_behind() -> None:
    pytest.importorskip("iced_x86")
    body = b"\x89\xd8" * 20 + b"\x0f\x0b" + b"\xb8\1\0\0\0" + b"\xc3" * 20
    found = code_around(flat((0x1000, body)), 0x1028)
    assert found
    texts = [(each.address, each.text) for each in found.instructions]
    assert (0x1026, "mov %ebx,%eax") in texts
    assert (0x1028, "ud2") in texts
    assert (0x102A, "mov $1,%eax") in texts


def test_an_instruction_that_begins_before_a_symbol_is_not_shown() -> None:
    pytest.importorskip("iced_x86")
    found = code_around(flat((0x1000, b"\xb8" * 16 + b"\x90\x90\xf4")), 0x1012, known=0x1010)
    assert found
    assert [each.text for each in found.instructions[:3]] == ["nop", "nop", "hlt"]


def test_without_the_library_there_are_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "iced_x86", None)
    assert code._library() is None
    found = code_around(flat((0x1000, b"\x0f\x0b")), 0x1000)
    assert found
    assert (found.instructions, found.data[0x1000 - found.start :][:2]) == ((), b"\x0f\x0b")


@pytest.mark.parametrize("address", [0, 1, 0xFFFF, 0x10000, 0xFFFFFFFF])
def test_code_at_the_edges(address: int) -> None:
    found = code_around(flat(), address)
    assert (found is None) == (address > 0xFFFF)
