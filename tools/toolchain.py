# SPDX-License-Identifier: GPL-2.0-or-later
"""The compiler, assembler and linker that make 32-bit x86 images, and running them only when something changed.

Used by tools/build_images.py, which says what is built.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MISSING = "lguest-py: needs gcc and binutils to build its 32-bit images: apt-get install gcc binutils"
PREFIXES = ("", "i686-linux-gnu-", "x86_64-linux-gnu-")  # the last two: Debian's cross tools, for other processors

WARNINGS = "-Wall -Wextra -Werror"
MACHINE = "-m32 -ffreestanding -fno-pic -fno-pie -mno-sse -mno-mmx -mno-80387 -fcf-protection=none"
WHOLE = ("-flto", "-flto-partition=one")  # in one part, static names stay as they are for the tests
CODE = "-std=c11 -O2 -g -fno-stack-protector -fno-asynchronous-unwind-tables -fno-delete-null-pointer-checks"


class BuildError(Exception):
    """One line for the user: what could not be built and why."""


class NoToolsError(BuildError):
    """There is nothing here to build with."""


@dataclass(frozen=True)
class Toolchain:
    """Commands, each as the start of an argument list."""

    compile: tuple[str, ...]
    link: tuple[str, ...]
    link_whole: tuple[str, ...]  # of objects compiled with WHOLE; through the compiler, still without libgcc
    objcopy: tuple[str, ...]


def _output(*command: str) -> str | None:
    """What a command prints, or None where it is missing or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def _works(prefix: str) -> bool:
    """Whether these tools exist and make 32-bit x86 code."""
    if not all(shutil.which(prefix + tool) for tool in ("gcc", "ld", "objcopy")):
        return False
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "probe.c")
        source.write_text("int probe;\n")
        compiled = _output(prefix + "gcc", *MACHINE.split(), "-c", str(source), "-o", f"{directory}/probe.o")
        linked = _output(prefix + "ld", "-m", "elf_i386", "-r", f"{directory}/probe.o", "-o", f"{directory}/probe")
        return compiled is not None and linked is not None


@cache
def find() -> Toolchain:
    """The tools on this machine.  Raises NoToolsError with one line when there are none."""
    prefix = next((prefix for prefix in PREFIXES if _works(prefix)), None)
    if prefix is None:
        raise NoToolsError(MISSING)
    headers = (_output(prefix + "gcc", "-print-file-name=include") or "").strip()
    compile_ = (prefix + "gcc", *MACHINE.split(), *CODE.split(), *WARNINGS.split(), "-nostdinc", "-isystem", headers)
    link = [prefix + "ld", "-m", "elf_i386", "-nostdlib", "-z", "noexecstack", "--build-id=none"]
    if "--no-warn-rwx-segments" in (_output(prefix + "ld", "--help") or ""):
        link.append("--no-warn-rwx-segments")
    passed = ",".join(["-Wl", *link[4:]])
    whole = (*compile_, *WHOLE, "-nostdlib", "-static", "-no-pie", passed)
    return Toolchain(compile_, tuple(link), whole, (prefix + "objcopy",))


def dependencies(file: Path) -> list[str]:
    """The files that a compiler's ``-MMD`` file names; none where there is no such file yet."""
    if not file.exists():
        return []
    text = file.read_text().partition(":")[2].replace("\\\n", " ")
    return [name.replace("\\ ", " ") for name in re.findall(r"(?:\\ |\S)+", text)]


@dataclass(frozen=True)
class Step:
    """One run of a tool, in the directory ``root``; its command names the output as ``@OUT@``, and that as ``@ROOT@``.

    So a copy of the tree, with what was built in it, is as current as the tree.
    """

    what: str
    command: tuple[str, ...]
    inputs: tuple[Path, ...]
    output: Path
    notes: Path  # the directory that keeps what was run

    def current(self) -> bool:
        """Whether the output is newer than all inputs and was made by the same command."""
        stamp = self.notes / f"{self.output.name}.command"
        if not self.output.exists() or not stamp.exists() or stamp.read_text() != "\n".join(self.command):
            return False
        made = self.output.stat().st_mtime_ns
        return all(path.exists() and path.stat().st_mtime_ns <= made for path in self.inputs)

    def run(self, root: Path) -> bool:
        """Make the output unless it is current.  Returns whether it was made anew.

        It is written aside and put in place when it is whole.  Raises BuildError with what the tool said.
        """
        if self.current():
            return False
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.notes.mkdir(parents=True, exist_ok=True)
        aside = self.notes / f"{self.output.name}.new"
        names = {"@OUT@": str(aside)}
        command = [names.get(word, word).replace("@ROOT@", str(root)) for word in self.command]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        if done.returncode:
            aside.unlink(missing_ok=True)
            raise BuildError(f"{(done.stdout + done.stderr).strip()}\nlguest-py: {self.what} failed")
        aside.replace(self.output)
        (self.notes / f"{self.output.name}.command").write_text("\n".join(self.command))
        return True
