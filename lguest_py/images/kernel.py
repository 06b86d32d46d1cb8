# SPDX-License-Identifier: GPL-2.0-or-later
"""Make an Image of a parsed ELF: choose its personality, and rewrite its hypercalls where needed.

Read next: support.py, which decides; vmcall.py, which rewrites.
"""

from __future__ import annotations

from typing import BinaryIO

from lguest_py.images import support
from lguest_py.images.elf import Elf, text_ranges
from lguest_py.images.image import KERNEL_ADDRESS, Image, Segment, first_mapping
from lguest_py.images.symbols import read_symbols
from lguest_py.images.vmcall import rewrite


def _rewritten(parsed: Elf, file: BinaryIO, name: str) -> tuple[Segment, ...]:
    ranges = text_ranges(file, parsed, name)
    segments = []
    for segment in parsed.segments:
        data = bytearray(segment.data)
        for start, end in ranges:
            if segment.address <= start and end <= segment.address + len(data):
                rewrite(data, start - segment.address, end - segment.address)
        segments.append(Segment(segment.address, bytes(data), segment.size))
    return tuple(segments)


def make_image(
    parsed: Elf,
    file: BinaryIO,
    path: str,
    kind: str,
    *,
    name: str,
    setup_header: bytes = b"",
    version: str | None = None,
) -> Image:
    """Make the Image of an ELF kernel; ``name`` is for messages, ``version`` is from the header of the bzImage around
    it.

    Raises ImageError when the kernel is not supported.
    """
    facts = support.inspect([segment.data for segment in parsed.segments])
    version = version or facts.version
    personality = support.personality(facts, version, name)
    segments = parsed.segments
    if personality == "lguest" and support.calls_by_vmcall(version):
        segments = _rewritten(parsed, file, name)
    expects_tables = personality == "lguest" and support.expects_tables(facts, version)
    makes_tables = personality == "lguest" and version is not None and not expects_tables
    offset = parsed.offset or KERNEL_ADDRESS
    return Image(
        path,
        kind,
        parsed.entry,
        segments,
        setup_header,
        version,
        support.generation(version),
        personality=personality,
        mapped=first_mapping(max(segment.end for segment in segments), offset) if makes_tables else 0,
        expects_tables=expects_tables,
        pae=facts.pae,
        symbols=read_symbols(file, name),
    )
