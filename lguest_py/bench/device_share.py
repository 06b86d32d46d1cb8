# SPDX-License-Identifier: GPL-2.0-or-later
"""A folder of the Host by 9P, its files in the Host's page cache.  Measured by guest_kernel/linux/devices/share.c."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from lguest_py.bench.device_setup import Setup, Side, Where
from lguest_py.hardware import Share

BYTES: Final = 64 << 20  # FILE_BYTES there
MOUNT: Final = "mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 share /share"


class _Share:
    rows: Mapping[str, str] = MappingProxyType(
        {
            "share-stat": "a stat of a file in a shared folder",
            "share-read": "1 MiB read from a file in a shared folder",
            "share-write": "1 MiB written to a file in a shared folder",
            "share-copy": "1 MiB copied from a file in a shared folder to another there",
        }
    )
    modules: tuple[str, ...] = ("9pnet_virtio", "9p")

    @contextmanager
    def begin(self, folder: Path, where: Where) -> Iterator[Side]:
        shared = folder / "share"
        shared.mkdir(exist_ok=True)
        for name in ("source", "target"):
            with (shared / name).open("wb") as file:
                for _ in range(BYTES >> 20):
                    file.write(bytes(range(256)) * 4096)
        own = f"local,id=share,path={shared},security_model=none"
        qemu = ("-fsdev", own, "-device", "virtio-9p-pci,fsdev=share,mount_tag=share")
        yield Side((Share(str(shared), "share"),), qemu, ("mkdir /share", MOUNT))


SHARE: Final[Setup] = _Share()
