# SPDX-License-Identifier: GPL-2.0-or-later
"""Read an initrd into the top of the Guest's RAM, without a copy in between.

Read next: initrd_format.py, which checks whether the kernel can decompress it.
"""

from __future__ import annotations

from lguest_py.errors import ImageError
from lguest_py.files.cancellation import STEP, point
from lguest_py.files.inputs import open_regular, printable
from lguest_py.images.image import MIB, suggestion
from lguest_py.images.initrd_format import HEAD_SIZE, is_kernel

PAGE = 4096
# lowmem of an lguest Linux: 1 GiB, less 128 MiB for vmalloc, 4 MiB for the Switcher, and the fixmap.
LOW_MEMORY = 0x37000000


def load_initrd(path: str, ram: memoryview, *, lowest: int, linux: bool = False) -> tuple[int, int]:
    """Copy the initrd at ``path`` into ``ram`` (all of the Guest's RAM); returns its (Guest-physical address, size
    in bytes).

    The address is page aligned, the highest in lowmem, and not below ``lowest``, the end of the kernel's memory.
    Raises ImageError when the file cannot be read, is empty or does not fit, or when ``linux`` and it is a kernel.
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
                point()
                step = min(STEP, size - position)
                count = file.readinto(ram[address + position : address + position + step])  # type: ignore[attr-defined]
                if not count:
                    raise ImageError(f"the initrd {name} shrank while it was read: try again")
                position += count
        except OSError as error:
            raise ImageError(f"the initrd {name} cannot be read ({error.strerror}): check its disk") from None
    kernel = is_kernel(bytes(ram[address : address + min(size, HEAD_SIZE)])) if linux else None
    if kernel:
        raise ImageError(f"the initrd {name} is {kernel}, a kernel: give the initrd there, and the kernel as IMAGE")
    return address, size
