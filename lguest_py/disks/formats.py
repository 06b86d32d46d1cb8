# SPDX-License-Identifier: GPL-2.0-or-later
"""The formats of disk images: which one a file has.

A Guest writes what it likes into its raw disk, a header of another format among it, and such a header can name any file
of the Host as the place where the data are.  So a file's contents alone never choose: its name must agree, and where
the two disagree the user is asked.  Read next: opening.py.
"""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Final

from lguest_py.errors import UsageError

ENDINGS: Final = {
    ".qcow2": "qcow2",
    ".qcow": "qcow",
    ".qed": "qed",
    ".vdi": "vdi",
    ".vhdx": "vhdx",
    ".vmdk": "vmdk",
    ".vhd": "vpc",
    ".hdd": "parallels",
}
_MAGIC: Final = (  # format, offset, bytes; each is in the format's own specification
    ("qcow", 0, b"QFI\xfb\x00\x00\x00\x01"),
    ("qcow2", 0, b"QFI\xfb"),
    ("qed", 0, b"QED\x00"),
    ("vdi", 64, b"\x7f\x10\xda\xbe"),
    ("vhdx", 0, b"vhdxfile"),
    ("vmdk", 0, b"KDMV"),
    ("vmdk", 0, b"COWD"),
    ("vmdk", 0, b"# Disk DescriptorFile"),
    ("vpc", 0, b"conectix"),
    ("parallels", 0, b"WithoutFreeSpace"),
    ("parallels", 0, b"WithouFreSpacExt"),
)


def found(start: bytes) -> str:
    """The format that a file's first bytes look like."""
    for name, offset, magic in _MAGIC:
        if start[offset : offset + len(magic)] == magic:
            return name
    return "raw"


def choose(path: str, printed: str, descriptor: int) -> str:
    """The format of a file for "auto".  Raises UsageError where its name and its contents disagree."""
    contents = found(os.pread(descriptor, 128, 0))
    ending = PurePath(path).suffix.lower()
    named = ENDINGS.get(ending, "raw")
    if contents == named:
        return contents
    if named == "raw":
        raise UsageError(
            f"{printed} begins like a {contents} image, but its name does not say so, and a Guest can write such a "
            f"beginning into its disk: add format={contents} if it is one, or format=raw for a disk with these bytes"
        )
    raise UsageError(
        f"{printed} is named like a {named} image, but does not begin like one: add format={named} or format={contents}"
    )
