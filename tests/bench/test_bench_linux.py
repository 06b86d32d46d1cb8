# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py bench --linux``: what a kernel's common work costs in a Guest and natively (lguest_py/bench/linux.py).

Instructions are counted where two sides are compared: they do not depend on how busy this machine is.
"""

from __future__ import annotations

import io
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile
from linux_lab import ROOT

from lguest_py.bench import linux as bench
from lguest_py.bench.native import Workload, run_native
from lguest_py.bench.profile import HOST_KERNEL
from lguest_py.errors import LguestError, UsageError
from lguest_py.kernels import mkinitrd
from lguest_py.kernels.stock import Kernel
from lguest_py.launcher.vm_memory import built
from lguest_py.measurements.row import CYCLES, INSTRUCTIONS, Row
from lguest_py.shared_memory.mailbox import Snapshot

if TYPE_CHECKING:
    from linux_lab import RealLinux

on_tcg = pytest.mark.parametrize("engine_name", ["tcg"])  # the only one that counts, and that QEMU's PC compares with
FAULTS = ("anonymous-fault", "cow", "fork", "exec", "mmap+touch+munmap")
SOURCES = ROOT / "guest_kernel" / "linux" / "bench"


def least(rows: list[Row]) -> dict[tuple[str, str], int]:
    """By name and side."""
    found = {(row.name, row.where): min(row.samples) for row in rows}
    assert len(found) == len(rows)
    return found


def check_both_sides(rows: list[Row], unit: str) -> None:
    """Every benchmark is there, twice."""
    measured = [row for row in rows if row.group == "linux"]
    for where, switcher in (("guest", "lean"), ("native", "")):
        side = [row for row in measured if row.where == where]
        assert [row.name for row in side] == list(bench.BENCHMARKS)
        assert {(row.switcher, row.unit) for row in side} == {(switcher, unit)}
        assert all(row.samples.total() >= 3 for row in side)
        assert len({row.tsc_khz for row in side}) == 1
        assert all(bool(row.tsc_khz) is (unit == CYCLES) for row in side)


def check_instructions(rows: list[Row]) -> None:
    """What must hold of the counts whatever the kernel: work that contains other work takes more."""
    least_of = least(rows)
    for name in bench.BENCHMARKS:
        assert least_of[name, "guest"] > 0.95 * least_of[name, "native"], name
    for name in FAULTS:
        assert least_of[name, "guest"] > least_of[name, "native"] + 100, name
    for where in ("guest", "native"):
        assert 50 < least_of["int-syscall", where] < least_of["signal", where]
        assert least_of["anonymous-fault", where] < least_of["cow", where] < least_of["fork", where]
        assert least_of["fork", where] < least_of["exec", where]
        assert least_of["context-switch", where] == pytest.approx(least_of["pipe", where] / 2, rel=0.1)


@on_tcg
def test_a_distributions_kernel_on_both_sides(engine_name: str, stock: Kernel) -> None:
    names = [name for name in bench.LINUX if name != bench.BOOT_WITHOUT_LPJ]
    rows = bench.linux_rows(stock.kernel, None, engine_name, "lean", True, names, rounds=3)
    check_both_sides(rows, INSTRUCTIONS)
    check_instructions(rows)
    (boot,) = (row for row in rows if row.group == "boot")
    assert (boot.name, boot.where, boot.switcher) == (bench.BOOT, "guest", "lean")
    assert min(boot.samples) > 1_000_000


@on_tcg
@pytest.mark.parametrize("switcher", ["lean", "classic"])
def test_an_lguest_kernel_twice(engine_name: str, linux: RealLinux, switcher: str) -> None:
    first, again = (bench.linux_rows(linux.bzimage, None, engine_name, switcher, True) for _ in range(2))
    if switcher == "lean":
        check_both_sides(first, INSTRUCTIONS)
    check_instructions(first)
    assert [row.key for row in first] == [row.key for row in again]
    least_again = least(again)
    for key, value in least(first).items():
        if key[0] in bench.BENCHMARKS:  # a boot also waits for the Launcher
            assert least_again[key] == pytest.approx(value, rel=0.03), key
    assert all(row.samples.total() > 50 for row in first if row.group == "linux")
    assert [row.name for row in first if row.group == "boot"] == [bench.BOOT, bench.BOOT_WITHOUT_LPJ]


@on_tcg
def test_in_cycles(engine_name: str, linux: RealLinux) -> None:
    names = [*bench.BENCHMARKS, bench.BOOT]
    rows = bench.linux_rows(linux.bzimage, None, engine_name, "lean", False, names, rounds=3)
    check_both_sides(rows, CYCLES)
    (boot,) = (row for row in rows if row.group == "boot")
    assert min(boot.samples) > boot.tsc_khz  # a millisecond


def failing_initrd(path: Path) -> Path:
    """Its init is not called /init, which the benchmark of exec starts."""
    program = built("linux_bench.elf").read_bytes()
    mkinitrd.make_initrd(str(path), {"program": mkinitrd.Entry(stat.S_IFREG | 0o755, lambda: program)})
    return path


@on_tcg
def test_what_fails_in_the_guest_is_told(
    engine_name: str, stock: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "WORDS", f"{bench.WORDS} rdinit=/program")
    initrd = failing_initrd(tmp_path / "initrd")
    with pytest.raises(LguestError, match=r"the measurement failed, with 'init: .*error 5': the Guest restarted"):
        bench.linux_rows(stock.kernel, initrd, engine_name, "lean", False, ["exec"], rounds=1)


@on_tcg
def test_what_fails_natively_is_told(engine_name: str, linux: RealLinux, tmp_path: Path) -> None:
    words = f"{bench.WORDS} {bench.LPJ} rdinit=/program bench=exec rounds=1"
    twin = Workload(str(linux.bzimage), str(failing_initrd(tmp_path / "initrd")), words)
    with pytest.raises(LguestError, match=r"ended early, with 'init: .*error 5'$"):
        run_native(twin, last=bench.LAST, accel=engine_name)


def test_the_program_has_what_is_listed() -> None:
    text = "".join(path.read_text() for path in SOURCES.glob("*.c"))
    registered = re.findall(r'^BENCH\(\w+, "(.+?)", ', text, re.M)
    assert sorted(registered) == sorted([*bench.BENCHMARKS, "clock"])
    assert {"context-switch", "cow", "exec", "fork", "int-syscall", "pte-update"} < set(registered)  # virtbench's
    assert not [name for name in bench.LINUX if re.search(r"[\s,=.*]", name)]  # they stand on a kernel's command line


def test_the_program_needs_nothing_and_is_small() -> None:
    program = built("linux_bench.elf").read_bytes()
    elf = ELFFile(io.BytesIO(program))
    assert (elf.elfclass, elf["e_machine"], elf["e_type"]) == (32, "EM_386", "ET_EXEC")
    assert not [segment for segment in elf.iter_segments() if segment["p_type"] in ("PT_INTERP", "PT_DYNAMIC")]
    assert len(program) < 32 << 10


GUEST = """\
PROFILE 1 ticks=60\r
PROFILE 2 ticks=300 switches=2\r
BENCH boot-to-init 9000*1\r
BENCH clock 3*40 5*1\r
BENCH fork 103*2 203*1\r
BENCH fork 303*1\r
BENCH int-syscall 10003*3\r
BENCH-COUNTS int-syscall operations=100\r
BENCH done\r
"""
NATIVE = GUEST.replace("303*1", "53*1")
SNAPSHOT = Snapshot(guest_tsc=2000, tsc_khz=2_000_000)


class Runs:
    """What was booted, and what it prints."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, guest: str = GUEST, native: str = NATIVE) -> None:
        self.guests: list[tuple[Workload, str]] = []
        self.profiled: list[tuple[Workload, str]] = []
        self.natives: list[tuple[Workload, bool, str]] = []

        def run_guest(twin: Workload, make: object, seconds: float, switcher: str) -> tuple[str, Snapshot]:
            (self.profiled if make == HOST_KERNEL else self.guests).append((twin, switcher))
            return guest, SNAPSHOT

        def run_native(twin: Workload, counted: bool, seconds: float, last: bytes, accel: str) -> str:
            assert last == b"BENCH done"
            self.natives.append((twin, counted, accel))
            return native

        monkeypatch.setattr(bench, "run_guest", run_guest)
        monkeypatch.setattr(bench, "run_native", run_native)
        monkeypatch.setattr(bench, "words_for", lambda image: bench.WORDS)
        monkeypatch.setattr(bench, "engine_for", lambda engine, counted, host_kernel="": (engine, host_kernel))


