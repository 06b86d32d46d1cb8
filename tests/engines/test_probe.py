# SPDX-License-Identifier: GPL-2.0-or-later
"""The probe names what it finds and detects a KVM that does not work; and the choice of --engine."""

from __future__ import annotations

import os
import platform
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lguest_py import engines
from lguest_py.engines import probe as probing
from lguest_py.engines import tcg
from lguest_py.engines.probe import KvmProbe, kvm_flavour, probe_kvm
from lguest_py.errors import NoEngineError, UsageError

KVM_ONLY = pytest.mark.parametrize("engine_name", ["kvm"])
PVM = KvmProbe(False, "PVM", "/dev/kvm is of the PVM kind")
GOOD = KvmProbe(True, "kvm_intel", "kvm_intel runs 32-bit code with ring 1")


def flavour(tmp_path: Path, flags: str, *modules: str) -> str:
    """The flavour of a machine with these CPU flags and modules."""
    for module in modules:
        (tmp_path / "module" / module).mkdir(parents=True)
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {flags} tsc\nbugs\t\t: vmx\n")
    return kvm_flavour(str(tmp_path / "module"), str(tmp_path / "cpuinfo"))


@pytest.mark.parametrize(
    ("flags", "modules", "name"),
    [
        ("vmx", ("kvm", "kvm_intel"), "kvm_intel"),
        ("svm", ("kvm", "kvm_amd"), "kvm_amd"),
        ("svm hypervisor", ("kvm_amd",), "nested kvm_amd"),
        ("vmx hypervisor", (), "nested kvm_intel"),
        ("hypervisor", ("kvm", "kvm_pvm"), "PVM"),
        ("hypervisor", ("kvm",), "unknown KVM"),
        ("", (), "unknown KVM"),
    ],
)
def test_flavours(tmp_path: Path, flags: str, modules: tuple[str, ...], name: str) -> None:
    assert flavour(tmp_path, flags, *modules) == name


def test_a_machine_without_cpuinfo_has_no_known_flavour(tmp_path: Path) -> None:
    assert kvm_flavour(str(tmp_path), str(tmp_path / "none")) == "unknown KVM"


def test_no_device(tmp_path: Path) -> None:
    pytest.importorskip("lguest_py.kvm._kvm")
    found = probe_kvm(device=str(tmp_path / "kvm"))
    assert (found.usable, found.flavour) == (False, "no device")
    assert "kvm" in found.why


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_no_permission(tmp_path: Path) -> None:
    pytest.importorskip("lguest_py.kvm._kvm")
    (tmp_path / "kvm").touch(mode=0)
    assert probe_kvm(device=str(tmp_path / "kvm")).flavour == "no permission"


def test_no_permission_as_the_kernel_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lguest_py.kvm._kvm")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    found = probe_kvm()
    assert (found.usable, found.flavour) == (False, "no permission")
    assert "may not open /dev/kvm" in found.why


def test_a_file_that_is_no_kvm(tmp_path: Path) -> None:
    pytest.importorskip("lguest_py.kvm._kvm")
    (tmp_path / "kvm").touch()
    assert stat.S_ISREG((tmp_path / "kvm").stat().st_mode)
    found = probe_kvm(device=str(tmp_path / "kvm"))
    assert not found.usable
    assert "KVM_CHECK_EXTENSION" in found.why


def test_not_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert probe_kvm() == KvmProbe(False, "not Linux", "KVM is a part of Linux, and this is Darwin")


