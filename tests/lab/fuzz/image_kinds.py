# SPDX-License-Identifier: GPL-2.0-or-later
"""What the Launcher parses, for image_fuzz.py: kernels in each form, initrds, disks, machine files, modules.

MP table and ACPI tables are made by the Launcher and never read.  Read before: image_fuzz.py.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import re
import struct
import types
import zlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from image_fuzz import Kind
from imagewriter import INIT_VMCALL, BzImage, Part, kernel, text
from module_lab import module

from lguest_py.disks import formats
from lguest_py.disks.opening import open_disk
from lguest_py.hardware import Disk
from lguest_py.images import decompress, open_image
from lguest_py.images.boot_params import place_tables, write_boot_params
from lguest_py.images.initrd import load_initrd
from lguest_py.images.initrd_format import initrd_note
from lguest_py.images.native import write_native
from lguest_py.kernels.modules import UNPACKERS, Modules
from lguest_py.launcher.machine_file import read as read_machine_file
from lguest_py.postmortem.symbols import elf_symbols

RAM = 4 << 20
LOWEST = 1 << 20
VERSIONS = None, "2.6.32", "3.18.24", "5.10.0", "6.12.57"
CONFIG = b"IKCFG_ST" + gzip.compress(b"#\nCONFIG_X86_PAE=y\n") + b"IKCFG_ED"
HEADER, BEHIND = range(0x1F1, 0x268), range(16 * 512, 16 * 512 + 0x200)


def _unchanged(data: bytes) -> bytes:
    return data


def _lz4_legacy(data: bytes) -> bytes:
    piece = import_module("lz4.block").compress(data, store_size=False)
    return b"\x02\x21\x4c\x18" + struct.pack("<I", len(piece)) + bytes(piece)


def _lzop(data: bytes) -> bytes:
    """With blocks as they are, which need no library."""
    head = b"\x89LZO\x00\r\n\x1a\n" + struct.pack(">HHHBBIIIIB", 0x1040, 0x20A0, 0x940, 1, 5, 1, 0o644, 0, 0, 0)
    block = struct.pack(">III", len(data), len(data), zlib.adler32(data)) + data if data else b""
    return head + bytes(4) + block + bytes(4)


def _no_lzo(*_: object) -> bytes:
    raise ValueError("not compressed")


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE, preset=0),
    "zstd": lambda data: bytes(import_module("zstandard").compress(data)),
    "lz4-frame": lambda data: bytes(import_module("lz4.frame").compress(data)),
    "lz4": _lz4_legacy,
    "lzop": _lzop,
}


def _kernel(path: Path, _: bytes, chance: random.Random) -> None:
    """Open it, and load it as the Launcher does."""
    library, really = types.SimpleNamespace(decompress=_no_lzo), decompress._library
    decompress._library = lambda name, *modules: library if name == "lzo" else really(name, *modules)
    try:
        image = open_image(str(path), unpack=chance.choice((None, True, False)))
    finally:
        decompress._library = really
    ram = memoryview(bytearray(RAM))
    image.load(ram)
    tables = place_tables(len(ram), image, None) if image.expects_tables else len(ram)
    write = write_native if image.personality == "native" else write_boot_params
    write(ram, image, command_line="quiet", initrd=None)
    if image.symbols:
        elf_symbols(*image.symbols).at(image.entry)
    assert any(each.address <= image.entry < each.end for each in image.segments)
    assert image.end <= tables <= len(ram) == RAM
    assert image.note.isprintable()


def _initrd(path: Path, data: bytes, chance: random.Random) -> None:
    """It is where it is said to be, as it is."""
    assert initrd_note(str(path), chance.choice(VERSIONS)).isprintable()
    ram = memoryview(bytearray(2 * LOWEST))
    address, size = load_initrd(str(path), ram, lowest=LOWEST, linux=chance.random() < 0.5)
    assert address >= LOWEST
    assert not address % 4096
    assert ram[address : address + size] == data


def _disk(path: Path, data: bytes, chance: random.Random) -> None:
    """What a Guest can have written never chooses another format than raw; a raw one is read as it is."""
    ending = chance.choice(("", ".img", ".raw", *formats.ENDINGS))
    named = path.with_name("disk" + ending)
    os.replace(path, named)
    try:
        descriptor = os.open(named, os.O_RDONLY)
        try:
            found = formats.choose(str(named), named.name, descriptor)
        finally:
            os.close(descriptor)
        assert found == formats.ENDINGS.get(ending, "raw")
        disk = open_disk(Disk(str(named), readonly=True, format="raw"), lambda _: None)
        sector = bytearray(512)
        disk.read(0, [memoryview(sector)])
        disk.close()
        assert sector == data[:512].ljust(512, b"\0")
    finally:
        os.unlink(named)


def _machine(path: Path, _: bytes, __: random.Random) -> None:
    read_machine_file(str(path))


def _module(path: Path, _: bytes, __: random.Random) -> None:
    """The one module of a kernel."""
    folder = path.parent / "modules"
    (folder / "kernel").mkdir(parents=True, exist_ok=True)
    os.replace(path, folder / "kernel" / path.name)
    try:
        modules = Modules(str(folder))
        chosen, _built_in = modules.choose(["image"])
        modules.tree(chosen)
    finally:
        os.unlink(folder / "kernel" / path.name)


def _old(more: bytes = b"") -> bytes:
    """A kernel with sections, of which the code is searched."""
    parts = (Part(0x100000, text("2.6.32", call=INIT_VMCALL, more=more)),)
    return kernel(parts=parts, sections=((0, 0, 13), (0, 3, 20))).bytes()


ELF = kernel().bytes()
NATIVE = kernel(parts=(Part(0x100000, text("6.12.57", call=b"", name=b"", more=CONFIG)),)).bytes()
NEWC = b"070701" + b"0000000B" * 13 + b"init\0" + bytes(16)
MACHINE = b"""image = "vmlinuz"
initrd = "initrd.img"
memory = "64M"
command-line = ["quiet", "ro"]
timeout = 3.5
guest-status = true
engine = "tcg"
disk = ["root.img,readonly", { file = "data.qcow2", overlay = true }]
net = { kind = "user", publish = ["8080:80"] }
share = { dir = "shared", tag = "files" }
vsock = "socket"
rng = true
"""
WORDS = (  # of TOML, and what is none
    *(b"9" * 5000, b"0x" + b"f" * 4500, b"0x" + b"f" * 17, b"-1", b"0", b"nan", b"-inf", b"1e999", b"1_000.5", b"true"),
    *(
        b'"\\u0000"',
        b'"~"',
        b'"~nobody/x"',
        b'",,"',
        b'"64Mi,=x"',
        b'"\\u001b[2J"',
        b'"disk.toml"',
        b"1979-05-27",
        b"{}",
    ),
    *(
        b"07:32:00",
        b"[]",
        b'["a", 1]',
        b"[[1], {a = 2}]",
        b"[" * 90 + b"]" * 90,
        b'"' + b"x" * 70000 + b'"',
        b"'\xe2\x80\xae'",
    ),
    *(
        b'{ file = "x", serial = 5 }',
        b'{ kind = "tap", name = "\\n" }',
        b"{ dir = [], tag = 1 }",
        b'{ socket = "s", cid = 1e9 }',
    ),
    *(b"[" * 3000, b"{a=" * 300, b'"\\ud800"', b'"""', b"\xff"),
)
VALUES = (rb'"[^"]*"', rb"(?<== )[a-z0-9.]+", rb"(?m)(?<== ).+$", rb"(?m)^.+ = .+$", rb"\w+(?= = )")
TOKENS = [range(*found.span()) for each in VALUES for found in re.finditer(each, MACHINE)]
HEADS = tuple(magic for _, _, magic in formats._MAGIC)

