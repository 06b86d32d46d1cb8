# SPDX-License-Identifier: GPL-2.0-or-later
"""lguest-py doctor: what it finds, what it advises, and what goes into a bug report's file."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import fake_cli
import pytest
from fake_engine import IMAGE, FakeEngine, Script, fake_images

from lguest_py import __version__, engines, images
from lguest_py.cli import main
from lguest_py.doctor import bundle as doctor_bundle
from lguest_py.doctor import diagnosis as doctor
from lguest_py.doctor.diagnosis import Diagnosis, EngineName, Trial
from lguest_py.engines.advice import Platform, kvm_advice
from lguest_py.engines.probe import KvmProbe
from lguest_py.errors import LguestError

__all__ = ["fake_images"]
ROOT = Path(__file__).resolve().parents[2]
GOOD = KvmProbe(True, "kvm_intel", "kvm_intel runs 32-bit code with ring 1")
PVM = KvmProbe(False, "PVM", "/dev/kvm is of the PVM kind")


@pytest.mark.parametrize("self_test", [False, True], ids=["boot", "self-test"])
def test_each_engine_is_tried_by_the_tiny_guest(engine_name: EngineName, self_test: bool) -> None:
    trial = doctor.try_engine(engine_name, self_test=self_test)
    assert trial.passed, trial.detail
    wanted = "tests of the tiny Guest passed" if self_test else "the tiny Guest ran in rings 1 and 3"
    assert wanted in trial.detail
    assert trial.result
    assert trial.result.engine == engine_name


def run(where: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """``lguest-py doctor`` in a directory."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-m", "lguest_py", "doctor", *arguments]
    return subprocess.run(
        command, cwd=where, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def test_the_command_tells_what_it_found_and_writes_a_file_that_names_nobody(tmp_path: Path) -> None:
    home = tmp_path / "alicehome"
    home.mkdir()
    names = {"HOME": str(home), "LOGNAME": "alicelogin", "USER": "alicelogin"}
    done = run(home, "--json", "--self-test", **names)
    data = json.loads(done.stdout)
    tcg = next(engine for engine in data["engines"] if engine["engine"] == "tcg")
    assert tcg["passed"], tcg
    assert tcg["result"]["rings"] == [1, 3]
    assert (done.returncode, done.stderr) == (data["status"], "")
    assert data["lguest_py"]["version"] == __version__
    assert {finding["what"] for finding in data["findings"]} >= {"lguest-py", "images", "kvm", "qemu", "engine tcg"}
    with tarfile.open(home / data["bundle"]) as tar:
        entries = tar.getmembers()
        texts = {entry.name: tar.extractfile(entry).read().decode() for entry in entries}  # type: ignore[union-attr]
    assert {(entry.uid, entry.gid, entry.uname, entry.gname) for entry in entries} == {(0, 0, "", "")}
    folder = "lguest-py-self-test"
    assert set(texts) >= {f"{folder}/{name}" for name in ("diagnosis.json", "cpuinfo.txt", "tcg-console.txt")}
    assert " passed, 0 failed" in texts[f"{folder}/tcg-console.txt"]
    assert json.loads(texts[f"{folder}/diagnosis.json"])["status"] == data["status"]
    for text in texts.values():
        assert "alice" not in text
        assert len(platform.node()) < 5 or platform.node() not in text


def test_as_text_every_lack_has_its_fix_below_it(tmp_path: Path) -> None:
    done = run(tmp_path, PATH=str(tmp_path))  # nothing is on this path: no QEMU
    lines = done.stdout.splitlines()
    missing = next(index for index, line in enumerate(lines) if line.startswith("qemu"))
    assert " no  qemu-system-i386 is missing" in lines[missing]
    assert "-> " in lines[missing + 1]
    assert "apt-get install qemu-system-x86" in lines[missing + 1]
    assert done.returncode in (0, 5)  # by what KVM is here
    assert not [line for line in lines if line.startswith("engine tcg")]
    assert "\x1b" not in done.stdout


Found = Callable[[KvmProbe, str | None], None]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Found:
    """Pretend that this machine has such a KVM and such a QEMU, on which all goes well."""

    def pretend(probe: KvmProbe, qemu: str | None) -> None:
        monkeypatch.setattr(doctor, "probe_kvm", lambda: probe)
        monkeypatch.setattr(doctor, "find_qemu", lambda: qemu and ("/usr/bin/qemu-system-i386", qemu))
        monkeypatch.setattr(doctor, "try_engine", lambda name, self_test: Trial(name, True, "well", 1.0))

    return pretend


@pytest.mark.parametrize(
    ("probe", "qemu", "tried", "status"),
    [
        (GOOD, "9.0", ["kvm", "tcg"], 0),
        (GOOD, None, ["kvm"], 0),
        (PVM, "9.0", ["tcg"], 0),
        (PVM, None, [], 5),
    ],
)
def test_what_can_serve_is_tried(
    found: Found, probe: KvmProbe, qemu: str | None, tried: list[str], status: int
) -> None:
    found(probe, qemu)
    diagnosis = doctor.examine()
    assert [trial.engine for trial in diagnosis.trials] == tried
    assert diagnosis.status == status
    lacks = [finding for finding in diagnosis.findings if not finding.good]
    assert all(finding.fix and "\n" not in finding.fix for finding in lacks)
    assert {finding.what for finding in lacks} >= ({"qemu"} if not qemu else set()) | (
        {"kvm"} if probe is PVM else set()
    )
    assert not [finding for finding in diagnosis.findings if finding.good and finding.fix]


def test_images_that_were_not_built(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    found(PVM, "9.0")
    monkeypatch.setattr(doctor, "IMAGES", ("guest.elf", "none.elf"))
    diagnosis = doctor.examine()
    images_ = next(finding for finding in diagnosis.findings if finding.what == "images")
    assert (images_.good, images_.found) == (False, "not built: none.elf")
    assert "install lguest-py anew" in images_.fix
    assert diagnosis.status == 1


def played(monkeypatch: pytest.MonkeyPatch, script: Script) -> Trial:
    """A trial on a machine that a script plays."""
    choice = SimpleNamespace(make=lambda size: FakeEngine(size, script), name="tcg", why="")
    monkeypatch.setattr(engines, "choose", lambda name: choice)
    monkeypatch.setattr(images, "open_image", lambda path: IMAGE)
    return doctor.try_engine("tcg", self_test=True)


def test_a_guest_that_dies_is_reported(
    fake_images: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trial = played(monkeypatch, fake_cli.die)
    assert not trial.passed
    assert "the Guest was killed: wrote where it may not" in trial.detail
    diagnosis = Diagnosis(doctor.examine_trials([trial], self_test=True), doctor.describe_system(), PVM, [trial])
    assert diagnosis.status == 1
    assert "report it" in diagnosis.findings[-1].fix
    texts = doctor_bundle.texts(diagnosis, str)
    assert "eax 1234abcd" in texts["tcg-end.txt"]
    assert "hypercall FLUSH_TLB" in texts["tcg-end.txt"]


def test_a_guest_that_says_nothing_did_not_pass(fake_images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = played(monkeypatch, fake_cli.off)
    assert (trial.passed, trial.detail) == (False, "the Guest powered off after 1 lines of output")


@pytest.mark.parametrize(
    ("console", "passed", "said"),
    [
        ("ok a\nok b\n2 passed, 0 failed\n", True, "all 2 tests"),
        ("ok a\nFAIL b\n1 passed, 1 failed\n", False, "1 tests of the tiny Guest failed: b"),
        ("ok a\nFAIL b\n", False, "failed: b"),
        ("ok a\n0 passed, 0 failed\n", False, "powered off"),
        ("2 passed, 0 failed\nand then\n", False, "powered off"),
        ("", False, "powered off"),
    ],
)
def test_the_self_test_is_judged_by_all_that_it_says(
    fake_images: Path, monkeypatch: pytest.MonkeyPatch, console: str, passed: bool, said: str
) -> None:
    result = played(monkeypatch, fake_cli.off).result
    assert result
    verdict = doctor.judge(console, result, self_test=True)
    assert verdict[0] is passed
    assert said in verdict[1]


@pytest.mark.parametrize(
    ("flavour", "place", "words"),
    [
        ("no device", Platform(), "firmware"),
        ("no device", Platform(virtual=True), "nested"),
        ("no device", Platform(virtual=True, module="kvm_amd"), "modprobe kvm_amd"),
        ("no device", Platform(container=True, module="kvm_intel"), "--device /dev/kvm"),
        ("no device", Platform(wsl=True, virtual=True), ".wslconfig"),
        ("no permission", Platform(), "chmod 666 /dev/kvm"),
        ("no permission", Platform(device_group="kvm"), "usermod -aG kvm"),
        ("no permission", Platform(container=True, device_group="kvm"), "--group-add"),
        ("no binding", Platform(), "python3-dev"),
        ("not Linux", Platform(), "tcg"),
        ("not x86", Platform(), "tcg"),
        ("PVM", Platform(virtual=True), "--engine tcg"),
        ("kvm_intel", Platform(module="kvm_intel"), "doctor --self-test"),
        ("unknown KVM", Platform(), "doctor --self-test"),
    ],
)
def test_each_flavour_has_a_fix_of_one_line(flavour: str, place: Platform, words: str) -> None:
    fix = kvm_advice(KvmProbe(False, flavour, ""), place)
    assert words in fix
    assert "\n" not in fix


def test_a_missing_device_is_told_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "probe_kvm", lambda: KvmProbe(False, "no device", "there is no /dev/kvm"))
    monkeypatch.setattr(Platform, "detect", lambda: Platform(container=True))
    with pytest.raises(LguestError, match=r"there is no /dev/kvm; start .* --device /dev/kvm .* --engine tcg"):
        engines.choose("kvm")


def test_scrubbing() -> None:
    scrub = doctor_bundle.scrubber("ada", "engine.example.org", "/home/ada")
    assert scrub("/home/ada/x /home/adam ada@engine.example.org Canada engine engines") == (
        "~/x /home/adam <user>@<host> Canada <host> engines"
    )
    assert doctor_bundle.scrubber("root", "localhost", "/")("/root root localhost") == "/root root localhost"
    assert doctor_bundle.scrubber("", "", "")("as it was") == "as it was"


def diagnosis() -> Diagnosis:
    """One that was cheap to make."""
    return Diagnosis([], doctor.describe_system(), PVM, [Trial("tcg", True, "well", 1.0, "text")])


def test_no_bundle_is_overwritten(tmp_path: Path) -> None:
    written = [doctor_bundle.write(diagnosis(), tmp_path).name for _ in range(3)]
    assert written == [f"lguest-py-self-test{number}.tar.gz" for number in ("", "-2", "-3")]


def test_a_bundle_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LguestError, match=r"cannot be written \(No such file.*\): go where you may write$") as caught:
        doctor_bundle.write(diagnosis(), tmp_path / "none")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("room", [0, 100])
def test_a_full_disk_is_one_line_and_leaves_no_half_a_bundle(
    tmp_path: Path, found: Found, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], room: int
) -> None:
    found(PVM, "9.0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor_bundle, "kvm_text", lambda: "none")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))  # as if the disk had room for so many bytes
    try:
        status = main(["doctor", "--self-test"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    out, err = capsys.readouterr()
    why = "lguest-py-self-test.tar.gz cannot be written (File too large): make room, or go elsewhere"
    assert (status, out, err) == (1, "", f"lguest-py: {why}\n")
    assert list(tmp_path.iterdir()) == []


def test_the_text_is_what_the_findings_say(capsys: pytest.CaptureFixture[str], found: Found) -> None:
    found(GOOD, None)

    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"kvm         ok  {GOOD.why}" in lines
    assert "engine kvm  ok  well" in lines
