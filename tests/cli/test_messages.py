# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors around a user: files that change while they are read, no memory, no QEMU, odd names.

Each ends with its status and one line that says what is wrong, with what, and what to do.  Wrong use and wrong images
are in tests/cli/test_cli.py and tests/cli/test_refusals_cli.py.
"""

from __future__ import annotations

import contextlib
import errno
import io
import mmap
import os
import re
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, BinaryIO, NoReturn
from unittest.mock import MagicMock

import pytest
from fake_engine import FakeEngine, fake_images, machines
from imagewriter import BzImage, ElfFile, Part, kernel, text

from lguest_py import engines, images
from lguest_py.cli import main
from lguest_py.engines import Choice, tcg
from lguest_py.errors import EngineError, NoEngineError
from lguest_py.files import inputs as files
from lguest_py.images import initrd
from lguest_py.kernels import fetch, stock
from lguest_py.launcher.launcher import Launcher

__all__ = ["fake_images", "machines"]
ELF = kernel().bytes()
NAME = "debian-6.1-686"
Told = Callable[..., str]


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str]) -> Told:
    """Run the command line, which must fail with this status; the last line that it says, and with ``alone`` the only.

    The line is whole, and without "lguest-py: " before it.
    """

    def run(status: int, *arguments: str, alone: bool = True) -> str:
        assert main(arguments) == status
        out, err = capfd.readouterr()
        assert out == ""
        *more, line = err.splitlines()
        assert not (more and alone)
        assert err.endswith(f"{line}\n")
        assert line.startswith("lguest-py: ")
        assert line.isprintable()
        return line.removeprefix("lguest-py: ")

    return run


# --- files that change, and disks that break -----------------------------------------------------------------------


class Unreadable(io.BytesIO):
    """A file on a disk that is broken."""

    def read(self, size: int | None = -1, /) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    def readinto(self, buffer: Any, /) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")


def shrunk(file: BinaryIO, path: str) -> BinaryIO:
    """The file, of which somebody takes all but 100 bytes away now."""
    os.truncate(path, 100)
    return file


def unreadable(file: BinaryIO, path: str) -> BinaryIO:
    """The file, no byte of which can be read."""
    file.close()
    return Unreadable()


def spoil(monkeypatch: pytest.MonkeyPatch, module: ModuleType, how: Callable[[BinaryIO, str], BinaryIO]) -> None:
    """Have files that ``module`` opens go bad right after it."""

    def opened(path: str, advice: str) -> tuple[BinaryIO, int]:
        file, size = files.open_regular(path, advice)
        return how(file, path), size

    monkeypatch.setattr(module, "open_regular", opened)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (shrunk, " ends early (100 of 518 bytes at 0x0 are there): copy it anew"),
        (unreadable, " cannot be read (Input/output error): check the file and its disk"),
    ],
)
def test_an_image_that_goes_bad(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch, how: Callable[[BinaryIO, str], BinaryIO], said: str
) -> None:
    path = tmp_path / "image"
    path.write_bytes(ELF + bytes(1000))
    spoil(monkeypatch, images, how)
    assert told(2, "boot", str(path)) == f"{path}{said}"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (shrunk, " shrank while it was read: try again"),
        (unreadable, " cannot be read (Input/output error): check its disk"),
    ],
)
def test_an_initrd_that_goes_bad(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch, machines: list[FakeEngine],
    how: Callable[[BinaryIO, str], BinaryIO], said: str,
) -> None:  # fmt: skip
    image, disk = tmp_path / "image", tmp_path / "disk"
    image.write_bytes(ELF)
    disk.write_bytes(bytes(9000))
    spoil(monkeypatch, initrd, how)
    assert told(2, "boot", "--initrd", str(disk), str(image)) == f"the initrd {disk}{said}"
    assert len(machines) == 1


def test_a_bzimage_larger_than_any(tmp_path: Path, told: Told) -> None:
    path = tmp_path / "image"
    path.write_bytes(BzImage(b"").bytes())
    os.truncate(path, images.MAX_FILE + (1 << 20))  # a hole: it takes no room
    assert told(2, "boot", str(path)).startswith(f"{path} has 513M, more than any bzImage: give ")


def test_an_elf_that_loads_more_than_any(tmp_path: Path, told: Told) -> None:
    path, size = tmp_path / "image", 60 << 20
    more = (Part(0x1000000 + n * size, b"", size, offset=0, stored=size) for n in range(9))  # all from the same bytes
    path.write_bytes(ElfFile((Part(0x100000, text()), *more)).bytes())
    os.truncate(path, size)
    assert told(2, "boot", str(path)) == f"{path} loads more than 512M: no kernel is that large, build it anew"


# --- payloads whose libraries may be missing here: these are played ------------------------------------------------


def broken(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("corrupt input\nat byte 3")


def lzop(*block: int) -> bytes:
    """An lzop file without checksums; the block's numbers as they are, and 8 bytes of it."""
    header = struct.pack(">HHHBBI", 0x1030, 0x20A0, 0x940, 1, 5, 0) + bytes(12) + b"\0" + bytes(4)
    return b"\x89LZO\x00\r\n\x1a\n" + header + struct.pack(f">{len(block)}I", *block) + bytes(8)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"\x02\x21\x4c\x18" + struct.pack("<I", 1000) + bytes(99), "lz4: ends early"),
        (b"\x02\x21\x4c\x18" + struct.pack("<I", 8) + bytes(99), "lz4: corrupt input at byte 3"),
        (b"\x89LZO" + bytes(99), "lzo: has a broken header"),
        (lzop(8, 9), "lzo: has an impossible block size"),
        (lzop(0x7FFFFFFF, 8), "lzo: has an impossible block size"),
        (lzop(100, 8), "lzo: corrupt input at byte 3"),
        (b"\x28\xb5\x2f\xfd" + bytes(99), "zstd: corrupt input at byte 3"),
    ],
)
def test_a_damaged_payload(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch, payload: bytes, said: str
) -> None:
    played = SimpleNamespace(decompress=broken, ZstdDecompressor=broken, ZstdError=RuntimeError)
    for library in ("lz4.block", "lzo", "zstandard"):
        monkeypatch.setitem(sys.modules, library, played)
    path = tmp_path / "image"
    path.write_bytes(BzImage(payload).bytes())
    assert told(2, "boot", str(path)) == f"{path}: its compressed kernel is damaged ({said}): copy it anew"


