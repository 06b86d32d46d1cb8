# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices of a Linux: ``lguest-py bench devices``.  In a Guest, and on QEMU's PC with QEMU's own virtio device.

Both sides boot the same kernel and initrd, and have the same back end: a file, a folder, a network.  A program in there
(guest_kernel/linux/devices) measures, and prints samples.  What belongs together is a Setup, in a file of its own, and
in SETUPS.  Read next: device_disk.py, a Setup.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

from lguest_py.bench.counting import choose
from lguest_py.bench.device_disk import DISK
from lguest_py.bench.device_net import NET
from lguest_py.bench.device_setup import Setup, Side
from lguest_py.bench.device_share import SHARE
from lguest_py.bench.linux import run_guest, temporary_directory
from lguest_py.bench.native import Workload, run_native
from lguest_py.bench.samples import parse, subtract_clock
from lguest_py.errors import ImageError, LguestError, UsageError
from lguest_py.kernels import mkinitrd, stock
from lguest_py.kernels.modules import Modules
from lguest_py.launcher.vm_memory import Switcher, built
from lguest_py.measurements.row import CYCLES, Row

SETUPS: Final[Sequence[Setup]] = (DISK, SHARE, NET)
DEVICES: Final[Mapping[str, str]] = MappingProxyType(
    {name: text for each in SETUPS for name, text in each.rows.items()}
)
PROGRAM: Final = "bin/measure-devices"
MODULES: Final = ("virtio_pci",)  # and each Setup's own
MEMORY: Final = 128 << 20
SECONDS: Final = 900.0
STOCK: Final = "debian-6.1-686"


def devices_rows(image: Path, engine: str, switcher: str, names: Sequence[str]) -> list[Row]:
    """Measure ``names`` (of DEVICES) with the kernel ``image``, in a Guest and with QEMU's own devices.

    Raises LguestError.
    """
    if unknown := [name for name in names if name not in DEVICES]:
        raise UsageError(f"there is no device's row {unknown[0]!r}: give one of {', '.join(DEVICES)}")
    rows: list[Row] = []
    for setup in SETUPS:
        wanted = [name for name in setup.rows if name in names]
        if wanted:
            rows += _Runs(image, engine, cast(Switcher, switcher), setup, wanted).rows()
    return rows


def make_initrd(path: Path, image: Path, modules: Sequence[str]) -> None:
    """An initrd with a fetched busybox and the program that measures; for a fetched kernel also with its modules.

    Other kernels have their drivers built in.
    """
    fetched = stock.find(STOCK)
    if not fetched:
        raise ImageError(f"the busybox of {STOCK} is not in the cache: run lguest-py fetch {STOCK}")
    tree = mkinitrd.busybox_tree(str(fetched.directory / "busybox"))
    if image == fetched.kernel:
        found = Modules(str(next(fetched.modules.iterdir(), fetched.modules)))
        tree |= found.tree(found.choose([*MODULES, *modules])[0])
    tree[PROGRAM] = mkinitrd.Entry(stat.S_IFREG | 0o755, built("linux_devices.elf").read_bytes)
    mkinitrd.make_initrd(str(path), tree)


@dataclass(frozen=True)
class _Runs:
    """Two boots with one Setup."""

    image: Path
    engine: str
    switcher: Switcher
    setup: Setup
    wanted: Sequence[str]

    def rows(self) -> list[Row]:
        choice = choose(self.engine)
        with temporary_directory() as name:
            folder = Path(name)
            make_initrd(folder / "initrd", self.image, self.setup.modules)

            def once(where: str, run: Callable[[Workload], str], begin: AbstractContextManager[Side]) -> str:
                with begin as side:
                    return run(self._workload(folder / "initrd", side))

            khz = 0

            def guest(work: Workload) -> str:
                nonlocal khz
                text, snapshot = run_guest(work, choice.make, SECONDS, self.switcher)
                khz = snapshot.tsc_khz
                return text

            def native(work: Workload) -> str:
                return run_native(work, seconds=SECONDS, accel=choice.name)

            printed = {
                "guest": once("guest", guest, self.setup.begin(folder, "guest")),
                "native": once("native", native, self.setup.begin(folder, "native")),
            }
        return [row for where, text in printed.items() for row in self._rows(where, text, khz)]

    def _workload(self, initrd: Path, side: Side) -> Workload:
        load = [f"modprobe -q {name}" for name in (*MODULES, *self.setup.modules)]
        run = "; ".join((*load, *side.commands, f"/{PROGRAM} {' '.join(self.wanted)}"))
        return Workload(str(self.image), str(initrd), f'quiet run="{run}"', MEMORY, side.devices, side.qemu, side.fds)

    def _rows(self, where: str, text: str, khz: int) -> list[Row]:
        samples: Mapping[str, Counter[int]] = subtract_clock(parse(text))
        if missing := [name for name in self.wanted if not samples.get(name)]:
            raise LguestError(f"{missing[0]} was not measured ({where}): {text.strip().splitlines()[-1]!r}")
        switcher = self.switcher if where == "guest" else ""
        return [Row(name, "devices", where, switcher, CYCLES, samples[name], {}, khz) for name in self.wanted]
