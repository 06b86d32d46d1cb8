# SPDX-License-Identifier: GPL-2.0-or-later
"""Struct layouts: read from C headers (tools/layouts.py), used from Python (lguest_py/shared_memory/layout.py)."""

from __future__ import annotations

import sys

import layouts
import pytest

from lguest_py.shared_memory import _layouts, layout
from lguest_py.shared_memory.layout import Layout, View

INNER = Layout("inner", 8, {"low": (0, 0, "I"), "high": (4, 0, "I")})
OUTER = Layout(
    "outer",
    48,
    {
        "byte": (0, 0, "B"),
        "half": (2, 0, "H"),
        "word": (4, 0, "I"),
        "wide": (8, 0, "Q"),
        "inner": (16, 2, "inner"),
        "text": (32, 5, "B"),
        "halves": (38, 5, "H"),
    },
)


def test_constants_are_the_integer_defines() -> None:
    text = "#define ONE 0x1F /* why */\n#define TWO   22\n#define TEXT x\n#define CALL(a) 3\n#define GUARD_H\n"
    assert layouts.constants(text) == {"ONE": 0x1F, "TWO": 22}


def test_structs_with_arrays_and_structs_in_them() -> None:
    text = '#include "types.h"\nstruct first { /* u8 not_this; */\n\tu8 a;\n\tu16 b;\n\tu32 c[3];\n};\n'
    second = "struct second {\n u64 x;\n struct first y[2];\n u32 z;\n};\n"
    found = layouts.structs([text, second])
    assert found["first"] == (16, [("a", 0, 0, "B"), ("b", 2, 0, "H"), ("c", 4, 3, "I")])
    assert found["second"] == (48, [("x", 0, 0, "Q"), ("y", 8, 2, "first"), ("z", 40, 0, "I")])


@pytest.mark.parametrize(
    ("where", "field", "offset"),
    [
        # Facts of the interface: the registers' order is that of a hypercall's arguments and of the CPU's pushes.
        (_layouts.REGISTERS, "eax", 0),
        (_layouts.REGISTERS, "edx", 12),
        (_layouts.REGISTERS, "eip", 52),
        (_layouts.REGISTERS, "ss", 68),
        (_layouts.LGUEST_DATA, "irq_pending", 20),
        (_layouts.LGUEST_DATA, "hcall_status", 24),
        (_layouts.LGUEST_DATA, "hcalls", 88),
        (_layouts.LGUEST_DATA, "reserve_mem", 1368),
        (_layouts.LGUEST_DATA, "syscall_vec", 1388),
        (_layouts.TSS, "esp0", 4),
        (_layouts.TSS, "io_bitmap", 102),
    ],
)
def test_offsets_that_others_fixed(where: Layout, field: str, offset: int) -> None:
    assert where.fields[field][0] == offset


def test_sizes_that_others_fixed() -> None:
    assert (_layouts.LGUEST_DATA.size, _layouts.TSS.size, _layouts.LGUEST_DEVICE_DESC.size) == (1392, 104, 5)


def test_each_size_is_little_endian() -> None:
    memory = bytearray(64)
    view = View(memoryview(memory), 8, OUTER)
    view["byte"] = 0x12
    view["half"] = 0x3456
    view["word"] = 0x789ABCDE
    view["wide"] = 0x0102030405060708
    view["halves", 4] = 0xBEEF
    assert memory[8:24] == bytes.fromhex("12005634 debc9a78 0807060504030201")
    assert memory[54:56] == bytes.fromhex("efbe")
    assert [view[name] for name in ("byte", "half", "word", "wide")] == [0x12, 0x3456, 0x789ABCDE, 0x0102030405060708]


def test_the_other_byte_order_is_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (sys.byteorder == "big") == layout.SWAPPED
    monkeypatch.setattr(layout, "SWAPPED", not layout.SWAPPED)
    memory = bytearray(64)
    view = View(memoryview(memory), 0, OUTER)
    view["word"] = 0x12345678
    assert memory[4:8].hex() == ("12345678" if sys.byteorder == "little" else "78563412")
    assert view["word"] == 0x12345678


def test_bytes_and_structs_within_share_the_memory() -> None:
    memory = bytearray(64)
    view = View(memoryview(memory), 0, OUTER)
    view.bytes("text")[1:4] = b"abc"
    view.sub("inner", INNER, 1)["high"] = 7
    assert memory[32:37] == b"\0abc\0"
    assert memory[28] == 7
    memory[20] = 9
    assert view.sub("inner", INNER)["high"] == 9


@pytest.mark.parametrize("key", [("word", 1), ("halves", 5), ("halves", -1), ("text", 5)])
def test_an_index_outside_an_array_is_refused(key: tuple[str, int]) -> None:
    view = View(memoryview(bytearray(64)), 0, OUTER)
    with pytest.raises(IndexError, match=key[0]):
        view[key]
    with pytest.raises(IndexError, match=key[0]):
        view[key] = 0


def test_wrong_uses_are_refused() -> None:
    view = View(memoryview(bytearray(64)), 0, OUTER)
    with pytest.raises(TypeError, match="not an array of bytes"):
        view.bytes("halves")
    with pytest.raises(IndexError, match="not a outer"):
        view.sub("inner", OUTER)
    with pytest.raises(IndexError, match="inner"):
        view.sub("inner", INNER, 2)
    with pytest.raises(KeyError):
        view["nothing"]
    with pytest.raises(ValueError, match="invalid value"):
        view["byte"] = 256
