# SPDX-License-Identifier: GPL-2.0-or-later
"""Lab 6, break out and be caught: run ``pytest labs/06-break-out``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from exercise import LABS, ROOT, Boot, apply_patch, boot_guest, end_of, not_yet

from lguest_py.launcher.result import End

LAB, ATTACK = "06-break-out", "labs/06-break-out/attack.S"
PATCH = LABS / LAB / "remove.patch"
PLACES = "host_kernel/", "switcher/"
PROOF = "ring 0 was here"
CAUGHT = "is a system descriptor"
REFUSED = "trap 13 (error code 0xa0"  # a general protection fault that names the selector 0xa0
MOST = 12  # changed lines: one protection, not the half of the Host kernel


def test_1_the_attack_is_caught(lguest: Boot) -> None:
    _, result = boot_guest(lguest, LAB)
    if PROOF in result.debug_text:
        not_yet("the attack succeeds in this tree: its protection is still removed. Put it back (README.md, step 3)")
    if result.outcome.end is End.POWERED_OFF:
        not_yet(f"the Host kernel had nothing against this Guest, which powered off: attack() in {ATTACK}")
    if result.outcome.end is not End.KILLED or CAUGHT not in result.outcome.reason:
        not_yet(f"the Guest should be caught when it loads a call gate, but: {end_of(result)}")


def test_2_without_its_protection_it_succeeds(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if not PATCH.exists():
        not_yet(
            "there is no labs/06-break-out/remove.patch. Remove the protection that caught the attack, then: "
            "git diff -- host_kernel > labs/06-break-out/remove.patch"
        )
    strip = _only_one_protection(PATCH.read_text())
    tree = tmp_path / "tree"
    _copy(tree)
    if why := apply_patch(tree, PATCH, strip):
        not_yet(f"remove.patch does not apply to this tree (did you put the protection back?):\n{why}")
    _python(tree, "labs/exercise.py", "6")
    _python(tree, "tools/build_images.py", "host_kernel", "reset")
    engine = str(request.config.getoption("--lguest-engine"))
    console, _, told = _python(tree, "labs/06-break-out/show.py", engine).rpartition("debug port: ")
    debug_text, _, end = told.partition("\nend: ")
    if CAUGHT in end:
        not_yet(f"without what remove.patch removes the attack is caught as before: {end}")
    if REFUSED in end:
        not_yet(
            f"the call gate is in the GDT, and the processor refuses it: {end.strip()}. What else does "
            "set_descriptor() in host_kernel/lguest/segments.c change in a descriptor, after the check?"
        )
    if PROOF not in debug_text:
        not_yet(
            f"remove.patch lets the call gate into the GDT, but no {PROOF!r} came out of the machine's debug port. "
            f"The end: {end.strip()}. Look at ring_0 in {ATTACK}. The console:\n{console}"
        )
    if "after the attack: ring 1" not in console:
        not_yet(f"ring 0 was reached, and the way back to ring 1 was not found. The end: {end.strip()}")


def _only_one_protection(patch: str) -> str:
    """Check that it is that; the option by which git applies it (git's diff.noprefix leaves out a/ and b/)."""
    files = re.findall(r"^\+\+\+ (\S+)", patch, re.M)
    plain = all(name.startswith(PLACES) for name in files)
    if not files or not all(name.startswith(PLACES) or name[2:].startswith(PLACES) for name in files):
        named = ", ".join(files) or "nothing"
        not_yet(f"remove.patch must change the Host kernel or the Switcher, and nothing else; it changes {named}")
    changed = len(re.findall(r"^[-+](?![-+]{2} )", patch, re.M))
    if changed > MOST:
        not_yet(f"remove.patch changes {changed} lines: one protection is not more than {MOST}")
    return "-p0" if plain else "-p1"


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
