# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel module whose start is an oops that shows the ring: a distribution's own module, with other code in it.

This needs no kernel headers.  Used by test_stock_work.py.  Source: the ELF and i386 ABI.
"""

from __future__ import annotations

import io
import struct

SIGNATURE_END = b"~Module signature appended~\n"
SIGNATURE_RECORD = 12  # bytes; the last four are the signature's length, big-endian
SECTION_HEADER, SIZE_AT = 40, 20  # bytes of one; where its sh_size is
CODE = bytes.fromhex("8cc8 8cd3 0f0b")  # mov %cs, %eax; mov %ss, %ebx; ud2


def unsigned(module: bytes) -> bytes:
    """The same without the signature behind it, which would no longer fit."""
    if not module.endswith(SIGNATURE_END):
        return module
    record = module[: -len(SIGNATURE_END)][-SIGNATURE_RECORD:]
    return module[: -len(SIGNATURE_END) - SIGNATURE_RECORD - struct.unpack(">I", record[-4:])[0]]


def oops_module(module: bytes) -> bytes:
    """``module``, with CODE in its init_module()."""
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    elf = ELFFile(io.BytesIO(module))
    symbols, relocations = elf.get_section_by_name(".symtab"), elf.get_section_index(".rel.init.text")
    assert isinstance(symbols, SymbolTableSection)
    found = symbols.get_symbol_by_name("init_module")
    assert found
    assert relocations
    symbol = found[0]
    start = elf.get_section(symbol["st_shndx"])["sh_offset"] + symbol["st_value"]
    made = bytearray(unsigned(module))
    made[start : start + len(CODE)] = CODE
    struct.pack_into("<I", made, elf["e_shoff"] + relocations * SECTION_HEADER + SIZE_AT, 0)  # the old code's: none
    return bytes(made)