def test_samples_become_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch)
    rows = bench.linux_rows(Path("k"), Path("i"), "kvm", "classic", False, ["boot-to-init", "fork", "int-syscall"])
    assert [(row.name, row.group, row.where, row.switcher, dict(row.samples)) for row in rows] == [
        ("int-syscall", "linux", "guest", "classic", {100: 3}),
        ("fork", "linux", "guest", "classic", {100: 2, 200: 1, 300: 1}),
        ("int-syscall", "linux", "native", "", {100: 3}),
        ("fork", "linux", "native", "", {100: 2, 200: 1, 50: 1}),
        ("boot-to-init", "boot", "guest", "classic", {7000: 1}),
    ]
    assert {(row.unit, row.tsc_khz) for row in rows} == {(CYCLES, 2_000_000)}
    ((profiled, switcher),) = runs.profiled
    assert (switcher, profiled.words.endswith(" lpj=5000000 bench=int-syscall,fork rounds=10")) == ("classic", True)
    assert [dict(row.counts) for row in rows] == [{}, {"switches": 2}, {}, {}, {}]
    ((guest, switcher),), ((native, counted, accel),) = runs.guests, runs.natives
    assert guest == native
    assert (guest.kernel, guest.initrd, switcher, counted, accel) == ("k", "i", "classic", False, "kvm")
    assert guest.words.endswith(" lpj=5000000 bench=int-syscall,fork")


