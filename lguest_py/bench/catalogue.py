# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be measured, by name, and who measures it.

Read next: micro.py, linux.py, boot.py, which do; stats.py, which says how often.
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
BOOTS: Final = {BOOT: "a distribution's kernel to its init, by its own clock"}
STOCK: Final = "debian-6.1-686"
SWITCHERS: Final = {"classic": ("classic",), "lean": ("lean",), "both": ("classic", "lean")}
TWINS: Final = ("linux", "boot")  # what is measured natively too
RUNS: Final = {"micro": 10, "linux": 5, "boot": 1}  # at most, where --runs does not say


def catalogue() -> dict[str, Mapping[str, str]]:
    """Kind -> name -> what it is."""
    from lguest_py.bench.linux import LINUX
    from lguest_py.bench.micro import MICRO

    return {"micro": MICRO, "linux": LINUX, "boot": BOOTS}


def names() -> list[str]:
    """All that can be named."""
    return [name for kind in catalogue().values() for name in kind]


def select(wanted: Sequence[str], linux: bool) -> dict[str, list[str]]:
    """Kind -> names in the catalogue's order: what was named, with ``linux`` all in Linux; with neither all micro.

    Raises UsageError for an unknown name.
    """
    kinds = catalogue()
    for name in wanted:
        if not any(name in kind for kind in kinds.values()):
            raise UsageError(f"there is nothing called {name!r} to measure (see lguest-py bench --list)")
    chosen = {kind: [name for name in known if name in wanted] for kind, known in kinds.items()}
    if linux:
        chosen["linux"] = list(kinds["linux"])
    elif not wanted:
        chosen["micro"] = list(kinds["micro"])
    return {kind: found for kind, found in chosen.items() if found}


@dataclass(frozen=True)
class Kernel:
    """A Linux to measure in; without ``initrd`` the one of the measurement's own; ``release`` for the record."""

    image: Path
    initrd: Path | None
    release: str


def kernel(kind: str, image: str | None, initrd: str | None) -> Kernel:
    """The user's; else in Linux LGUEST_LINUX=DIR's bzImage; else the distribution's that was fetched.

    Raises UsageError or ImageError.
    """
    from lguest_py.kernels import stock
    from lguest_py.measurements.environment import kernel_release

    directory = os.environ.get("LGUEST_LINUX")
    if image is None and directory and kind == "linux":
        image = str(Path(directory, "bzImage"))
    found = stock.resolve(image or STOCK)
    disk = Path(initrd) if initrd else found.initrd if found and kind == "boot" else None
    file = found.kernel if found else Path(image or STOCK)
    if kind == "boot" and not disk:
        raise UsageError(f"boot needs an initrd to boot {image}: give --initrd (lguest-py mkinitrd makes one)")
    for each in (file, disk):
        if each and not each.is_file():
            raise UsageError(f"{each} is no file: give a kernel, and its initrd if it needs one (--image, --initrd)")
    return Kernel(file, disk, kernel_release(str(file)))


@dataclass(frozen=True)
class Suite:
    """One kind on one Switcher; ``runs``: at most so many."""

    kind: str
    switcher: str
    names: tuple[str, ...]
    runs: int
    engine: str
    counted: bool
    kernel: Kernel | None

    def measure(self) -> list[Row]:
        """Once."""
        if self.kind == "micro":
            from lguest_py.bench.micro import micro_rows

            return micro_rows(self.engine, self.switcher, self.counted, self.names)
        assert self.kernel
        image, initrd = self.kernel.image, self.kernel.initrd
        if self.kind == "linux":
            from lguest_py.bench.linux import linux_rows

            return linux_rows(image, initrd, self.engine, self.switcher, self.counted, self.names)
        from lguest_py.bench.boot import boot_rows

        assert initrd
        return boot_rows(image, initrd, self.engine, self.switcher, self.counted)
