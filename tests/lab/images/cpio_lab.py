# SPDX-License-Identifier: GPL-2.0-or-later
"""Read an initrd: the members of a gzipped newc archive, as a kernel reads them."""

from __future__ import annotations

import gzip
import os
import stat
from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """A member as a kernel reads it."""

    mode: int
    owner: tuple[int, int]
    device: tuple[int, int]
    data: bytes
    number: int


def unpack(archive: bytes) -> dict[str, Member]:
    """The members of a gzipped newc archive, which is checked."""
    data = gzip.decompress(archive)
    members: dict[str, Member] = {}
    at = 0
    while True:
        assert at % 4 == 0
        assert data[at : at + 6] == b"070701"
        (number, mode, user, group, links, time, size, _, _, major, minor, name_size, check) = (
            int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)
        )
        name = data[at + 110 : at + 110 + name_size]
        assert name.endswith(b"\0")
        assert b"\0" not in name[:-1]
        assert (time, check) == (0, 0)
        at += (110 + name_size + 3) // 4 * 4
        contents = data[at : at + size]
        assert len(contents) == size
        at += (size + 3) // 4 * 4
        if name == b"TRAILER!!!\0":
            assert at == len(data)
            return members
        assert links == 2 if stat.S_ISDIR(mode) else links == 1
        path = os.fsdecode(name[:-1])
        assert path not in members
        assert not os.path.dirname(path) or stat.S_ISDIR(members[os.path.dirname(path)].mode)  # parents come first
        members[path] = Member(mode, (user, group), (major, minor), contents, number)
