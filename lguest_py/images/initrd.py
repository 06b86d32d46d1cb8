# SPDX-License-Identifier: GPL-2.0-or-later
"""Read an initrd straight into the top of the Guest's RAM."""

from __future__ import annotations

from lguest_py.errors import ImageError
from lguest_py.files.inputs import open_regular, printable
from lguest_py.images.image import MIB, suggestion

PAGE = 4096
# What an lguest Linux maps linearly: 1 GiB, less 128 MiB for vmalloc, the Host's 4 MiB, and fixed mappings.
LOW_MEMORY = 0x37000000


def load_initrd(path: str, ram: memoryview, *, lowest: int) -> tuple[int, int]:
    """Copy the initrd at ``path`` into ``ram`` (all of the Guest's RAM); returns its (address, size in bytes).

    It lies page aligned as high as a Linux can use it, and not below ``lowest``, where the kernel's memory
    ends.  Raises ImageError when it cannot be read, is empty, or does not fit.
    """
    name = printable(path)
    file, size = open_regular(path, "give the initrd that belongs to the kernel")
    with file:
        address = (min(len(ram), LOW_MEMORY) - size) & -PAGE
        if address < lowest:
            needed = lowest + size + PAGE
            cure = f"use {suggestion(needed)}" if needed <= LOW_MEMORY else "make it smaller"
            raise ImageError(
                f"the initrd {name} ({-(-size // MIB)}M) does not fit beside the kernel in {len(ram) // MIB}M: {cure}"
            )
        position = 0
        try:
            while position < size:
                count = file.readinto(ram[address + position : address + size])  # type: ignore[attr-defined]
                if not count:
                    raise ImageError(f"the initrd {name} became shorter while it was read: try again")
                position += count
        except OSError as error:
            raise ImageError(f"the initrd {name} cannot be read ({error.strerror}): check its disk") from None
    return address, size
