# SPDX-License-Identifier: GPL-2.0-or-later
"""Every end of a run, and that each leaves nothing behind."""

from __future__ import annotations

import math
import os
from collections.abc import Generator

import pytest
from fake_engine import AGAIN, WAIT, ConsoleDriver, FakeEngine, Script, fake_images
from launcher_lab import Lab, lab, pipes, power_off

from lguest_py.console.streams import Output
from lguest_py.console.terminal import QuitRequested
from lguest_py.errors import LguestError
from lguest_py.launcher.launcher import EARLY_RESTARTS, INBOX_LIMIT
from lguest_py.launcher.result import End
from lguest_py.shared_memory import _layouts as L

pytestmark = pytest.mark.usefixtures("fake_images")
__all__ = ["fake_images", "lab", "pipes"]


@pytest.mark.parametrize(
    ("kind", "end", "status"),
    [
        (L.END_POWER_OFF, End.POWERED_OFF, 0),
        (L.END_PANIC, End.PANICKED, 3),
        (L.END_KILLED, End.KILLED, 3),
        (L.END_TRIPLE_FAULT, End.TRIPLE_FAULT, 3),
        (L.END_HALTED, End.HALTED, 3),
        (L.END_INTERNAL, End.INTERNAL_ERROR, 1),
        (L.END_NONE, End.INTERNAL_ERROR, 1),
        (77, End.INTERNAL_ERROR, 1),
    ],
)
def test_every_end_has_its_status(lab: Lab, kind: int, end: End, status: int) -> None:
    def script(engine: FakeEngine) -> Generator[str, None, None]:
        engine.end(kind, b"the reason\x1b[2J\0rubbish")
        yield AGAIN

    result = lab.run(script)
    assert (result.outcome.end, result.status) == (end, status)
    if kind in (L.END_PANIC, L.END_KILLED):
        assert result.outcome.reason == "the reason [2J"
    assert lab.engines[0].closed


def test_a_machine_that_breaks_is_an_error_of_ours(lab: Lab) -> None:
    def script(engine: FakeEngine) -> Generator[str, None, None]:
        engine.broken = "triple fault"
        yield AGAIN

    result = lab.run(script)
    assert (result.outcome.end, result.outcome.reason, result.status) == (End.MACHINE_FAILED, "triple fault", 1)
    assert result.debug_text == "debug\n"


def restarting(engine: FakeEngine) -> Generator[str, None, None]:
    assert engine.mailbox["end_kind"] == 0
    engine.memory[0x5000] += 1
    assert engine.memory[0x5000] == 1, "memory of the boot before"
    engine.end(L.END_RESTART)
    yield AGAIN


def test_a_restart_is_a_new_machine(lab: Lab) -> None:
    result = lab.run(restarting, restarting, power_off)
    assert (result.status, result.restarts) == (0, 2)
    assert [engine.closed for engine in lab.engines] == [True] * 3
    assert lab.lines == ["the Guest restarts (1)", "the Guest restarts (2)"]


def test_a_restart_tells_its_reason(lab: Lab) -> None:
    def script(engine: FakeEngine) -> Generator[str, None, None]:
        engine.end(L.END_RESTART, b"by the reset register")
        yield AGAIN

    lab.run(script, power_off)
    assert lab.lines == ["the Guest restarts (1): by the reset register"]


def test_restarts_before_anything_was_done_end_the_run(lab: Lab) -> None:
    result = lab.run(*[restarting] * 10)
    assert (result.outcome.end, result.status, result.restarts) == (End.RESTART_LOOP, 3, EARLY_RESTARTS - 1)
    assert result.outcome.reason == "5 times in a row before it printed anything or ran a program"
    assert len(lab.engines) == EARLY_RESTARTS
    assert all(engine.closed for engine in lab.engines)


def test_a_word_said_or_a_program_run_makes_a_restart_an_ordinary_one(lab: Lab) -> None:
    def speaks(engine: FakeEngine) -> Generator[str, None, None]:
        engine.early_text(b".")
        yield from restarting(engine)

    def runs(engine: FakeEngine) -> Generator[str, None, None]:
        engine.mailbox["rings_seen"] = 0b1010
        yield from restarting(engine)

    early = [restarting] * (EARLY_RESTARTS - 1)
    result = lab.run(*early, speaks, *early, runs, *early, *[speaks, runs] * EARLY_RESTARTS, power_off)
    assert (result.outcome.end, result.restarts) == (End.POWERED_OFF, len(lab.engines) - 1)


