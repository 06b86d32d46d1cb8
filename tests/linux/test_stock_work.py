# SPDX-License-Identifier: GPL-2.0-or-later
"""An unmodified kernel at work in ring 1: what its programs get (guest_kernel/linux/check), and its own self-tests.

The tests share one Guest per engine.  Read next: tests/lab/linux_lab.py, tests/linux/test_native_boot.py.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from linux_lab import ROOT, Linux, at_its_prompt, check_the_emulator_has_none_of
from oops_module import oops_module

from lguest_py.images import open_image
from lguest_py.kernels import mkinitrd
from lguest_py.kernels.stock import Kernel

NAME = "debian-6.1-686"
PROGRAM = ROOT / "build" / "check" / "check.elf"  # tests/conftest.py has it built
SOURCES = ROOT / "guest_kernel" / "linux" / "check"
SELF_TESTS = ("lib/test_user_copy", "lib/test_static_key_base", "lib/test_static_keys", "lib/test_bpf")
MEASURED = ("crypto/xor", "lib/raid6/raid6_pq")  # SSE in the kernel: tries each way that it has, and takes the fastest
CIPHERS = (  # each tests itself when it is loaded
    "crypto/serpent_generic", "crypto/twofish_common", "arch/x86/crypto/twofish-i586", "crypto/twofish_generic",
    "crypto/sha512_generic", "crypto/camellia_generic", "crypto/blake2b_generic", "crypto/sha3_generic",
)  # fmt: skip
VICTIM = "crypto/michael_mic"  # any that is not loaded otherwise
COMPLAINT = re.compile(r"BUG|WARNING|[Oo]ops|Call Trace|nobody cared|unchecked MSR|[1-9]\d* FAILED|alg: .*fail")


@pytest.fixture(scope="module")
def initrd(stock: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stock initrd, the program, and modules of the kernel's package."""
    tree = mkinitrd.busybox_tree(str(stock.directory / "busybox"))
    (release,) = stock.modules.iterdir()
    for name in (*SELF_TESTS, *MEASURED, *CIPHERS):
        path = release / "kernel" / f"{name}.ko"
        tree[path.name] = mkinitrd.Entry(stat.S_IFREG | 0o644, path.read_bytes)
    victim = (release / "kernel" / f"{VICTIM}.ko").read_bytes()
    tree["oops.ko"] = mkinitrd.Entry(stat.S_IFREG | 0o644, lambda: oops_module(victim))
    tree["check"] = mkinitrd.Entry(stat.S_IFREG | 0o755, PROGRAM.read_bytes)
    path = tmp_path_factory.mktemp("work") / "initrd"
    mkinitrd.make_initrd(str(path), tree)
    return path


@pytest.fixture(scope="module")
def guest(engine_name: str, stock: Kernel, initrd: Path) -> Iterator[Linux]:
    booted = Linux(engine_name, NAME, initrd, "quiet", console="ttyS0")
    with at_its_prompt(booted):
        yield booted


@pytest.fixture
def shell(guest: Linux) -> Linux:
    """A Guest at its prompt."""
    assert guest.usable, "a test before this one has ruined the Guest"
    return guest


def complaints(shell: Linux) -> list[str]:
    """Lines of the kernel's log, since the last look, that there should not be."""
    log = shell.ask("dmesg -c").splitlines()
    return [line for line in log if COMPLAINT.search(line)]


def insmod(shell: Linux, module: str, *words: str) -> None:
    shell.ask(" ".join([f"insmod /{module.rpartition('/')[2]}.ko", *words]))


def test_its_programs_get_what_they_should(shell: Linux) -> None:
    text = shell.ask("/check")
    count = sum(len(re.findall(r"^CHECK\(", path.read_text(), re.M)) for path in SOURCES.glob("test_*.c"))
    assert f"\nCHECK PASSED {count}/{count}\n" in text
    assert len(re.findall(r"^CHECK [\w-]+ ok$", text, re.M)) == count
    assert "\nRPL 3\n" in text
    assert not complaints(shell)


def test_its_own_tests_pass(shell: Linux) -> None:
    for module in (*SELF_TESTS[:-1], *MEASURED, *CIPHERS):
        insmod(shell, module)
    log = shell.ask("dmesg")
    assert "test_user_copy: tests passed" in log
    assert re.search(r"xor: using function: [\w-]+sse", log)
    assert re.search(r"raid6: using algorithm sse\w+ gen\(\)", log)
    tested = shell.ask("grep ^selftest /proc/crypto").splitlines()
    assert len(tested) > 20
    assert {line.split()[-1] for line in tested} == {"passed"}
    assert not complaints(shell)


@pytest.mark.parametrize(
    ("compiled", "words"),
    # The compiler for this processor refuses some programs: these are the first ones that it takes.
    [(True, ["test_range=49,137"]), pytest.param(False, [], marks=pytest.mark.nightly)],
    ids=["compiled", "all"],
)
def test_its_bpf_programs_run(shell: Linux, compiled: bool, words: list[str]) -> None:
    shell.ask(f"echo {int(compiled)} >/proc/sys/net/core/bpf_jit_enable")
    insmod(shell, SELF_TESTS[-1], *words)
    shell.ask("rmmod test_bpf")
    sums = re.findall(r"(\d+) PASSED, (\d+) FAILED, \[(\d+)/(\d+) JIT'ed\]", shell.ask("dmesg | grep Summary"))
    assert sums
    for passed, failed, native, programs in sums:
        assert int(passed) > 5
        assert (failed, native) == ("0", programs if compiled else "0")
    assert not complaints(shell)


def test_the_emulator_never_gets_the_kernel(shell: Linux, engine_name: str, stock: Kernel, initrd: Path) -> None:
    kernel = bytes(open_image(str(stock.kernel)).segments[0].data[:4096])
    packed = stock.kernel.read_bytes()[-4096:]
    names = ["vmlinuz", "initrd", NAME, str(stock.directory)]
    check_the_emulator_has_none_of(shell, engine_name, names, [kernel, packed, initrd.read_bytes()[:4096]])


def test_it_reads_ring_1_inside_and_lives_on_after_an_oops(shell: Linux) -> None:
    shell.ask("insmod /oops.ko", status=139)  # killed: it was in the kernel
    log = shell.ask("dmesg -c")
    assert "invalid opcode: 0000 [#1]" in log
    assert re.search(r"EAX: 00000061 EBX: 00000069 ", log)  # cs and ss, as the kernel's own code reads them
    assert re.search(r"\bSS: 0069 ", log)
    assert shell.ask("echo $((6 * 7))") == "42\n"
    data = shell.finish()
    assert (data["end"], data["rings"]) == ("powered off", [1, 3])
