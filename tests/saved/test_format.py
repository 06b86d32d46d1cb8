# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of a saved Guest: what was written is read, and what was damaged is refused in one line."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from lguest_py.errors import ImageError
from lguest_py.saved.format import PIECE, Reader, Writer

SIZE = 3 * PIECE + 12345


def memory(seed: int, share: float) -> bytearray:
    """Memory of which a ``share`` of its pages is not zero: half of those are easy to compress."""
    chance, data = random.Random(seed), bytearray(SIZE)
    for at in range(0, SIZE, 4096):
        if chance.random() < share:
            page = chance.randbytes(4096) if chance.random() < 0.5 else bytes([chance.randrange(1, 256)]) * 4096
            data[at : at + 4096] = page[: SIZE - at]
    return data


def written(path: Path, data: bytearray, compress: bool = False) -> int:
    with path.open("w+b") as file:
        writer = Writer(file.fileno(), compress)
        middle = SIZE // 2 // 4096 * 4096
        writer.add("memory", memoryview(data)[:middle])
        writer.add("memory", memoryview(data)[middle:], middle)
        return writer.finish({"answer": 42})


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_what_was_written_is_read(tmp_path: Path, compress: bool, share: float) -> None:
    data, path = memory(1, share), tmp_path / "saved"
    size = written(path, data, compress)
    assert path.stat().st_size == size
    if share <= 0.01:
        assert size < SIZE // 2
    reader, there = Reader(str(path)), bytearray(SIZE)
    assert reader.facts["answer"] == 42
    reader.load("memory", memoryview(there))
    assert there == data
    reader.load("nothing", memoryview(there))
    reader.close()
    reader.close()


def attempt(path: Path) -> str:
    """What is said of a file; "": it is whole."""
    try:
        reader = Reader(str(path))
    except ImageError as error:
        return str(error)
    try:
        reader.load("memory", memoryview(bytearray(SIZE)))
    except ImageError as error:
        return str(error)
    finally:
        reader.close()
    return ""


@pytest.mark.parametrize("compress", [False, True])
def test_every_changed_byte_and_every_cut_is_found(tmp_path: Path, compress: bool) -> None:
    path, chance = tmp_path / "saved", random.Random(7)
    size = written(path, memory(2, 0.2), compress)
    whole, first = path.read_bytes(), 36
    for _ in range(300):
        at = chance.choice((chance.randrange(first), chance.randrange(4096, size), chance.randrange(size - 500, size)))
        changed = bytearray(whole)
        changed[at] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        said = attempt(path)
        if changed[at:] == whole[at:] or said:
            continue
        begins = {piece[2] for pieces in Reader(str(path)).facts["pieces"].values() for piece in pieces}
        before = max(begin for begin in begins if begin <= at)
        stored = next(piece[3] for piece in Reader(str(path)).facts["pieces"]["memory"] if piece[2] == before)
        assert at >= before + stored, f"a change at {at} was not found"  # of what fills a page
    for _ in range(100):
        path.write_bytes(whole[: chance.randrange(size)])
        assert attempt(path), "a file that was cut off"


def test_a_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    for text in (b"", b"\x7fELF" + bytes(100), b"lguest-py saved", b"lguest-py saved\n"):
        path.write_bytes(text)
        assert "is not the file of a saved Guest" in attempt(path) or "is cut off" in attempt(path)
    written(path, memory(3, 0.01))
    data = bytearray(path.read_bytes())
    data[16] = 99
    path.write_bytes(data)
    assert "has version 99" in attempt(path)
    os.unlink(path)
    path.mkdir()
    with pytest.raises(ImageError):
        Reader(str(path))
