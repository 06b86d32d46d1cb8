# SPDX-License-Identifier: GPL-2.0-or-later
"""Much input arrives whole, by each way in: a pipe, a paste at a terminal, the library; typed ahead and read later.

More than 128 KiB, which a driver that never finds its serial port empty gives up behind.  Read before:
tests/host_kernel/test_uart_model.py, the port by itself.  In the carrier each takes minutes, so there they are nightly.
"""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from pty_session import Session

import lguest_py
from lguest_py.kernels.stock import Kernel
from lguest_py.launcher.result import End

ROOT = Path(__file__).resolve().parents[2]
NAME = "debian-6.1-686"
LIMIT = 1200  # seconds for a run; the carrier is slow
MUCH = 160_000  # bytes
CALM = 1_000_000  # bytes that a Guest which does not read may hold, with all on the way; far less than what is sent


def lines(size: int, start: str = "") -> bytes:
    """So many bytes of text, no two lines alike, and none that a terminal would change."""
    text = "".join(
        f"{start}{n:06} abcdefghijklmnopqrstuvwxyz 0123456789\n" for n in range(size // (43 + len(start)) + 1)
    )
    return text.encode()


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def boot(engine_name: str, *words: str) -> list[str]:
    return ["-m", "lguest_py", "boot", "--engine", engine_name, "--timeout", str(LIMIT), *words]


def piped(typed: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run Python with this input by a pipe."""
    return subprocess.run([sys.executable, *arguments], input=typed, capture_output=True, cwd=ROOT, timeout=LIMIT + 60)


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize("kernel_words", [["quiet"], []], ids=["quiet", "loud"])
def test_a_pipe_to_an_unmodified_kernel(engine_name: str, stock: Kernel, kernel_words: list[str]) -> None:
    sent = lines(MUCH)
    command = 'run="stty -echo; md5sum"'
    done = piped(sent, *boot(engine_name, "--guest-status", NAME, *kernel_words, command))
    assert done.returncode == 0, done
    assert md5(sent).encode() in done.stdout


@pytest.mark.nightly
def test_ten_megabytes_through_a_pipe(engine_name: str, stock: Kernel) -> None:
    sent = lines(10_000_000)
    command = 'run="stty -echo; md5sum"'
    words = boot(engine_name, "--timeout", "14400", "--guest-status", NAME, "quiet", command)
    done = subprocess.run([sys.executable, *words], input=sent, capture_output=True, cwd=ROOT)
    assert done.returncode == 0, done
    assert md5(sent).encode() in done.stdout


@pytest.mark.nightly("kvm")
def test_a_program_sends_binary_data_to_a_reader_that_sleeps(engine_name: str, stock: Kernel) -> None:
    sent = os.urandom(MUCH)
    command = f"stty raw -echo; echo READY; sleep 4; head -c {MUCH} | md5sum"
    with lguest_py.Machine(
        NAME,
        engine=engine_name,  # type: ignore[arg-type]
        command_line=f'quiet run="{command}"',
        timeout=LIMIT,
    ) as machine:
        machine.console.expect("READY", timeout=LIMIT)
        machine.console.send(sent)
        machine.console.expect(md5(sent), timeout=LIMIT)
        assert machine.wait(LIMIT).outcome.end is End.POWERED_OFF


@pytest.mark.nightly("kvm")
def test_a_paste_while_the_kernel_boots_and_at_its_prompt(engine_name: str, stock: Kernel) -> None:
    sent = lines(MUCH)
    session = Session(*boot(engine_name, NAME, "quiet", 'run="stty -echo; md5sum; echo READY; md5sum"'))
    os.set_blocking(session.master, False)
    deadline = time.monotonic() + LIMIT

    def paste(data: bytes, answer: bytes) -> None:
        while data or answer not in session.shown:
            assert time.monotonic() < deadline, f"{len(data)} bytes are left: {session.shown[-2000:]!r}"
            select.select([session.master], [session.master] if data else [], [], 1)
            with suppress(BlockingIOError):
                data = data[os.write(session.master, data[:4096]) :] if data else data
            with suppress(BlockingIOError):
                session.shown += os.read(session.master, 65536)

    try:
        while b"personality" not in session.shown:  # the terminal is raw from here on
            session.look(1)
            assert time.monotonic() < deadline
        paste(sent + b"\x04", md5(sent).encode())
        while b"READY" not in session.shown:
            session.look(1)
            assert time.monotonic() < deadline
        again = lines(MUCH, "again ")
        paste(again + b"\x04", md5(again).encode())
        while session.process.poll() is None:
            session.look(0.5)
            assert time.monotonic() < deadline
        assert session.process.returncode == 0
    finally:
        session.close()


@pytest.mark.nightly("kvm")
def test_who_writes_waits_for_a_guest_that_does_not_read(engine_name: str, stock: Kernel) -> None:
    words = boot(engine_name, "--guest-status", NAME, "quiet", 'run="stty -echo; sleep 8"')
    process = subprocess.Popen(
        [sys.executable, *words], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT, bufsize=0
    )
    assert process.stdin
    sent, left = 0, lines(2_000_000)

    def write() -> None:
        nonlocal sent
        assert process.stdin
        with suppress(BrokenPipeError):
            while sent < len(left):
                sent += os.write(process.stdin.fileno(), left[sent : sent + 4096])

    writer = threading.Thread(target=write)
    writer.start()
    assert process.wait(LIMIT) == 0
    writer.join()
    process.stdin.close()
    assert 4096 < sent < CALM


# --- the other personality: its console is a virtio device -----------------------------------------------------------


def echoes(count: int) -> list[str]:
    return [f"echo {n:05} {'x' * (n % 40)}" for n in range(count)]


@pytest.mark.nightly("kvm")
def test_a_pipe_to_the_tiny_guest(engine_name: str) -> None:
    commands = echoes(4500)
    typed = "".join(f"{command}\n" for command in commands).encode()
    assert len(typed) > 1 << 17
    done = piped(typed, *boot(engine_name))
    assert done.returncode == 0, done.stderr
    answers = [line for line in done.stdout.decode().replace("\r", "").split("\n") if line[:5].isdigit()]
    assert answers == [command[5:].rstrip() for command in commands]


@pytest.mark.nightly("kvm")
def test_a_program_sends_much_to_the_tiny_guest(engine_name: str) -> None:
    commands = echoes(4500)
    with lguest_py.Machine(engine=engine_name, timeout=LIMIT) as machine:  # type: ignore[arg-type]
        machine.console.send("".join(f"{command}\r" for command in commands) + "\x04")
        assert machine.wait(LIMIT).outcome.end is End.POWERED_OFF
        answers = [line for line in machine.console.output.replace("\r", "").split("\n") if line[:5].isdigit()]
    assert answers == [command[5:].rstrip() for command in commands]
