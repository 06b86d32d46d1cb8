# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk: a raw file in the Host's page cache.  What is measured: guest_kernel/linux/devices/disk.c."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from lguest_py.bench.device_setup import Setup, Side, Where
from lguest_py.hardware import Disk

BYTES: Final = 256 << 20  # DISK_BYTES there


class _Disk:
    rows: Mapping[str, str] = MappingProxyType(
        {
            "disk-latency": "a read of 4 KiB at a random place, O_DIRECT",
            "disk-read": "1 MiB read, one after the other, O_DIRECT",
            "disk-write": "1 MiB written, one after the other, O_DIRECT",
        }
    )
    modules: tuple[str, ...] = ("virtio_blk",)

    @contextmanager
    def begin(self, folder: Path, where: Where) -> Iterator[Side]:
        image = folder / "disk.img"
        if not image.exists():
            with image.open("wb") as file:
                for _ in range(BYTES >> 20):
                    file.write(bytes(range(256)) * 4096)
        drive = f"file={image},format=raw,if=virtio,cache=writeback"
        yield Side((Disk(str(image), format="raw"),), ("-drive", drive))


DISK: Final[Setup] = _Disk()
