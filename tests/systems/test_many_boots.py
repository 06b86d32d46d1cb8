# SPDX-License-Identifier: GPL-2.0-or-later
"""Many boots in a row, several at a time: no descriptor, process, thread, file or memory is lost by any of them.

LGUEST_BOOTS=COUNT,AT_ONCE gives the nightly test other numbers.  Read next: tests/lab/sandbox/process_lab.py.
"""

from __future__ import annotations

import gc
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from process_lab import Run, family, gone

import lguest_py
from lguest_py.launcher.vm_memory import built

pytestmark = [pytest.mark.engine, pytest.mark.timeout(4 * 3600)]
BOOTS = {"tcg": "1000,8", "kvm": "60,4"}  # in the carrier a boot takes long
WARM = 10  # boots until all modules are imported and caches are full
GROWTH = 8192  # bytes of memory for a boot; what one leaks of a machine is megabytes, and of Python's objects more too
SLACK = 24 << 20  # bytes of the allocator's


def numbers(engine_name: str) -> tuple[int, int]:
    count, at_once = os.environ.get("LGUEST_BOOTS", BOOTS[engine_name]).split(",")
    return int(count), int(at_once)


def by_command(engine_name: str, folder: Path, count: int, at_once: int) -> None:
    """Boot so by the command line; each has a folder that must be as it was."""

    def one(number: int) -> None:
        place = folder / str(number % at_once) / str(number)
        place.mkdir(parents=True)
        (place / "disk").write_bytes(bytes(1 << 16))
        run = Run(
            place, "--engine", engine_name, "--json", "--console", f"{place}/console", "--vsock", f"{place}/vsock",
            "--disk", f"{place}/disk,overlay", "--share", f"{place},readonly", "--rng", str(built("guest.elf")),
            "run=read 0;ls;random 4",
        )  # fmt: skip
        status, err = run.finish()
        assert (status, json.loads(run.shown)["end"]) == (0, "powered off"), err
        assert sorted(path.name for path in place.iterdir()) == ["disk", "tmp"]

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, range(count)))
    gone(those_with(folder))
    print(f"{count} boots by the command line, {at_once} at a time: no process and no file left")


def those_with(folder: Path) -> list[int]:
    """Processes in whose environment the folder is, whoever their parent is by now."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.fsencode(folder) in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def in_this_process(engine_name: str, count: int, at_once: int) -> None:
    """Boot so by the library."""

    def one(number: int) -> None:
        with lguest_py.Machine(engine=engine_name, memory="8M", command_line="run=uptime") as machine:  # type: ignore[arg-type]
            assert machine.wait(timeout=600).status == 0

    def several(boots: int) -> tuple[int, int, int]:
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(one, range(boots)))
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count(), len(family(os.getpid()))

    before, memory = several(max(WARM, at_once)), resident()
    after, now = several(count), resident()
    assert after == before
    assert now - memory < SLACK + GROWTH * count
    print(f"{count} boots by the library, {at_once} at a time: {(now - memory) >> 10} KiB more, {after[0]} descriptors")


@pytest.mark.nightly("kvm")
def test_some_boots_leave_nothing(engine_name: str, tmp_path: Path) -> None:
    by_command(engine_name, tmp_path, 12, 4)


@pytest.mark.nightly
def test_a_thousand_boots_leave_nothing(engine_name: str, tmp_path: Path) -> None:
    by_command(engine_name, tmp_path, *numbers(engine_name))


@pytest.mark.nightly
def test_a_thousand_boots_of_one_process_leave_nothing(engine_name: str) -> None:
    in_this_process(engine_name, *numbers(engine_name))
