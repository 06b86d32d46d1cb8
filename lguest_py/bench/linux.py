# SPDX-License-Identifier: GPL-2.0-or-later
"""Benchmarks of a Linux kernel in a Guest and natively: ``lguest-py bench --linux``.

The same kernel boots with the same initrd and command line in a Guest and on QEMU's PC.  Its init is a program
(guest_kernel/linux/bench) that measures and prints.  A name of virtbench has the same meaning as there.

Read next: samples.py, which reads what is printed; native.py.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from lguest_py.bench.counting import choose, parse_switcher, run_machine
from lguest_py.bench.native import Workload, run_native
from lguest_py.bench.profile import HOST_KERNEL, ROUNDS, counts_of
from lguest_py.bench.samples import BenchOutput, parse, subtract_clock
from lguest_py.errors import LguestError, UsageError
from lguest_py.files.descriptors import check, descriptor_errors
from lguest_py.kernels import mkinitrd
from lguest_py.launcher.vm_memory import Switcher, built
from lguest_py.measurements.row import CYCLES, INSTRUCTIONS, Row

if TYPE_CHECKING:
    from lguest_py.engines.base import Engine
    from lguest_py.shared_memory.mailbox import Snapshot

BOOT: Final = "boot-to-init"
BOOT_WITHOUT_LPJ: Final = "boot-to-init-without-lpj"
BENCHMARKS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "int-syscall": "getppid() by int 0x80",
        "signal": "a signal to itself: kill(), its handler, and back",
        "pipe": "a byte to another process and one back",
        "context-switch": "half of that, ten in a row",
        "fork": "a process that ends at once: fork, exit, wait",
        "exec": "a process that becomes another program: fork, exec, exit, wait",
        "anonymous-fault": "the first write to a page of 64",
        "cow": "the first write to a page of 64 that a child has too",
        "munmap": "per page of 64 that were written to",
        "mprotect": "a page, the first of 64, made read-only, writable again, and written to",
        "mmap+touch+munmap": "a page mapped, written to and unmapped",
        "pte-update": "half of a page's move to another address, with a write to it",
    }
)
LINUX: Final[Mapping[str, str]] = MappingProxyType(
    {
        **BENCHMARKS,
        BOOT: "from the Guest's first instruction to its init's, with lpj= given",
        BOOT_WITHOUT_LPJ: "the same without lpj=",
    }
)
LAST: Final = b"BENCH done"
SECONDS: Final = 600.0
WORDS: Final = (
    "quiet norandmaps nokaslr "  # the same addresses each time
    "nolapic noisapnp hpet=disable cryptomgr.notests"  # drivers that are slow with -icount
)
LPJ: Final = "lpj=5000000"
NONE: Final = "none"  # the name of no benchmark


def linux_rows(
    image: Path,
    initrd: Path | None,
    engine: str,
    switcher: str,
    counted: bool,
    names: Sequence[str] = (),
    rounds: int = 0,
) -> list[Row]:
    """Boot the kernel ``image`` and measure ``names`` (of LINUX; none: all), in a Guest and natively.

    ``initrd``: one with such an init, in place of ours.  ``switcher``: "classic" or "lean".  ``counted``: in
    instructions, on the tcg engine; else in cycles.  ``rounds``: how many samples each benchmark takes at least, and in
    succession without a new minimum (0: its own choice).  A boot has no native row: a PC's firmware is no part of one.
    Raises LguestError.
    """
    if unknown := [name for name in names if name not in LINUX]:
        raise UsageError(f"there is no benchmark {unknown[0]!r} in Linux: give one of {', '.join(LINUX)}")
    chosen = parse_switcher(switcher)
    wanted = [name for name in LINUX if not names or name in names]
    profiling = engine_for(engine, counted, HOST_KERNEL)[1]
    runs = _Runs(*engine_for(engine, counted), profiling, chosen, counted, wanted)
    with temporary_directory() as directory:
        disk = initrd or Path(directory, "initrd")
        if not initrd:
            make_initrd(disk)
        return runs.rows(Workload(str(image), str(disk), words_for(image)), f" rounds={rounds}" if rounds else "")


def words_for(image: Path) -> str:
    """The kernel's command line, in a Guest and natively: with PAE a Guest gets "nopti".  Raises LguestError."""
    from lguest_py.images import open_image
    from lguest_py.images.native import NO_PTI

    return f"{WORDS} {NO_PTI}" if open_image(str(image)).pae else WORDS


def temporary_directory() -> tempfile.TemporaryDirectory[str]:
    """Raises LguestError where there can be none."""
    try:
        return tempfile.TemporaryDirectory(prefix="lguest-py-bench.")
    except OSError as error:
        check(error)
        with descriptor_errors():  # tempfile says the same of too few descriptors
            os.close(os.open("/", os.O_RDONLY))
        raise LguestError("no directory for temporary files can be written: set TMPDIR to one") from None


