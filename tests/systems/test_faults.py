# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults around a Launcher: what it needs is killed, full, gone, stopped or scarce.  It ends clearly, or goes on.

Nothing is left behind in any case: no process, no socket, no temporary file, no mode of the terminal.
Faults in parts of it have tests of their own: a tap and a passt that are gone (tests/networks), a full disk of the
machine (tests/devices/test_block.py, tests/launcher/test_report_files.py), job control (tests/console).
Read next: tests/lab/sandbox/process_lab.py.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pty_session
import pytest
from process_lab import PATIENCE, ROOT, Run, alive, family, gone, program
from pty_session import Session, modes

from lguest_py.control.client import running
from lguest_py.launcher.vm_memory import built

pytestmark = [pytest.mark.engine, pytest.mark.nightly("kvm")]
PROMPT = b"lguest> "
Start = Callable[..., Run]


@pytest.fixture
def start(engine_name: str, tmp_path: Path) -> Iterator[Start]:
    """Boot with all devices that leave something behind."""
    runs: list[Run] = []
    (tmp_path / "share").mkdir()
    (tmp_path / "disk").write_bytes(bytes(1 << 20))

    def one(*arguments: str, **more: object) -> Run:
        devices = (
            "--console", f"{tmp_path}/console", "--vsock", f"{tmp_path}/vsock", "--share", f"{tmp_path}/share",
            "--disk", f"{tmp_path}/disk,overlay",
        )  # fmt: skip
        runs.append(Run(tmp_path, "--engine", engine_name, *devices, *arguments, **more))
        return runs[-1]

    yield one
    for run in runs:
        pids = family(run.process.pid)
        run.process.kill()
        run.process.communicate()
        gone(pids)


