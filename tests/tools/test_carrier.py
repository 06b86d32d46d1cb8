# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/run-in-kvm: a command on a machine with a real KVM, wherever the tests run."""

from __future__ import annotations

import gzip
import lzma
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from carrier.unpack_kernel import unpack

RUN = Path(__file__).resolve().parents[2] / "tools" / "run-in-kvm"
RATE = RUN.parent / "carrier" / "tsc_rate.py"
inside = pytest.mark.skipif(bool(os.environ.get("RUN_IN_KVM")), reason="a carrier in a carrier loses exits")


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    environment = {name: value for name, value in os.environ.items() if name not in ("SMP", "MEM", "TIMEOUT", "OUT")}
    return subprocess.run([str(RUN), *command], env=environment | variables, capture_output=True, text=True)


@inside
def test_a_command_sees_this_machine_and_a_real_kvm(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "in").write_text("what the command reads")
    script = (
        'cat in; echo "$GREETING" >&2; pwd >"$OUT/where"; echo lost >lost; '
        'sed -n "s/^cpu MHz[^:]*: //p" /proc/cpuinfo >"$OUT/rate"; '
        "grep -q tsc_early_khz= /proc/cmdline && "
        "cat /sys/module/kvm_amd/parameters/npt >/dev/null && test -c /dev/kvm || exit 1; "
        'ticks() { grep "edge *timer" /proc/interrupts; }; before=$(ticks); sleep 1; '
        'test -n "$before" && test "$before" != "$(ticks)" && exit 42'
    )
    environment = {"OUT": str(tmp_path / "out"), "GREETING": 'it\'s "quoted"', "TIMEOUT": "300"}
    done = subprocess.run(
        [str(RUN), "sh", "-c", script], env=os.environ | environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (42, "what the command reads", 'it\'s "quoted"\n')
    assert (tmp_path / "out" / "where").read_text() == f"{tmp_path}\n"
    assert not (tmp_path / "lost").exists()
    # The carrier's kernel keeps its own measure of the processor's rate if that differs by less than a tenth.
    assert float((tmp_path / "out" / "rate").read_text()) * 1000 == pytest.approx(tsc_khz(), rel=0.11)


def tsc_khz() -> int:
    """The rate of this machine's TSC as the carrier is told it."""
    return int(subprocess.run([sys.executable, str(RATE)], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="there is no TSC")
def test_the_rate_of_the_tsc_is_measured_the_same_again() -> None:
    assert tsc_khz() == pytest.approx(tsc_khz(), rel=1e-3)


@inside
def test_without_a_rate_the_clock_is_not_the_tsc(tmp_path: Path) -> None:
    path = path_without(tmp_path, "python3")
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    done = run("cat", "/sys/devices/system/clocksource/clocksource0/current_clocksource", PATH=path, TIMEOUT="300")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hpet\n", "")


@inside
def test_a_command_that_does_not_end(tmp_path: Path) -> None:
    done = run("sleep", "1000", TIMEOUT="12")
    assert done.returncode == 124
    assert done.stderr == "run-in-kvm: time limit of 12 s reached (TIMEOUT=SECONDS raises it)\n"


def test_without_a_command_it_explains_itself() -> None:
    done = run()
    assert done.returncode == 2
    assert "TIMEOUT=600  seconds" in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TIMEOUT", "soon", "TIMEOUT=soon is not a number of seconds"),
        ("SMP", "0", "SMP=0 is not a number of processors"),
        ("MEM", "much", "MEM=much is not a size such as 2G"),
        ("OUT", "/proc/version", "OUT=/proc/version is not a directory"),
        ("OUT", "/dev/null/x", "OUT=/dev/null/x is not a directory"),
    ],
)
@inside
def test_wrong_use_is_one_line(variable: str, value: str, message: str) -> None:
    done = run("true", **{variable: value})
    assert (done.returncode, done.stderr) == (125, f"run-in-kvm: {message}\n")


def path_without(tmp_path: Path, *missing: str) -> str:
    """A directory with every program of this machine but these."""
    for directory in os.environ["PATH"].split(os.pathsep):
        for program in Path(directory).glob("*"):
            if program.name not in missing and not (tmp_path / program.name).is_symlink():
                (tmp_path / program.name).symlink_to(program)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("qemu-system-x86_64", "qemu-system-x86_64 is missing: apt-get install qemu-system-x86"),
        ("cpio", "cpio is missing: apt-get install cpio"),
        ("apt-get", "apt-get is missing: the carrier's kernel comes from Debian's packages"),
    ],
)
@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="needs QEMU")
def test_what_is_missing_is_named(tmp_path: Path, program: str, message: str) -> None:
    (tmp_path / "bin").mkdir()
    path = path_without(tmp_path / "bin", program)
    done = run("true", PATH=path, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert (done.returncode, done.stderr) == (125, f"run-in-kvm: {message}\n")


def test_a_cache_that_cannot_be_made() -> None:
    done = run("true", XDG_CACHE_HOME="/dev/null")
    assert done.returncode == 125
    assert done.stderr == "run-in-kvm: cannot make /dev/null/lguest-py/carrier\n"


@pytest.mark.parametrize("pack", [lambda data: lzma.compress(data, check=lzma.CHECK_CRC32), gzip.compress])
def test_the_kernel_is_found_in_its_image(pack: object) -> None:
    assert callable(pack)
    kernel = b"\x7fELF" + bytes(range(256)) * 40
    decoy = b"\x1f\x8b\x08 and \xfd7zXZ\0 are in the loader too"
    assert unpack(decoy + pack(kernel) + b"trailing signature") == kernel


def test_an_image_without_a_kernel() -> None:
    assert unpack(b"\x7fELF but nothing packed" + gzip.compress(b"not an ELF file")) is None
