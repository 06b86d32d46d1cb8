# SPDX-License-Identifier: GPL-2.0-or-later
"""A Unix socket that is listened on: whose it is, what it replaces, and what it leaves."""

from __future__ import annotations

import socket
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lguest_py.devices.extra_console import ExtraConsole
from lguest_py.devices.vsock import VsockDevice
from lguest_py.errors import UsageError
from lguest_py.files.unix_sockets import Listener, connected
from lguest_py.hardware import Console, Vsock

WHAT = "a test's socket"


def test_only_this_user_may_connect(tmp_path: Path) -> None:
    with closing(Listener(str(tmp_path / "socket"), WHAT)):
        assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o600


def test_a_socket_that_nobody_listens_at_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    with closing(Listener(str(path), WHAT)) as listener:
        assert listener.accept() is None
        with closing(connected(str(path))):
            arrived = listener.accept()
            assert arrived
            arrived.close()
        with pytest.raises(UsageError, match=f"cannot be {WHAT}: another program listens there"):
            Listener(str(path), WHAT)
    assert not path.exists()


def test_a_file_that_has_the_name_by_then_stays(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    listener = Listener(str(path), WHAT)
    path.unlink()
    path.write_text("made by someone else meanwhile")
    listener.close()
    assert path.exists()


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: ExtraConsole(Console(path), print), "a console's socket"),
        (lambda path: VsockDevice(Vsock(path), print), "a vsock's socket"),
    ],
    ids=["console", "vsock"],
)
@pytest.mark.parametrize("name", ["folder", "file", "none/socket"])
def test_where_no_socket_can_be_is_one_line(
    tmp_path: Path, name: str, make: Callable[[str], object], what: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match=f"cannot be {what}.*name") as caught:
        make(str(tmp_path / name))
    assert str(caught.value).isprintable()
    assert (tmp_path / "file").read_text() == "mine"