@pytest.fixture
def at_terminal(engine_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """Boot at a pseudo-terminal, to the prompt."""
    monkeypatch.setattr(pty_session, "PATIENCE", PATIENCE)
    session = Session("-m", "lguest_py", "boot", "--engine", engine_name)
    try:
        session.wait_for(PROMPT)
        yield session
    finally:
        session.process.kill()
        session.process.wait()
        for end in (session.master, session.slave):
            with suppress(OSError):
                os.close(end)


def no_socket(folder: Path) -> bool:
    return not [path for path in folder.iterdir() if path.is_socket()]


def test_an_engine_that_is_killed_is_named(start: Start, engine_name: str, tmp_path: Path) -> None:
    if engine_name == "kvm":
        pytest.skip("the engine is the Launcher's own process")
    run = start()
    run.wait_for(PROMPT)
    for pid in run.engine_pids():
        os.kill(pid, signal.SIGKILL)
    status, err = run.finish()
    assert (status, "QEMU was killed by signal 9" in err) == (1, True), err
    assert no_socket(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_launcher_that_is_killed_takes_all_of_it_along(start: Start, number: signal.Signals, tmp_path: Path) -> None:
    run = start()
    run.wait_for(PROMPT)
    run.process.send_signal(number)
    status, _ = run.finish()
    assert status == (143 if number == signal.SIGTERM else -number)
    until = time.monotonic() + PATIENCE
    while not no_socket(tmp_path):  # the process outside of the walls removes them
        assert time.monotonic() < until
        time.sleep(0.02)


def test_whoever_starts_qemu_may_die_too(
    start: Start, engine_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine_name == "kvm":
        pytest.skip("there is no QEMU")
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(sockets))
    run = start()
    run.wait_for(PROMPT)
    qemu, *_ = run.engine_pids()
    line = Path(f"/proc/{qemu}/stat").read_text().rpartition(")")[2].split()
    os.kill(int(line[1]), signal.SIGKILL)  # its parent
    status, err = run.finish()
    assert status == 1
    assert err.count("\n") < 60
    assert not alive(qemu)
    assert running() == []  # who would have removed the Guest's socket is dead: whoever looks does that
    assert list(sockets.iterdir()) == []


def test_a_reader_that_is_gone_ends_it(start: Start, tmp_path: Path) -> None:
    run = start(str(built("guest.elf")), "run=memory")
    assert run.process.stdout
    run.process.stdout.close()
    pids = family(run.process.pid)
    assert run.process.wait(PATIENCE) == 141
    gone(pids)
    assert no_socket(tmp_path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_under_the_output_is_one_line(engine_name: str) -> None:
    command = [sys.executable, "-m", "lguest_py", "boot", "--quiet", "--engine", engine_name]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == (
        "lguest-py: the console's output cannot be written (No space left on device): give it another place\n"
    )


def test_a_full_disk_under_the_core_leaves_no_file(engine_name: str, tmp_path: Path) -> None:
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("only root can mount a small disk, with unshare(1)")
    boot = f"{sys.executable} -m lguest_py boot --quiet --engine {engine_name} --core {tmp_path}/core"
    script = f"mount -t tmpfs -o size=64k none {tmp_path} && echo halt | {boot}; echo status $?; ls {tmp_path}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("\nstatus 3\n"), done.stdout
    assert f"--core {tmp_path}/core could not be written (No space left on device)" in done.stderr


def test_a_terminal_that_hangs_up_ends_all_of_it(at_terminal: Session) -> None:
    pids = family(at_terminal.process.pid)
    os.close(at_terminal.master)
    os.close(at_terminal.slave)
    at_terminal.master = at_terminal.slave = -1
    assert at_terminal.process.wait(PATIENCE) == 128 + signal.SIGHUP
    gone(pids)


def test_an_engine_that_is_killed_leaves_the_terminal_as_it_was(at_terminal: Session, engine_name: str) -> None:
    if engine_name == "kvm":
        pytest.skip("the engine is the Launcher's own process")
    for pid in family(at_terminal.process.pid):
        if program(pid).startswith("qemu-system"):
            os.kill(pid, signal.SIGKILL)
    assert at_terminal.end() == 1
    assert modes(at_terminal.slave) == at_terminal.before


@pytest.mark.nightly
@pytest.mark.parametrize("seconds", [60])
@pytest.mark.parametrize("who", ["all", "launcher", "engine"])
def test_a_minute_of_sigstop_is_survived(start: Start, engine_name: str, who: str, seconds: int) -> None:
    run = start()
    run.wait_for(PROMPT)
    pids = {"all": family(run.process.pid), "launcher": [run.process.pid], "engine": run.engine_pids()}[who]
    if not pids:
        pytest.skip("the engine is the Launcher's own process")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)  # nothing can be waited for: they are stopped
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)
    run.type(b"echo still there\n")
    for _ in ("typed", "answered"):
        run.wait_for(b"still there")
    assert run.finish(b"poweroff\n")[0] == 0


# Bytes of address space, from what Python alone needs to what suffices.
@pytest.mark.parametrize("limit", [150, 250, 400, 700, 1400, 1700])
def test_too_little_memory_is_a_line_or_enough(start: Start, limit: int) -> None:
    run = start(
        "--memory", "128M", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit << 20, limit << 20))
    )
    status, err = run.finish(b"poweroff\n")
    assert status in (0, 1, 5), err
    if status:
        last = [line for line in err.splitlines() if line.startswith("lguest-py: ")][-1]
        assert "memory" in last.lower() or "QEMU" in last, err


# The clock of the whole machine is not ours to step, so its readings are: a day on and two days back.
STEPPED = """
import sys, time
from lguest_py.cli import main
real, calls = time.time, [0]
def stepped():
    calls[0] += 1
    return real() + (86400 if calls[0] % 2 else -2 * 86400)
time.time = stepped
time.time_ns = lambda: int(stepped() * 10**9)
sys.exit(main())
"""


def test_a_clock_that_is_stepped_moves_no_limit(engine_name: str) -> None:
    command = [sys.executable, "-c", STEPPED, "boot", "--timeout", "500", "--engine", engine_name]
    done = subprocess.run(
        command, cwd=ROOT, input="uptime\nreboot\nuptime\npoweroff\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    limited = subprocess.run(
        [sys.executable, "-c", STEPPED, "boot", "--timeout", "1.5", "--engine", engine_name, str(built("guest.elf"))],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert limited.returncode in (0, 4), limited.stderr


def test_a_tap_that_is_deleted_does_not_end_the_guest(start: Start) -> None:
    if os.geteuid() or not shutil.which("ip") or not os.path.exists("/dev/net/tun"):
        pytest.skip("needs root, ip(8) and /dev/net/tun")
    name = f"lgt{os.getpid()}"
    run = start("--net", f"tap:{name}")
    run.wait_for(PROMPT)
    with suppress(subprocess.CalledProcessError):
        subprocess.run(["ip", "link", "delete", name], check=True, capture_output=True)
    status, err = run.finish(b"poweroff\n")
    assert status == 0, err
