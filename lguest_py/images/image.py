# SPDX-License-Identifier: GPL-2.0-or-later
"""What every kind of image becomes: segments of Guest-physical memory and an entry point.

Read next: lguest_py/images/__init__.py, which tells the kinds apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lguest_py.errors import ImageError
from lguest_py.files.inputs import printable

MIB = 1 << 20
RESERVED_LOW = 0x2000  # boot_params and the command line (boot_params.py)
HIGHEST = 0xC0000000  # no Guest has memory from here on
WANTED = "a 32-bit Linux without PAE: any from 5.12 on, or 2.6.30 to 4.13 with CONFIG_LGUEST_GUEST=y"
Personality = Literal["lguest", "native"]  # what the Guest expects of its Host: hypercalls, or a PC


def suggestion(end: int) -> str:
    """The ``--memory`` option under which Guest-physical ``end`` is memory, with some room for page tables."""
    step = 16 * MIB
    return f"--memory {-(-(end + 4 * MIB) // step) * step // MIB}M"


@dataclass(frozen=True)
class Segment:
    """``data`` goes to Guest-physical ``address``; the rest of its ``size`` bytes is zero."""

    address: int
    data: memoryview | bytes
    size: int

    @property
    def end(self) -> int:
        """The Guest-physical address just behind it."""
        return self.address + self.size


@dataclass(frozen=True)
class Image:
    """A Guest kernel, read and checked, ready to be copied into a Guest's RAM."""

    path: str
    kind: str  # "ELF", "bzImage" (entered, it unpacks itself) or "bzImage (unpacked)"
    entry: int  # Guest-physical address of the first instruction
    segments: tuple[Segment, ...]
    setup_header: bytes  # of a bzImage, from 0x1F1 on: it belongs at the same place in boot_params; else b""
    version: str | None  # "3.18.24 (…)", when it is a Linux
    generation: int  # of lguest's devices: 1 up to Linux 3.19, 2 from 4.0; 1 when unknown
    reserve: int = 0  # the memory it needs while it unpacks itself ends here (Guest-physical), or 0
    personality: Personality = "lguest"

    @property
    def end(self) -> int:
        """Where the memory it needs ends (Guest-physical): an initrd must lie above."""
        return max([self.reserve, *(segment.end for segment in self.segments)])

    def load(self, ram: memoryview) -> None:
        """Copy the segments into ``ram``: writable zeroed bytes from Guest-physical 0.

        Raises ImageError, naming the memory needed, when they do not fit.
        """
        if self.end > len(ram):
            raise ImageError(
                f"{printable(self.path)} needs memory up to {-(-self.end // MIB)}M, "
                f"but the Guest has {len(ram) // MIB}M: use {suggestion(self.end)}"
            )
        for segment in self.segments:
            ram[segment.address : segment.address + len(segment.data)] = segment.data
