# SPDX-License-Identifier: GPL-2.0-or-later
"""The native Guest's console, on a machine played by a script: the input ring, and a panic found in the output."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import replace

import pytest
from fake_engine import AGAIN, IMAGE, WAIT, FakeEngine, fake_images
from launcher_lab import MIB, Lab, lab, pipes, power_off

from lguest_py.console.streams import Input
from lguest_py.devices import panic
from lguest_py.devices.panic import PanicWatch
from lguest_py.devices.serial import Serial
from lguest_py.images import Segment
from lguest_py.launcher.result import End
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.mailbox import Mailbox

pytestmark = pytest.mark.usefixtures("fake_images")
__all__ = ["fake_images", "lab", "pipes"]
NATIVE = replace(IMAGE, personality="native", segments=(Segment(MIB, b"\xf4", 1),), entry=MIB, version="6.1.0")
Steps = Generator[str, None, None]


class Port:
    """The Launcher's end of a serial port, and the Guest's."""

    def __init__(self) -> None:
        self.inbox = bytearray()
        self.wakes = 0
        memory = memoryview(bytearray(MIB))
        self.mailbox = Mailbox(memory)
        self.view = self.mailbox._view
        self.serial = Serial(self.inbox, self.mailbox, self.wake)

    def wake(self) -> None:
        self.wakes += 1

    def take(self, count: int) -> bytes:
        return take(self.view, count)


def take(view: L.View, count: int) -> bytes:  # type: ignore[name-defined]
    """What the Guest reads from its serial port: at most ``count`` bytes."""
    tail = view["input_tail"]
    count = min(count, (view["input_head"] - tail) & 0xFFFFFFFF)
    ring = view.bytes("input")
    data = bytes(ring[(tail + n) % L.INPUT_BYTES] for n in range(count))
    view["input_tail"] = (tail + count) & 0xFFFFFFFF
    return data


@pytest.mark.parametrize("start", [0, 1, L.INPUT_BYTES - 1, 0xFFFFFFFF - 100])
def test_input_goes_through_the_ring_whole_and_in_order(start: int) -> None:
    port = Port()
    port.view["input_head"] = port.view["input_tail"] = start
    sent = os.urandom(5000)
    port.inbox += sent
    got = b""
    while len(got) < len(sent):
        port.serial.service()
        assert not port.serial.wants_input or not port.inbox
        piece = port.take(1 + len(got) % 700)
        assert piece
        got += piece
    assert got == sent
    assert port.serial.wants_input


def test_the_port_is_hungry_again_when_its_ring_is_half_empty() -> None:
    port = Port()
    assert port.serial.wants_input
    port.inbox += bytes(L.INPUT_BYTES + 1)
    port.serial.service()
    assert (len(port.inbox), port.wakes) == (1, 1)
    port.serial.service()
    assert port.wakes == 1  # nothing was added
    port.take(1)
    port.serial.service()
    assert not port.inbox
    assert not port.serial.wants_input
    port.take(L.INPUT_BYTES // 2 - 1)
    assert not port.serial.wants_input
    port.take(1)
    assert port.serial.wants_input


def test_a_ring_that_the_other_side_broke_takes_nothing() -> None:
    port = Port()
    port.view["input_tail"] = 5  # ahead of the head
    port.inbox += b"x"
    port.serial.service()
    assert port.inbox == b"x"


# --- through the Launcher ---------------------------------------------------------------------------------------------


def test_a_native_machine_is_described_as_such(lab: Lab) -> None:
    seen: dict[str, int] = {}

    def script(engine: FakeEngine) -> Steps:
        seen.update({name: engine.machine[name] for name in L.MACHINE.fields})
        seen["magic at boot_params"] = int.from_bytes(engine.guest[0x10202:0x10206], "little")
        yield from power_off(engine)

    assert lab.run(script, image=NATIVE).outcome.end is End.POWERED_OFF
    assert (seen["personality"], seen["device_pages"]) == (L.PERSONALITY_NATIVE, 0)
    assert (seen["boot_params"], seen["guest_entry"]) == (0x10000, MIB)
    assert seen["magic at boot_params"] == int.from_bytes(b"HdrS", "little")


def test_the_guest_gets_all_input_and_then_one_ctrl_d(lab: Lab) -> None:
    sent = os.urandom(20_000).replace(b"\x04", b"")
    got = bytearray()

    def script(engine: FakeEngine) -> Steps:
        while not got.endswith(b"\x04"):
            piece = take(engine.mailbox, 300)
            got.extend(piece)
            yield AGAIN if piece else WAIT
        yield from power_off(engine)

    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read)
        with os.fdopen(write, "wb") as file:
            file.write(sent)
        os._exit(0)
    os.close(write)
    lab.run(script, image=NATIVE, source=Input(read))
    os.waitpid(pid, 0)
    os.close(read)
    assert bytes(got) == sent + b"\x04"


PANIC = b"[    1.234567] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\r\n"
REPORT = b"[    1.234567] CPU: 0 PID: 1 Comm: init\r\n"
LAST = b"[    1.234567] ---[ end Kernel panic - not syncing: Attempted to kill init! ]---\r\n"
REASON = "Attempted to kill init! exitcode=0x00000100"


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_panic_is_found_in_the_output_and_its_report_is_shown(lab: Lab, step: int) -> None:
    text = b"hello\r\n" + PANIC + REPORT + LAST

    def script(engine: FakeEngine) -> Steps:
        for start in range(0, len(text), step):
            engine.early_text(text[start : start + step])
            yield AGAIN
        while True:
            yield WAIT

    result = lab.run(script, image=NATIVE)
    assert (result.outcome.end, result.outcome.reason, result.status) == (End.PANICKED, REASON, 3)
    assert lab.pipes.close() == text


def test_a_panic_without_an_end_is_over_when_silence_falls(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panic, "PATIENCE", 0.05)

    def script(engine: FakeEngine) -> Steps:
        engine.early_text(PANIC + REPORT)
        while True:
            yield WAIT

    assert lab.run(script, image=NATIVE).outcome.reason == REASON


@pytest.mark.parametrize("kind", [L.END_RESTART, L.END_HALTED])
def test_what_a_guest_does_after_its_panic_is_part_of_it(lab: Lab, kind: int) -> None:
    def script(engine: FakeEngine) -> Steps:
        engine.early_text(PANIC + b"Rebooting in 1 seconds..\r\n")
        engine.end(kind)
        yield AGAIN

    assert lab.run(script, image=NATIVE).outcome.end is End.PANICKED


@pytest.mark.parametrize(
    "text",
    [
        b"echo Kernel panic - not syncing: x\r\n",
        b"[ 1.0] x: Kernel panic - not syncing: x\r\n",
        b"Kernel panic - not syncing",
        b"[    1.000000] ---[ end Kernel panic - not syncing: x ]---\r\n",
    ],
)
def test_what_only_looks_like_a_panic_is_none(text: bytes) -> None:
    watch = PanicWatch()
    watch.feed(b"\r\n")
    watch.feed(text)
    assert watch.reason is None
    assert not watch.complete


STAMPS = [b"", b"[    0.000000] ", b"[12345.678901] ", b"<0>[    1.0] ", b"[    1.2][    T1] "]


@pytest.mark.parametrize("stamp", STAMPS)
def test_a_panic_is_found_with_any_time_stamp(stamp: bytes) -> None:
    watch = PanicWatch()
    watch.feed(b"x" * 5000 + b"\r\n" + stamp + b"Kernel panic - not syncing: \x1b[31mred\r\n")
    assert watch.reason == "[31mred"
    assert not watch.complete
    watch.feed(b"\r\n" + stamp + b"---[ end Kernel panic - not syncing: red ]---\r\n")
    assert watch.complete


def test_an_lguest_guest_may_print_what_it_likes(lab: Lab) -> None:
    def script(engine: FakeEngine) -> Steps:
        engine.early_text(PANIC + LAST)
        yield AGAIN
        yield from power_off(engine)

    assert lab.run(script).outcome.end is End.POWERED_OFF