def test_counted_rows_are_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    Runs(monkeypatch)
    rows = bench.linux_rows(Path("k"), Path("i"), "tcg", "lean", True, ["fork", "boot-to-init"], rounds=7)
    assert {(row.unit, row.tsc_khz) for row in rows} == {(INSTRUCTIONS, 0)}


def test_boots_measure_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch)
    rows = bench.linux_rows(Path("k"), Path("i"), "tcg", "lean", True, [bench.BOOT_WITHOUT_LPJ, bench.BOOT], rounds=7)
    assert [(row.name, dict(row.samples)) for row in rows] == [
        ("boot-to-init", {7000: 1}),
        ("boot-to-init-without-lpj", {7000: 1}),
    ]
    with_lpj, without = (twin.words for twin, _ in runs.guests)
    assert with_lpj.endswith(" lpj=5000000 bench=none rounds=7")
    assert (without.endswith(" bench=none"), "lpj=" in without, runs.natives) == (True, False, [])


def test_a_benchmark_that_did_not_run_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Runs(monkeypatch)
    with pytest.raises(LguestError, match="did not measure cow: give an initrd"):
        bench.linux_rows(Path("k"), Path("i"), "tcg", "lean", True, ["cow"])
    Runs(monkeypatch, guest="BENCH clock 3*1\nBENCH done\n")
    with pytest.raises(LguestError, match="did not measure boot-to-init: give an initrd"):
        bench.linux_rows(Path("k"), Path("i"), "tcg", "lean", True, ["boot-to-init"])
    Runs(monkeypatch, native=NATIVE.replace("BENCH done", "init: no"))
    with pytest.raises(LguestError, match="is incomplete; the last line: 'init: no'"):
        bench.linux_rows(Path("k"), Path("i"), "tcg", "lean", True, ["fork"])


@pytest.mark.parametrize(
    ("engine", "switcher", "names", "said"),
    [
        ("tcg", "lean", ["forks"], "there is no benchmark 'forks' in Linux: give one of int-syscall, "),
        ("tcg", "leaner", ["fork"], "there is no Switcher 'leaner': give one of classic, lean"),
        ("kvm", "lean", ["fork"], "counted by the tcg engine only"),
    ],
)
def test_what_cannot_be_asked(engine: str, switcher: str, names: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        bench.linux_rows(Path("k"), None, engine, switcher, True, names)