KINDS: dict[str, Kind] = {
    "elf": Kind(ELF, _unchanged, _kernel, (range(52 + 64),)),
    "elf-native": Kind(NATIVE, _unchanged, _kernel, (range(52 + 32),), (CONFIG[:20], b"IKCFG_ST\x1f\x8b", b"*pdpt = ")),
    "elf-sections": Kind(_old(), _unchanged, _kernel, (range(52 + 32), range(len(_old()) - 120, len(_old())))),
    **{f"file-{name}": Kind(ELF, pack, _kernel) for name, pack in PACKERS.items()},
    **{
        f"bzimage-{name}": Kind(ELF, lambda data, pack=pack: BzImage(pack(data)).bytes(), _kernel, (HEADER, BEHIND))  # type: ignore[misc]
        for name, pack in PACKERS.items()
    },
    "bzimage-itself": Kind(text(), lambda data: BzImage(b"", decompressor=data).bytes(), _kernel, (HEADER, BEHIND)),
    "initrd": Kind(
        NEWC, _unchanged, _initrd, (range(1),), (ELF[:64], *(bytes(pack(b"x")[:12]) for pack in PACKERS.values()))
    ),
    "disk": Kind(bytes(1024), _unchanged, _disk, (range(80),), HEADS),
    "machine-file": Kind(MACHINE, _unchanged, _machine, (), WORDS, ".toml", TOKENS),
    **{
        f"module{packing}": Kind(module("depends=", "license=GPL"), pack, _module, (), (), f".ko{packing}")
        for packing, pack in (("", _unchanged), (".gz", PACKERS["gzip"]), (".xz", PACKERS["xz"]))
    },
}
assert set(UNPACKERS) == {name.removeprefix("module") for name in KINDS if name.startswith("module")}
