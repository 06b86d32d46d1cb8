# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole Guest to a file and back: the machine's memory, what its devices know, what it was booted as, its disks.

The disks' own files are not in it.  What was written to an overlay is; a restored Guest has an overlay over each disk,
and the file below must be as it was.  So several Guests can be restored from one file, on either engine, on any
processor that has what the first one had.
Read next: lguest_py/saved/format.py; lguest_py/launcher/vm.py, ``save`` and ``restore``.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from lguest_py.devices.block import Block
from lguest_py.errors import ImageError, LguestError
from lguest_py.files.inputs import printable
from lguest_py.hardware import Console, Disk, Entropy, Hardware, Network, Publish, Share, Vsock
from lguest_py.images import Image
from lguest_py.launcher.vm_memory import Plan
from lguest_py.saved.computer import this_boot
from lguest_py.saved.format import Reader, Writer
from lguest_py.shared_memory import _layouts as L

if TYPE_CHECKING:
    from lguest_py.devices.device import Device
    from lguest_py.launcher.launcher import Settings
    from lguest_py.launcher.vm import Vm

KINDS: dict[str, type[Hardware]] = {kind.__name__: kind for kind in (Console, Disk, Entropy, Network, Share, Vsock)}
MEMORY = "memory"
PIECE = 1 << 20


def _layouts() -> str:
    """What tells the layouts that the Host kernel in the file shares with the Launcher from those of other versions."""
    shared = sorted((name, repr(value)) for name, value in vars(L).items() if name.isupper())
    return hashlib.sha256(repr(shared).encode()).hexdigest()[:16]


def _overlay(number: int) -> str:
    """The name of the pieces of the overlay of disk ``number``."""
    return f"disk {number}"


def _identity(path: str) -> list[int]:
    """What changes when the file does: its size, and when it was written."""
    facts = os.stat(path)
    return [facts.st_size, facts.st_mtime_ns]


def save(
    descriptor: int, vm: Vm, settings: Settings, computer: str, *, compress: bool = False, ends: bool = False
) -> int:
    """Write the Guest, which stands still, to an open regular file; returns its bytes.  ``ends``: it will not go on.

    ``computer``: what ``this_boot`` said before there were walls.

    Raises LguestError for what cannot be saved, OSError for a file that cannot be written.
    """
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
            disks.append({"number": number, "identity": _identity(spec.path), "held": held})
            for offset, size in held:
                for data in device.overlay_data(offset, size):
                    writer.add(_overlay(number), data, offset)
                    offset += len(data)
    snapshot, image = vm.look(), settings.image
    return writer.finish(
        {
            "when": round(time.time(), 3),
            "engine": vm.engine.name,
            "computer": computer,
            "layouts": _layouts(),
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


@dataclass(frozen=True)
class Saved:
    """A file of a saved Guest, open."""

    path: str
    reader: Reader
    facts: dict[str, Any]
    tsc_khz: int  # of this machine, if it is the same; 0: to be measured

    def load(self, memory: memoryview) -> None:
        """Fill the machine's memory.  Raises ImageError for a damaged file."""
        self.reader.load(MEMORY, memory)

    def fill_disks(self, devices: Sequence[Device]) -> None:
        """Fill the overlays.  Raises ImageError for a damaged file, or OSError where there is no room."""
        for each in self.facts["disks"]:
            name, device = _overlay(each["number"]), devices[each["number"]]
            assert isinstance(device, Block)
            for offset, size in each["held"]:
                device.overlay(offset, size)
            for where, size, piece in self.reader.pieces(name):
                data = memoryview(bytearray(size))
                self.reader.fill(piece, data)
                device.overlay(where, size, data)


def _hardware(entry: dict[str, Any]) -> Hardware:
    values = {name: value for name, value in entry.items() if name != "type"}
    kind = KINDS[entry["type"]]
    if kind is Network:
        values["publish"] = tuple(Publish(**each) for each in values["publish"])
    made = kind(**values)
    return replace(made, readonly=False, overlay=True) if isinstance(made, Disk) and not made.readonly else made


def _check_disks(facts: dict[str, Any], name: str) -> None:
    for each in facts["disks"]:
        path = facts["hardware"][each["number"]]["path"]
        try:
            now = _identity(path)
        except OSError as error:
            raise ImageError(
                f"{name}: its disk {printable(path)} is not there ({error.strerror}): bring it back"
            ) from None
        if now != each["identity"]:
            raise ImageError(
                f"{name}: its disk {printable(path)} was changed since, and the Guest would destroy it: save it again"
            )


def open_saved(path: str) -> tuple[Saved, dict[str, Any]]:
    """The file, and the values of Settings that it has.  Raises ImageError; close ``reader`` at the end."""
    reader = Reader(path)
    try:
        facts, name = reader.facts, printable(path)
        try:
            if facts["layouts"] != _layouts():
                raise ImageError(f"{name} was written by another version of lguest-py: restore it with that one")
            _check_disks(facts, name)
            image = Image(entry=0, segments=(), setup_header=b"", pae=bool(facts["pae"]), **facts["image"])
            values = {
                "image": image,
                "memory": Plan(int(facts["memory"]), facts["bus"]).guest_bytes,
                "command_line": str(facts["command_line"]),
                "obey_guest": bool(facts["obey_guest"]),
                "switcher": facts["switcher"],
                "bus": facts["bus"],
                "devices": tuple(map(_hardware, facts["hardware"])),
            }
            same = facts["computer"] and facts["computer"] == this_boot()
            return Saved(path, reader, facts, int(facts["tsc_khz"]) if same else 0), values
        except (KeyError, TypeError, ValueError, IndexError):
            raise ImageError(f"{name} is damaged: save the Guest again") from None
    except BaseException:
        reader.close()
        raise
