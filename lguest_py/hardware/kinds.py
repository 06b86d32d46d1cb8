# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of hardware, as frozen dataclasses.  A bad value raises UsageError when the object is made.

Read next: text.py, their forms on the command line; table.py, those in a machine file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from lguest_py.errors import UsageError
from lguest_py.hardware import checks
from lguest_py.hardware.words import quoted

Format = Literal["auto", "raw", "qcow2", "qcow", "qed", "vdi", "vhdx", "vmdk", "vpc", "parallels"]  # qemu-nbd's
Protocol = Literal["tcp", "udp"]
Kind = Literal["user", "tap", "bridge", "host"]


def _set(kind: object, **values: Any) -> None:
    """Give the fields of a frozen dataclass that is being made their checked values."""
    for name, value in values.items():
        object.__setattr__(kind, name, value)


@dataclass(frozen=True)
class Disk:
    """A disk: a raw file, a block device, or an image that qemu-nbd reads (qcow2).

    ``overlay``: writes are kept in memory or a temporary file, and thrown away at the end.
    """

    path: str
    readonly: bool = False
    overlay: bool = False
    format: Format = "auto"
    serial: str = ""  # at most 20 bytes: what the Guest finds by get-id; default: the start of the file's name

    def __post_init__(self) -> None:
        _set(
            self,
            path=checks.path("a disk's file", self.path),
            readonly=checks.flag("a disk's readonly", self.readonly),
            overlay=checks.flag("a disk's overlay", self.overlay),
            serial=checks.serial("a disk's serial", self.serial),
        )
        checks.one_of("a disk's format", self.format, get_args(Format))
        if self.readonly and self.overlay:
            raise UsageError("a disk cannot be readonly and have an overlay: give one of them")


@dataclass(frozen=True)
class Publish:
    """A port of the Host (TCP or UDP) that is forwarded to one of the Guest."""

    host: int
    guest: int
    protocol: Protocol = "tcp"
    address: str = ""  # of the Host; "": all

    def __post_init__(self) -> None:
        checks.port("a published port of the Host", self.host)
        checks.port("a published port of the Guest", self.guest)
        checks.one_of("a published port's protocol", self.protocol, get_args(Protocol))
        if self.address != "":
            right = "an IP address of this machine, as 127.0.0.1"
            _set(self, address=checks.address("a published port's address", self.address, right, (4, 6)))

    def __str__(self) -> str:
        address = f"[{self.address}]:" if ":" in self.address else f"{self.address}:" if self.address else ""
        return f"{address}{self.host}:{self.guest}" + ("/udp" if self.protocol == "udp" else "")


@dataclass(frozen=True)
class Network:
    """A network card.

    ``kind`` user: rootless, by passt; tap: the tap device ``name``, made if it is not there; bridge: a new tap in the
    bridge ``name``; host: a new tap whose end on the Host has the IP address ``address`` (the original's --tunnet).
    """

    kind: Kind = "user"
    name: str = ""
    address: str = ""
    mac: str = ""  # "": a locally administered one, the same at each start, another on each tap
    publish: tuple[Publish, ...] = ()

    def __post_init__(self) -> None:
        checks.one_of("a network's kind", self.kind, get_args(Kind))
        if self.kind in ("tap", "bridge"):
            checks.interface(f"a {self.kind}'s name", self.name)
        elif self.name != "":
            raise UsageError(f"a network of the kind {self.kind} has no name: leave {quoted(self.name)} out")
        if self.kind == "host":
            right = "the IPv4 address of the Host in the new network, as 192.168.19.1"
            _set(self, address=checks.address("a host network's address", self.address, right, (4,)))
        elif self.address != "":
            raise UsageError(f"a network of the kind {self.kind} has no address: leave {quoted(self.address)} out")
        if self.mac != "":
            _set(self, mac=checks.mac("a card's mac", self.mac))
        ports: object = self.publish
        if not isinstance(ports, list | tuple) or not all(isinstance(each, Publish) for each in ports):
            raise UsageError(f"a network's publish cannot be {quoted(ports)}: give a list of Publish(HOST, GUEST)")
        _set(self, publish=tuple(ports))
        if ports and self.kind != "user":
            raise UsageError(f"a {self.kind} network cannot publish ports: only one of the kind user can")


@dataclass(frozen=True)
class Share:
    """A folder of the Host that the Guest mounts by 9P: ``mount -t 9p -o trans=virtio TAG /mnt``."""

    path: str
    tag: str = ""  # "": host, or host1 and so on where that is taken (together.py)
    readonly: bool = False

    def __post_init__(self) -> None:
        _set(
            self,
            path=checks.path("a share's folder", self.path, right="a folder's name"),
            tag=checks.tag("a share's tag", self.tag),
            readonly=checks.flag("a share's readonly", self.readonly),
        )


@dataclass(frozen=True)
class Entropy:
    """A source of random bytes; ``path`` "": the operating system's."""

    path: str = ""

    def __post_init__(self) -> None:
        _set(self, path=checks.path("a source of random bytes", self.path, empty=True))


@dataclass(frozen=True)
class Console:
    """One more console (hvc1 and so on): ``path`` is a Unix socket that is made, and listened on."""

    path: str

    def __post_init__(self) -> None:
        _set(self, path=checks.socket("a console's socket", self.path))


@dataclass(frozen=True)
class Vsock:
    """Connections between programs here and in the Guest, which has AF_VSOCK for them (virtio-vsock).

    ``path`` is a Unix socket that is made: who connects there and sends ``CONNECT PORT`` reaches this port of the
    Guest.  A connection of the Guest to port N of CID 2 reaches who listens at the Unix socket ``path_N``.
    """

    path: str
    cid: int = 3  # the Guest's address

    def __post_init__(self) -> None:
        _set(self, path=checks.socket("a vsock's socket", self.path, len("_4294967295")))
        checks.cid("a vsock's cid", self.cid)


Hardware = Disk | Network | Share | Entropy | Console | Vsock
