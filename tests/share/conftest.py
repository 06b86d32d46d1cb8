# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the share's tests: a folder, its server and a client that is attached as fid 0."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from p9_client import Client, sender, server_at

from lguest_py.share.server import Server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    served = server_at(folder)
    yield served
    served.close()


@pytest.fixture
def client(server: Server) -> Client:
    made = Client(sender(server))
    made.attach()
    return made


@pytest.fixture
def reader(folder: Path) -> Iterator[Client]:
    """A client of a read-only share of the same folder."""
    served = server_at(folder, readonly=True)
    made = Client(sender(served))
    made.attach()
    yield made
    served.close()
