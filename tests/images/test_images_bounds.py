# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading a Guest takes work in proportion to its files, and ends when the time limit or a signal says so."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
import lzma
import os
import signal
import struct
from collections.abc import Callable, Generator
from pathlib import Path

import imagewriter
import pytest
from fake_engine import IMAGE, FakeEngine, fake_images, machines
from imagewriter import INIT_VMCALL, BzImage, Part, kernel, text
from launcher_lab import MIB, Lab, NoSource, lab, pipes, power_off

import lguest_py
from lguest_py import images
from lguest_py.cli import main
from lguest_py.console.terminal import QuitRequested
from lguest_py.errors import ImageError, StoppedError
from lguest_py.files import cancellation
from lguest_py.files import inputs as files
from lguest_py.images import decompress, elf, open_image, vmcall
from lguest_py.images.initrd import load_initrd
from lguest_py.launcher.launcher import Launcher, Settings
from lguest_py.launcher.result import End

__all__ = ["fake_images", "lab", "machines", "pipes"]
SIZE = 64 << 10
ODD = 1e-9  # seconds: over at the first look


# --- linear --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", [b"\x0f\x01\xc1", b"\x66", b"\x0f\x01\xc1\xc3", b"\xcd\x80\x0f\x01\xc1", b"\x00"])
def test_each_byte_of_the_code_is_decoded_once(monkeypatch: pytest.MonkeyPatch, pattern: bytes) -> None:
    decoded = 0
    length = vmcall.instruction_length

    def counted(code: bytes, at: int) -> int:
        nonlocal decoded
        decoded += 1
        return length(code, at)

    monkeypatch.setattr(vmcall, "instruction_length", counted)
    code = bytearray((pattern * (SIZE // len(pattern)))[: SIZE - 3] + vmcall.VMCALL)
    vmcall.rewrite(code, 0, len(code))
    assert decoded <= len(code)


def test_an_instruction_has_no_more_prefixes_than_a_processor_takes() -> None:
    class Counted(bytes):
        read = 0

        def __getitem__(self, at: object) -> int:  # type: ignore[override]
            Counted.read += 1
            return super().__getitem__(at)  # type: ignore[call-overload,no-any-return]

    with pytest.raises(IndexError):
        vmcall.instruction_length(Counted(b"\x66" * 10000 + b"\x90"), 0)
    assert Counted.read < 100
    assert vmcall.instruction_length(b"\x66" * 14 + b"\x90", 0) == 15


def test_readings_that_end_in_endless_prefixes_do_not_hide_a_call() -> None:
    code = bytearray(b"\x66" * 100 + b"\x90" * 300 + vmcall.VMCALL + b"\xc3")
    assert vmcall.rewrite(code, 0, len(code)) == 1


def test_bytes_that_many_sections_name_are_looked_at_once(tmp_path: Path) -> None:
    data = text("2.6.32", call=INIT_VMCALL)
    sections = tuple((0, at, size) for at in (0, 3) for size in range(4, len(data) - 3, 1))[:4000]
    path = tmp_path / "image"
    path.write_bytes(kernel(parts=(Part(0x100000, data),), sections=sections).bytes())
    with path.open("rb") as file:
        parsed = elf.read_elf(file, path.stat().st_size, "image")
        ranges = elf.text_ranges(file, parsed, "image")
    assert len(ranges) == 1
    assert bytes(open_image(str(path)).segments[0].data[10:13]) == vmcall.INT_1F


def points(work: Callable[[], object]) -> int:
    """How many cancellation points the work passes."""
    passed = 0

    def check() -> None:
        nonlocal passed
        passed += 1

    with cancellation.checked_by(check):
        work()
    return passed


def bomb(packer: str, megabytes: int) -> bytes:
    """Zeros, packed."""
    zeros = bytes(megabytes << 20)
    if packer == "zstd":
        return bytes(pytest.importorskip("zstandard").compress(zeros))
    if packer == "lz4":
        return bytes(pytest.importorskip("lz4.frame").compress(zeros))
    packers: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "bzip2": bz2.compress,
        "xz": lambda data: lzma.compress(data, preset=0),
    }
    return bytes(packers[packer](zeros))


@pytest.mark.parametrize("packer", ["gzip", "bzip2", "xz", "zstd", "lz4"])
def test_unpacking_can_be_cancelled_every_few_megabytes(packer: str) -> None:
    data = memoryview(bomb(packer, 128))
    assert points(lambda: decompress.decompress(data)) >= 128 >> 5  # of zstd up to 32 MiB come at once


def test_everything_else_can_be_cancelled_too(tmp_path: Path) -> None:
    code = bytearray(vmcall.VMCALL * (64 << 10))
    assert points(lambda: vmcall.rewrite(code, 0, len(code))) >= len(code) // vmcall.BLOCK
    path = tmp_path / "image"
    path.write_bytes(kernel(parts=(Part(0x100000, text(more=bytes(64 * MIB))),)).bytes())
    assert points(lambda: open_image(str(path))) >= 2 * 64 * MIB // cancellation.STEP  # read, and looked through
    ram = memoryview(bytearray(128 * MIB))
    assert points(lambda: load_initrd(str(path), ram, lowest=0)) >= 64 * MIB // cancellation.STEP


def test_what_stands_behind_a_bzimage_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image"
    good = BzImage(kernel().bytes()).bytes()
    path.write_bytes(good)
    os.truncate(path, 400 << 20)
    read = 0
    really = files.read_exactly

    def counted(*more: object) -> bytes:
        nonlocal read
        data = really(*more)  # type: ignore[arg-type]
        read += len(data)
        return data

    for module in (files, images):
        monkeypatch.setattr(module, "read_exactly", counted)
    open_image(str(path))
    assert read < 2 * len(good)


# --- the time limit ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["ELF", "vmcalls", "bzImage", "file"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An image of each way in which one is read."""
    data = {
        "ELF": lambda: kernel().bytes(),
        "vmcalls": lambda: kernel("2.6.32", parts=(Part(0x100000, text("2.6.32", call=INIT_VMCALL)),)).bytes(),
        "bzImage": lambda: BzImage(gzip.compress(kernel().bytes())).bytes(),
        "file": lambda: gzip.compress(kernel().bytes()),
    }[request.param]()
    path = tmp_path / "image"
    path.write_bytes(data)
    return path


def test_the_time_limit_holds_while_the_image_is_read(
    image: Path, machines: list[FakeEngine], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["boot", "--timeout", str(ODD), str(image)]) == 4
    out, err = capfd.readouterr()
    assert out == ""
    assert err == f"lguest-py: 1e-09 seconds passed before {image} was read: give more (--timeout)\n"
    assert main(["boot", "--json", "--timeout", str(ODD), str(image)]) == 4
    told = json.loads(capfd.readouterr().out)
    assert (told["end"], told["status"]) == ("time limit", 4)
    assert machines == []


def test_the_library_has_the_same_limit(image: Path, machines: list[FakeEngine]) -> None:
    with pytest.raises(StoppedError, match=r"before .*image was read") as caught:
        lguest_py.Machine(image, timeout=ODD)
    assert caught.value.status == 4
    assert machines == []


def test_the_time_that_reading_took_is_part_of_the_limit(lab: Lab, fake_images: Path) -> None:
    def script(engine: FakeEngine) -> Generator[str, None, None]:
        yield from power_off(engine)

    machine = FakeEngine(64 * MIB, script)
    settings = Settings(IMAGE, 4 * MIB, timeout=100, elapsed=100)
    result = Launcher(settings, lambda size: machine, NoSource(), lab.pipes.output).run()
    assert result.outcome.end is End.TIME_LIMIT


def test_the_time_limit_holds_while_the_initrd_is_read(lab: Lab, fake_images: Path, tmp_path: Path) -> None:
    (tmp_path / "initrd").write_bytes(bytes(MIB))
    result = lab.run(lambda engine: power_off(engine), initrd=str(tmp_path / "initrd"), timeout=ODD)
    assert (result.outcome.end, result.status) == (End.TIME_LIMIT, 4)
    assert lab.engines[0].started is None
    assert lab.engines[0].closed


class Ending:
    """Signals that tell the same from the first look on."""

    def __init__(self, number: int) -> None:
        self.number = number

    def fileno(self) -> int:
        return -1

    def take(self) -> int:
        if not self.number:
            raise QuitRequested("the program ended it")
        return self.number


@pytest.mark.parametrize(("number", "end"), [(signal.SIGTERM, End.SIGNAL), (0, End.LEFT)])
def test_a_signal_or_a_program_ends_the_reading_of_an_initrd(
    lab: Lab, fake_images: Path, tmp_path: Path, number: int, end: End
) -> None:
    (tmp_path / "initrd").write_bytes(bytes(MIB))
    machine = FakeEngine(64 * MIB, lambda engine: power_off(engine))
    settings = Settings(IMAGE, 4 * MIB, initrd=str(tmp_path / "initrd"))
    result = Launcher(settings, lambda size: machine, NoSource(), lab.pipes.output, Ending(number)).run()
    assert (result.outcome.end, result.status) == (end, 128 + (number or 2))
    assert machine.started is None
    assert machine.closed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_the_reading_of_an_image(
    image: Path, machines: list[FakeEngine], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:  # fmt: skip
    really = files.read_exactly

    def signalled(*more: object) -> bytes:
        os.kill(os.getpid(), number)
        return really(*more)  # type: ignore[arg-type]

    monkeypatch.setattr(images, "read_exactly", signalled)
    before = signal.getsignal(number)
    monkeypatch.setattr(signal, "default_int_handler", None)
    assert main(["boot", "--json", str(image)]) == 128 + number
    out, err = capfd.readouterr()
    assert json.loads(out)["end"] == "signal"
    assert err == f"lguest-py: {number.name} ended the run before the Guest was loaded\n"
    assert signal.getsignal(number) is before
    assert machines == []


def test_a_signal_that_was_ignored_stays_ignored(
    tmp_path: Path, machines: list[FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    def signalled(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        raise ImageError("it was read: try again")

    monkeypatch.setattr(images, "open_image", signalled)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main(["boot", str(tmp_path)]) == 2
    finally:
        signal.signal(signal.SIGHUP, before)


# --- files that never end ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["image", "initrd"])
@pytest.mark.parametrize("kind", ["fifo", "/dev/zero", "directory", "socket"])
def test_what_is_no_regular_file(
    tmp_path: Path, machines: list[FakeEngine], capfd: pytest.CaptureFixture[str], kind: str, which: str
) -> None:
    import socket

    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(kernel().bytes())
    with socket.socket(socket.AF_UNIX) as bound:
        if kind == "fifo":
            os.mkfifo(bad)
        elif kind == "directory":
            bad.mkdir()
        elif kind == "socket":
            bound.bind(str(bad))
        else:
            bad = Path(kind)
        arguments = [str(bad)] if which == "image" else ["--initrd", str(bad), str(good)]
        assert main(["boot", *arguments]) == 2
    said = capfd.readouterr().err
    assert said.startswith(f"lguest-py: {bad} ")
    assert said.count("\n") == 1


def test_a_sparse_initrd_of_a_terabyte(
    tmp_path: Path, machines: list[FakeEngine], capfd: pytest.CaptureFixture[str]
) -> None:
    good, huge = tmp_path / "good", tmp_path / "huge"
    good.write_bytes(kernel().bytes())
    huge.touch()
    with contextlib.suppress(OSError):
        os.truncate(huge, 1 << 40)
    if huge.stat().st_size != 1 << 40:
        pytest.skip("this file system has no files of a terabyte")
    assert main(["boot", "--initrd", str(huge), str(good)]) == 2
    assert "does not fit beside the kernel in 64M: make it smaller" in capfd.readouterr().err


def test_lying_counts_are_bounded(tmp_path: Path) -> None:
    header = bytearray(imagewriter.kernel().bytes())
    struct.pack_into("<H", header, 44, 0xFFFF)  # e_phnum
    (tmp_path / "image").write_bytes(bytes(header) + bytes(32 * 0xFFFF))
    with pytest.raises(ImageError, match="impossible program headers"):
        open_image(str(tmp_path / "image"))
