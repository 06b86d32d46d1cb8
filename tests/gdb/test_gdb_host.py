# SPDX-License-Identifier: GPL-2.0-or-later
"""``boot --gdb`` and ``lguest-py gdb`` as a user has them: the Guest, and the Host kernel as a second inferior.

Read next: test_gdb_guest.py; tests/control/test_running.py, the other verbs.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from gdb_lab import SECONDS, gdb, needs_gdb

from lguest_py import __version__
from lguest_py.errors import UsageError
from lguest_py.gdb.where import Where, where
from lguest_py.launcher.vm_memory import built

pytestmark = [needs_gdb, pytest.mark.usefixtures("runtime")]
ROOT = Path(__file__).resolve().parents[2]
CONNECT = f"target remote | {sys.executable} -m lguest_py gdb"
GUEST, HOST = built("guest.elf"), built("host_kernel.elf")


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lguest_py", *words],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=SECONDS, check=False,
    )  # fmt: skip


def boot(engine: str, *words: str) -> None:
    ran = command("boot", "--detach", "--name", "it", "--engine", engine, "--memory", "16M", *words)
    assert ran.returncode == 0, ran


def said(*words: str) -> str:
    """The one line of a command that cannot."""
    ran = command(*words)
    assert ran.returncode, ran
    (line,) = ran.stderr.splitlines()
    return line


@pytest.mark.nightly("kvm")
def test_the_host_kernel_below_a_breakpoint_of_the_guests(engine_name: str, tmp_path: Path, runtime: Path) -> None:
    boot(engine_name, "--gdb")
    assert sorted(each.name for each in (runtime / "lguest-py").iterdir()) == ["it.host", "it.sock"]
    assert all(each.stat().st_mode & 0o777 == 0o600 for each in (runtime / "lguest-py").iterdir())
    breaks = ["break handle_trap"] if engine_name == "tcg" else []
    out = gdb(
        [
            f"{CONNECT} it", "break guest_main", "continue",
            f"add-inferior -exec {HOST} -no-connection", "inferior 2", f"{CONNECT} --host-kernel it",
            "bt", "print guest.halted", "print/x guest.regs->eip", "print/x $cs", "print $cr0 >> 31 & 1", *breaks,
            "stepi", "detach", "inferior 1", "delete", "detach",
        ],
        GUEST,
    )  # fmt: skip
    for frame in ("stand_still", "run ()", "host_main", "_start"):
        assert frame in out, out
    assert "$1 = false" in out
    (main,) = (line.split()[-1] for line in out.splitlines() if line.startswith("$2 ="))
    assert f"Breakpoint 1 at {main}" in out
    assert "$3 = 0x50" in out
    assert "$4 = 1" in out
    assert "Cannot insert breakpoint 1" in out, "gdb inserts the Guest's for a step here, and the machine stands still"
    now = command("stat", "--json", "it")
    assert now.returncode == 0, (now.stderr, out)
    assert json.loads(now.stdout)["state"] == "running", out
    if engine_name == "tcg":
        assert "Breakpoint 2 at" in out, out
        out = gdb([f"{CONNECT} --host-kernel it", "break handle_trap", "continue", "bt", "delete", "detach"], HOST)
        assert "handle_trap ()" in out, out
        assert "run () at host_kernel/core/run.c" in out, out
    else:
        steps = "stepi", "stepi", "info symbol $pc"
        out = gdb([f"{CONNECT} --host-kernel it", *steps, "break handle_trap", "continue", "detach"], HOST)
        assert "in section .text" in out, out
        assert "Cannot insert breakpoint 1" in out, out
    assert command("stop", "it").returncode == 0


@pytest.mark.nightly("kvm")
def test_the_other_verbs_while_gdb_has_it(engine_name: str, tmp_path: Path) -> None:
    """It may be looked at and saved, but not let go on; and who came too late is told."""
    boot(engine_name, "--gdb")
    inner = [
        f"{CONNECT} it",
        "break clock_init",
        "continue",
        f"shell {sys.executable} -m lguest_py resume it",
        f"shell {sys.executable} -m lguest_py stat it",
        f"shell {sys.executable} -m lguest_py pause it",
        f"shell {sys.executable} -m lguest_py save it {tmp_path / 'saved'}",
        f"shell {sys.executable} -m lguest_py gdb it < {os.devnull}",
        "next",
        "detach",
    ]
    out = gdb(inner, GUEST)
    assert "it: gdb has it stopped: let it go on there" in out, out
    assert "state: paused" in out
    assert "another gdb is attached to it: detach that" in out
    assert (tmp_path / "saved").stat().st_size > 0
    assert json.loads(command("stat", "--json", "it").stdout)["state"] == "running"
    assert command("stop", "it").returncode == 0
    ran = command("restore", "--detach", "--name", "it", "--engine", engine_name, "--gdb", str(tmp_path / "saved"))
    assert ran.returncode == 0, ran
    out = gdb([f"{CONNECT} it", "bt 1", "x/1xb clock_init", "detach"], GUEST)
    assert "#0  clock_init ()" in out, out
    assert "0xcc" not in out
    assert command("stop", "it").returncode == 0


def test_where_gdb_may_come_in(tmp_path: Path) -> None:
    """Wrong places are refused in a line, before anything is started."""
    for value, wrong in {
        "0.0.0.0:1234": "0.0.0.0 is not this machine's loopback",
        "192.0.2.1:1234": "192.0.2.1 is not this machine's loopback",
        "example.org:1234": "example.org is not this machine's loopback",
        "port": "port is no place for gdb",
        "0": "0 is no place for gdb",
        "65536": "65536 is no place for gdb",
        "unix:": "unix: is no place for gdb",
        "1234,wait": "unknown wait",
        "\x1b": "no place for gdb",
    }.items():
        with pytest.raises(UsageError, match=re.escape(wrong)) as error:
            where(value)
        assert str(error.value).isprintable()
    assert where("") == Where()
    assert where(",nowait") == Where(waits=False)
    assert where("1234") == where(":1234") == where("localhost:1234") == Where(host="127.0.0.1", port=1234)
    assert where("[::1]:99").target("it") == "[::1]:99"
    assert where("unix:a,,b,nowait") == Where(path="a,b", waits=False)
    assert "cannot be a socket for gdb" in said("boot", f"--gdb=unix:{tmp_path}/none/gdb", "--engine", "tcg")
    assert "boot the Guest with --gdb" in said("gdb", "--host-kernel", "it")


@pytest.mark.nightly("kvm")
def test_a_port(engine_name: str) -> None:
    """One that is this machine's, and one that another program has."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} cannot be listened at" in said("boot", f"--gdb={port}", "--engine", engine_name)
    boot(engine_name, f"--gdb={port},nowait")
    out = gdb([f"target remote :{port}", "print $pc != 0", "monitor info version", "monitor pt 0xc0100000", "detach"])
    assert "$1 = 1" in out, out
    assert f"lguest-py {__version__}" in out
    assert "c0100000 is 00100000, in a page of" in out
    assert command("stop", "it").returncode == 0