def test_not_x86(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    found = probe_kvm()
    assert (found.usable, found.flavour) == (False, "not x86")
    assert "aarch64" in found.why


def test_no_binding(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("lguest_py.kvm")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lguest_py.kvm._kvm", None)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    found = probe_kvm()
    assert (found.usable, found.flavour) == (False, "no binding")


@pytest.mark.skipif(not Path("/sys/module/kvm_pvm").exists(), reason="needs a KVM of the PVM kind")
def test_pvm_is_told_apart() -> None:
    found = probe_kvm()
    assert (found.usable, found.flavour) == (False, "PVM")
    assert found.why.startswith("/dev/kvm is of the PVM kind, without hardware virtualisation")
    assert "32-bit" in found.why


@KVM_ONLY
def test_a_real_kvm_is_usable(engine_name: str) -> None:
    found = probe_kvm()
    assert found.usable
    assert found.flavour in ("kvm_intel", "kvm_amd", "nested kvm_intel", "nested kvm_amd")


@KVM_ONLY
@pytest.mark.parametrize(
    ("code", "why"),
    [
        (b"\xeb\xfe", "its self-test stopped at 32-bit paging (no end in 0.5 s)"),
        (bytes.fromhex("66ba1005 ef ebfd"), "its self-test stopped at 32-bit paging (Io)"),  # results without end
        (bytes.fromhex("0f0b"), "its self-test stopped at 32-bit paging (Shutdown)"),
        (b"\xf4", "its self-test stopped at 32-bit paging (Hlt)"),
    ],
    ids=["spins", "writes results for ever", "triple fault", "halts"],
)
def test_a_kvm_that_fails_the_test_is_not(
    engine_name: str, monkeypatch: pytest.MonkeyPatch, code: bytes, why: str
) -> None:
    from lguest_py.kvm import selftest

    monkeypatch.setattr(selftest, "image", lambda: code)
    monkeypatch.setattr(probing, "SECONDS", 0.5)
    found = probe_kvm()
    assert not found.usable
    assert found.why.endswith(why)


@KVM_ONLY
def test_a_kvm_without_what_we_need_is_not(engine_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "NEEDED", ("KVM_CAP_IRQCHIP", "KVM_CAP_S390_PSW"))
    assert probe_kvm().why == "this kernel's KVM lacks KVM_CAP_S390_PSW"


@KVM_ONLY
def test_the_probe_leaves_nothing_open(engine_name: str) -> None:
    before = set(os.listdir("/proc/self/fd"))  # what other tests left to the collector may be closed meanwhile
    assert probe_kvm().usable
    assert not set(os.listdir("/proc/self/fd")) - before


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[[KvmProbe, str | None], None]:
    """Pretend that the probe and the search for QEMU found this."""

    def pretend(kvm: KvmProbe, qemu: str | None) -> None:
        monkeypatch.setattr(engines, "probe_kvm", lambda: kvm)
        monkeypatch.setattr(tcg, "find_qemu", lambda: ("/usr/bin/qemu", qemu) if qemu else None)

    return pretend


Found = Callable[[KvmProbe, str | None], None]


@pytest.mark.parametrize("name", ["auto", "kvm"])
def test_a_usable_kvm_is_taken(found: Found, name: str) -> None:
    pytest.importorskip("lguest_py.kvm._kvm")
    found(GOOD, "7.2.22")
    choice = engines.choose(name)
    assert (choice.name, choice.why) == ("kvm", GOOD.why)


def test_without_a_usable_kvm_qemu_is_taken_and_it_is_said_why(found: Found) -> None:
    found(PVM, "7.2.22")
    choice = engines.choose("auto")
    assert choice.name == "tcg"
    assert choice.make is tcg.TcgEngine
    assert choice.why == "QEMU 7.2.22 emulates the CPU (/dev/kvm is of the PVM kind)"


def test_tcg_by_name_looks_at_no_kvm(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    found(PVM, "7.2.22")
    monkeypatch.delattr(engines, "probe_kvm")
    assert engines.choose("tcg").why == "QEMU 7.2.22 emulates the CPU"


@pytest.mark.parametrize(
    ("name", "qemu", "message"),
    [
        ("kvm", "7.2.22", "no engine kvm: /dev/kvm is of the PVM kind; --engine tcg runs without KVM"),
        ("auto", None, "no engine can serve: /dev/kvm is of the PVM kind; for the other, install QEMU"),
        ("tcg", None, "no engine tcg: qemu-system-i386 is missing; install QEMU for x86"),
    ],
)
def test_nothing_can_serve(found: Found, name: str, qemu: str | None, message: str) -> None:
    found(PVM, qemu)
    with pytest.raises(NoEngineError) as caught:
        engines.choose(name)
    assert str(caught.value).startswith(message)
    assert caught.value.status == 5


def test_an_unknown_engine() -> None:
    with pytest.raises(UsageError, match="auto, kvm, tcg"):
        engines.choose("xen")
