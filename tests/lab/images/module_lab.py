# SPDX-License-Identifier: GPL-2.0-or-later
"""Modules of a Linux for tests: files with nothing but what modinfo shows."""

from __future__ import annotations

import struct


def module(*about: str) -> bytes:
    """A relocatable ELF with nothing but a section .modinfo."""
    info = b"\0" + b"".join(word.encode() + b"\0" for word in about)
    names = b"\0.modinfo\0.shstrtab\0"
    at = 52
    sections = struct.pack("<10I", *[0] * 10)
    sections += struct.pack("<10I", 1, 1, 2, 0, at, len(info), 0, 0, 1, 0)
    sections += struct.pack("<10I", 10, 3, 0, 0, at + len(info), len(names), 0, 0, 1, 0)
    header = b"\x7fELF\1\1\1" + bytes(9)
    header += struct.pack("<HHIIIIIHHHHHH", 1, 3, 1, 0, 0, at + len(info) + len(names), 0, 52, 0, 0, 40, 3, 2)
    return header + info + names + sections
