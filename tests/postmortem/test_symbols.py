# SPDX-License-Identifier: GPL-2.0-or-later
"""Names for addresses: of an ELF, and of a Linux's tables in memory; both may be hostile."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Sequence
from typing import Any

import pytest

from lguest_py.images import open_image
from lguest_py.images.symbols import read_symbols
from lguest_py.launcher.vm_memory import built
from lguest_py.postmortem import kallsyms as kallsyms_module
from lguest_py.postmortem.kallsyms import DIGITS, kallsyms
from lguest_py.postmortem.memory import Remains
from lguest_py.postmortem.symbols import LONGEST_NAME, SYMBOL, SortedSymbols, elf_symbols

FUNC = 2


def table(*symbols: tuple[int, int, bytes]) -> SortedSymbols:
    """Of functions: (address, size, name)."""
    strings, entries = b"\0", b""
    for value, size, name in symbols:
        entries += SYMBOL.pack(len(strings), value, size, FUNC, 0, 1)
        strings += name + b"\0"
    return elf_symbols(entries, strings)


def test_the_tiny_guest_has_names() -> None:
    raw = open_image(str(built("guest.elf"))).symbols
    assert raw
    symbols = elf_symbols(*raw)
    with open(built("guest.elf"), "rb") as file:
        from elftools.elf.elffile import ELFFile

        section: Any = ELFFile(file).get_section_by_name(".symtab")
        named = section.get_symbol_by_name("call_gate")[0]["st_value"]
    assert symbols.at(named + 3) == ("call_gate", 3)
    assert symbols.at(0) is None


def test_an_address_behind_a_symbol_is_not_in_it() -> None:
    symbols = table((0x1000, 16, b"short"), (0x2000, 0, b"label"))
    assert [symbols.at(at) for at in (0xFFF, 0x1000, 0x100F, 0x1010)] == [None, ("short", 0), ("short", 15), None]
    assert symbols.at(0x2FFF) == ("label", 0xFFF)
    assert symbols.at(0x2000 + 0x10000) is None


def test_a_name_is_cut_and_printable() -> None:
    symbols = table((0x1000, 16, b"\x1b[31mred\x07\xff" + b"x" * 1000))
    found = symbols.at(0x1000)
    assert found
    assert found[0].startswith("?[31mred??xxx")
    assert len(found[0]) == LONGEST_NAME


@pytest.mark.parametrize("seed", range(50))
def test_random_symbol_tables(seed: int) -> None:
    chance = random.Random(seed)
    symbols = elf_symbols(chance.randbytes(16 * 200 + 7), chance.randbytes(300))
    for _ in range(200):
        found = symbols.at(chance.randrange(1 << 32))
        assert found is None or (found[0].isprintable() and found[1] >= 0)


@pytest.mark.parametrize("seed", range(100))
def test_random_section_tables_are_no_error(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(built("guest.elf").read_bytes()[:0x2000])
    struct.pack_into("<I", data, 32, chance.choice([0, 52, len(data) - 40, 0xFFFFFFFF]))
    struct.pack_into("<HH", data, 46, chance.choice([0, 40, 65535]), chance.choice([0, 1, 19, 4096, 65535]))
    for _ in range(chance.randrange(200)):
        data[chance.randrange(52, len(data))] = chance.randrange(256)
    raw = read_symbols(io.BytesIO(bytes(data)), "it")
    assert raw is None or len(raw[0]) + len(raw[1]) <= 2 * len(data)


# --- kallsyms -------------------------------------------------------------------------------------------------------

BASE = 0xC1000000


def linux(names: Sequence[bytes], offsets: Sequence[int], form: str = "6.1") -> bytes:
    """The tables of a kernel with these symbols, whose tokens are single letters."""

    def padded(data: bytes) -> bytes:
        return data + bytes(-len(data) % 4)

    texts = [bytes([each]) if 0x20 <= each < 0x7F else b"@@" for each in range(256)]
    index, token_table = [], b""
    for text in texts:
        index.append(len(token_table))
        token_table += text + b"\0"
    stream, markers = b"", []
    for number, name in enumerate(names):
        if number % 256 == 0:
            markers.append(len(stream))
        size = len(name)
        stream += (bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])) + name
    count = struct.pack("<I", len(names))
    relative = struct.pack(f"<{len(names)}I", *offsets) + struct.pack("<I", BASE)
    absolute = struct.pack(f"<{len(names)}I", *(BASE + each for each in offsets))
    rest = padded(stream) + struct.pack(f"<{len(markers)}I", *markers)
    rest += padded(b"\xa5\x01\x02" * len(names)) if form in ("6.1 with an order", "6.4") else b""
    rest += padded(token_table) + padded(struct.pack("<256H", *index))
    before = {"3.18": absolute, "6.4": b""}.get(form, relative)
    return before + count + rest + (relative if form == "6.4" else b"")


def remains(ram: bytes) -> Remains:
    return Remains(memoryview(ram), 0, len(ram), 0, False, {}, 0, 0, ((0, len(ram)),))


FORMS = ["3.18", "6.1", "6.1 with an order", "6.4"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [300, 1000, 1024, 1025])
def test_the_symbols_of_a_linux_in_memory(form: str, count: int) -> None:
    names = [b"T" + f"function_{number}".encode() + b"_long" * (40 * (number % 97 == 0)) for number in range(count)]
    ram = b"\xcc" * 0x3000 + linux(names, [16 * number for number in range(count)], form) + b"\xcc" * 0x9000
    symbols = kallsyms(remains(ram))
    assert symbols
    assert len(symbols) == count
    for number in (0, 1, 97, 255, 256, count - 1):
        assert symbols.at(BASE + 16 * number + 3) == (names[number][1:LONGEST_NAME].decode(), 3)


def test_memory_without_them() -> None:
    assert kallsyms(remains(bytes(1 << 20))) is None
    assert kallsyms(remains(DIGITS)) is None
    assert kallsyms(remains(DIGITS * 5000)) is None


@pytest.mark.parametrize("seed", range(60))
def test_hostile_tables_end_soon_and_print_nothing_bad(seed: int) -> None:
    chance = random.Random(seed)
    count = 700
    tables = bytearray(linux([b"Tx\x1b\x07%d" % n for n in range(count)], list(range(count)), FORMS[seed % 4]))
    for _ in range(chance.choice([1, 3, 50, 500])):
        at = chance.randrange(len(tables))
        tables[at] = chance.choice([0, 0xFF, chance.randrange(256)])
    symbols = kallsyms(remains(bytes(tables)))
    if symbols:
        for number in range(count):
            found = symbols.at(BASE + number)
            assert found is None or (found[0].isprintable() and len(found[0]) <= LONGEST_NAME)


def test_many_counts_that_could_be_right_are_not_all_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each word of the names is a count that fits the markers, and each try of names would be long."""
    tables = linux([b"Tx" * 60] * 300, list(range(300)))
    place = 4 * 301 + 4
    forged = tables[:place] + struct.pack("<I", 300) * (300 * 121 // 4) + tables[place + 300 * 121 // 4 * 4 :]
    tries: list[int] = []
    skip = kallsyms_module._skip

    def counted(*given: Any) -> int:
        tries.append(1)
        return skip(*given)

    monkeypatch.setattr(kallsyms_module, "_skip", counted)
    assert kallsyms(remains(forged)) is None
    assert 0 < len(tries) <= 2 * kallsyms_module.MOST_TRIED
