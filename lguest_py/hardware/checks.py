# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of single values.  Each returns the value in its one form, or raises UsageError: what is wrong, what is right.

``what`` names the value: "a disk's serial".  Read next: kinds.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from lguest_py.errors import UsageError
from lguest_py.hardware.words import instead, quoted

NAME_BYTES = 15  # of a network interface (IFNAMSIZ - 1)
SERIAL_BYTES = 20  # of a disk (VIRTIO_BLK_ID_BYTES)
TAG_BYTES = 31  # of a share: what QEMU allows too
SOCKET_BYTES = 107  # of a Unix socket's path (sun_path, without the zero byte)


def _wrong(what: str, value: object, right: str) -> UsageError:
    return UsageError(f"{what} cannot be {quoted(value)}: give {right}")


def path(what: str, value: object, *, empty: bool = False, right: str = "a file's name") -> str:
    """The name of a file, as text."""
    try:
        text = os.fsdecode(value)  # type: ignore[arg-type]
    except TypeError:
        raise _wrong(what, value, right) from None
    if "\0" in text or not (text or empty):
        raise _wrong(what, text, right)
    return text


def flag(what: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise _wrong(what, value, "true or false")
    return value


def text(what: str, value: object, right: str) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise _wrong(what, value, right)
    return value


def one_of(what: str, value: object, right: Collection[str]) -> None:
    """Raise UsageError unless ``value`` is one of the right ones."""
    if not isinstance(value, str) or value not in right:
        raise UsageError(f"{what} cannot be {quoted(value)}: {instead(str(value), right)}")


def serial(what: str, value: object) -> str:
    """A disk's serial number."""
    right = f"at most {SERIAL_BYTES} letters, digits or other printable ASCII"
    found = text(what, value, right)
    if len(found) > SERIAL_BYTES or not found.isascii() or not found.isprintable():
        raise _wrong(what, found, right)
    return found


def tag(what: str, value: object) -> str:
    """The name by which a Guest mounts a share; "" is for one that is chosen."""
    right = f"a name of at most {TAG_BYTES} bytes without white space or commas, for mount -t 9p"
    found = text(what, value, right)
    encoded = found.encode(errors="surrogateescape")
    if len(encoded) > TAG_BYTES or not found.isprintable() or any(c.isspace() or c == "," for c in found):
        raise _wrong(what, found, right)
    return found


def interface(what: str, value: object) -> str:
    """The name of a network interface."""
    right = f"an interface's name, as ip link shows it (at most {NAME_BYTES} bytes)"
    found = text(what, value, right)
    bad = not found.isprintable() or any(c.isspace() or c in "/:" for c in found) or found in (".", "..")
    if not found or bad or len(os.fsencode(found)) > NAME_BYTES:
        raise _wrong(what, found, right)
    return found


def mac(what: str, value: object) -> str:
    """A network card's address, as 02:00:00:00:00:01."""
    right = "six bytes in hexadecimal, as 02:00:00:12:34:56"
    found = text(what, value, right).lower().replace("-", ":")
    if not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", found, re.ASCII) or found == "00:00:00:00:00:00":
        raise _wrong(what, value, right)
    if int(found[:2], 16) & 1:
        raise _wrong(what, value, "one card's address: its first byte is even (02:00:00:12:34:56)")
    return found


def address(what: str, value: object, right: str, versions: Collection[int]) -> str:
    """An IP address of one of the ``versions``."""
    import ipaddress

    found = text(what, value, right)
    try:
        parsed = ipaddress.ip_address(found)
    except ValueError:
        raise _wrong(what, found, right) from None
    if parsed.version not in versions:
        raise _wrong(what, found, right)
    return str(parsed)


def port(what: str, value: object) -> int:
    """A port of TCP or UDP."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 0x10000:
        raise _wrong(what, value, "a port, 1 to 65535")
    return value


def socket(what: str, value: object, behind: int = 0) -> str:
    """The name of a Unix socket; other sockets have up to ``behind`` more bytes behind the same name."""
    found, most = path(what, value), SOCKET_BYTES - behind
    if len(os.fsencode(found)) > most:
        raise _wrong(what, found, f"a name of at most {most} bytes: a socket has no room for more")
    return found


def cid(what: str, value: object) -> int:
    """A Guest's address for AF_VSOCK: 0 to 2 are not a Guest's, and the greatest is for any."""
    if isinstance(value, bool) or not isinstance(value, int) or not 3 <= value < 0xFFFFFFFF:
        raise _wrong(what, value, "a number, 3 to 4294967294")
    return value
