# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole Guest to a file: the machine's memory, what its devices know, what it was booted as, its disks.

The disks' own files are not in it.  What was written to an overlay is; a restored Guest has an overlay over each disk,
and the file below must be as it was.  So several Guests can be restored from one file, on either engine, on any
processor that has what the first one had.
Read next: restoring.py, the way back; lguest_py/saved/format.py; lguest_py/launcher/vm.py, ``save``.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from lguest_py.devices.block import Block
from lguest_py.errors import LguestError
from lguest_py.files.inputs import printable
from lguest_py.hardware import Disk, Hardware
from lguest_py.launcher.restoring import MEMORY, identity, layouts, overlay
from lguest_py.saved.computer import this_boot
from lguest_py.saved.format import Writer

if TYPE_CHECKING:
    from lguest_py.launcher.launcher import Settings
    from lguest_py.launcher.vm import Vm

PIECE = 1 << 20


def save(
    descriptor: int, vm: Vm, settings: Settings, computer: str, *, compress: bool = False, ends: bool = False
) -> int:
    """Write the Guest, which stands still, to an open regular file; returns its bytes.  ``ends``: it will not go on.

    ``computer``: what ``this_boot`` said before there were walls.

    Raises LguestError for what cannot be saved, OSError for a file that cannot be written.
    """
    if vm.patched:
        raise LguestError(f"{vm.patched} has breakpoints in its memory: stop it there first, or detach")
    for each in settings.devices:
        if isinstance(each, Disk) and not (ends or each.readonly or each.overlay):
            raise LguestError(
                f"disk {printable(each.path)} would change after it was saved: end the Guest with it (--stop), or boot "
                "with an overlay"
            )
    state, writer = vm.save(), Writer(descriptor, compress)
    memory = vm.engine.memory
    for start, end in vm.engine.touched():
        for at in range(start, end, PIECE):
            writer.add(MEMORY, memory[at : min(at + PIECE, end)], at)
    disks = []
    for number, (spec, device) in enumerate(zip(settings.devices, vm.devices, strict=True)):
        if isinstance(spec, Disk):
            assert isinstance(device, Block)
            held = list(device.overlaid())
            disks.append({"number": number, "identity": identity(spec.path), "held": held})
            for offset, size in held:
                for data in device.overlay_data(offset, size):
                    writer.add(overlay(number), data, offset)
                    offset += len(data)
    snapshot, image = vm.look(), settings.image
    return writer.finish(
        {
            "when": round(time.time(), 3),
            "engine": vm.engine.name,
            "computer": computer,
            "layouts": layouts(),
            "memory": settings.memory,
            "bus": vm.bus,
            "pae": vm.pae,
            "switcher": settings.switcher,
            "command_line": settings.command_line,
            "obey_guest": settings.obey_guest,
            "image": {
                "path": os.path.abspath(image.path),
                "kind": image.kind,
                "version": image.version,
                "generation": image.generation,
                "personality": image.personality,
            },
            "tsc": vm.paused_tsc,
            "tsc_khz": snapshot.tsc_khz,
            "hardware": [{"type": type(each).__name__, **asdict(each), **_absolute(each)} for each in settings.devices],
            "disks": disks,
            "state": state,
        }
    )


def save_file(path: str, vm: Vm, settings: Settings, *, compress: bool = False) -> None:
    """Let the Guest stand still, write it to the new file ``path``, and let it go on.  Raises LguestError."""
    name = printable(path)
    was_paused = vm.paused
    vm.pause()
    try:
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            try:
                save(file.fileno(), vm, settings, this_boot(), compress=compress)
            except BaseException:
                os.unlink(path)
                raise
    except OSError as error:
        raise LguestError(f"{name} cannot be written ({error.strerror}): give another file") from None
    finally:
        if not was_paused:
            vm.resume()


def _absolute(device: Hardware) -> dict[str, str]:
    """Where its file is, seen from any folder."""
    path = getattr(device, "path", "")
    return {"path": os.path.abspath(path)} if path else {}
