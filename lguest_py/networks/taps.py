# SPDX-License-Identifier: GPL-2.0-or-later
"""Taps by name, in a bridge, or with an address on the Host's side.

A tap that was made here goes away when the run ends, however it ends.
Read next: tap.py.
"""

from __future__ import annotations

import errno
import getpass
import os
from collections.abc import Callable
from typing import NoReturn

from lguest_py.errors import EngineError, UsageError
from lguest_py.files.descriptors import check
from lguest_py.networks import interfaces
from lguest_py.networks.mac import default_mac, host_mac
from lguest_py.networks.tap import Tap

_FLAGS = interfaces.IFF_TAP | interfaces.IFF_NO_PI | interfaces.IFF_VNET_HDR
_PATTERN = "lguest%d"  # names of taps that are made


class TapError(EngineError):
    """A tap that cannot be had."""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this number
        return str(os.getuid())


def _commands(name: str) -> str:
    return f"sudo ip tuntap add dev {name} mode tap user {_user()} && sudo ip link set {name} up"


def _down(name: str) -> str:
    return f"{name} is down, so the Guest reaches nothing yet: sudo ip link set {name} up"


def _failed(what: str, error: OSError, advice: str) -> NoReturn:
    check(error)
    raise TapError(f"{what} ({os.strerror(error.errno or 0)}): {advice}") from None


def _open(name: str, advice: str) -> tuple[int, str]:
    """(descriptor, name) of a tap, with the user's errors."""
    try:
        try:
            return interfaces.open_tap(name, _FLAGS)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return interfaces.open_tap(name, _FLAGS | interfaces.IFF_MULTI_QUEUE)  # that is how it was made
    except OSError as error:
        if error.filename == interfaces.TUN:
            denied = error.errno in (errno.EACCES, errno.EPERM)
            help_ = f"sudo chmod 0666 {interfaces.TUN}" if denied else "sudo modprobe tun"
            _failed(f"cannot open {interfaces.TUN}", error, help_)
        if error.errno == errno.EBUSY:
            raise TapError(f"the tap {name} is in use by another program: give each Guest a tap of its own") from None
        if error.errno == errno.EINVAL:
            raise TapError(f"{name} is not a tap: make one under another name: {_commands('NAME')}") from None
        _failed(f"cannot use the tap {name}" if "%" not in name else "cannot make a tap", error, advice)


def existing(name: str, mac: bytes, say: Callable[[str], None]) -> Tap:
    """The tap ``name``, which is made if it is not there and this process may make it."""
    fd, name = _open(name, _commands(name))
    try:
        if not interfaces.is_up(name):
            try:
                interfaces.set_up(name)
            except OSError:  # whoever may do that can do it at any time
                say(f"the tap {_down(name)}")
        return Tap(fd, name, mac or default_mac(name))
    except BaseException:
        os.close(fd)
        raise


def _make(mac: bytes, advice: str) -> Tap:
    fd, name = _open(_PATTERN, advice)
    try:
        mac = mac or default_mac(name)
        interfaces.set_hardware_address(name, host_mac(mac))
        return Tap(fd, name, mac)
    except BaseException:
        os.close(fd)
        raise


def in_bridge(bridge: str, mac: bytes, say: Callable[[str], None]) -> Tap:
    """A new tap that is a port of the bridge."""
    if not interfaces.exists(bridge):
        help_ = f"sudo ip link add {bridge} type bridge && sudo ip link set {bridge} up"
        raise UsageError(f"there is no bridge {bridge}: {help_}")
    tap = _make(mac, f"only root can; or use tap:NAME: {_commands('NAME')} && sudo ip link set NAME master {bridge}")
    try:
        tap.set_mtu(interfaces.mtu(bridge))  # or the bridge's is lowered to the tap's
        interfaces.add_to_bridge(bridge, tap.name)
        interfaces.set_up(tap.name)
        if not interfaces.is_up(bridge):
            say(f"the bridge {_down(bridge)}")
    except OSError as error:
        tap.close()
        if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):
            raise UsageError(f"{bridge} is no bridge, so no tap can be put into it: ip link show type bridge") from None
        _failed(f"cannot put a tap into {bridge}", error, "run this as root")
    return tap


def with_address(address: str, mac: bytes) -> Tap:
    """A new tap whose end on the Host has this IPv4 address."""
    tap = _make(mac, f"only root can; or use tap:NAME: {_commands('NAME')} && sudo ip addr add {address}/24 dev NAME")
    try:
        interfaces.set_address(tap.name, address)
        interfaces.set_up(tap.name)
    except OSError as error:
        tap.close()
        _failed(f"cannot give the Host the address {address}", error, "choose another one")
    return tap
