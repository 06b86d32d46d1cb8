# SPDX-License-Identifier: GPL-2.0-or-later
"""A Guest that is traced: from its start, while it runs, by several, over a restart, and no more.

On kvm test_trace_engine.py is run each time, and this nightly.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from trace_lab import timeline

from lguest_py.control.client import Running, exchange
from lguest_py.shared_memory.mailbox import vector_name
from lguest_py.trace.stream import Stream, Switch

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300  # the carrier is slow
pytestmark = pytest.mark.usefixtures("runtime")
Ran = subprocess.CompletedProcess[str]


def command(*words: str, given: str = "") -> Ran:
    return subprocess.run(
        [sys.executable, "-m", "lguest_py", *words],
        input=given, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip


def done(*words: str, given: str = "") -> str:
    ran = command(*words, given=given)
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return ran.stdout


def boot(engine: str, *words: str) -> str:
    return done("boot", "--quiet", "--detach", "--engine", engine, "--memory", "16M", *words).strip()


class Reader:
    """Who traces a running Guest."""

    def __init__(self, name: str, rate: int = 0) -> None:
        self.connection = Running(name).connect()
        exchange(self.connection, name, {"do": "trace", "rate": rate})
        self.stream, self.items = Stream(name), list[Any]()

    def read(self, seconds: float = 0.2, until: Any = None) -> None:
        """What comes in this time, or until there is an item like that."""
        self.connection.settimeout(0.05)
        limit = time.monotonic() + (SECONDS if until else seconds)
        while time.monotonic() < limit:
            try:
                self.connection.send(b"\n")
                data = self.connection.recv(1 << 18)
            except TimeoutError:
                continue
            if not data:
                break
            self.items += self.stream.feed(data)
            if until and any(map(until, self.items)):
                break

    def switches(self) -> list[Switch]:
        return [each for each in self.items if isinstance(each, Switch)]


@pytest.mark.nightly("kvm")
def test_every_switch_of_a_boot_is_in_it(engine_name: str, tmp_path: Path) -> None:
    file = str(tmp_path / "trace")
    how = "--engine", engine_name, "--memory", "16M", "--json", "--trace", file
    ran = command("boot", *how, str(ROOT / "lguest_py/_images/guest.elf"), "run=uptime")
    assert ran.returncode == 0, ran
    counted = json.loads(ran.stdout)["switches"]["by_cause"]
    found = [json.loads(line) for line in done("trace", "--json", "--read", file).splitlines()]
    traced = Counter(each["vector_name"] for each in found if "cause" in each)
    assert traced == counted
    assert all(each["lost"] == 0 for each in found if "cause" in each)
    calls = [each for each in found if each.get("cause") == "hypercall LGUEST_INIT"]
    assert [each["ring"] for each in calls] == [1]
    assert any(each.get("symbol", "").startswith("guest_main") for each in found)
    table = done("trace", "--top", "--read", file)
    assert f"{sum(traced.values()):,} world switches" in table
    perfetto = tmp_path / "perfetto"
    assert done("trace", "--perfetto", str(perfetto), "--read", file) == ""
    shown = timeline(perfetto.read_bytes())
    assert len(shown.on("Guest")) == sum(traced.values())
    assert shown.on("Launcher")


@pytest.mark.nightly("kvm")
def test_a_running_guest_while_it_is_wanted_and_no_longer(engine_name: str) -> None:
    name = boot(engine_name)
    reader = Reader(name)
    reader.read(until=lambda each: isinstance(each, Switch) and each.host_ns)
    second = Reader(name)
    second.read(until=lambda each: isinstance(each, Switch))
    reader.read(until=lambda each: isinstance(each, Switch) and each.at_ns >= second.switches()[0].at_ns)
    ours = {each.at_ns for each in reader.switches()}
    assert second.switches()[0].at_ns in ours, "both see the same"
    for each in (reader, second):
        each.connection.close()
    again = Reader(name)
    again.read(until=lambda each: isinstance(each, Switch))
    between = again.switches()[0].at_ns - reader.switches()[-1].at_ns
    assert between > 0
    assert not again.switches()[0].lost, "nothing was recorded meanwhile"
    again.connection.close()
    assert vector_name(again.switches()[0].vector)


@pytest.mark.nightly("kvm")
def test_one_that_is_paused_is_traced_when_it_goes_on(engine_name: str) -> None:
    name = boot(engine_name)
    done("pause", name)
    reader = Reader(name)
    reader.read()
    assert reader.switches() == []
    done("resume", name)
    reader.read(until=lambda each: isinstance(each, Switch))
    reader.connection.close()


@pytest.mark.nightly("kvm")
def test_samples_have_the_stacks_of_the_kernel(engine_name: str, tmp_path: Path) -> None:
    file, folded = str(tmp_path / "trace"), tmp_path / "folded"
    how = "--engine", engine_name, "--memory", "16M", "--quiet", "--trace", file, "--trace-rate", "5000"
    ran = command("boot", *how, str(ROOT / "lguest_py/_images/guest.elf"), "run=bench fault-filled hypercall-switch")
    assert ran.returncode == 0, ran
    assert done("trace", "--read", file, "--folded", str(folded)) == ""
    stacks = Counter({stack: int(count) for stack, count in (
        line.rsplit(" ", 1) for line in folded.read_text().splitlines())})  # fmt: skip
    assert any(stack.startswith("[kernel];") for stack in stacks)
    assert any("[Host kernel: " in stack for stack in stacks), "of a world switch, much is its work"
    assert sum(stacks.values()) > 20


@pytest.mark.nightly("kvm")
def test_a_guest_that_starts_again_is_traced_on(engine_name: str, tmp_path: Path) -> None:
    file = str(tmp_path / "trace")
    typed = "reboot\npoweroff\n"
    ran = command("boot", "--engine", engine_name, "--quiet", "--memory", "16M", "--trace", file, given=typed)
    assert ran.returncode == 0, ran
    found = [json.loads(line) for line in done("trace", "--json", "--read", file).splitlines()]
    assert [each["facts"]["machine"] for each in found if "facts" in each] == [1, 2]
    assert "# the Guest started again: boot 2" in done("trace", "--read", file)


@pytest.mark.nightly("kvm")
def test_a_guest_that_was_saved_while_it_was_traced(engine_name: str, tmp_path: Path) -> None:
    file, traced = str(tmp_path / "saved"), str(tmp_path / "trace")
    name = boot(engine_name, "--name", "first")
    reader = Reader(name)
    reader.read(until=lambda each: isinstance(each, Switch))
    done("save", "--stop", name, file)
    reader.connection.close()
    how = "--quiet", "--detach", "--engine", engine_name
    done("restore", *how, "--name", "plain", file)
    done("restore", *how, "--name", "traced", "--trace", traced, file)
    later = Reader("plain")
    later.read(until=lambda each: isinstance(each, Switch))
    assert all(each.at_ns > reader.switches()[0].at_ns for each in later.switches())
    later.connection.close()
    Running("plain").stop()
    Running("traced").stop()
    assert "world switches" in done("trace", "--top", "--read", traced)


@pytest.mark.nightly("kvm")
def test_ctrl_c_ends_the_trace_and_not_the_guest(engine_name: str) -> None:
    name = boot(engine_name)
    made = subprocess.Popen(
        [sys.executable, "-m", "lguest_py", "trace", "--top", name],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not tracers(name):
        time.sleep(0.05)
    time.sleep(0.5)
    made.send_signal(signal.SIGINT)
    out, err = made.communicate(timeout=SECONDS)
    assert (made.returncode, err) == (0, "")
    assert "world switches" in out
    assert Running(name).stat()["state"] == "running"
    assert not tracers(name)


def tracers(name: str) -> int:
    """How many programs trace it."""
    found = Running(name).stat()["tracers"]
    assert isinstance(found, int)
    return found


@pytest.mark.nightly("kvm")
def test_a_reader_that_is_killed_or_does_not_read_costs_the_guest_nothing(engine_name: str) -> None:
    name = boot(engine_name, str(ROOT / "lguest_py/_images/guest.elf"))
    silent = Reader(name)
    killed = Reader(name)
    killed.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    killed.connection.close()
    while tracers(name) > 1:
        time.sleep(0.05)
    before = Running(name).stat()["switches"]
    while Running(name).stat()["switches"] < before + 5:
        time.sleep(0.05)
    silent.connection.close()


@pytest.mark.nightly("kvm")
def test_what_a_request_may_not_ask(engine_name: str) -> None:
    name = boot(engine_name)
    for rate in (-1, 0.5, 10_001, True, "many", None):
        with Running(name).connect() as connection, pytest.raises(Exception, match="rate is a whole number"):
            exchange(connection, name, {"do": "trace", "rate": rate})
    readers = [Reader(name) for _ in range(8)]
    with Running(name).connect() as connection, pytest.raises(Exception, match="8 programs trace it"):
        exchange(connection, name, {"do": "trace"})
    for each in readers:
        each.connection.close()
    assert os.path.exists(f"/proc/{Running(name).stat()['pid']}")
