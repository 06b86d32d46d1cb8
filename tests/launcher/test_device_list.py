# SPDX-License-Identifier: GPL-2.0-or-later
"""Hardware becomes devices in the order given, and every one that was opened is closed, whatever happens."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from lguest_py.devices.block import Block
from lguest_py.devices.entropy import EntropyDevice
from lguest_py.devices.share import Share9p
from lguest_py.devices.vsock import VsockDevice
from lguest_py.errors import LguestError
from lguest_py.hardware import Disk, Entropy, Network, Share, Vsock
from lguest_py.launcher import device_list
from lguest_py.launcher.device_list import open_devices


@pytest.fixture
def disks(tmp_path: Path) -> list[Disk]:
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path in paths:
        path.write_bytes(bytes(1 << 16))
    return [Disk(str(path)) for path in paths]


def test_each_kind_becomes_its_device_in_order(tmp_path: Path, disks: list[Disk]) -> None:
    hardware = (disks[0], Share(str(tmp_path)), Entropy(), disks[1], Vsock(str(tmp_path / "s")))
    with ExitStack() as stack:
        devices = open_devices(hardware, print, stack)
        assert [type(device) for device in devices] == [Block, Share9p, EntropyDevice, Block, VsockDevice]
        assert [device.name for device in devices][:4:3] == [f"disk {disk.path}" for disk in disks[:2]]


def test_they_are_closed_from_the_last_to_the_first_even_when_one_fails(
    disks: list[Disk], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    close = Block.close

    def watch(self: Block) -> None:
        closed.append(self.name[-1])
        close(self)
        if self.name.endswith("b"):
            raise OSError("the disk is gone")

    monkeypatch.setattr(Block, "close", watch)
    stack = ExitStack()
    open_devices(disks, print, stack)
    with pytest.raises(OSError, match="gone"):
        stack.close()
    assert closed == ["c", "b", "a"]


def test_what_was_opened_before_a_failure_is_closed(
    tmp_path: Path, disks: list[Disk], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    close = Block.close

    def watch(self: Block) -> None:
        closed.append(self.name[-1])
        close(self)

    monkeypatch.setattr(Block, "close", watch)
    with pytest.raises(LguestError, match="missing"), ExitStack() as stack:
        open_devices([*disks[:2], Disk(str(tmp_path / "missing"))], print, stack)
    assert closed == ["b", "a"]


def test_cards_are_counted_by_their_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int] = []

    def make(spec: object, number: int, say: object, connect: object) -> EntropyDevice:
        numbers.append(number)
        return EntropyDevice(Entropy(), print)

    monkeypatch.setattr(device_list, "_make", make)
    with ExitStack() as stack:
        hardware = (Network(), Disk("a"), Network(), Entropy(), Network())
        open_devices(hardware, print, stack)
    assert numbers == [0, 0, 1, 0, 2]
