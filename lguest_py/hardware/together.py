# SPDX-License-Identifier: GPL-2.0-or-later
"""What the hardware of one Guest needs as a whole: tags, published ports, and nothing given twice.

Read next: lguest_py/launcher/launcher.py, which makes devices of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import get_args

from lguest_py.errors import UsageError
from lguest_py.files.inputs import printable
from lguest_py.hardware.kinds import Console, Disk, Entropy, Hardware, Network, Publish, Share, Vsock
from lguest_py.hardware.words import quoted
from lguest_py.shared_memory import _layouts as L

LARGEST = L.PCI_SLOTS - 2  # the bridge and the console have a slot too


def with_ports(devices: Iterable[Hardware | Publish]) -> list[Hardware]:
    """The devices; the ports among them go to the first network of the kind user, which is added if there is none.

    Raises UsageError when there are only networks of other kinds.
    """
    given = list(devices)
    ports = tuple(each for each in given if isinstance(each, Publish))
    found = [each for each in given if not isinstance(each, Publish)]
    if not ports:
        return found
    cards = [number for number, each in enumerate(found) if isinstance(each, Network)]
    for number in cards:
        card = found[number]
        if isinstance(card, Network) and card.kind == "user":
            found[number] = replace(card, publish=card.publish + ports)
            return found
    if cards:
        raise UsageError(f"port {ports[0]} cannot be published: no network is of the kind user; give --net user too")
    return [*found, Network(publish=ports)]


def _place(path: str) -> object:
    """What two names of one file have in common."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return os.path.abspath(path)
    return facts.st_dev, facts.st_ino


def _check_disks(devices: Iterable[Hardware]) -> None:
    seen: dict[object, Disk] = {}
    for disk in devices:
        if isinstance(disk, Disk):
            other = seen.setdefault(_place(disk.path), disk)
            if other is not disk and not all(each.readonly or each.overlay for each in (disk, other)):
                name = printable(disk.path)
                raise UsageError(f"{name} is given as two disks that would damage each other: give readonly to both")


def _check_once(devices: Iterable[Hardware]) -> None:
    taken: set[object] = set()
    for each in devices:
        claims: list[tuple[object, str]] = []
        if isinstance(each, Network):
            if each.kind == "tap":
                claims.append((("tap", each.name), f"the tap {printable(each.name)}"))
            if each.mac:
                claims.append((("mac", each.mac), f"the mac {each.mac}"))
            claims += [((port.host, port.protocol, port.address), f"port {port}") for port in each.publish]
        elif isinstance(each, Share) and each.tag:
            claims.append((("tag", each.tag), f"the tag {each.tag}"))
        elif isinstance(each, Console | Vsock):
            claims.append((os.path.abspath(each.path), f"the socket {printable(each.path)}"))
            claims += [(Vsock, "a vsock")] if isinstance(each, Vsock) else []
        elif isinstance(each, Entropy):
            claims.append((Entropy, "a source of random bytes (rng)"))
        for claim, said in claims:
            if claim in taken:
                raise UsageError(f"{said} is given twice: give it once")
            taken.add(claim)


def complete(devices: Iterable[Hardware]) -> tuple[Hardware, ...]:
    """The devices, checked together; each share has a tag.  Raises UsageError."""
    try:
        found = list(devices)
    except TypeError:
        raise UsageError(f"devices cannot be {quoted(devices)}: give a list of Disk, Network, Share …") from None
    for each in found:
        if not isinstance(each, get_args(Hardware)):
            names = ", ".join(kind.__name__ for kind in get_args(Hardware))
            raise UsageError(f"a device cannot be {quoted(each)}: give an object of {names}")
    if len(found) > LARGEST:
        raise UsageError(f"{len(found)} devices are too many: a Guest has room for {LARGEST}")
    _check_once(found)
    _check_disks(found)
    taken = {each.tag for each in found if isinstance(each, Share)}
    for number, each in enumerate(found):
        if isinstance(each, Share) and not each.tag:
            tag = next(name for count in range(LARGEST + 1) if (name := f"host{count or ''}") not in taken)
            taken.add(tag)
            found[number] = replace(each, tag=tag)
    return tuple(found)
