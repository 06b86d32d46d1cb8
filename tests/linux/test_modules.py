# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py mkinitrd --module``: which modules go in, how modprobe finds them, and a real kernel that loads them."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Iterator
from pathlib import Path

import pytest
from cpio_lab import unpack
from imagewriter import ElfFile, Part
from linux_lab import Linux, at_its_prompt
from module_lab import module

from lguest_py.cli import main
from lguest_py.kernels.stock import Kernel

NAME = "debian-6.1-686"
RELEASE = "6.1.0-test"


FILES = {
    "kernel/fs/top-fs.ko": module("alias=fs-top", "depends=middle,low", "softdep=pre: checksum pre: no post: later"),
    "kernel/lib/middle.ko.xz": lzma.compress(module("depends=low")),
    "kernel/lib/low.ko.gz": gzip.compress(module("depends=")),
    "kernel/crypto/checksum_generic.ko": module("alias=checksum", "alias=crypto-checksum", "depends="),
    "kernel/crypto/checksum_fast.ko": module("alias=checksum", "depends=low"),
    "kernel/drivers/later.ko": module("depends="),
    "kernel/drivers/torn.ko": module("depends=gone"),
    "kernel/drivers/ring-a.ko": module("depends=ring_b"),
    "kernel/drivers/ring_b.ko": module("depends=ring-a"),
    "kernel/drivers/bad.ko": b"no ELF",
    "kernel/drivers/cut.ko.xz": lzma.compress(module("depends="))[:-9],
    "kernel/drivers/new.ko.br": b"?",
    "modules.builtin": b"kernel/fs/inside-fs.ko\n",
    "modules.builtin.modinfo": b"inside_fs.alias=fs-inside\0inside_fs.license=GPL\0",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What /lib/modules/RELEASE has, before depmod."""
    tree = tmp_path / "modules" / RELEASE
    for name, data in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    return tree


def made(tree: Path, *names: str) -> dict[str, bytes]:
    """What lies below the release's directory in an initrd with these modules."""
    out, busybox = tree.parent / "initrd", tree.parent / "busybox"
    busybox.write_bytes(ElfFile((Part(0x8048000, b"\x90" * 64),)).bytes())
    words = [word for name in names for word in ("--module", name)]
    assert main(["mkinitrd", "--busybox", str(busybox), "--modules", str(tree), *words, "-o", str(out)]) == 0
    top = f"lib/modules/{RELEASE}/"
    members = unpack(out.read_bytes())
    assert "init" in members
    return {name[len(top) :]: member.data for name, member in members.items() if name.startswith(top) and member.data}


def test_a_module_comes_with_what_it_needs_unpacked(tree: Path) -> None:
    files = made(tree, "top_fs")
    assert {name for name in files if name.endswith(".ko")} == {
        *("kernel/fs/top-fs.ko", "kernel/lib/middle.ko", "kernel/lib/low.ko"),
        *("kernel/crypto/checksum_generic.ko", "kernel/crypto/checksum_fast.ko"),
    }
    assert files["kernel/lib/low.ko"] == module("depends=")
    dep = dict(line.split(":") for line in files["modules.dep"].decode().splitlines())
    assert dep["kernel/fs/top-fs.ko"].split() == ["kernel/lib/middle.ko", "kernel/lib/low.ko"]
    assert dep["kernel/lib/middle.ko"].split() == ["kernel/lib/low.ko"]
    assert dep["kernel/lib/low.ko"] == ""
    assert set(files["modules.alias"].decode().splitlines()) == {
        *("alias fs-top top_fs", "alias checksum checksum_fast", "alias checksum checksum_generic"),
        "alias crypto-checksum checksum_generic",
    }
    assert files["modules.builtin"] == FILES["modules.builtin"]


@pytest.mark.parametrize("name", ["top-fs", "fs-top"])
def test_a_name_may_have_dashes_or_be_an_alias(tree: Path, name: str) -> None:
    assert "kernel/fs/top-fs.ko" in made(tree, name)


def test_depmods_own_table_of_aliases_is_believed(tree: Path) -> None:
    (tree / "modules.alias").write_text("# made by depmod\nalias other-name later\nalias gone-too nothing\n")
    assert "kernel/drivers/later.ko" in made(tree, "other-name")


def test_modules_that_depend_on_each_other_do_no_harm(tree: Path) -> None:
    assert {"kernel/drivers/ring-a.ko", "kernel/drivers/ring_b.ko"} < set(made(tree, "ring_a"))


@pytest.mark.parametrize("name", ["inside_fs", "fs-inside"])
def test_what_is_built_in_is_told(tree: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    files = made(tree, name, "low")
    assert [file for file in files if file.endswith(".ko")] == ["kernel/lib/low.ko"]
    assert capsys.readouterr().err == f"lguest-py: {name} is built into {RELEASE}: it needs no module\n"


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("midle", "6.1.0-test has no module 'midle': did you mean middle?"),
        ("a\x1b[31m", "has no module"),
        ("torn", "lacks the module gone"),
        ("bad", "bad.ko is not a module"),
        ("cut", "cut.ko.xz is damaged"),
        ("new", "is packed as .br"),
        ("", "has no module"),
    ],
)
def test_what_cannot_be_put_in_is_one_line(
    tree: Path, capsys: pytest.CaptureFixture[str], name: str, word: str
) -> None:
    out = tree.parent / "out"
    assert main(["mkinitrd", str(tree.parent), "--modules", str(tree), "--module", name, "-o", str(out)]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1
    assert error[:-1].isprintable()
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--busybox", "b", "--module", "loop"], "give --kernel or --modules"),
        (["--busybox", "b", "--modules", "/"], "give --module too"),
        (["--kernel", "slackware"], "choose from debian-6.1-686"),
        (["--kernel", NAME], "run lguest-py fetch debian-6.1-686"),
        ([".", "--modules", "/nowhere", "--module", "loop"], "/nowhere has no modules in it"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["mkinitrd", *arguments]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1


# --- on the engines ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shell(engine_name: str, stock: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Linux]:
    """A Guest at its prompt, with an initrd as docs/kernels.md says to make one."""
    initrd = tmp_path_factory.mktemp("modules") / "initrd"
    names = ["dummy", "loop", "zram", "libcrc32c"]
    words = [word for name in names for word in ("--module", name)]
    assert main(["mkinitrd", "--kernel", NAME, *words, "-o", str(initrd)]) == 0
    guest = Linux(engine_name, NAME, initrd, "quiet", console="ttyS0")
    with at_its_prompt(guest):
        yield guest


@pytest.mark.nightly("kvm")
def test_modprobe_loads_a_module_and_what_it_depends_on(shell: Linux) -> None:
    assert "dummy" not in shell.ask("lsmod; modprobe nothing-of-that-name", status=1)
    shell.ask("modprobe dummy && modprobe zram && modprobe libcrc32c")
    loaded = {line.split()[0] for line in shell.ask("lsmod").splitlines()[1:]}
    assert loaded >= {"dummy", "zram", "zsmalloc", "libcrc32c"}
    assert "crc32c_generic" in loaded  # the kernel asked for it by an alias
    shell.ask("ip link add some0 type dummy && ip link show some0")
    shell.ask("echo 1M >/sys/block/zram0/disksize && mkswap /dev/zram0 && swapon /dev/zram0 && swapoff /dev/zram0")
    shell.ask("modprobe -r zram")
    assert "zram" not in shell.ask("lsmod")


@pytest.mark.nightly("kvm")
def test_the_kernel_itself_asks_for_a_module(shell: Linux) -> None:
    shell.ask("[ -e /sys/module/loop ]", status=1)
    shell.ask("dd if=/dev/zero of=/tmp/disk bs=1024 count=64 && mknod /dev/loop0 b 7 0 && losetup /dev/loop0 /tmp/disk")
    shell.ask("[ -e /sys/module/loop ]")
