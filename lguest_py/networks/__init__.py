# SPDX-License-Identifier: GPL-2.0-or-later
"""The back ends of network cards: passt for everybody, taps for who may have them.

Read next: link.py, then lguest_py/devices/net.py, the card.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lguest_py.hardware import Network
    from lguest_py.networks.link import Link


def open_link(spec: Network, number: int, say: Callable[[str], None]) -> Link:
    """The back end of card ``number`` of a Guest; ``say`` tells the user what is missing.  Raises LguestError."""
    mac = bytes.fromhex(spec.mac.replace(":", "")) if spec.mac else b""
    if spec.kind == "user":
        from lguest_py.networks.mac import default_mac
        from lguest_py.networks.passt import start_passt

        return start_passt(number, mac or default_mac(f"user {number}"), spec.publish)
    from lguest_py.networks import taps

    if spec.kind == "tap":
        return taps.existing(spec.name, mac, say)
    if spec.kind == "bridge":
        return taps.in_bridge(spec.name, mac, say)
    return taps.with_address(spec.address, mac)
