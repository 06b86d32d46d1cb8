# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux compressed in each way that it knows: unpacked by the Launcher, and entered, so that it unpacks itself.

LGUEST_PACKED=DIR names kernels of either personality: ``bzImage.FORMAT``, one kernel compressed in these ways, and an
``initrd`` as ``lguest-py mkinitrd`` makes it (without one, the initrd of the fetched kernel).  Without it there is
Debian's, which is compressed by xz.  Read next: test_native_write_protect.py, which counts the steps.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lguest_py import engines
from lguest_py.console.streams import Input, Output
from lguest_py.images import Image, open_image
from lguest_py.images.support import sets_flag_by_popf
from lguest_py.kernels.stock import Kernel
from lguest_py.launcher.launcher import Launcher, Settings
from lguest_py.launcher.result import End, Result

FORMATS = ("gz", "bz2", "lzma", "xz", "lzo", "lz4", "zst")
LIBRARIES = {"lzo": "lzo", "lz4": "lz4.block", "zst": "zstandard"}
LIMIT = 1500
DEBUG = 1
STEPS = 200  # a busy page is opened after 64, and the decompressor loads few descriptors


def boot(engine_name: str, image: Image, initrd: Path) -> Result:
    """To its init, which powers off."""
    console = "ttyS0" if image.personality == "native" else "hvc0"
    words = f"console={console} quiet run=true"
    settings = Settings(image, 64 << 20, words, str(initrd), restart=False, timeout=LIMIT)
    with (
        tempfile.TemporaryFile() as keys,
        tempfile.TemporaryFile() as shown,
        closing(Output(shown.fileno())) as output,
    ):
        result = Launcher(settings, engines.choose(engine_name).make, Input(keys.fileno()), output).run()
        assert not output.finish(60)
        shown.seek(0)
        text = shown.read().decode()
    assert (result.outcome.end, result.status) == (End.POWERED_OFF, 0), text
    assert "lguest-py: exit status 0" in text
    assert result.snapshot.rings == (1, 3)
    return result


@pytest.fixture
def variant(packed: Path, form: str) -> Path:
    """The kernel compressed in this way."""
    path = packed / f"bzImage.{form}"
    if not path.exists():
        pytest.skip(f"there is no {path}")
    return path


@pytest.fixture
def initrd(packed: Path, stock: Kernel) -> Path:
    """What they are booted with."""
    own = packed / "initrd"
    return own if own.exists() else stock.initrd


@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize("form", FORMATS)
def test_entered_it_unpacks_itself(engine_name: str, variant: Path, initrd: Path) -> None:
    image = open_image(str(variant), unpack=False)
    assert image.kind == "bzImage"
    result = boot(engine_name, image, initrd)
    if not sets_flag_by_popf(image.version):  # such a kernel is single-stepped for another reason
        assert result.snapshot.by_vector.get(DEBUG, 0) < STEPS


@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize("form", FORMATS)
def test_unpacked_here_it_boots(engine_name: str, variant: Path, initrd: Path, form: str) -> None:
    if form in LIBRARIES:
        pytest.importorskip(LIBRARIES[form])
    image = open_image(str(variant), unpack=True)
    assert image.kind == "bzImage (unpacked)"
    boot(engine_name, image, initrd)


@pytest.mark.nightly("kvm")
@pytest.mark.timeout(LIMIT)
def test_debians_own_unpacks_itself(engine_name: str, stock: Kernel) -> None:
    """With KASLR: the decompressor's stack, of which it then uses much, is in the page of its GDT."""
    image = open_image(str(stock.kernel), unpack=False)
    assert image.kind == "bzImage"
    result = boot(engine_name, image, stock.initrd)
    assert 0 < result.snapshot.by_vector[DEBUG] < STEPS


def zstd(data: bytes) -> bytes:
    return bytes(pytest.importorskip("zstandard").ZstdCompressor(level=1).compress(data))


def lz4(data: bytes) -> bytes:
    """Blocks of 8 MiB, as Linux's build makes them."""
    block = pytest.importorskip("lz4.block")
    pieces = (block.compress(data[at : at + (8 << 20)], store_size=False) for at in range(0, len(data), 8 << 20))
    return b"\x02\x21\x4c\x18" + b"".join(struct.pack("<I", len(piece)) + piece for piece in pieces)


REPACKED: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, 1),
    "bz2": lambda data: bz2.compress(data, 1),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE, preset=0),
    "lz4": lz4,
    "zst": zstd,
}


@pytest.mark.parametrize("form", REPACKED)
def test_debians_own_compressed_anew_is_the_same_kernel(tmp_path: Path, stock: Kernel, form: str) -> None:
    """Its own code for unpacking would not know the other format: only we can."""
    data = bytearray(stock.kernel.read_bytes())
    code = (data[0x1F1] + 1) * 512
    at, size = struct.unpack_from("<II", data, 0x248)
    kernel = lzma.decompress(data[code + at : code + at + size - 4], lzma.FORMAT_XZ)
    payload = REPACKED[form](kernel) + struct.pack("<I", len(kernel))
    data[code + at :] = payload
    data += bytes(-len(data) % 16)
    struct.pack_into("<I", data, 0x24C, len(payload))
    struct.pack_into("<I", data, 0x1F4, (len(data) - code) // 16)
    path = tmp_path / "bzImage"
    path.write_bytes(data)
    ours, theirs = open_image(str(path), unpack=True), open_image(str(stock.kernel), unpack=True)
    assert ours.kind == "bzImage (unpacked)"
    assert (ours.entry, ours.segments, ours.personality) == (theirs.entry, theirs.segments, "native")
