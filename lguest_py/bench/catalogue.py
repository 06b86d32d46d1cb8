# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalogue of benchmarks by name, and the suite that measures each.

Read next: micro.py, linux.py, boot.py, devices.py and saved.py, which measure;
lguest_py/measurements/stats.py, which repeats.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lguest_py.errors import UsageError
from lguest_py.measurements.row import Row

BOOT: Final = "boot"
FAMILIES: Final = ("devices", "saved")  # as a name: all of that kind
BOOTS: Final = {BOOT: "a distribution's kernel to its init, by its own clock"}
STOCK: Final = "debian-6.1-686"
SWITCHERS: Final = {"classic": ("classic",), "lean": ("lean",), "both": ("classic", "lean")}
WITH_INITRD: Final = ("boot", "saved")
RUNS: Final = {"micro": 10, "linux": 5, "boot": 1, "devices": 1, "saved": 1}  # the default of --runs, an upper limit


def catalogue() -> dict[str, Mapping[str, str]]:
    """Kind -> name -> description."""
    from lguest_py.bench.devices import DEVICES
    from lguest_py.bench.linux import LINUX
    from lguest_py.bench.micro import MICRO
    from lguest_py.bench.saved import SAVED

    return {"micro": MICRO, "linux": LINUX, "boot": BOOTS, "devices": DEVICES, "saved": SAVED}


def names() -> list[str]:
    """The names of all benchmarks."""
    return [name for kind in catalogue().values() for name in kind]


def select(wanted: Sequence[str], linux: bool) -> dict[str, list[str]]:
    """Kind -> names in the catalogue's order: the ``wanted`` ones, with ``linux`` all in Linux, by default all micro.

    Raises UsageError for an unknown name.
    """
    kinds = catalogue()
    for family in FAMILIES:
        if family in wanted:
            wanted = [*(name for name in wanted if name != family), *kinds[family]]
    for name in wanted:
        if not any(name in kind for kind in kinds.values()):
            raise UsageError(f"there is nothing called {name!r} to measure (see lguest-py bench --list)")
    chosen = {kind: [name for name in known if name in wanted] for kind, known in kinds.items()}
    if linux:
        chosen["linux"] = list(kinds["linux"])
    elif not wanted:
        chosen["micro"] = list(kinds["micro"])
    return {kind: found for kind, found in chosen.items() if found}


def needs_kernel(kind: str, names: Sequence[str]) -> bool:
    """Whether these names of a kind are measured in a Linux."""
    return kind != "micro" and (kind != "saved" or any(name.startswith("linux") for name in names))


@dataclass(frozen=True)
class Kernel:
    """A Linux kernel for benchmarks; ``initrd`` None: the benchmark's initrd; ``release``: for Environment.kernel."""

    image: Path
    initrd: Path | None
    release: str


def kernel(kind: str, image: str | None, initrd: str | None) -> Kernel:
    """The user's kernel; else, for "linux", bzImage in the directory LGUEST_LINUX; else the fetched Debian kernel.

    Raises UsageError or ImageError.
    """
    from lguest_py.kernels import stock
    from lguest_py.measurements.environment import kernel_release

    directory = os.environ.get("LGUEST_LINUX")
    if image is None and directory and kind == "linux":
        image = str(Path(directory, "bzImage"))
    found = stock.resolve(image or STOCK)
    disk = Path(initrd) if initrd else found.initrd if found and kind in WITH_INITRD else None
    file = found.kernel if found else Path(image or STOCK)
    if kind in WITH_INITRD and not disk:
        raise UsageError(f"{kind} needs an initrd to boot {image}: give --initrd (lguest-py mkinitrd makes one)")
    for each in (file, disk):
        if each and not each.is_file():
            raise UsageError(f"{each} is not a file: give a kernel, and its initrd if it needs one (--image, --initrd)")
    return Kernel(file, disk, kernel_release(str(file)))


@dataclass(frozen=True)
class Suite:
    """The benchmarks of one kind on one Switcher; ``runs`` is the maximum number of runs."""

    kind: str
    switcher: str
    names: tuple[str, ...]
    runs: int
    engine: str
    counted: bool
    kernel: Kernel | None

    def measure(self) -> list[Row]:
        """Run all of them once."""
        if self.kind == "micro":
            from lguest_py.bench.micro import micro_rows

            return micro_rows(self.engine, self.switcher, self.counted, self.names)
        if self.kind == "saved":
            from lguest_py.bench.saved import saved_rows

            linux = (self.kernel.image, self.kernel.initrd) if self.kernel else None
            return [] if self.counted else saved_rows(linux, self.engine, self.switcher, self.names)
        assert self.kernel
        image, initrd = self.kernel.image, self.kernel.initrd
        if self.kind == "linux":
            from lguest_py.bench.linux import linux_rows

            return linux_rows(image, initrd, self.engine, self.switcher, self.counted, self.names)
        if self.kind == "devices":
            from lguest_py.bench.devices import devices_rows

            return devices_rows(image, self.engine, self.switcher, self.names)
        from lguest_py.bench.boot import boot_rows

        assert initrd
        return boot_rows(image, initrd, self.engine, self.switcher, self.counted)
