# SPDX-License-Identifier: GPL-2.0-or-later
"""Make devices of the hardware that the user gave.  Each kind's module is read only when there is one.

Read next: lguest_py/hardware/kinds.py, what there is; lguest_py/devices/device.py, what they become.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from lguest_py.devices.device import Device, Say
from lguest_py.files.unix_sockets import Connect, connected
from lguest_py.hardware import Console, Disk, Entropy, Hardware, Network, Share, Vsock


def _make(spec: Hardware, number: int, say: Say, connect: Connect) -> Device:
    """The device; ``number`` counts those of its kind from 0."""
    match spec:
        case Disk():
            from lguest_py.devices.block import Block

            return Block(spec, say)
        case Network():
            from lguest_py.devices.net import Net

            return Net(spec, number, say)
        case Share():
            from lguest_py.devices.share import Share9p

            return Share9p(spec, say)
        case Entropy():
            from lguest_py.devices.entropy import EntropyDevice

            return EntropyDevice(spec, say)
        case Console():
            from lguest_py.devices.extra_console import ExtraConsole

            return ExtraConsole(spec, say)
        case Vsock():
            from lguest_py.devices.vsock import VsockDevice

            return VsockDevice(spec, say, connect)


def open_devices(
    hardware: Iterable[Hardware], say: Say, stack: ExitStack, connect: Connect = connected
) -> Sequence[Device]:
    """The devices in the order given; the end of ``stack`` closes them, the last one first.  Raises LguestError.

    ``connect`` connects to other programs' Unix sockets while the Guest runs.
    """
    devices: list[Device] = []
    counts: dict[type, int] = {}
    for spec in hardware:
        number = counts.get(type(spec), 0)
        counts[type(spec)] = number + 1
        devices.append(_make(spec, number, say, connect))
        stack.callback(devices[-1].close)
    return devices
