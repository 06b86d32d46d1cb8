# SPDX-License-Identifier: GPL-2.0-or-later
"""Stores of an unmodified kernel to the page that holds its GDT and IDT: correct, and rarely single-stepped.

The tests count exits, not time.  Read next: busy_gdt.S, host_kernel/native/write_protect.c.
"""

from __future__ import annotations

import io
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest
import toolchain
from hostile_lab import Run, run_image

from lguest_py.images import Image
from lguest_py.images.elf import read_elf
from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher

SOURCE = Path(__file__).resolve().with_name("busy_gdt.S")
START = 0x101000  # the ELF header goes before it
DEBUG, PAGE_FAULT = 1, 14
STEPS = 63  # before a page is opened: STORES_TO_UNPROTECT of write_protect.c, less the one that opens it
CLOSED = 3  # times, by a load of what was hidden


@cache
def guest(paging: bool, writes: bool, changes: int = 1) -> Image:
    """tests/native/busy_gdt.S as a kernel that knows nothing of lguest."""
    tools = toolchain.find()
    with tempfile.TemporaryDirectory() as name:
        where = Path(name)
        defines = [f"-DPAGING={int(paging)}", f"-DWRITES={int(writes)}", f"-DCHANGES={changes}"]
        for command in (
            [*tools.compile, *defines, "-c", SOURCE, "-o", where / "o"],
            [*tools.link, f"-Ttext={START:#x}", "-e", "start", where / "o", "-o", where / "elf"],
        ):
            subprocess.run([str(word) for word in command], check=True)
        data = (where / "elf").read_bytes()
    parsed = read_elf(io.BytesIO(data), len(data), "busy_gdt")
    return Image("busy_gdt", "ELF", parsed.entry, parsed.segments, b"", None, 1, personality="native")


def ended(run: Run) -> dict[int, int]:
    """Its exits by vector, when all its checks held and nothing of the Host's is wrong."""
    assert not run.failures
    snapshot = run.result.snapshot
    assert run.result.outcome.end is End.POWERED_OFF, f"check {snapshot.guest['eax']}: {run.result.outcome}"
    return snapshot.by_vector


@pytest.mark.parametrize("paging", [False, True])
@pytest.mark.parametrize("switcher", ["lean", "classic"])
def test_a_stack_in_the_gdts_page_is_not_stepped(engine_name: str, paging: bool, switcher: Switcher) -> None:
    vectors = ended(run_image(engine_name, guest(paging, writes=False), switcher=switcher))
    assert 0 < vectors[DEBUG] <= STEPS * (CLOSED + 1)
    assert vectors[PAGE_FAULT] < 1000


@pytest.mark.parametrize("paging", [False, True])
@pytest.mark.parametrize("switcher", ["lean", "classic"])
def test_tables_in_such_a_page_that_change_are_followed(engine_name: str, paging: bool, switcher: Switcher) -> None:
    """From then on each store beside them is stepped: some descriptor in a register might be changed by the next."""
    vectors = ended(run_image(engine_name, guest(paging, writes=True), switcher=switcher))
    assert 500 < vectors[DEBUG] < 5000


@pytest.mark.parametrize("switcher", ["lean", "classic"])
def test_three_descriptors_that_are_stored_together_are_one_trap(engine_name: str, switcher: Switcher) -> None:
    """A change of tasks; the zeroes before them are stepped, six in one instruction."""
    one, more = (
        ended(run_image(engine_name, guest(True, writes=True, changes=changes), switcher=switcher))
        for changes in (1, 101)
    )
    stepped = (more[DEBUG] - one[DEBUG]) / 100
    assert (more[PAGE_FAULT] - one[PAGE_FAULT]) / 100 <= stepped + 1.1