# --- engines -------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory, the only one that programs are looked for in."""
    tcg.ask_qemu.cache_clear()
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    yield tmp_path / "bin"
    tcg.ask_qemu.cache_clear()


def program(path: Path, script: str) -> None:
    """Make a program of it."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("script", ["", "exit 3"], ids=["missing", "broken"])
@pytest.mark.parametrize("arguments", [["boot"], ["bench", "hypercall"]], ids=["boot", "bench"])
def test_without_qemu(path: Path, told: Told, arguments: list[str], script: str) -> None:
    if script:
        program(path / tcg.QEMU, script)
    verb, *rest = arguments
    assert told(5, verb, "--engine", "tcg", *rest).startswith("no engine tcg: qemu-system-i386 is missing; install ")
    with pytest.raises(NoEngineError, match="qemu-system-i386 is not installed: apt-get install qemu-system-x86"):
        tcg.TcgEngine(1 << 20)


def test_a_qemu_that_is_gone_when_it_is_started(path: Path, told: Told) -> None:
    program(path / tcg.QEMU, 'echo "QEMU emulator version 9.9"; exec /bin/rm "$0"')
    assert told(1, "boot", "--engine", "tcg") == (
        f"cannot start {path}/qemu-system-i386 (No such file or directory): install QEMU for x86 anew"
    )


def kvm() -> ModuleType:
    """The module of the kvm engine, which needs no KVM to be loaded."""
    pytest.importorskip("lguest_py.kvm._kvm", reason="the KVM extension is built on x86 Linux only")
    from lguest_py.engines import kvm

    return kvm


def use(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Have this engine chosen, whatever this machine has."""
    make = kvm().KvmEngine if name == "kvm" else tcg.TcgEngine
    monkeypatch.setattr(tcg, "find_qemu", lambda: ("/nonexistent/qemu", "9.9"))
    monkeypatch.setattr(engines, "choose", lambda name: Choice(make, name, "a test asked for it"))


def held() -> list[str]:
    """What this process holds of machines' memory, sockets and eventfds."""
    links = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
    return sorted(link for link in links if re.match(r"/memfd:lguest|socket:|anon_inode:\[eventfd", link))


