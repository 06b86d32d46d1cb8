# SPDX-License-Identifier: GPL-2.0-or-later
"""``--username`` and ``--chroot``: the Launcher and QEMU are confined, and a restart, a death and an end work there."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import process_lab
import pytest
from process_lab import PATIENCE, ROOT, family

from lguest_py.cli import main
from lguest_py.engines import keeper
from lguest_py.errors import EngineError, LguestError, UsageError

USER = "nobody"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
WAYS = (["--username", USER], ["--chroot", "{}"], ["-u", USER, "-c", "{}"])


def rights(pid: int) -> tuple[set[int], set[int], set[int], str]:
    """Users, groups, further groups and root of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    users, groups, more = (set(map(int, status[name].split())) for name in ("Uid", "Gid", "Groups"))
    return users, groups, more, os.readlink(f"/proc/{pid}/root")


class Run(process_lab.Run):
    """``lguest-py boot`` with a socket."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.socket = folder / "socket"
        super().__init__(folder, "--rng", "--console", str(self.socket), *arguments)


Boot = Callable[..., Run]


@pytest.fixture
def boot(engine_name: str, tmp_path: Path) -> Iterator[Boot]:
    runs: list[Run] = []
    (tmp_path / "jail").mkdir()

    def one(way: list[str], *arguments: str) -> Run:
        words = [word.format(tmp_path / "jail") for word in way]
        runs.append(Run(tmp_path, "--engine", engine_name, *words, *arguments))
        return runs[-1]

    yield one
    for run in runs:
        run.process.kill()
        run.process.communicate()


def check_confined(run: Run, way: list[str], jail: Path, engine: str) -> None:
    """The Launcher and QEMU have given up what the options say."""
    nobody = pwd.getpwnam(USER)
    confined = [run.process.pid, *run.engine_pids()]
    assert len(confined) == (2 if engine == "tcg" else 1)
    for pid in confined:
        users, groups, more, root = rights(pid)
        if USER in way:
            assert (users, groups) == ({nobody.pw_uid}, {nobody.pw_gid})
            assert more <= {nobody.pw_gid, *os.getgrouplist(USER, nobody.pw_gid)}
        if "{}" in way:
            assert root == str(jail)
        else:
            assert root == "/"


@as_root
@pytest.mark.engine
@pytest.mark.parametrize("way", WAYS, ids=["username", "chroot", "both"])
def test_a_confined_guest_restarts_and_ends(boot: Boot, engine_name: str, way: list[str], tmp_path: Path) -> None:
    (tmp_path / "initrd").write_bytes(b"read again at the restart")
    run = boot(way, "--initrd", str(tmp_path / "initrd"))
    run.wait_for(b"lguest> ")
    check_confined(run, way, tmp_path / "jail", engine_name)
    assert os.stat(run.socket).st_uid == (pwd.getpwnam(USER).pw_uid if USER in way else 0)
    run.type(b"reboot\n")
    run.wait_for(b"tiny Guest")
    run.wait_for(b"lguest> ")
    check_confined(run, way, tmp_path / "jail", engine_name)
    status, err = run.finish(b"poweroff\n")
    assert status == 0, err
    assert "the Guest restarts (1)" in err
    assert not run.socket.exists()


@as_root
@pytest.mark.engine
@pytest.mark.nightly("kvm")
@pytest.mark.parametrize("options", [(), ("--json", "-v")], ids=["text", "json"])
def test_a_death_in_there_is_reported_whole(boot: Boot, options: tuple[str, ...]) -> None:
    run = boot(WAYS[2], *options)
    status, err = run.finish(b"fault bad-hypercall\n")
    assert status == 3, err
    assert "eip" in err
    if options:
        assert json.loads(run.shown)["status"] == 3


@as_root
@pytest.mark.engine
def test_a_launcher_that_is_killed_leaves_no_process_and_no_socket(boot: Boot) -> None:
    run = boot(WAYS[2])
    run.wait_for(b"lguest> ")
    processes = family(run.process.pid)
    run.process.send_signal(signal.SIGKILL)
    run.finish()
    until = time.monotonic() + PATIENCE
    while [pid for pid in processes if Path(f"/proc/{pid}").exists()] or run.socket.exists():
        assert time.monotonic() < until
        time.sleep(0.05)


@as_root
@pytest.mark.engine
def test_a_signal_to_the_whole_group_ends_it_as_ever(boot: Boot, engine_name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lguest_py", "boot", "--engine", engine_name, "--chroot", str(tmp_path / "jail")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, start_new_session=True
    ) as process:
        assert process.stdout
        shown = b""
        while b"lguest> " not in shown:
            piece = os.read(process.stdout.fileno(), 4096)
            assert piece
            shown += piece
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == 130


def test_what_cannot_be_given_up_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for words in (["--username", USER], ["--chroot", str(tmp_path)]):
        assert main(["boot", *words]) == 2
        err = capsys.readouterr().err
        assert f"{words[0]} is for root" in err
        assert err.count("\n") == 1
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for words, said in (
        (["--username", "no such user"], "there is no user no such user: give one of this machine"),
        (["--username", ""], "there is no user"),
        (["--chroot", str(tmp_path / "none")], "is not a folder: give one"),
        (["--chroot", ""], "is not a folder: give one"),
    ):
        assert main(["boot", *words]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1


HELP = {
    "7.2": "-chroot dir     chroot to dir just before\n-runas user     change to user\n-sandbox on\n",
    "8.2": "-chroot dir     (deprecated)\n-run-with [async-teardown=on|off][,chroot=dir]\n"
    "                Set miscellaneous options\n-runas user     change\n",
    "10.0": "-run-with [async-teardown=on|off][,chroot=dir][user=username|uid:gid]\n                Set\n-sandbox on\n",
    "other": "-runas-not user\n-run-with [async-teardown=on|off]\n",
}


@pytest.mark.parametrize(
    ("version", "options"),
    [
        ("7.2", ["-chroot", "/a,b", "-runas", "me"]),
        ("8.2", ["-run-with", "chroot=/a,,b", "-runas", "me"]),
        ("10.0", ["-run-with", "chroot=/a,,b", "-run-with", "user=me"]),
    ],
)
def test_each_qemu_has_its_options(
    version: str, options: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    qemu = tmp_path / "qemu"
    qemu.write_text(f"#!/bin/sh\ncat <<'END'\n{HELP[version]}END\n")
    qemu.chmod(0o755)
    monkeypatch.setattr(keeper, "find_qemu", lambda: (str(qemu), version))
    assert keeper.confining_options("/a,b", "me") == options
    qemu.write_text(f"#!/bin/sh\ncat <<'END'\n{HELP['other']}END\n")
    with pytest.raises(UsageError, match=r"--chroot: .* leave it out, or give --engine kvm"):
        keeper.confining_options("/a", "")
    with pytest.raises(UsageError, match=r"--username: .* leave it out"):
        keeper.confining_options("", "me")


def test_the_keeper_does_nothing_else_for_who_asks(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    (tmp_path / "other").touch()
    made = keeper.Keeper(None)
    made.remove_at_the_end([str(tmp_path / "mine")])
    with pytest.raises(EngineError, match="cannot be"):
        made.remove_at_the_end([str(tmp_path / "other")])
    with pytest.raises(EngineError, match="cannot be"):
        made.spawn(1 << 20, [0, 1, 2, 0, 1])
    with pytest.raises(EngineError, match="cannot be"):
        made.kill()
    made.close()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    with pytest.raises(EngineError):
        made.poll()


def test_the_keeper_connects_beside_a_vsock_only(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("vm_52", "vm_", "vm", "other_52", "vm_52_x")]
    with ExitStack() as stack:
        for place in places:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(place))
            listener.listen()
        made = keeper.Keeper(None)
        stack.callback(made.close)
        made.remove_at_the_end([], [str(tmp_path / "vm")])
        with made.connect(str(places[0])) as program:
            assert program.getpeername() == str(places[0])
            assert not program.getblocking()
        with pytest.raises(FileNotFoundError):
            made.connect(str(tmp_path / "vm_53"))
        for place in places[1:]:
            with pytest.raises(EngineError, match="cannot be"):
                made.connect(str(place))


@as_root
def test_the_keeper_connects_as_the_user_and_stays_root() -> None:
    folder = tempfile.mkdtemp()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(f"{folder}/vm_1")
        listener.listen()
        made = keeper.Keeper(None, USER)
        stack.callback(made.close)
        made.remove_at_the_end([], [f"{folder}/vm"])
        os.chmod(f"{folder}/vm_1", 0o700)
        with pytest.raises(PermissionError):
            made.connect(f"{folder}/vm_1")
        os.chmod(f"{folder}/vm_1", 0o777)
        made.connect(f"{folder}/vm_1").close()
        with listener.accept()[0] as program:
            _, user, _ = struct.unpack("3i", program.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        assert user == pwd.getpwnam(USER).pw_uid
        users, groups, more, _ = rights(made._pid)
        assert users == groups == {0}
        assert more == set(os.getgroups())


def test_the_keeper_survives_any_message() -> None:
    made = keeper.Keeper(None)
    wrong = (b'{"do": []}', b'{"do": "remove", "files": [1], "vsocks": []}', b'{"do": "connect", "to": 1}')
    for message in (b"{", b"[]", b'"x"', b"\xff", *wrong, b"x" * 5000):
        made._link.send(message)
        assert b"error" in made._link.recv(4096)
    made.close()


def test_a_socket_that_is_gone_before_the_walls_is_one_line(tmp_path: Path) -> None:
    from lguest_py.cli.confinement import Confinement

    made = Confinement(walls=False)
    made._initrd, made._made, made._sockets, made._vsocks = None, [], [str(tmp_path / "gone")], []
    made._keeper = keeper.Keeper(None)
    try:
        with pytest.raises(LguestError, match=r"gone is gone \(No such file or directory\): start the Guest anew"):
            made.confine()
    finally:
        made._keeper.close()


@as_root
def test_with_kvm_no_qemu_is_asked_for_its_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from lguest_py.cli.confinement import Confinement
    from lguest_py.engines import Choice
    from lguest_py.hardware import Console
    from lguest_py.launcher.launcher import Settings

    monkeypatch.setattr(keeper, "find_qemu", lambda: None)
    with ExitStack() as stack:
        settings = Settings(None, devices=(Console(str(tmp_path / "socket")),))  # type: ignore[arg-type]
        choice = Choice(lambda size: None, "another", "")  # type: ignore[arg-type, return-value]
        assert Confinement(USER, None).engine(choice, settings, stack) is choice.make
