# SPDX-License-Identifier: GPL-2.0-or-later
"""What a group of measurements of devices needs on both sides.  Read next: device_disk.py."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from lguest_py.hardware.kinds import Hardware

Where = Literal["guest", "native"]


@dataclass(frozen=True)
class Side:
    """One boot: a Guest's ``devices`` or the arguments of ``qemu``, and what its shell does before the program."""

    devices: tuple[Hardware, ...] = ()
    qemu: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    fds: tuple[int, ...] = ()  # that the arguments of ``qemu`` name


class Setup(Protocol):
    """Rows that are measured in one boot."""

    rows: Mapping[str, str]  # the names that the program knows, and what they are
    modules: tuple[str, ...]  # of the kernel

    def begin(self, folder: Path, where: Where) -> AbstractContextManager[Side]:
        """Make the back end, which lasts as long as the boot.  ``folder`` is the same for both sides."""
