# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user said of a machine: on the command line, in a machine file, or in a Python program.

Read next: machine_file.py; lguest_py/launcher/launcher.py, ``prepare``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from lguest_py.errors import UsageError
from lguest_py.hardware.kinds import Hardware, Publish
from lguest_py.hardware.words import instead, quoted
from lguest_py.launcher.values import CHOICES


def _joined(first: str | Sequence[str], second: str | Sequence[str]) -> str | list[str]:
    """Two command lines one behind the other; words stay words."""
    from lguest_py.images.command_line import join

    if not isinstance(first, str) and not isinstance(second, str):
        return [*first, *second]
    lines = (line if isinstance(line, str) else join(line) for line in (first, second))
    return " ".join(filter(None, lines))


@dataclass(frozen=True)
class MachineOptions:
    """None and empty is what was not said.  Paths are as seen from here.  Raises UsageError for a wrong word."""

    image: str | None = None
    initrd: str | None = None
    memory: int | None = None  # bytes
    command_line: str | Sequence[str] = ""
    engine: str | None = None
    switcher: str | None = None
    timeout: float | None = None
    on_reboot: str | None = None
    guest_status: bool | None = None
    bus: str | None = None
    username: str | None = None
    chroot: str | None = None
    devices: tuple[Hardware | Publish, ...] = ()
    root: str | None = None  # a file for a fetched system's root disk
    report: str | None = None  # files that are written at the end: how it ended, as JSON,
    core: str | None = None  # and the Guest's memory, as an ELF core
    trace: str | None = None  # a file for its world switches, written while it runs,
    trace_rate: int | None = None  # with so many samples a second

    def __post_init__(self) -> None:
        for name, right in CHOICES.items():
            key = name.replace("-", "_")
            value = getattr(self, key)
            if value is not None and value not in right:
                raise UsageError(f"{key} cannot be {quoted(value)}: {instead(str(value), right)}")

    def over(self, file: MachineOptions) -> MachineOptions:
        """This, and of ``file`` what this does not say.  Its command line and its devices come first."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        for name, value in values.items():
            if value is None:
                values[name] = getattr(file, name)
        values["image"] = file.image
        values["command_line"] = _joined(file.command_line, self.command_line)
        values["devices"] = (*file.devices, *self.devices)
        return MachineOptions(**values)

    def for_prepare(self) -> dict[str, Any]:
        """The arguments of lguest_py.launcher.launcher.prepare."""
        return {
            "image": self.image,
            "engine": self.engine or "auto",
            "memory": self.memory,
            "command_line": self.command_line,
            "initrd": self.initrd,
            "restart": self.on_reboot != "exit",
            "timeout": self.timeout,
            "obey_guest": bool(self.guest_status),
            "switcher": self.switcher or "lean",
            "devices": self.devices,
            "bus": self.bus or "auto",
            "root": self.root,
        }
