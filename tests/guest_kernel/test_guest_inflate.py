# SPDX-License-Identifier: GPL-2.0-or-later
"""The tiny Guest's own DEFLATE decoder (guest_kernel/boot/inflate.c), run here, against zlib."""

from __future__ import annotations

import ctypes
import random
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RANDOM = random.Random(20)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler
    made = tmp_path_factory.mktemp("inflate") / "inflate.so"
    options = ["-shared", "-fPIC", "-O1", "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}"]
    subprocess.run([compiler, *options, str(ROOT / "guest_kernel/boot/inflate.c"), "-o", str(made)], check=True)
    return ctypes.CDLL(str(made))


def inflate(library: ctypes.CDLL, packed: bytes, room: int) -> tuple[bytes, int]:
    """What it makes of ``packed``, and how many bytes it read.  A byte behind the room must stay as it is."""
    to, used = ctypes.create_string_buffer(b"\xa5" * (room + 1), room + 1), ctypes.c_uint32()
    made = library.inflate(packed, len(packed), to, room, ctypes.byref(used))
    assert 0 <= made <= room
    assert to.raw[room] == 0xA5
    assert used.value <= len(packed)
    return to.raw[:made], used.value


def deflate(data: bytes, level: int, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return packer.compress(data) + packer.flush()


DATA = {
    "one byte": b"x",
    "a run": b"a" * 100_000,
    "text": (ROOT / "README.md").read_bytes() * 3,
    "noise": RANDOM.randbytes(70_000),
    "far matches": (block := RANDOM.randbytes(32_000)) + block + block[::-1] + block,
    "few symbols": bytes(RANDOM.choices(b"ab\0", [90, 9, 1], k=50_000)),
}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_it_undoes_zlib(library: ctypes.CDLL, name: str, level: int) -> None:
    packed = deflate(DATA[name], level)
    assert inflate(library, packed + b"more", len(DATA[name])) == (DATA[name], len(packed))


@pytest.mark.parametrize("strategy", [zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE])
def test_it_knows_every_kind_of_block(library: ctypes.CDLL, strategy: int) -> None:
    for data in DATA.values():
        assert inflate(library, deflate(data, 9, strategy), len(data))[0] == data


def test_what_is_too_large_is_refused(library: ctypes.CDLL) -> None:
    for data in DATA.values():
        assert inflate(library, deflate(data, 9), len(data) - 1)[0] == b""


def test_what_is_cut_short_is_refused(library: ctypes.CDLL) -> None:
    packed = deflate(DATA["text"], 9)
    for length in (0, 1, 2, 10, len(packed) // 2, len(packed) - 1):
        assert inflate(library, packed[:length], len(DATA["text"]))[0] == b""


def test_nonsense_does_no_harm(library: ctypes.CDLL) -> None:
    packed = bytearray(deflate(DATA["text"], 9))
    for _ in range(3000):
        damaged = bytearray(packed)
        for _ in range(RANDOM.randint(1, 4)):
            damaged[RANDOM.randrange(min(len(damaged), 400))] = RANDOM.randrange(256)
        inflate(library, bytes(damaged), len(DATA["text"]))
    for _ in range(3000):
        inflate(library, RANDOM.randbytes(RANDOM.randint(1, 300)), 5000)
