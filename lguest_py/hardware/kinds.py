# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of hardware, as frozen dataclasses.  A bad value raises UsageError when the object is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Disk:
    """A disk: a raw file, a block device, or an image that qemu-nbd reads (qcow2).

    ``overlay``: writes are kept in memory or a temporary file, and thrown away at the end.
    """

    path: str
    readonly: bool = False
    overlay: bool = False
    format: Literal["auto", "raw", "qcow2"] = "auto"
    serial: str = ""  # at most 20 bytes: what the Guest finds by get-id; default: the start of the file's name


@dataclass(frozen=True)
class Publish:
    """A port of the Host (TCP or UDP) that is forwarded to one of the Guest."""

    host: int
    guest: int
    protocol: Literal["tcp", "udp"] = "tcp"
    address: str = ""  # of the Host; "": all


@dataclass(frozen=True)
class Network:
    """A network card.

    ``kind`` user: rootless, by passt; tap: the existing tap device ``name``; bridge: a new tap in the bridge ``name``;
    host: a new tap whose end on the Host has the IP address ``address`` (the original's --tunnet).
    """

    kind: Literal["user", "tap", "bridge", "host"] = "user"
    name: str = ""
    address: str = ""
    mac: str = ""  # "": a fixed one, locally administered, made from the card's number
    publish: tuple[Publish, ...] = ()


@dataclass(frozen=True)
class Share:
    """A folder of the Host that the Guest mounts by 9P: ``mount -t 9p -o trans=virtio TAG /mnt``."""

    path: str
    tag: str = "host"
    readonly: bool = False


@dataclass(frozen=True)
class Entropy:
    """A source of random bytes; ``path`` "": the operating system's."""

    path: str = ""


@dataclass(frozen=True)
class Console:
    """One more console (hvc1 and so on): ``path`` is a Unix socket that is made, and listened on."""

    path: str
