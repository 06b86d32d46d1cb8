# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies of a saved Guest in one process: on kvm they share what they do not write.

Read next: lguest_py/saved/original.py.
"""

from __future__ import annotations

import mmap
import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lguest_py import Machine
from lguest_py.errors import ImageError
from lguest_py.saved.original import NAME, Original, revert

PATIENCE = 300.0  # the carrier is slow
COPIES = 3
MEMORY = 64 << 20


def fill(view: memoryview) -> None:
    view[:4] = b"this"


def test_nobody_changes_an_original_or_cuts_it_off() -> None:
    original = Original.take("one", mmap.PAGESIZE, fill)
    try:
        for refused in (lambda: os.write(original.fd, b"x"), lambda: os.ftruncate(original.fd, 0)):
            with pytest.raises(PermissionError):
                refused()
        with mmap.mmap(original.fd, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE) as copy:
            copy[:4] = b"that"
            with mmap.mmap(original.fd, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE) as other:
                assert other[:5] == b"this\0"
            with memoryview(copy) as view:
                revert(view)
            assert copy[:5] == b"this\0"
    finally:
        original.release()


def test_it_goes_with_its_last_user() -> None:
    first = Original.take("one", mmap.PAGESIZE, fill)
    second = Original.take("one", mmap.PAGESIZE, lambda view: pytest.fail("it is there"))
    other = Original.take("another", mmap.PAGESIZE, fill)
    assert first is second is not other
    for each in (first, other):
        each.release()
    os.fstat(second.fd)
    second.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(second.fd)


def test_one_that_cannot_be_filled_leaves_nothing() -> None:
    def damaged(view: memoryview) -> None:
        raise ImageError("damaged")

    before = os.listdir("/proc/self/fd")
    with pytest.raises(ImageError):
        Original.take("one", mmap.PAGESIZE, damaged)
    assert os.listdir("/proc/self/fd") == before
    Original.take("one", mmap.PAGESIZE, fill).release()


def own_bytes() -> list[int]:
    """Of each mapping of an original here: how much of it is not shared any more."""
    mappings = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(), flags=re.M)
    ours = [each for each in mappings if f"/memfd:{NAME}" in each]
    assert all(int(size) << 10 >= MEMORY for each in ours for size in re.findall(r"^Size: +(\d+) kB", each, re.M))
    return [int(size) << 10 for each in ours for size in re.findall(r"^Private_Dirty: +(\d+) kB", each, re.M)]


def test_copies_share_what_they_do_not_write(engine_name: Any, tmp_path: Path) -> None:
    """Nor does it matter to them what becomes of the file."""
    file = tmp_path / "saved"
    with Machine(engine=engine_name, memory=MEMORY) as first:
        first.console.expect("lguest> ", PATIENCE)
        first.save(file)
    with ExitStack() as stack:
        copies = [stack.enter_context(Machine(saved=file, engine=engine_name)) for _ in range(COPIES)]
        for number, copy in enumerate(copies):
            copy.console.sendline(f"echo I am {number}")
            copy.console.expect(f"\nI am {number}", PATIENCE)
        own = own_bytes()
        assert len(own) == (COPIES if engine_name == "kvm" else 0)
        assert all(0 < each < MEMORY // 8 for each in own)
        os.truncate(file, 0)
        for number, copy in enumerate(copies):
            copy.console.sendline("test")
            copy.console.expect(", 0 failed", PATIENCE)
            others = {f"I am {each}" for each in range(COPIES)} - {f"I am {number}"}
            assert not [each for each in others if each in copy.console.output]
    assert own_bytes() == []
