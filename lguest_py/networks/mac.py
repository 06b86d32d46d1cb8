# SPDX-License-Identifier: GPL-2.0-or-later
"""MAC addresses of Guests' cards.

Two Guests on one network must not have the same one, and a Guest should find its own again at its next start: its
configuration of the network, and the lease of a DHCP server, go by it.  So an address is made of what is unique while
it is used: the machine and the name of the tap.
Read next: __init__.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
from pathlib import Path

_OURS = b"\x02lg"  # locally administered, one station


def default_mac(place: str) -> bytes:
    """The address of the Guest's card whose other end is ``place``."""
    machine = socket.gethostname().encode()
    with contextlib.suppress(OSError):
        machine += Path("/etc/machine-id").read_bytes()
    return _OURS + hashlib.sha256(machine + b"\0" + place.encode()).digest()[:3]


def host_mac(mac: bytes) -> bytes:
    """An address for the Host's end of a Guest's tap.

    A bridge takes the lowest address of its ports as its own, so this one is high: the bridge keeps its address when
    Guests come and go.
    """
    return b"\xfe" + mac[1:]
