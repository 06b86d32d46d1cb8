# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest kernels: ELF executables and bzImages, told apart, checked, and made ready to be loaded.

Whatever the file is, the answer is an Image or one ImageError.  Read next: image.py (what an Image is), then
elf.py and bzimage.py; boot_params.py and initrd.py for what else a Linux is given.
"""

from __future__ import annotations

from lguest_py.errors import ImageError
from lguest_py.files.inputs import open_regular, printable, read_exactly
from lguest_py.images.image import WANTED, Image, Segment

__all__ = ["Image", "Segment", "open_image"]

ADVICE = "give a bzImage, or a kernel as ELF (vmlinux)"
BOOT_SECTOR = b"\x55\xaa"
LARGEST = 512 << 20  # bytes of a bzImage: all of it is read


def open_image(path: str, *, unpack: bool | None = None) -> Image:
    """Read the kernel at ``path``.

    ``unpack`` is for a bzImage: None unpacks it here where that can be done, which is the faster way, and
    else has it entered, so that it unpacks itself; True and False insist on one.

    Raises ImageError, one line, for whatever cannot be run as a Guest, of either personality.
    """
    name = printable(path)
    file, size = open_regular(path, ADVICE)
    with file:
        start = read_exactly(file, 0, min(size, 0x206), name)
        if start.startswith(b"\x7fELF"):
            from lguest_py.images.elf import read_elf
            from lguest_py.images.kernel import finish

            return finish(read_elf(file, size, name), file, path, "ELF")
        if start[0x202:] == b"HdrS":
            if size > LARGEST:
                raise ImageError(f"{name} has {size >> 20}M, more than any bzImage: {ADVICE}")
            from lguest_py.images.bzimage import read_bzimage

            return read_bzimage(memoryview(read_exactly(file, 0, size, name)), path, name, unpack)
    if size < 0x206:
        raise ImageError(f"{name} has {size} bytes, too few for a kernel: {ADVICE}")
    if start[0x1FE:0x200] == BOOT_SECTOR:
        raise ImageError(f"{name} is a boot sector without a Linux setup header: give {WANTED}")
    raise ImageError(f"{name} is neither an ELF nor a bzImage: {ADVICE}")
