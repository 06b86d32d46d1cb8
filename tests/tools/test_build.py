# SPDX-License-Identifier: GPL-2.0-or-later
"""The build of the 32-bit images (tools/build_images.py, tools/toolchain.py): what it makes and what it refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import layouts
import pytest
import toolchain
from build_images import IMAGES, Builder
from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "lguest_py" / "_images"
SCRIPT = "SECTIONS { . = 0x100000; .text : { *(.text*) } .data : { *(.*data*) } .bss : { *(.bss*) } }\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source tree with a Host kernel of one function."""
    for header in (*layouts.HEADERS, "switcher/layouts/types.h"):
        copy = tmp_path / header
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text((ROOT / header).read_text())
    (tmp_path / "lguest_py/shared_memory").mkdir(parents=True)
    (tmp_path / "host_kernel/base").mkdir(parents=True)
    (tmp_path / "host_kernel/machine").mkdir()
    (tmp_path / "host_kernel/host_kernel.ld").write_text(SCRIPT)
    (tmp_path / "host_kernel/base/own.h").write_text("#define OWN 1\n")
    source = '#include "host_kernel/base/own.h"\nint one(void);\nint one(void) { return OWN; }\n'
    (tmp_path / "host_kernel/base/one.c").write_text(source)
    (tmp_path / "host_kernel/machine/two.S").write_text('#include "offsets.h"\n.text\n.long MACHINE_MAGIC\n')
    monkeypatch.setattr(layouts, "ROOT", tmp_path)
    return tmp_path


def builder(tree: Path) -> Builder:
    """Builds that tree's Host kernel, the first of the images."""
    return Builder(tree, IMAGES[:1])


def made(tree: Path) -> dict[str, int]:
    """Everything built, and when."""
    where = [*(tree / "build").rglob("*.o"), *(tree / "lguest_py/_images").iterdir()]
    return {path.name: path.stat().st_mtime_ns for path in where}


def test_the_sources_build() -> None:
    Builder().all()
    names = {path.name for path in SHIPPED.iterdir()}
    assert names >= {
        *("host_kernel.elf", "host_kernel.bin", "reset.bin", "guest.elf", "guest.bzImage", "selftest.bin"),
        *("host_bench.bin", "native_bench.elf", "linux_bench.elf"),
    }


def test_in_a_copy_of_the_tree_nothing_is_compiled_anew(
    tree: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder(tree).all()
    before = {path.name: path.stat().st_mtime_ns for path in (tree / "build").rglob("*.o")}
    copy = tmp_path_factory.mktemp("copies") / "tree"
    shutil.copytree(tree, copy)
    monkeypatch.setattr(layouts, "ROOT", copy)
    builder(copy).all()
    assert before
    assert {path.name: path.stat().st_mtime_ns for path in (copy / "build").rglob("*.o")} == before


def test_the_host_kernel_starts_at_its_first_byte() -> None:
    with (SHIPPED / "host_kernel.elf").open("rb") as stream:
        elf = ELFFile(stream)
        loads = [segment for segment in elf.iter_segments("PT_LOAD") if segment["p_filesz"]]
        assert elf["e_machine"] == "EM_386"
        assert elf["e_entry"] == min(segment["p_paddr"] for segment in loads) == 0x100000
        assert loads[0].data()[:64] == (SHIPPED / "host_kernel.bin").read_bytes()[:64]


def test_the_reset_vector_is_at_the_end_of_its_rom() -> None:
    rom = (SHIPPED / "reset.bin").read_bytes()
    assert len(rom) == 0x10000
    assert any(rom[-16:])


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("KEPT unsigned long long f(unsigned long long a, unsigned long long b) { return a / b; }", "__udivdi3"),
        ("extern int missing; KEPT int f(void) { return missing; }", "missing"),
        ("KEPT double f(double a) { return a * 2; }", "__adddf3"),
        ("#include <stdio.h>\n", "stdio.h"),
        ("int f(int unused) { return 1; }", "unused"),
    ],
    ids=["libgcc", "undefined", "floating point", "libc", "warning"],
)
def test_what_has_no_place_in_freestanding_code_fails(tree: Path, code: str, said: str) -> None:
    kept = code.replace("KEPT", "__attribute__((used))")  # the linker drops, unseen, what nobody calls
    (tree / "host_kernel/base/bad.c").write_text(kept)
    with pytest.raises(toolchain.BuildError, match=said):
        builder(tree).all()
    assert not (tree / "lguest_py/_images/host_kernel.bin").exists()


def test_a_struct_that_i386_lays_out_otherwise_fails(tree: Path) -> None:
    header = tree / "switcher/layouts/lguest_pages.h"
    text = header.read_text().replace("#endif\n", "struct uneven {\n\tu32 a;\n\tu64 b;\n};\n\n#endif\n")
    header.write_text(text)
    with pytest.raises(toolchain.BuildError, match=r"static assertion failed.*uneven"):
        builder(tree).all()


def test_only_what_changed_is_built_again(tree: Path) -> None:
    builder(tree).all()
    first = made(tree)
    objects = {"checks.o", "base.one.c.o", "machine.two.S.o"}
    assert set(first) == {*objects, "host_kernel.elf", "host_kernel.bin"}
    builder(tree).all()
    assert made(tree) == first
    (tree / "host_kernel/base/own.h").write_text("#define OWN 2\n")
    os.utime(tree / "host_kernel/base/own.h", ns=(max(first.values()) + 1,) * 2)
    builder(tree).all()
    changed = {name for name, when in made(tree).items() if when != first[name]}
    assert changed == {"base.one.c.o", "host_kernel.elf", "host_kernel.bin"}


def test_other_options_build_again(tree: Path) -> None:
    builder(tree).all()
    first = made(tree)
    other = builder(tree)
    other.includes.append("-DMORE")
    other.all()
    assert all(when != first[name] for name, when in made(tree).items() if name.endswith(".o"))


def test_a_source_taken_away_is_gone_from_the_image(tree: Path) -> None:
    builder(tree).all()
    (tree / "host_kernel/machine/two.S").unlink()
    builder(tree).all()
    magic = (0x7473676C).to_bytes(4, "little")
    assert magic not in (tree / "lguest_py/_images/host_kernel.bin").read_bytes()


def test_several_builds_at_once(tree: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); import pathlib, layouts, build_images; "
        f"layouts.ROOT = pathlib.Path({str(tree)!r}); "
        "build_images.Builder(layouts.ROOT, build_images.IMAGES[:1]).all()"
    )
    runs = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [(run.communicate()[1], run.returncode) for run in runs] == [("", 0)] * 3
    first = made(tree)
    builder(tree).all()
    assert made(tree) == first


def test_without_a_compiler_one_line_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/build_images.py")],
        env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (1, "", toolchain.MISSING + "\n")


def test_a_compiler_without_i386_counts_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in ("gcc", "ld", "objcopy"):
        (tmp_path / tool).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    toolchain.find.cache_clear()
    with pytest.raises(toolchain.BuildError, match="apt-get install gcc binutils"):
        toolchain.find()
    toolchain.find.cache_clear()
