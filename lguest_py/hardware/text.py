# SPDX-License-Identifier: GPL-2.0-or-later
"""The text forms of hardware, as the command line's options and the texts of a machine file have them.

A comma parts a name from its options; two commas are one in a name.  A wrong text raises UsageError.
Read next: table.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lguest_py.errors import UsageError
from lguest_py.hardware.kinds import Console, Disk, Entropy, Hardware, Network, Publish, Share, Vsock
from lguest_py.hardware.words import instead, keys, listed, quoted, split

NETWORKS = "user", "tap:NAME", "bridge:NAME"


def disk(text: str) -> Disk:
    """FILE[,readonly][,overlay][,format=raw|qcow2|…][,serial=TEXT]."""
    file, *rest = split(text)
    options: dict[str, Any] = keys("a disk", rest, ("readonly", "overlay"), ("format", "serial"))
    return Disk(file, **options)


def block(text: str) -> Disk:
    """FILE, whatever is in its name: the original's form."""
    return Disk(text)


def network(text: str) -> Network:
    """user, tap:NAME or bridge:NAME, and [,mac=MAC]."""
    first, *rest = split(text)
    options: dict[str, Any] = keys("a network", rest, (), ("mac",))
    kind, colon, name = first.partition(":")
    forms = {form.partition(":")[0]: form for form in NETWORKS}
    if kind not in forms:
        near = instead(kind, forms)
        right = near if near.startswith("did") else f"give {listed(NETWORKS)}"
        raise UsageError(f"a network cannot be {quoted(first)}: {right}")
    if bool(colon) is not (":" in forms[kind]):
        raise UsageError(f"a network cannot be {quoted(first)}: give {forms[kind]}")
    return Network(kind, name, **options)  # type: ignore[arg-type]


def tunnet(text: str) -> Network:
    """IP[:MAC] or bridge:NAME[:MAC]: the original's form."""
    bridge = re.fullmatch(r"bridge:([^:]*)(?::(.*))?", text, re.DOTALL)
    if bridge:
        return Network("bridge", bridge[1], mac=_given_mac(bridge[2]))
    address, colon, mac = text.partition(":")
    return Network("host", address=address, mac=_given_mac(mac if colon else None))


def _given_mac(text: str | None) -> str:
    if text == "":
        raise UsageError("a card's mac is empty: give six bytes in hexadecimal, as 02:00:00:12:34:56")
    return text or ""


def publish(text: str) -> Publish:
    """[ADDRESS:]HOST:GUEST[/udp]; an IPv6 address is in brackets."""
    match = re.fullmatch(
        r"(?:(\[[^\]]*\]|[^:\[\]]*):)?([0-9]+):([0-9]+)(?:/(.*))?", text, re.ASCII | re.DOTALL
    )
    if not match:
        right = "[ADDRESS:]HOST:GUEST[/udp] with two ports, as 8080:80"
        raise UsageError(f"a published port cannot be {quoted(text)}: give {right}")
    address = (match[1] or "").removeprefix("[").removesuffix("]")
    if match[1] is not None and not address:
        raise UsageError(f"a published port cannot be {quoted(text)}: its address is empty, so give one or no colon")
    host, guest = (int(port[:9]) for port in match.group(2, 3))
    protocol: Any = "tcp" if match[4] is None else match[4]
    return Publish(host, guest, protocol, address)


def share(text: str) -> Share:
    """DIR[,tag=NAME][,readonly]."""
    folder, *rest = split(text)
    options: dict[str, Any] = keys("a share", rest, ("readonly",), ("tag",))
    if options.get("tag") == "":
        raise UsageError("tag lacks its value: give tag=…")
    return Share(folder, **options)


def vsock(text: str) -> Vsock:
    """SOCKET[,cid=N]."""
    path, *rest = split(text)
    if re.match(r"(cid|socket)=", path):  # cloud-hypervisor's form
        raise UsageError(f"a vsock cannot be {quoted(text)}: give SOCKET[,cid=N], as vm.sock,cid=3")
    options = keys("a vsock", rest, (), ("cid",))
    number = str(options.get("cid", "3"))
    if not re.fullmatch(r"[0-9]+", number, re.ASCII):
        raise UsageError(f"a vsock's cid cannot be {quoted(number)}: give a number, 3 to 4294967294")
    return Vsock(path, int(number[:11]))


# By the option's name, without the dashes; "publish" is not hardware of its own (together.py).
FORMS: dict[str, Callable[[str], Hardware | Publish]] = {
    "disk": disk,
    "block": block,
    "net": network,
    "tunnet": tunnet,
    "publish": publish,
    "share": share,
    "rng": Entropy,
    "console": Console,
    "vsock": vsock,
}


def parse(option: str, text: str) -> Hardware | Publish:
    """What the option means with this text.  Raises UsageError, which names the option."""
    try:
        return FORMS[option](text)
    except UsageError as error:
        raise UsageError(f"--{option}: {error}") from None
