# SPDX-License-Identifier: GPL-2.0-or-later
"""Distribution kernels that boot by their name once they are in the cache: what one consists of, and where it is.

A kernel comes with its modules, its licence, and an initrd made of the same distribution's static busybox.  A system is
a kernel with a root disk, an ext4 file system that the initrd mounts.
Read next: lguest_py/kernels/fetch.py, which gets them.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lguest_py.errors import ImageError, LguestError
from lguest_py.files.caches import folder
from lguest_py.files.descriptors import check

RECORD = "fetched.json"
ROOT = "root.img"
FILES = ("vmlinuz", "initrd", "busybox", "modules", "copyright", "copyright-busybox", RECORD)
MIB = 1 << 20


@dataclass(frozen=True)
class Stock:
    """A kernel that can be fetched: a pattern of its package's name, whose first group is a number to be highest."""

    package: str
    about: str
    kernel: str = ""  # of a system: the name of the one that it boots
    suite: str = ""  # of a system: that of its distribution
    memory: int = 64 * MIB  # which it gets unless the user says how much
    words: tuple[str, ...] = ()  # of a system's command line, before the user's


_DEBIAN_12 = Stock(r"linux-image-6\.1\.0-([0-9]+)-686", "Debian 12's linux-image-6.1.0-…-686")
STOCK = {
    "debian-6.1-686": _DEBIAN_12,
    "debian-6.1-686-pae": Stock(r"linux-image-6\.1\.0-([0-9]+)-686-pae", "the same with PAE: 3-level tables and NX"),
    "debian-6.1-rt-686-pae": Stock(r"linux-image-6\.1\.0-([0-9]+)-rt-686-pae", "the same with PAE and PREEMPT_RT"),
    "debian-12-i386": replace(
        _DEBIAN_12,
        kernel="debian-6.1-686",
        suite="bookworm",
        memory=256 * MIB,
        words=("root=/dev/vda", "rw", "quiet", "noisapnp", "console=ttyS0", "console=hvc0"),
    ),
}


@dataclass(frozen=True)
class Kernel:
    """A kernel in the cache."""

    name: str
    directory: Path
    package: str  # "linux-image-6.1.0-50-686 6.1.176-1"
    busybox: str  # "busybox-static 1:1.35.0-4"
    source: str  # "apt", or the local files that it was unpacked from, with a colon between
    edition: str  # of its initrd (lguest_py/kernels/mkinitrd.py)
    root_edition: str = ""  # of its root disk, if it is a system (lguest_py/kernels/root_disk.py)

    @property
    def kernel(self) -> Path:
        """The bzImage."""
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """An initrd that gives a shell (lguest_py/kernels/mkinitrd.py, INIT)."""
        return self.directory / "initrd"

    @property
    def root(self) -> Path | None:
        """The root disk, if it is a system."""
        return self.directory / ROOT if STOCK[self.name].suite else None

    @property
    def root_is_old(self) -> bool:
        """Whether its root disk was made otherwise than this version of lguest-py makes it."""
        from lguest_py.kernels import root_disk  # late: a kernel alone has none

        return self.root is not None and self.root_edition != root_disk.edition()

    @property
    def modules(self) -> Path:
        """What a system has in /lib/modules: one directory, named after the kernel's release."""
        return self.directory / "modules"

    @property
    def licences(self) -> list[str]:
        """A line for each work."""
        system = f"{self.name}: each package's own, in /usr/share/doc/PACKAGE/copyright of {ROOT}"
        return [
            f"{self.package}: GPL-2.0, see {self.directory / 'copyright'}",
            f"{self.busybox}: GPL-2.0, see {self.directory / 'copyright-busybox'}",
            *([system] if self.root else []),
        ]


def edition() -> str:
    """A name for how its initrd is made: one of another edition is to be made anew."""
    from lguest_py.kernels import mkinitrd, modules

    return mkinitrd.edition(modules.DRIVERS)


def make_initrd(directory: Path) -> str:
    """Make the initrd of the kernel in ``directory``, of the busybox and the modules there; its edition.

    Raises LguestError.
    """
    from lguest_py.kernels import mkinitrd  # late: not every boot makes one
    from lguest_py.kernels.modules import Modules

    tree = mkinitrd.busybox_tree(str(directory / "busybox"))
    for release in (directory / "modules").iterdir():
        modules = Modules(str(release))
        tree |= modules.tree(modules.choose(modules.drivers)[0])
    mkinitrd.make_initrd(str(directory / "initrd"), tree)
    return edition()


def write_record(kernel: Kernel) -> None:
    """Write down what the files in the kernel's directory are, in one step.  Raises OSError."""
    import json

    new = kernel.directory / f".{RECORD}.{os.getpid()}"
    words = {name: value for name, value in asdict(kernel).items() if name not in ("name", "directory")}
    new.write_text(json.dumps(words) + "\n")
    new.replace(kernel.directory / RECORD)


def refresh(kernel: Kernel) -> Kernel:
    """Make its initrd anew if another version of lguest-py made it.

    Where the cache cannot be written the old one stays.  Two processes may do so at once: each replaces the files by
    the same ones.
    """
    if kernel.edition == edition():
        return kernel
    with contextlib.suppress(OSError, LguestError):
        kernel = replace(kernel, edition=make_initrd(kernel.directory))
        write_record(kernel)
    return kernel


def kernels() -> Path:
    """The directory of fetched kernels; it need not exist."""
    return folder() / "kernels"


def find(name: str) -> Kernel | None:
    """The kernel ``name``, if all its files are in the cache; else None."""
    import json  # late: the help of a verb must come at once

    if name not in STOCK:
        return None
    directory = kernels() / name
    try:
        files = (*FILES, ROOT) if STOCK[name].suite else FILES
        if not all((directory / file).exists() for file in files):
            return None
        record = json.loads((directory / RECORD).read_text())
        package, busybox, source = (str(record[word]) for word in ("package", "busybox", "source"))
        editions = (str(record.get(word, "")) for word in ("edition", "root_edition"))
        return Kernel(name, directory, package, busybox, source, *editions)
    except (OSError, ValueError, KeyError, TypeError) as error:
        check(error)
        return None


def resolve(image: str) -> Kernel | None:
    """The kernel meant by ``image``, when that is a name and no file.  Raises ImageError when it was not fetched."""
    if image not in STOCK or os.path.exists(image):
        return None
    found = find(image)
    if not found:
        what = "system" if STOCK[image].suite else "kernel"
        raise ImageError(f"the {what} {image} is not in the cache: run lguest-py fetch {image}")
    return refresh(found)
