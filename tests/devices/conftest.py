# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of several files: a vsock with its driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from vsock_lab import VsockLab


@pytest.fixture(params=[False, True], ids=["virtio1", "legacy"])
def make_vsock(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., VsockLab]]:
    """Makes one, in the layout of either bus."""
    labs: list[VsockLab] = []

    def one(**how: int) -> VsockLab:
        labs.append(VsockLab(tmp_path / "vm.sock", legacy=request.param, **how))
        return labs[-1]

    yield one
    for lab in labs:
        lab.close()
        assert not lab.path.exists()
        assert not lab.device._sockets


@pytest.fixture
def vsock(make_vsock: Callable[..., VsockLab]) -> VsockLab:
    """One that has buffers for packets."""
    return make_vsock()
