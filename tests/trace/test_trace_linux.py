# SPDX-License-Identifier: GPL-2.0-or-later
"""Real kernels traced: Debian's, unmodified, and a Linux with lguest support."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from linux_lab import RealLinux

from lguest_py.kernels.stock import Kernel

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 1800  # the carrier is slow


def command(*words: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "lguest_py", *words],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran
    return ran.stdout


def boot(engine: str, folder: Path, kernel: Sequence[str]) -> tuple[Counter[str], Counter[str], list[str]]:
    """The exits by vector as they were counted and as they were traced, and the folded stacks."""
    file, folded = str(folder / "trace"), folder / "folded"
    how = "--engine", engine, "--json", "--trace", file, "--trace-rate", "997"
    counted = json.loads(command("boot", *how, *kernel).splitlines()[-1])["switches"]["by_cause"]
    lines = command("trace", "--json", "--read", file).splitlines()
    traced = Counter[str]()
    for each in map(json.loads, lines):
        assert not each.get("lost")
        if "cause" in each:
            traced[each["vector_name"]] += 1
    command("trace", "--read", file, "--folded", str(folded), "--svg", str(folder / "svg"))
    return Counter(counted), traced, folded.read_text().splitlines()


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_debians_kernel(engine_name: str, stock: Kernel, tmp_path: Path) -> None:
    counted, traced, stacks = boot(engine_name, tmp_path, [stock.name, "quiet"])
    assert traced == counted
    assert any(line.startswith("[kernel];startup_32_smp;i386_start_kernel;start_kernel;") for line in stacks)
    samples = sum(int(line.rsplit(" ", 1)[1]) for line in stacks)
    unknown = sum(int(line.rsplit(" ", 1)[1]) for line in stacks if "[unknown]" in line)
    assert samples > 500
    assert unknown < samples / 10
    text = (tmp_path / "svg").read_text()
    assert "mov to cr3" in text


@pytest.mark.timeout(3600)
def test_a_linux_with_lguest_support(engine_name: str, linux: RealLinux, tmp_path: Path) -> None:
    kernel = "--initrd", str(linux.initrd), str(linux.bzimage), "console=hvc0", "quiet", "run=true"
    counted, traced, stacks = boot(engine_name, tmp_path, kernel)
    assert traced == counted
    assert any("start_kernel" in line for line in stacks)
