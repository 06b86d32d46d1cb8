# SPDX-License-Identifier: GPL-2.0-or-later
"""A Guest that was saved on one engine goes on on the other: from kvm, in the carrier, to tcg here, and back.

Read next: test_saved_guest.py; tools/run-in-kvm.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from linux_lab import ROOT

from lguest_py.kernels.stock import Kernel

CARRIER = (str(ROOT / "tools" / "run-in-kvm"), sys.executable)
pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif("RUN_IN_KVM" in os.environ, reason="it starts a carrier, and this is one"),
]
SAVE = """
import sys
from lguest_py import Machine
image, engine, prompt, path = sys.argv[1:]
with Machine(image or None, engine=engine, memory=None if image else "16M", command_line="quiet") as guest:
    guest.console.expect(prompt, 900)
    guest.console.sendline("echo $((6 * 7)) >/kept; echo be''fore" if image else "echo before")
    guest.console.expect("\\nbefore", 900)
    guest.console.expect(prompt, 900)
    guest.save(path)
"""
GO_ON = """
import re, sys
from lguest_py import Machine
image, engine, path = sys.argv[1:]
with Machine(saved=path, engine=engine) as guest:
    guest.console.sendline("cat /kept" if image else "test")
    guest.console.expect(re.compile(r"\\n42\\r?\\n" if image else r", 0 failed"), 900)
    guest.console.sendline("poweroff -f" if image else "poweroff")
    assert guest.wait(900).status == 0
print("went on")
"""


def run(there: bool, out: Path, script: str, *arguments: str) -> str:
    """Run a Python program here, or in the carrier, where ``out`` is the same directory; what it printed."""
    command = CARRIER if there else (sys.executable,)
    environment = {**os.environ, "OUT": str(out), "TIMEOUT": "1500"}
    done = subprocess.run(
        [*command, "-c", script, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("image", ["", "debian-6.1-686"], ids=["tiny", "debian"])
@pytest.mark.parametrize("first", ["kvm", "tcg"])
def test_from_one_engine_to_the_other(first: str, image: str, stock: Kernel, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    second = {"kvm": "tcg", "tcg": "kvm"}[first]
    run(first == "kvm", tmp_path, SAVE, image, first, "# " if image else "lguest> ", str(saved))
    assert "went on" in run(second == "kvm", tmp_path, GO_ON, image, second, str(saved))
