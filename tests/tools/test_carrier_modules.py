# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/carrier/pick_modules.py: the modules of the carrier's kernel, in an order in which they load."""

from __future__ import annotations

import lzma
import subprocess
import sys
from pathlib import Path

import pytest
from carrier import pick_modules


def module(tree: Path, name: str, depends: str = "", compressed: bool = False) -> bytes:
    """Put a module into a tree, in its own directory as kernels have it."""
    elf = b"\x7fELF...\0license=GPL\0depends=" + depends.encode() + b"\0name=" + name.encode() + b"\0"
    path = tree / "lib" / "modules" / "6.1" / name / f"{name}.ko{'.xz' if compressed else ''}"
    path.parent.mkdir(parents=True)
    path.write_bytes(lzma.compress(elf) if compressed else elf)
    return elf


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "xz"])
def test_each_comes_behind_what_it_needs(tmp_path: Path, compressed: bool) -> None:
    elf = module(tmp_path, "kvm-amd", "kvm,ccp", compressed)
    module(tmp_path, "kvm", "irqbypass", compressed)
    module(tmp_path, "ccp", "", compressed)
    module(tmp_path, "irqbypass", "", compressed)
    module(tmp_path, "not_asked_for", "kvm", compressed)
    picked = pick_modules.pick(tmp_path, ["kvm-amd", "irqbypass"])
    assert list(picked) == ["irqbypass", "kvm", "ccp", "kvm_amd"]
    assert picked["kvm_amd"] == elf


def test_what_is_built_into_the_kernel_is_left_out(tmp_path: Path) -> None:
    module(tmp_path, "virtio_console", "virtio,virtio_ring")
    module(tmp_path, "virtio")
    (tmp_path / "lib" / "modules" / "6.1" / "modules.builtin").write_text("kernel/drivers/virtio/virtio_ring.ko\n")
    assert list(pick_modules.pick(tmp_path, ["virtio_console"])) == ["virtio", "virtio_console"]


def test_a_module_that_is_nowhere_is_named(tmp_path: Path) -> None:
    module(tmp_path, "9p", "9pnet")
    with pytest.raises(SystemExit, match="has no module 9pnet"):
        pick_modules.pick(tmp_path, ["9p"])


def test_the_program_writes_them_with_their_order(tmp_path: Path) -> None:
    elf = module(tmp_path, "kvm", compressed=True)
    output = tmp_path / "output"
    output.mkdir()
    program = Path(pick_modules.__file__)
    subprocess.run([sys.executable, str(program), str(tmp_path / "lib"), str(output), "kvm"], check=True)
    assert (output / "order").read_text() == "kvm\n"
    assert (output / "kvm.ko").read_bytes() == elf