@pytest.mark.parametrize("name", ["tcg", "kvm"])
def test_without_memory_for_the_vm(told: Told, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    use(monkeypatch, name)
    monkeypatch.setattr(mmap, "mmap", full)
    before = held()
    line = told(1, "boot", "--engine", name, "--memory", "2048M")
    assert line.startswith("no memory for a VM of 20")
    assert line.endswith(" MiB (Cannot allocate memory): give the Guest less (--memory)")
    assert held() == before


def test_without_memory_for_python(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Launcher) -> NoReturn:
        raise MemoryError

    use(monkeypatch, "tcg")
    monkeypatch.setattr(Launcher, "run", full)
    assert told(1, "boot", "--engine", "tcg") == "this machine has too little memory: give the Guest less (--memory)"


@pytest.mark.parametrize(
    "error", [OSError(errno.EBADF, "Bad file descriptor"), OSError(errno.EIO, "Input/output error", "name")]
)
def test_a_bug_of_ours_is_not_taken_for_a_full_disk(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def fail(_: Launcher) -> NoReturn:
        raise error

    use(monkeypatch, "tcg")
    monkeypatch.setattr(Launcher, "run", fail)
    with pytest.raises(OSError, match=re.escape(str(error))):
        main(["boot", "--engine", "tcg"])


def test_a_vm_beyond_kvms_own_pages() -> None:
    with pytest.raises(EngineError, match=r"4096 MiB, and has room for 3072 MiB: give the Guest less \(--memory\)$"):
        kvm().KvmEngine(1 << 32)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("KVM_CREATE_VM", "another hypervisor holds the processor's virtualisation"),
        ("KVM_GET_SREGS", "Device or resource busy"),
    ],
    ids=["made", "started"],
)
def test_a_kvm_that_fails(told: Told, monkeypatch: pytest.MonkeyPatch, call: str, said: str) -> None:
    engine = kvm()
    played = MagicMock()
    played.__enter__.return_value = played
    vm = played.create_vm.return_value
    vm.__enter__.return_value = vm
    vcpu = vm.create_vcpu.return_value
    vcpu.get_tsc_khz.return_value = 1_000_000
    failing = {"KVM_CREATE_VM": played.create_vm, "KVM_GET_SREGS": vcpu.get_sregs}[call]
    failing.side_effect = engine.KvmError(call, "", errno.EBUSY)
    monkeypatch.setattr(engine, "Kvm", lambda opened: played)
    use(monkeypatch, "kvm")
    before = held()
    line = told(1, "boot", "--engine", "kvm")
    assert line == f"KVM failed: {call} failed: EBUSY: {said}; --engine tcg runs without KVM"
    assert held() == before


# --- fetch, with a dpkg-deb that is played -------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LGUEST_STOCK_DEB", raising=False)
    return tmp_path / "cache"


@pytest.mark.parametrize("place", ['a"b', "a\\b"])
def test_a_cache_that_apt_cannot_be_told_of(
    tmp_path: Path, told: Told, cache: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / place))
    assert told(1, "fetch", NAME) == (
        f"{tmp_path}/{place}/lguest-py/kernels/.{NAME}/apt has a quotation mark or backslash in it: "
        "set XDG_CACHE_HOME to another place"
    )


def test_a_package_that_holds_no_archive(told: Told, cache: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = "linux-image-6.1.0-9-686 6.1 i386"
    program(path / "dpkg-deb", f'case $1 in --show) echo "{shown}";; *) echo no tar archive at all;; esac')
    monkeypatch.setenv("LGUEST_STOCK_DEB", "/some/kernel.deb:/some/busybox.deb")
    line = told(1, "fetch", NAME, alone=False)
    assert line.startswith("/some/kernel.deb is damaged (")
    assert line.endswith("): get it anew")
    assert stock.find(NAME) is None


def test_a_kernel_that_somebody_deletes_meanwhile(told: Told, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_fill", lambda stock, work, local, tell: (work / "new").mkdir(parents=True))
    monkeypatch.setattr(fetch, "_replace", lambda new, place: shutil.rmtree(new))
    assert told(1, "fetch", NAME) == f"{NAME} was fetched, but files are missing: try again"


# --- odd names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "before", "after"),
    [
        (2, "", ""), (2, "--", ""), (2, "boot ", ""), (2, "boot --", ""), (2, "boot --initrd ", " IMAGE"),
        (2, "boot --engine ", ""), (2, "fetch ", ""), (2, "bench ", ""), (2, "bench --export ", "/x"),
        (2, "bench --compare ", ""), (2, "bench --linux --image ", ""), (2, "mkinitrd ", ""),
        (2, "mkinitrd --busybox ", ""), (1, "mkinitrd . -o ", "/x"), (2, "cache ", ""), (2, "completion ", ""),
    ],
)  # fmt: skip
def test_a_name_of_two_lines_is_told_in_one(
    tmp_path: Path, told: Told, machines: list[FakeEngine], monkeypatch: pytest.MonkeyPatch, cache: Path,
    status: int, before: str, after: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("IMAGE").write_bytes(ELF)
    arguments = f"{before}two\nlines{after}".split(" ")
    assert "two\\nlines" in told(status, *arguments)


def test_no_message_moves_a_terminals_cursor(told: Told) -> None:
    assert " --ä\\x1b[2J\\r\\u202e\\udcff " in told(2, "boot", "--ä\x1b[2J\r\u202e\udcff")