def make_initrd(path: Path) -> None:
    """An initrd whose init is the program that measures."""
    program = built("linux_bench.elf")
    mkinitrd.make_initrd(str(path), {"init": mkinitrd.Entry(stat.S_IFREG | 0o755, program.read_bytes)})


@dataclass(frozen=True)
class _Runs:
    """Boots the kernel, and makes rows of the output."""

    engine: str
    make: Callable[[int], Engine]
    profiling: Callable[[int], Engine]
    switcher: Switcher
    counted: bool
    wanted: Sequence[str]

    @property
    def measured(self) -> list[str]:
        """The wanted benchmarks that the program measures."""
        return [name for name in self.wanted if name in BENCHMARKS]

    def rows(self, bare: Workload, rounds: str) -> list[Row]:
        """Boot ``bare``, with what its command line lacks."""
        rows: list[Row] = []
        twin = replace(bare, words=f"{bare.words} {LPJ} bench={','.join(self.measured) or NONE}{rounds}")
        if self.measured or BOOT in self.wanted:
            printed, snapshot = self._guest(twin)
            if self.measured:
                measured = self._rows(printed, "guest", snapshot)
                counts = self._counts(bare)
                rows += [replace(row, counts=counts.get(row.name, {})) for row in measured]
                # natively it is the same processor's clock
                text = run_native(twin, self.counted, SECONDS, LAST, self.engine)
                rows += self._rows(parse(text), "native", snapshot)
            if BOOT in self.wanted:
                rows.append(self._boot(BOOT, printed, snapshot))
        if BOOT_WITHOUT_LPJ in self.wanted:
            rows.append(self._boot(BOOT_WITHOUT_LPJ, *self._guest(replace(bare, words=f"{bare.words} bench={NONE}"))))
        return rows

    def _guest(self, twin: Workload) -> tuple[BenchOutput, Snapshot]:
        text, snapshot = run_guest(twin, self.make, SECONDS, self.switcher)
        return parse(text), snapshot

    def _counts(self, bare: Workload) -> dict[str, dict[str, int]]:
        """The counts per operation of each benchmark, from a separate boot of the profiling Host kernel."""
        words = f"{bare.words} {LPJ} bench={','.join(self.measured)} rounds={ROUNDS}"
        text, _ = run_guest(replace(bare, words=words), self.profiling, SECONDS, self.switcher)
        return counts_of(text, parse(text), self.counted)

    def _rows(self, printed: BenchOutput, where: str, snapshot: Snapshot) -> list[Row]:
        operations = {name: counts["operations"] for name, counts in printed.counts.items() if counts.get("operations")}
        samples = subtract_clock(printed, operations)
        return [self._row(name, "linux", where, samples.get(name), snapshot) for name in self.measured]

    def _boot(self, name: str, printed: BenchOutput, snapshot: Snapshot) -> Row:
        ticks = Counter(at - snapshot.guest_tsc for at in printed.samples.get(BOOT, ()))
        return self._row(name, "boot", "guest", ticks, snapshot)

    def _row(self, name: str, group: str, where: str, samples: Counter[int] | None, snapshot: Snapshot) -> Row:
        if not samples:
            raise LguestError(f"the Linux program did not measure {name}: give an initrd with one that does, or none")
        switcher, khz = self.switcher if where == "guest" else "", 0 if self.counted else snapshot.tsc_khz
        return Row(name, group, where, switcher, INSTRUCTIONS if self.counted else CYCLES, samples, {}, khz)


def engine_for(engine: str, counted: bool, host_kernel: str = "") -> tuple[str, Callable[[int], Engine]]:
    """(name, constructor) of the engine.  ``host_kernel``: another Host kernel (lguest_py/_images).

    Raises NoEngineError, or UsageError where nothing counts instructions.
    """
    choice = choose(engine, counted, host_kernel)
    return choice.name, choice.make


def run_guest(
    twin: Workload, make: Callable[[int], Engine], seconds: float, switcher: Switcher = "lean"
) -> tuple[str, Snapshot]:
    """Boot it in a Guest, up to its power-off; the console output.  Raises LguestError for another end."""
    from lguest_py.images import open_image
    from lguest_py.launcher.launcher import Settings

    image = open_image(twin.kernel)
    words = f"console={'ttyS0' if image.personality == 'native' else 'hvc0'} {twin.words}"
    settings = Settings(
        image, twin.memory, words, twin.initrd, restart=False, timeout=seconds, switcher=switcher, devices=twin.devices
    )
    return run_machine(settings, make)
