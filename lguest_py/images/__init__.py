# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest kernels: ELF executables and bzImages, told apart, checked, and made ready to be loaded.

Whatever the file is, the answer is an Image or one ImageError.  Read next: image.py (what an Image is), then
elf.py and bzimage.py; boot_params.py and initrd.py for what else a Linux is given.
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import BinaryIO

from lguest_py.errors import ImageError
from lguest_py.files.inputs import open_regular, printable, read_exactly, read_large
from lguest_py.images.image import Image, Segment

__all__ = ["Image", "Segment", "open_image"]

ADVICE = "give a bzImage, or a kernel as ELF (vmlinux)"
LARGEST = 512 << 20  # bytes of a bzImage, or of a file that is compressed: all of it is read
START = 0x206


def open_image(path: str, *, unpack: bool | None = None) -> Image:
    """Read the kernel at ``path``.  One that is compressed as a file (vmlinux.gz, bzImage.xz) is unpacked first.

    ``unpack`` is for a bzImage: None unpacks it here where that can be done, which is the faster way, and
    else has it entered, so that it unpacks itself; True and False insist on one.

    Raises ImageError, one line, for whatever cannot be run as a Guest, of either personality.
    """
    from lguest_py.images.decompress import packed_as

    name = printable(path)
    file, size = open_regular(path, ADVICE)
    with file:
        packed = packed_as(read_exactly(file, 0, min(size, START), name))
        if not packed:
            return _read(file, size, path, name, unpack)
        kernel = _unpacked(file, size, packed, name)
    inner = f"the content of {name}"
    if packed_as(kernel[:START]):
        raise ImageError(f"{inner} is compressed once more: unpack it by hand and give the kernel in it")
    image = _read(io.BytesIO(kernel), len(kernel), path, inner, unpack)
    return replace(image, kind=f"{image.kind} in {packed}")


def _unpacked(file: BinaryIO, size: int, packed: str, name: str) -> bytes:
    from lguest_py.images.decompress import NoLibraryError, decompress, install
    from lguest_py.images.frames import CorruptError

    if size > LARGEST:
        raise ImageError(f"{name} has {size >> 20}M compressed, more than any kernel: {ADVICE}")
    try:
        return decompress(read_large(file, 0, size, name), whole=True)
    except CorruptError as error:
        raise ImageError(f"{name} is damaged ({error}): copy it anew") from None
    except NoLibraryError:
        raise ImageError(f"{name} is compressed with {packed}, and its library is missing: {install(packed)}") from None


def _read(file: BinaryIO, size: int, path: str, name: str, unpack: bool | None) -> Image:
    start = read_exactly(file, 0, min(size, START), name)
    if start.startswith(b"\x7fELF"):
        from lguest_py.images.elf import read_elf
        from lguest_py.images.kernel import finish

        return finish(read_elf(file, size, name), file, path, "ELF", name=name)
    if start[0x202:] == b"HdrS":
        from lguest_py.images.bzimage import read_bzimage, used

        if size > LARGEST:
            raise ImageError(f"{name} has {size >> 20}M, more than any bzImage: {ADVICE}")
        return read_bzimage(read_large(file, 0, used(start, size), name), path, name, unpack)
    from lguest_py.images.identify import HEAD, identify

    if what := identify(read_exactly(file, 0, min(size, HEAD), name)):
        raise ImageError(f"{name} {what}")
    if size < START:
        raise ImageError(f"{name} has {size} bytes, too few for a kernel: {ADVICE}")
    raise ImageError(f"{name} is neither an ELF nor a bzImage: {ADVICE}")
