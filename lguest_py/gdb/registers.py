# SPDX-License-Identifier: GPL-2.0-or-later
"""A 32-bit processor's registers as gdb numbers them, and the description that says so (target.xml).

gdb knows the features org.gnu.gdb.i386.core and .sse by these names and types.  The control registers are a feature of
our own, which gdb shows as they are.
Source: the GDB manual, appendix G; Intel SDM vol. 1, 10.5.1, for the area that fxsave writes.
Read next: target.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GENERAL = "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags", "cs", "ss", "ds", "es", "fs", "gs"
SELECTORS = GENERAL[10:]
CONTROLS = "cr0", "cr2", "cr3", "cr4"
_X87 = "fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"
_TYPES = {"esp": "data_ptr", "ebp": "data_ptr", "eip": "code_ptr", "eflags": "i386_eflags"}
_FLAGS = {
    **{"CF": 0, "": 1, "PF": 2, "AF": 4, "ZF": 6, "SF": 7, "TF": 8, "IF": 9, "DF": 10, "OF": 11, "NT": 14},
    **{"RF": 16, "VM": 17, "AC": 18, "VIF": 19, "VIP": 20, "ID": 21},
}
_LANES = ("v4f", "ieee_single", 4), ("v2d", "ieee_double", 2), ("v16i", "int8", 16), ("v8i", "int16", 8)
_VECTORS = (*_LANES, ("v4i", "int32", 4), ("v2l", "int64", 2))
_UNION = "v4_float", "v2_double", "v16_int8", "v8_int16", "v4_int32", "v2_int64"


@dataclass(frozen=True)
class Register:
    """Its name, its size, and its type and group as gdb calls them."""

    name: str
    bits: int
    type: str
    group: str = "general"


CORE = (
    *(Register(name, 32, _TYPES.get(name, "int32")) for name in GENERAL),
    *(Register(f"st{number}", 80, "i387_ext", "float") for number in range(8)),
    *(Register(name, 32, "int", "float") for name in _X87),
)
SSE = (
    *(Register(f"xmm{number}", 128, "vec128", "vector") for number in range(8)),
    Register("mxcsr", 32, "int", "vector"),
)
SYSTEM = tuple(Register(name, 32, "int32", "system") for name in CONTROLS)
ALL = (*CORE, *SSE, *SYSTEM)


def _feature(name: str, types: str, registers: tuple[Register, ...]) -> str:
    rows = "".join(
        f'<reg name="{each.name}" bitsize="{each.bits}" type="{each.type}" group="{each.group}"/>\n'
        for each in registers
    )
    return f'<feature name="{name}">\n{types}{rows}</feature>\n'


def description() -> bytes:
    """target.xml."""
    flags = "".join(f'<field name="{name}" start="{bit}" end="{bit}"/>' for name, bit in _FLAGS.items())
    eflags = f'<flags id="i386_eflags" size="4">{flags}</flags>\n'
    vectors = "".join(f'<vector id="{name}" type="{kind}" count="{count}"/>' for name, kind, count in _VECTORS)
    fields = zip(_UNION, _VECTORS, strict=True)
    union = "".join(f'<field name="{name}" type="{vector[0]}"/>' for name, vector in fields)
    vec128 = f'{vectors}<union id="vec128">{union}<field name="uint128" type="uint128"/></union>\n'
    return (
        '<?xml version="1.0"?>\n<!DOCTYPE target SYSTEM "gdb-target.dtd">\n<target version="1.0">\n'
        "<architecture>i386</architecture>\n"
        + _feature("org.gnu.gdb.i386.core", eflags, CORE)
        + _feature("org.gnu.gdb.i386.sse", vec128, SSE)
        + _feature("lguest-py.control", "", SYSTEM)
        + "</target>\n"
    ).encode()


def _tags(short: int) -> int:
    """The x87 tag word, of which fxsave keeps whether a register is empty."""
    return sum(0 if short >> number & 1 else 3 << 2 * number for number in range(8))


def raw(general: Mapping[str, int], controls: Mapping[str, int], fpu: bytes) -> list[bytes]:
    """The bytes of ALL.  ``fpu``: what fxsave wrote."""

    def half(at: int) -> int:
        return int.from_bytes(fpu[at : at + 2], "little")

    def word(at: int) -> int:
        return int.from_bytes(fpu[at : at + 4], "little")

    x87 = half(0), half(2), _tags(fpu[4]), half(12), word(8), half(20), word(16), half(6)
    return [
        *(general[name].to_bytes(4, "little") for name in GENERAL),
        *(fpu[32 + 16 * number : 42 + 16 * number] for number in range(8)),
        *(value.to_bytes(4, "little") for value in x87),
        *(fpu[160 + 16 * number : 176 + 16 * number] for number in range(8)),
        word(24).to_bytes(4, "little"),
        *(controls[name].to_bytes(4, "little") for name in CONTROLS),
    ]
