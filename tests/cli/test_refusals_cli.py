# SPDX-License-Identifier: GPL-2.0-or-later
"""What cannot be booted, given to the command line: status 2, one line that says what to do, and no machine started.

tests/images/test_images_refused.py looks at the images more closely.
"""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from fake_engine import FakeEngine, fake_images
from imagewriter import BzImage, ElfFile, Part, kernel, text

from lguest_py import engines
from lguest_py.cli import main
from lguest_py.engines import Choice

__all__ = ["fake_images"]
ELF = kernel().bytes()
PACKED = BzImage(gzip.compress(ELF)).bytes()
MIB = 1 << 20


@dataclass(frozen=True)
class Case:
    """An image, and words of the one line that refuses it."""

    image: bytes
    words: tuple[str, ...]
    options: tuple[str, ...] = ()
    initrd_bytes: int = 0
    names_image: bool = True


def damaged(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


def parts(*some: Part) -> bytes:
    return ElfFile((Part(0x100000, text()), *some)).bytes()


CASES = {
    "empty": Case(b"", ("is empty", "give a bzImage")),
    "text": Case(b"this is no kernel\n" * 99, ("neither an ELF nor a bzImage", "give a bzImage")),
    "truncated header, ELF": Case(ELF[:40], ("broken ELF header",)),
    "truncated header, bzImage": Case(PACKED[:0x220], ("cut short", "copy it anew")),
    "truncated payload": Case(PACKED[:-64], ("cut short", "copy it anew")),
    "lying sizes, ELF": Case(parts(Part(0x200000, b"x", 0x80000000, stored=0x7FFFFFFF)), ("cut short",)),
    "lying sizes, bzImage": Case(BzImage(b"", payload_length=99999).bytes(), ("ends after", "copy it anew")),
    "overlapping segments": Case(parts(Part(0x100010, b"x")), ("0x100000 and 0x100010 overlap",)),
    "segments beyond memory": Case(parts(Part(0xC0000000, b"x")), ("above any Guest's memory",)),
    "64-bit ELF": Case(kernel(bits=2, machine=62).bytes() + bytes(99), ("64-bit", "give a 32-bit Linux")),
    "64-bit bzImage": Case(BzImage(b"?", xloadflags=1).bytes(), ("64-bit", "give a 32-bit Linux")),
    "ARM ELF": Case(kernel(machine=40).bytes(), ("built for ARM",)),
    "relocatable ELF": Case(kernel(kind=1).bytes(), ("relocatable",)),
    "old zImage": Case(BzImage(b"", loadflags=0).bytes(), ("old zImage", "build it as bzImage")),
    "bad magic": Case(PACKED.replace(b"HdrS", b"Hdrs"), ("without a Linux setup header",)),
    "unknown compression": Case(BzImage(b"\x99strange" * 9).bytes(), ("Linux does not use", "copy it anew")),
    "corrupt payload": Case(damaged(PACKED, len(PACKED) - 60), ("damaged", "copy it anew")),
    "too old a kernel": Case(ElfFile((Part(0x100000, text("2.6.29")),)).bytes(), ("too old", "2.6.32 or newer")),
    "PAE kernel": Case(ElfFile((Part(0x100000, text(more=b"*pdpt = %016Lx ")),)).bytes(), ("PAE", "give")),
    "initrd too large": Case(ELF, ("initrd", "does not fit", "use --memory"), initrd_bytes=64 * MIB, names_image=False),
    "memory too small for the kernel": Case(
        kernel(parts=(Part(0x100000, text(), 8 * MIB),)).bytes(), ("needs memory up to 12M", "use --memory 16M"),
        options=("--memory", "8M"),
    ),
    "memory too small": Case(ELF, ("give 4M to 2048M",), options=("--memory", "1M"), names_image=False),
    "memory too large": Case(ELF, ("give 4M to 2048M",), options=("--memory", "4G"), names_image=False),
    "command line too long": Case(PACKED, ("command line has", "shorten it"), options=("long",)),
}  # fmt: skip


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, fake_images: Path) -> list[FakeEngine]:
    """The machines that were made; none of them can start."""
    machines: list[FakeEngine] = []

    def make(memory_bytes: int) -> FakeEngine:
        machines.append(FakeEngine(memory_bytes, None))  # type: ignore[arg-type]
        monkeypatch.setattr(machines[-1], "start", started)
        return machines[-1]

    def started(entry: int, ebx: int) -> NoReturn:
        raise AssertionError("a bad image was started")

    monkeypatch.setattr(engines, "choose", lambda name: Choice(make, "fake", "a test asked for it"))
    return machines


def refused(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """Run the command line, which must say one line and end with 2."""
    assert main(["boot", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("lguest-py: ")
    assert err.endswith("\n")
    assert err[:-1].isprintable(), err  # and so one line
    return err


@pytest.mark.parametrize("name", CASES)
def test_a_refusal(name: str, tmp_path: Path, made: list[FakeEngine], capfd: pytest.CaptureFixture[str]) -> None:
    case = CASES[name]
    image, initrd = tmp_path / "the image", tmp_path / "the initrd"
    image.write_bytes(case.image)
    options = [*case.options] if case.options != ("long",) else []
    if case.initrd_bytes:
        initrd.touch()
        os.truncate(initrd, case.initrd_bytes)
        options += ["--initrd", str(initrd)]
    line = refused([*options, str(image), *(["x" * 3000] if case.options == ("long",) else [])], capfd)
    for word in case.words:
        assert word in line
    assert not case.names_image or str(image) in line
    assert not case.initrd_bytes or str(initrd) in line
    assert all(machine.closed for machine in made)


@pytest.mark.parametrize(
    ("name", "word"),
    [("/", "is a directory"), ("/nonexistent", "does not exist"), ("two\nlines", "does not exist"), ("", "is empty")],
)
def test_what_is_no_file(name: str, word: str, made: list[FakeEngine], capfd: pytest.CaptureFixture[str]) -> None:
    assert word in refused([name], capfd)
    assert made == []


@pytest.mark.parametrize(("name", "word"), [("/", "is a directory"), ("/nonexistent", "does not exist")])
def test_an_initrd_that_is_no_file(
    name: str, word: str, tmp_path: Path, made: list[FakeEngine], capfd: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "image"
    image.write_bytes(ELF)
    assert word in refused(["--initrd", name, str(image)], capfd)
    assert [machine.closed for machine in made] == [True]


def test_an_unreadable_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[FakeEngine], capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "image"
    path.write_bytes(ELF)
    really = os.open

    def denied(name: str, *more: int) -> int:
        if name == str(path):
            raise PermissionError(13, "Permission denied")  # root may read whatever its mode
        return really(name, *more)

    monkeypatch.setattr(os, "open", denied)
    assert "may not be read: give yourself read permission" in refused([str(path)], capfd)
    assert made == []
