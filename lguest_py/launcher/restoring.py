# SPDX-License-Identifier: GPL-2.0-or-later
"""Read the file of a saved Guest: what it was booted as, its memory, what it wrote to its disks.

Read before: saving.py, which wrote it.  Read next: lguest_py/launcher/vm.py, ``restore``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from lguest_py.devices.block import Block
from lguest_py.engines.base import Engine, no_memory
from lguest_py.errors import ImageError
from lguest_py.files.inputs import printable
from lguest_py.hardware import Console, Disk, Entropy, Hardware, Network, Publish, Share, Vsock
from lguest_py.images import Image
from lguest_py.launcher.vm_memory import Plan
from lguest_py.saved.computer import this_boot
from lguest_py.saved.format import Reader
from lguest_py.saved.original import Original, revert
from lguest_py.shared_memory import _layouts as L

if TYPE_CHECKING:
    from lguest_py.devices.device import Device

KINDS: dict[str, type[Hardware]] = {kind.__name__: kind for kind in (Console, Disk, Entropy, Network, Share, Vsock)}
MEMORY = "memory"


def layouts() -> str:
    """What tells the layouts that the Host kernel in the file shares with the Launcher from those of other versions."""
    shared = sorted((name, repr(value)) for name, value in vars(L).items() if name.isupper())
    return hashlib.sha256(repr(shared).encode()).hexdigest()[:16]


def overlay(number: int) -> str:
    """The name of the pieces of the overlay of disk ``number``."""
    return f"disk {number}"


def identity(path: str) -> list[int]:
    """What changes when the file does: its size, and when it was written.  Raises OSError."""
    facts = os.stat(path)
    return [facts.st_size, facts.st_mtime_ns]


@dataclass(frozen=True)
class Saved:
    """A file of a saved Guest, open."""

    path: str
    reader: Reader
    facts: dict[str, Any]
    tsc_khz: int  # of this machine, if it is the same; 0: to be measured
    mapped: bool = False  # the machine's memory is a copy on write of what was read before

    def load(self, memory: memoryview) -> None:
        """Fill the machine's memory.  Raises ImageError for a damaged file."""
        if self.mapped:
            revert(memory)
        else:
            self.reader.load(MEMORY, memory)

    def fill_disks(self, devices: Sequence[Device]) -> None:
        """Fill the overlays.  Raises ImageError for a damaged file, or OSError where there is no room."""
        for each in self.facts["disks"]:
            name, device = overlay(each["number"]), devices[each["number"]]
            assert isinstance(device, Block)
            for offset, size in each["held"]:
                device.overlay(offset, size)
            for where, size, piece in self.reader.pieces(name):
                data = memoryview(bytearray(size))
                self.reader.fill(piece, data)
                device.overlay(where, size, data)


@contextmanager
def copied_on_write(saved: Saved) -> Iterator[tuple[Saved, Callable[[int], Engine]]]:
    """What goes on on kvm, and what makes the machine: it shares with others of this process what it does not write.

    Raises ImageError for a damaged file, EngineError for lack of memory.
    """
    from lguest_py.engines.kvm import KvmEngine

    memory_bytes = Plan(int(saved.facts["memory"]), saved.facts["bus"]).total
    try:
        original = Original.take(saved.reader.identity, memory_bytes, saved.load)
    except OSError as error:
        raise no_memory(memory_bytes, error) from None
    try:
        yield replace(saved, mapped=True), partial(KvmEngine, original=original.fd)
    finally:
        original.release()


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
            now = identity(path)
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
            if facts["layouts"] != layouts():
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
