# SPDX-License-Identifier: GPL-2.0-or-later
"""A network card on the same passt as QEMU's.  What is measured: guest_kernel/linux/devices/net.c, net_server.py."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from lguest_py.bench.device_setup import Setup, Side, Where
from lguest_py.errors import LguestError
from lguest_py.hardware import Network

SERVER: Final = "lguest_py.bench.net_server"
MAC: Final = "02:6c:67:00:00:01"
COMMANDS: Final = (
    "ip link set eth0 mtu 65520 up",  # as the DHCP server says
    "ip address add 10.0.2.15/24 dev eth0",
    "ip route add default via 10.0.2.2",
)


class _Net:
    rows: Mapping[str, str] = MappingProxyType(
        {
            "net-ping": "a datagram to the Host and back, through passt",
            "net-send": "1 MiB sent to the Host by TCP, through passt",
            "net-receive": "1 MiB received from the Host by TCP, through passt",
        }
    )
    modules: tuple[str, ...] = ("virtio_net",)

    @contextmanager
    def begin(self, folder: Path, where: Where) -> Iterator[Side]:
        with _server() as port:
            commands = (*COMMANDS, f"export NET_PORT={port}")
            if where == "guest":
                yield Side((Network(mac=MAC),), commands=commands)
                return
            from lguest_py.networks.passt import start_passt

            with closing(start_passt(0, bytes.fromhex(MAC.replace(":", "")), ())) as link:
                fd = link.fileno()
                qemu = ("-netdev", f"socket,id=net,fd={fd}", "-device", f"virtio-net-pci,netdev=net,mac={MAC}")
                yield Side((), qemu, commands, (fd,))


@contextmanager
def _server() -> Iterator[int]:
    """The Host's end; its port."""
    command = [sys.executable, "-m", SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdin
        assert server.stdout
        assert server.stderr
        try:
            port = server.stdout.readline()
            if not port:
                reason = server.stderr.read().decode(errors="replace").strip().splitlines()[-1]
                raise LguestError(f"the Host's end of a network cannot be measured with: {reason}")
            yield int(port)
        finally:
            server.stdin.close()
            server.wait()


NET: Final[Setup] = _Net()
