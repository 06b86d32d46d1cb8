# SPDX-License-Identifier: GPL-2.0-or-later
"""An unmodified kernel in one assembler file, for a test.  Read next: small_kernel.h; tests/native/popf_kernel.S."""

from __future__ import annotations

import io
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import toolchain
from hostile_lab import Run

from lguest_py.images import Image
from lguest_py.images.elf import read_elf
from lguest_py.launcher.result import End

ROOT = Path(__file__).resolve().parents[2]
START = 0x101000  # the ELF header goes before it


def small_kernel(
    source: Path, defines: Mapping[str, int], *places: str, version: str | None = None, keep: Path | None = None
) -> Image:
    """Assemble and link ``source``, for the linker's options ``places``; its entry is ``start``.

    ``keep``: a file for the ELF.
    """
    tools = toolchain.find()
    with tempfile.TemporaryDirectory() as name:
        where = Path(name)
        given = [f"-D{key}={value:#x}" for key, value in defines.items()]
        for command in (
            [*tools.compile, *given, f"-I{ROOT}", "-c", source, "-o", where / "o"],
            [*tools.link, f"-Ttext={START:#x}", *places, "-e", "start", where / "o", "-o", where / "elf"],
        ):
            subprocess.run([str(word) for word in command], check=True)
        data = (where / "elf").read_bytes()
        if keep:
            keep.write_bytes(data)
    parsed = read_elf(io.BytesIO(data), len(data), source.stem)
    return Image(source.stem, "ELF", parsed.entry, parsed.segments, b"", version, 1, personality="native")


def ended(run: Run) -> dict[int, int]:
    """Its exits by vector, when all its checks held and nothing of the Host's is wrong."""
    assert not run.failures
    snapshot = run.result.snapshot
    assert run.result.outcome.end is End.POWERED_OFF, f"check {snapshot.guest['eax']}: {run.result.outcome}"
    return snapshot.by_vector
