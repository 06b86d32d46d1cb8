# SPDX-License-Identifier: GPL-2.0-or-later
"""The Host's network interfaces, by ioctl: taps, bridges, addresses.

Every function raises OSError.  Numbers and structures: linux/if_tun.h, linux/sockios.h, netdevice(7).
Read next: tap.py.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct

TUN = "/dev/net/tun"
NAME_BYTES = 16  # with the zero at the end
IFF_TAP, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x100, 0x1000, 0x4000
IFF_UP = 1
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN = 1, 2, 4, 8
TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR = 0x8913, 0x8914, 0x8916
SIOCGIFMTU, SIOCSIFMTU, SIOCSIFHWADDR, SIOCGIFINDEX, SIOCBRADDIF = 0x8921, 0x8922, 0x8924, 0x8933, 0x89A2
ARPHRD_ETHER = 1
_REQUEST = struct.Struct("16s24s")  # struct ifreq


def _request(name: str, number: int, value: bytes = b"") -> bytes:
    """What the kernel answers to an ioctl for the interface ``name``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        answer = fcntl.ioctl(control, number, _REQUEST.pack(name.encode(), value))
    return bytes(_REQUEST.unpack(answer)[1])


def exists(name: str) -> bool:
    """Whether there is an interface of this name."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def open_tap(name: str, flags: int) -> tuple[int, str]:
    """Attach to the tap ``name``, or make it; "lguest%d" gets the lowest free number.  (descriptor, its name)"""
    fd = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        answer = fcntl.ioctl(fd, TUNSETIFF, _REQUEST.pack(name.encode(), struct.pack("<H", flags)))
    except OSError:
        os.close(fd)
        raise
    return fd, _REQUEST.unpack(answer)[0].rstrip(b"\0").decode()


def is_up(name: str) -> bool:
    """Whether the interface was set up (ip link set NAME up)."""
    return bool(struct.unpack_from("<H", _request(name, SIOCGIFFLAGS))[0] & IFF_UP)


def set_up(name: str) -> None:
    """Set the interface up."""
    flags: int = struct.unpack_from("<H", _request(name, SIOCGIFFLAGS))[0]
    _request(name, SIOCSIFFLAGS, struct.pack("<H", flags | IFF_UP))


def mtu(name: str) -> int:
    """The interface's largest packet."""
    found: int = struct.unpack_from("<i", _request(name, SIOCGIFMTU))[0]
    return found


def set_mtu(name: str, size: int) -> None:
    """Set the interface's largest packet."""
    _request(name, SIOCSIFMTU, struct.pack("<i", size))


def set_hardware_address(name: str, mac: bytes) -> None:
    """Set the interface's MAC."""
    _request(name, SIOCSIFHWADDR, struct.pack("<H6s", ARPHRD_ETHER, mac))


def set_address(name: str, address: str) -> None:
    """Give the interface an IPv4 address; the network is as large as the address's class says (192.168.x: 256)."""
    _request(name, SIOCSIFADDR, struct.pack("<HH4s", socket.AF_INET, 0, socket.inet_aton(address)))


def add_to_bridge(bridge: str, name: str) -> None:
    """Make the interface a port of the bridge."""
    _request(bridge, SIOCBRADDIF, struct.pack("<i", socket.if_nametoindex(name)))
