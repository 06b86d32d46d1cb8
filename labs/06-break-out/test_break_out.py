# SPDX-License-Identifier: GPL-2.0-or-later
"""Lab 6, break out and be caught: run ``pytest labs/06-break-out``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from exercise import LABS, ROOT, Boot, boot_guest, build_tree, end_of, not_yet

from lguest_py.launcher.result import End

LAB, ATTACK = "06-break-out", "labs/06-break-out/attack.S"
PATCH = LABS / LAB / "remove.patch"
PROOF = "ring 0 was here"
CAUGHT = "is a system descriptor"
MOST = 12  # changed lines: one protection, not the half of the Host kernel
SHOW = """
import json, sys
from lguest_py import Machine
with Machine("build/lab-06/lab-06.elf", memory="16M", engine=sys.argv[1], timeout=120) as guest:
    result = guest.wait()
from lguest_py.launcher.report import headline
print(json.dumps([result.debug_text, headline(result), guest.console.output]))
"""


def test_1_the_attack_is_caught(lguest: Boot) -> None:
    build_tree()
    _, result = boot_guest(lguest, LAB)
    if PROOF in result.debug_text:
        not_yet("the attack succeeds in this tree: its protection is still removed. Put it back (README.md, step 3)")
    if result.outcome.end is End.POWERED_OFF:
        not_yet(f"the Host kernel had nothing against this Guest, which powered off: attack() in {ATTACK}")
    if result.outcome.end is not End.KILLED or CAUGHT not in result.outcome.reason:
        not_yet(f"the Guest should be caught when it loads a call gate, but: {end_of(result)}")


def test_2_without_its_protection_it_succeeds(request: pytest.FixtureRequest, lguest: Boot, tmp_path: Path) -> None:
    if not PATCH.exists():
        not_yet(
            "there is no labs/06-break-out/remove.patch. Remove the protection that caught the attack, then: "
            "git diff host_kernel > labs/06-break-out/remove.patch"
        )
    _only_one_protection(PATCH.read_text())
    tree = tmp_path / "tree"
    _copy(tree)
    applied = subprocess.run(["git", "apply", PATCH], cwd=tree, capture_output=True, text=True)
    if applied.returncode:
        not_yet(f"remove.patch does not apply to this tree (did you put the protection back?):\n{applied.stderr}")
    _python(tree, "labs/exercise.py", "6")
    _python(tree, "tools/build_images.py", "host_kernel", "reset")
    said = _python(tree, "-c", SHOW, str(request.config.getoption("--lguest-engine")))
    debug_text, end, console = json.loads(said.splitlines()[-1])
    if CAUGHT in end:
        not_yet(f"without what remove.patch removes the attack is caught as before: {end}")
    if PROOF not in debug_text:
        not_yet(
            f"remove.patch lets the call gate into the GDT, but no {PROOF!r} came out of the machine's debug port. "
            f"The end: {end.strip()}. Look at ring_0 in {ATTACK}. The console:\n{console}"
        )
    if "after the attack: ring 1" not in console:
        not_yet(f"ring 0 was reached, and the way back to ring 1 was not found. The end: {end.strip()}")


def _only_one_protection(patch: str) -> None:
    files = re.findall(r"^\+\+\+ b/(\S+)", patch, re.M)
    if not files or not all(name.startswith(("host_kernel/", "switcher/")) for name in files):
        named = ", ".join(files) or "nothing"
        not_yet(f"remove.patch must change the Host kernel or the Switcher, and nothing else; it changes {named}")
    changed = len(re.findall(r"^[-+](?![-+]{2} )", patch, re.M))
    if changed > MOST:
        not_yet(f"remove.patch changes {changed} lines: one protection is not more than {MOST}")


def _copy(tree: Path) -> None:
    """What a Host kernel is built from, with what is built already."""
    tree.mkdir()
    for name in ("build", "host_kernel", "guest_kernel", "switcher", "lguest_py", "tools", "labs"):
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))


def _python(tree: Path, *arguments: str) -> str:
    """Run Python with the tree's lguest_py; what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tree, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if done.returncode:
        not_yet(f"without what remove.patch removes, {arguments[0]} failed:\n{done.stdout}")
    return done.stdout