def test_a_machine_is_stopped_before_its_mailbox_is_read(lab: Lab) -> None:
    """A Guest spins for ever behind its panic: what is read must not change meanwhile, and its last words come out."""

    class Spins(FakeEngine):
        def stop(self) -> None:
            self.mailbox["switches"] = self.mailbox["switch_head"] = 70
            self.early_text(b" and last")
            super().stop()

    lab.engine = Spins
    result = lab.run(busy_once, timeout=0.1)
    assert (result.outcome.end, result.snapshot.switches) == (End.TIME_LIMIT, 70)
    assert lab.engines[0].stopped
    assert lab.pipes.close() == b"first and last"


def busy_once(engine: FakeEngine) -> Generator[str, None, None]:
    engine.early_text(b"first")
    while True:
        yield WAIT


def test_a_restart_can_be_the_end(lab: Lab) -> None:
    result = lab.run(restarting, restart=False)
    assert (result.outcome.end, result.status, result.restarts) == (End.RESTARTED, 0, 0)


def idle(engine: FakeEngine) -> Generator[str, None, None]:
    while True:
        yield WAIT


def busy(engine: FakeEngine) -> Generator[str, None, None]:
    while True:
        engine.early_text(b".")
        yield AGAIN


def restart_forever(engine: FakeEngine) -> Generator[str, None, None]:
    engine.early_text(b"up\n")
    yield from restarting(engine)


@pytest.mark.parametrize("script", [idle, busy, restart_forever])
def test_the_time_limit_ends_whatever_goes_on(lab: Lab, script: Script) -> None:
    result = lab.run(*[script] * 10000, timeout=0.2)
    assert (result.outcome.end, result.status) == (End.TIME_LIMIT, 4)
    assert all(engine.closed for engine in lab.engines)


def test_the_time_limit_holds_against_a_reader_that_never_reads(lab: Lab) -> None:
    def script(engine: FakeEngine) -> Generator[str, None, None]:
        driver = ConsoleDriver(engine)
        driver.write(b"x" * 0x100000, 0, 0x100000)
        yield from power_off(engine)

    lab.pipes.go.clear()
    assert lab.run(script, timeout=0.2).status == 4


def test_output_that_nobody_reads_any_more_ends_the_run(lab: Lab) -> None:
    read, write = os.pipe()
    os.close(read)
    lab.pipes.output = Output(write)
    assert lab.run(busy).status == 141
    os.close(write)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_an_error(lab: Lab) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    lab.pipes.output = Output(full)
    with pytest.raises(LguestError, match="No space left"):
        lab.run(busy)
    os.close(full)
    assert lab.engines[0].closed


def bad_ring(engine: FakeEngine) -> Generator[str, None, None]:
    driver = ConsoleDriver(engine)
    engine.early_text(b"before")
    driver.transmit.receive(0, 0xFFFFFFF0, 0x100)
    engine.notify(driver.transmit.address)
    yield WAIT


def bad_notify(engine: FakeEngine) -> Generator[str, None, None]:
    engine.notify(engine.machine["guest_bytes"] + 0x800)
    yield WAIT


@pytest.mark.parametrize(("script", "why"), [(bad_ring, "0xfffffff0"), (bad_notify, "0x400800")])
def test_a_guest_that_breaks_a_device_rule_is_killed(lab: Lab, script: Script, why: str) -> None:
    result = lab.run(script)
    assert (result.outcome.end, result.status) == (End.KILLED, 3)
    assert why in result.outcome.reason
    assert lab.engines[0].closed


def test_a_host_kernel_out_of_step_is_an_error_of_ours(lab: Lab) -> None:
    def script(engine: FakeEngine) -> Generator[str, None, None]:
        engine.mailbox["notify_head"] = L.NOTIFY_RECORDS + 1
        yield WAIT

    with pytest.raises(LguestError, match="notify ring"):
        lab.run(script)
    assert lab.engines[0].closed


class Typing:
    """A person who holds a key until they leave."""

    interactive = True
    size = None

    def __init__(self, leave_after: int) -> None:
        self._fd = os.open("/dev/zero", os.O_RDONLY)
        self.read_so_far = 0
        self._leave_after = leave_after

    def fileno(self) -> int:
        return self._fd

    def read(self) -> bytes:
        if self.read_so_far >= self._leave_after:
            os.close(self._fd)
            raise QuitRequested
        self.read_so_far += 4096
        return bytes(4096)

    def prepare_wait(self) -> float:
        return math.inf

    def end_of_input(self) -> bytes:
        raise AssertionError("it never ends")


def test_a_person_can_leave_a_guest_that_does_not_listen(lab: Lab) -> None:
    result = lab.run(idle, source=Typing(3 * 4096))
    assert (result.outcome.end, result.status) == (End.LEFT, 130)
    assert lab.engines[0].closed


def test_what_is_typed_ahead_is_bounded(lab: Lab) -> None:
    source = Typing(1 << 30)
    assert lab.run(idle, source=source, timeout=0.3).status == 4
    assert source.read_so_far == INBOX_LIMIT
