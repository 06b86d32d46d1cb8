# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine of a fetched system: its root disk, random numbers and a network, as far as the user did not say.

The disk in the cache is never written: a boot writes to an overlay, or to a copy that the user named.
Read next: stock.py; lguest_py/launcher/launcher.py, ``prepare``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lguest_py.errors import LguestError, UsageError
from lguest_py.files.descriptors import check
from lguest_py.files.inputs import printable
from lguest_py.hardware.kinds import Disk, Entropy, Hardware, Network
from lguest_py.kernels.apt import complaint
from lguest_py.kernels.stock import STOCK, Kernel
from lguest_py.networks.passt import PASST

LOST = "what the Guest writes to its root disk is lost at the end (--root FILE keeps it)"
OLD = "the root disk of {0} was made by another version of lguest-py: lguest-py fetch {0} makes it anew"
NO_NETWORK = f"{PASST} is not installed, so the Guest has no network: apt-get install {PASST}"


@dataclass(frozen=True)
class System:
    """What a fetched system adds to a machine."""

    words: tuple[str, ...] = ()  # of the kernel's command line, before the user's
    disks: tuple[Hardware, ...] = ()  # before the user's devices
    others: tuple[Hardware, ...] = ()  # after them
    notes: tuple[str, ...] = ()  # lines for the user


def system(found: Kernel | None, given: Sequence[str], devices: Sequence[Hardware], root: str | None) -> System:
    """What ``found`` adds to the ``given`` words of the kernel's command line and to the devices; ``root``: as --root.

    Raises UsageError for a root where there is none to be had.
    """
    own_root = any(word.startswith("root=") for word in given)
    if root is not None and (not found or not found.root or own_root):
        right = "leave root= out" if own_root else "give --disk FILE and root=/dev/vda"
        raise UsageError(f"--root {printable(root)} is for a system of lguest-py fetch: {right}")
    if not found or not found.root:
        return System()
    words = STOCK[found.name].words
    disks: tuple[Hardware, ...] = ()
    notes: list[str] = []
    if own_root:
        words = tuple(word for word in words if not word.startswith("root="))
    elif root is None:
        disks, notes = (Disk(str(found.root), overlay=True, format="raw"),), [*_old(found), LOST]
    else:
        if not os.path.exists(root):
            copy(found.root, root)
            notes = [*_old(found), f"{printable(root)} is a new copy of {found.name}'s root disk"]
        disks = (Disk(root, format="raw"),)
    others: list[Hardware] = []
    if not any(isinstance(each, Entropy) for each in devices):
        others.append(Entropy())
    if not any(isinstance(each, Network) for each in devices):
        if shutil.which(PASST):
            others.append(Network())
        else:
            notes.append(NO_NETWORK)
    return System(words, disks, tuple(others), tuple(notes))


def _old(found: Kernel) -> list[str]:
    """A line where the disk in the cache is of another recipe.  A file of the user's is never judged by it."""
    return [OLD.format(found.name)] if found.root_is_old else []


def copy(image: Path, place: str) -> None:
    """A copy of ``image`` at ``place``, with its holes: all of it, or with an LguestError none."""
    new = f"{place}.{os.getpid()}.new"
    try:
        done = subprocess.run(
            ["cp", "--sparse=always", "--reflink=auto", "--", str(image), new], stdin=subprocess.DEVNULL,
            capture_output=True, env={**os.environ, "LC_ALL": "C"}, check=False,
        )  # fmt: skip
        if done.returncode:
            why = complaint(done.stderr.decode(errors="replace"))
            raise LguestError(f"the root disk cannot be copied to {printable(place)} ({why}): name another place")
        os.replace(new, place)
    except (OSError, ValueError) as error:  # no cp; a directory is there; a NUL in the name
        check(error)
        reason = error.strerror if isinstance(error, OSError) else error
        text = f"the root disk cannot be copied to {printable(place)} ({reason}): name another place"
        raise LguestError(text) from None
    finally:
        with contextlib.suppress(OSError, ValueError):
            os.unlink(new)
