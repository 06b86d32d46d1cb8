# SPDX-License-Identifier: GPL-2.0-or-later
"""Open a Guest kernel: detect the file format, check the kernel, and return an Image that is ready to be loaded.

Read next: image.py (the Image), then the readers elf.py and bzimage.py; boot_params.py and initrd.py for what else
a Linux kernel needs in memory.
Next in the book: image.py.
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
MAX_FILE = 512 << 20  # bytes of a bzImage or of a compressed file, which is read as a whole
SETUP_MAGIC = b"HdrS"
SETUP_MAGIC_OFFSET = 0x202
START = SETUP_MAGIC_OFFSET + len(SETUP_MAGIC)  # bytes of a file that identify its format


def open_image(path: str, *, unpack: bool | None = None) -> Image:
    """Read the kernel at ``path``.  A compressed file (vmlinux.gz, bzImage.xz) is decompressed first.

    ``unpack`` selects how a bzImage starts.  True: its payload is decompressed here.  False: its own decompressor runs
    in the Guest.  None: decompress here, which is faster, unless a library is missing.

    Raises ImageError, whose text is one line, for a file that cannot run as a Guest of either personality.
    """
    from lguest_py.images.decompress import compression_of

    name = printable(path)
    file, size = open_regular(path, ADVICE)
    with file:
        compression = compression_of(read_exactly(file, 0, min(size, START), name))
        if not compression:
            return _read(file, size, path, name, unpack)
        kernel = _decompress(file, size, compression, name)
    inner = f"the content of {name}"
    if compression_of(kernel[:START]):
        raise ImageError(f"{inner} is compressed again: unpack it by hand and give the kernel in it")
    image = _read(io.BytesIO(kernel), len(kernel), path, inner, unpack)
    return replace(image, kind=f"{image.kind} in {compression}")


def _decompress(file: BinaryIO, size: int, compression: str, name: str) -> bytes:
    from lguest_py.images.decompress import NoLibraryError, decompress, install_advice
    from lguest_py.images.frames import CorruptError

    if size > MAX_FILE:
        raise ImageError(f"{name} has {size >> 20}M compressed, more than any kernel: {ADVICE}")
    try:
        return decompress(read_large(file, 0, size, name), whole=True)
    except CorruptError as error:
        raise ImageError(f"{name} is damaged ({error}): copy it anew") from None
    except NoLibraryError:
        advice = install_advice(compression)
        raise ImageError(f"{name} is compressed with {compression}, and its library is missing: {advice}") from None


def _read(file: BinaryIO, size: int, path: str, name: str, unpack: bool | None) -> Image:
    start = read_exactly(file, 0, min(size, START), name)
    if start.startswith(b"\x7fELF"):
        from lguest_py.images.elf import read_elf
        from lguest_py.images.kernel import make_image

        return make_image(read_elf(file, size, name), file, path, "ELF", name=name)
    if start[SETUP_MAGIC_OFFSET:] == SETUP_MAGIC:
        from lguest_py.images.bzimage import image_size, read_bzimage

        if size > MAX_FILE:
            raise ImageError(f"{name} has {size >> 20}M, more than any bzImage: {ADVICE}")
        return read_bzimage(read_large(file, 0, image_size(start, size), name), path, name, unpack)
    from lguest_py.images.identify import HEAD_SIZE, identify

    if what := identify(read_exactly(file, 0, min(size, HEAD_SIZE), name)):
        raise ImageError(f"{name} {what}")
    if size < START:
        raise ImageError(f"{name} has {size} bytes, too few for a kernel: {ADVICE}")
    raise ImageError(f"{name} is neither an ELF nor a bzImage: {ADVICE}")
